package openflow

import (
	"net/netip"

	"github.com/greave-sdn/greave/model"
)

// Guard names what of port security drops a frame.
type Guard uint8

// Guards, as the fields of a port's security name them. GuardTags drops frames
// with more VLAN tags than the others look behind.
const (
	GuardNone Guard = iota
	GuardMAC
	GuardIP
	GuardARP
	GuardDHCP
	GuardRA
	GuardTags
)

// Ports of DHCP (RFC 2131 §4.1) and DHCPv6 (RFC 8415 §7.2).
const (
	dhcpServer   = 67
	dhcpClient   = 68
	dhcpv6Client = 546
)

// EtherTypes that are left where OVS does not parse a further VLAN tag.
var tagTypes = []uint16{0x8100, 0x88a8}

var broadcastV4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// GuardOf tells which guard a flow drops for; GuardNone when it passes packets
// on or is of no port's security.
func GuardOf(f Flow) Guard {
	if len(f.Actions) > 0 || f.Cookie.Kind() != uint8(model.KindPort) {
		return GuardNone
	}
	switch f.Table {
	case TablePortSecurity:
		switch {
		case f.Match.EthType == 0:
			return GuardMAC
		case f.Match.Upper.TPDst != 0:
			return GuardDHCP
		case f.Match.Upper.ICMPType != 0:
			return GuardRA
		}
		return GuardTags
	case TableSourceIP:
		return GuardIP
	case TableClaims, TableClaimsHW:
		return GuardARP
	}
	return GuardNone
}

// securityTables lets what no guard drops go on; only where a port has a guard,
// so that all other packets need no look at these tables.
func (c *compiler) securityTables(w writer) {
	for _, p := range c.r.Ports {
		if p.Security.Any() {
			w.flow(TableSourceIP, prioMiss, Match{}, Resubmit{TableClaims})
			w.flow(TableClaims, prioMiss, Match{}, Resubmit{TableClaimsHW})
			w.flow(TableClaimsHW, prioMiss, Match{}, Resubmit{TableLearn})
			return
		}
	}
}

// guarded writes flows of one port's security.
type guarded struct {
	writer
	in Port
}

func (g guarded) pass(t Table, m Match, next Table) {
	m.InPort = g.in
	g.flow(t, prioRule, m, Resubmit{next})
}

// drop counts what it drops under the port's cookie.
func (g guarded) drop(t Table, priority uint16, m Match) {
	m.InPort = g.in
	g.flow(t, priority, m)
}

// security writes what a port may not send. Its packets go through one table
// after the other, so that two guards of n addresses each are 2n flows, not n².
func (c *compiler) security(w writer, p model.ResolvedPort, port Port) {
	s := p.Security
	if !s.Any() {
		return
	}
	g := guarded{w, port}
	if s.IP || s.ARP || s.DHCPGuard || s.RAGuard {
		for _, t := range tagTypes {
			g.drop(TablePortSecurity, prioGuard, Match{EthType: t})
		}
	}
	if s.DHCPGuard {
		g.drop(TablePortSecurity, prioGuard, Match{EthType: EtherIPv4, Upper: Upper{Proto: ProtoUDP, TPDst: dhcpClient}})
		g.drop(TablePortSecurity, prioGuard, Match{EthType: EtherIPv6, Upper: Upper{Proto: ProtoUDP, TPDst: dhcpv6Client}})
	}
	if s.RAGuard {
		g.drop(TablePortSecurity, prioGuard, icmpv6(NDRouterAdvert))
	}
	if s.MAC {
		for _, mac := range distinct(p.MACs) {
			g.pass(TablePortSecurity, Match{EthSrc: matchMAC(mac)}, TableSourceIP)
		}
		g.drop(TablePortSecurity, prioDefault, Match{})
	} else {
		g.pass(TablePortSecurity, Match{}, TableSourceIP)
	}
	own := distinct(append(append([]netip.Addr{}, p.IPs...), p.LinkLocals()...))
	if s.IP {
		g.sources(own)
	}
	if s.ARP {
		g.claims(own)
		if len(p.MACs) > 0 {
			g.claimsHW(distinct(p.MACs))
		}
	}
}

