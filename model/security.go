package model

import (
	"fmt"
	"net/netip"
	"strings"
)

// PortSecurity says which frames of the guest behind a port are dropped.
type PortSecurity struct {
	MAC       bool // whose source is not in the port's MACs
	IP        bool // whose IP source is not in the port's IPs, nor what LinkLocals derives
	ARP       bool // that claim another's address in ARP or neighbour discovery
	DHCPGuard bool // that only a DHCP or DHCPv6 server sends
	RAGuard   bool // router advertisements
}

// Any tells whether anything is dropped.
func (s PortSecurity) Any() bool { return s != PortSecurity{} }

// LinkLocals are the IPv6 link-local addresses that follow from the port's MACs
// (RFC 4291 appendix A): a guest has one before it has any other address. One
// whose link-local address is made otherwise (RFC 7217) states it in IPs.
func (p Port) LinkLocals() []netip.Addr {
	var out []netip.Addr
	for _, m := range p.MACs {
		a := [16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}
		out = append(out, netip.AddrFrom16(a))
	}
	return out
}

// checkSecurity refuses guards that have nothing to compare with, and those on a
// bridge without the pipeline that drops.
func (p Port) checkSecurity(c *checker, path string) {
	s := p.Security
	if !s.Any() {
		return
	}
	path += ".security"
	var stated []string
	for _, g := range []struct {
		set  bool
		name string
		need string // the field that it compares with
		has  bool
	}{
		{s.MAC, "mac", "macs", len(p.MACs) > 0}, {s.IP, "ip", "ips", len(p.IPs) > 0}, {s.ARP, "arp", "ips", len(p.IPs) > 0},
		{s.DHCPGuard, "dhcp_guard", "", true}, {s.RAGuard, "ra_guard", "", true},
	} {
		if !g.set {
			continue
		}
		stated = append(stated, g.name)
		if !g.has {
			c.add(path+"."+g.name, "true", ReasonRequired, fmt.Sprintf("compares with the port's %s, and there are none: every frame would be dropped", g.need), fmt.Sprintf("state %s, or leave %s out", g.need, g.name))
		}
	}
	switch value := strings.Join(stated, ", "); {
	case c.onKernel(p.Bridge):
		c.add(path, value, ReasonUnimplemented, fmt.Sprintf("is not supported in the kernel yet, and bridge %s is of the kernel", p.Bridge), "leave it out, or use nftables in the bridge family")
	case !c.isOverlay(p.Bridge):
		c.add(path, value, ReasonConflict, fmt.Sprintf("is of the overlay bridge, and bridge %s switches by NORMAL", p.Bridge), "attach the port to a segment, or leave it out")
	}
	for i, a := range p.IPs {
		if (s.IP || s.ARP) && ipv4Compatible(a) {
			c.add(index(path[:len(path)-len(".security")]+".ips", i), a.String(), ReasonUnsupported, "is an IPv4-compatible address, which Open vSwitch and greave write differently (RFC 4291 §2.5.5.1 deprecates them)", "use another address")
		}
	}
}

// ipv4Compatible tells whether a is in ::/96 and no short number.
func ipv4Compatible(a netip.Addr) bool {
	b := a.As16()
	return a.Is6() && [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0)
}
