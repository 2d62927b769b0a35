package modeltest

import (
	"net/netip"

	"github.com/greave-sdn/greave/model"
)

// IP is the n-th of the guests' addresses that generated states use, of one
// family. Several guests of a segment may have one of them.
func IP(n int, v4 bool) netip.Addr {
	if v4 {
		return netip.AddrFrom4([4]byte{10, 20, 0, byte(n)})
	}
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0x20, 15: byte(n)})
}

func (g *generator) ips() []netip.Addr {
	var out []netip.Addr
	for range g.n("ips", 0, 2) {
		out = append(out, IP(g.n("ip", 1, 5), g.yes("ipv4")))
	}
	return out
}

// security draws guards that a port can have.
func (g *generator) security(p model.Port) model.PortSecurity {
	if g.yes("no security") {
		return model.PortSecurity{}
	}
	return model.PortSecurity{
		MAC: len(p.MACs) > 0 && g.yes("mac guard"), IP: len(p.IPs) > 0 && g.yes("ip guard"), ARP: len(p.IPs) > 0 && g.yes("arp guard"),
		DHCPGuard: g.yes("dhcp guard"), RAGuard: g.yes("ra guard"),
	}
}