// sources lets IP packets pass whose source is the port's own, or none because
// the guest has no address yet.
func (g guarded) sources(own []netip.Addr) {
	for _, a := range own {
		g.pass(TableSourceIP, Match{EthType: etherOf(a), Upper: Upper{Src: a}}, TableClaims)
	}
	g.pass(TableSourceIP, Match{EthType: EtherIPv4, Upper: Upper{
		Src: netip.IPv4Unspecified(), Dst: broadcastV4, Proto: ProtoUDP, TPSrc: dhcpClient, TPDst: dhcpServer}}, TableClaims)
	// RFC 4861 §4.1 and §4.3, and RFC 3590: what a node sends to get its link-local address.
	for _, t := range []uint8{NDRouterSolicit, NDSolicit, MLDv1Report, MLDv2Report} {
		m := icmpv6(t)
		m.Upper.Src = netip.IPv6Unspecified()
		g.pass(TableSourceIP, m, TableClaims)
	}
	g.drop(TableSourceIP, prioDefault, Match{EthType: EtherIPv4})
	g.drop(TableSourceIP, prioDefault, Match{EthType: EtherIPv6})
}

// claims lets ARP and neighbour discovery pass that speak for the port's own
// addresses: the sender of ARP, the target of an advertisement, and the source
// of what else has a link-layer address in it.
func (g guarded) claims(own []netip.Addr) {
	bySource := []uint8{NDRouterSolicit, NDRouterAdvert, NDSolicit, NDRedirect}
	for _, a := range own {
		if a.Is4() {
			g.pass(TableClaims, Match{EthType: EtherARP, Upper: Upper{Src: a}}, TableClaimsHW)
			continue
		}
		for _, t := range bySource {
			m := icmpv6(t)
			m.Upper.Src = a
			g.pass(TableClaims, m, TableClaimsHW)
		}
		m := icmpv6(NDAdvert)
		m.Upper.NDTarget = a
		g.pass(TableClaims, m, TableClaimsHW)
	}
	g.pass(TableClaims, Match{EthType: EtherARP, Upper: Upper{Src: netip.IPv4Unspecified(), Proto: ARPRequest}}, TableClaimsHW)
	for _, t := range []uint8{NDRouterSolicit, NDSolicit} { // before there is an address
		m := icmpv6(t)
		m.Upper.Src = netip.IPv6Unspecified()
		g.pass(TableClaims, m, TableClaimsHW)
	}
	// OVS reads a malformed one, such as one with an option twice, as of no target.
	malformed := icmpv6(NDSolicit)
	malformed.Upper.NDTarget = netip.IPv6Unspecified()
	g.drop(TableClaims, prioGuard, malformed)
	g.drop(TableClaims, prioDefault, Match{EthType: EtherARP})
	for _, t := range append(bySource, NDAdvert) {
		g.drop(TableClaims, prioDefault, icmpv6(t))
	}
}

// claimsHW lets pass what names one of the port's MACs as the claimant, or, in
// neighbour discovery, none at all.
func (g guarded) claimsHW(macs []MAC) {
	for _, mac := range macs {
		g.pass(TableClaimsHW, Match{EthType: EtherARP, Upper: Upper{HW: Exactly(mac)}}, TableLearn)
	}
	g.drop(TableClaimsHW, prioDefault, Match{EthType: EtherARP})
	for _, t := range []uint8{NDSolicit, NDAdvert} {
		for _, mac := range append(macs[:len(macs):len(macs)], MAC{}) {
			m := icmpv6(t)
			m.Upper.HW = Exactly(mac)
			g.pass(TableClaimsHW, m, TableLearn)
		}
		g.drop(TableClaimsHW, prioDefault, icmpv6(t))
	}
}

func icmpv6(t uint8) Match {
	return Match{EthType: EtherIPv6, Upper: Upper{Proto: ProtoICMPv6, ICMPType: t}}
}

func etherOf(a netip.Addr) uint16 {
	if a.Is4() {
		return EtherIPv4
	}
	return EtherIPv6
}

// distinct keeps the first of equal values.
func distinct[T comparable](list []T) []T {
	seen := make(map[T]bool, len(list))
	var out []T
	for _, v := range list {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}
