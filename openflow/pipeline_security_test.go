package openflow_test

import (
	"net/netip"
	"testing"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// ip6 is an ICMPv6 packet of a type.
func ip6(icmp uint8, src string, edit ...func(*packet)) packet {
	p := packet{src: guardedMAC, dst: model.MAC{0x33, 0x33, 0, 0, 0, 1}, inner: inner{etherType: openflow.EtherIPv6,
		proto: openflow.ProtoICMPv6, icmp: icmp, src: netip.MustParseAddr(src), dst: netip.MustParseAddr("ff02::1")}}
	for _, e := range edit {
		e(&p)
	}
	return p
}

func ip4(src string, sport, dport uint16) packet {
	return packet{src: guardedMAC, dst: destinations[0], inner: inner{etherType: openflow.EtherIPv4, proto: openflow.ProtoUDP,
		src: netip.MustParseAddr(src), dst: netip.MustParseAddr("255.255.255.255"), sport: sport, dport: dport}}
}

func arpOf(spa string, sha model.MAC) packet {
	return packet{src: guardedMAC, dst: destinations[0], inner: inner{etherType: openflow.EtherARP, proto: openflow.ARPRequest,
		src: netip.MustParseAddr(spa), dst: netip.MustParseAddr("10.20.0.7"), sha: sha}}
}

func target(s string) func(*packet) {
	return func(p *packet) { p.inner.target = netip.MustParseAddr(s) }
}

func sll(m model.MAC) func(*packet) { return func(p *packet) { p.inner.sha = m } }
func tll(m model.MAC) func(*packet) { return func(p *packet) { p.inner.tha = m } }

var (
	guardedMAC = model.MAC{2, 0, 0, 0, 0, 0xa}
	otherMAC   = model.MAC{2, 0, 0, 0, 0, 0xb}
)

const (
	guardedLL = "fe80::ff:fe00:a"
	guarded6  = "2001:db8:20::1"
	other6    = "2001:db8:20::2"
)

// TestPipelineSecurity: what each guard alone, and all together, drop of what a
// guest can send, and that all else passes.
func TestPipelineSecurity(t *testing.T) {
	all := model.PortSecurity{MAC: true, IP: true, ARP: true, DHCPGuard: true, RAGuard: true}
	guards := map[openflow.Guard]model.PortSecurity{
		openflow.GuardMAC: {MAC: true}, openflow.GuardIP: {IP: true}, openflow.GuardARP: {ARP: true},
		openflow.GuardDHCP: {DHCPGuard: true}, openflow.GuardRA: {RAGuard: true},
	}
	other := packet{src: otherMAC, dst: destinations[0]}
	stacked := packet{src: guardedMAC, dst: destinations[0], tags: tags{0x1000}, inner: inner{etherType: 0x8100}}
	for _, c := range []struct {
		name string
		p    packet
		by   []openflow.Guard // which drop it; the first where all are set
	}{
		{"own frame", packet{src: guardedMAC, dst: destinations[0]}, nil},
		{"MAC", other, []openflow.Guard{openflow.GuardMAC}},
		{"own IPv4", ip4("10.20.0.1", 7, 7), nil},
		{"other IPv4", ip4("10.20.0.2", 7, 7), []openflow.Guard{openflow.GuardIP}},
		{"DHCP from none", ip4("0.0.0.0", 68, 67), nil},
		{"other UDP from none", ip4("0.0.0.0", 68, 69), []openflow.Guard{openflow.GuardIP}},
		{"DHCP renewal", ip4("10.20.0.1", 68, 67), nil},
		{"DHCP server", ip4("10.20.0.1", 67, 68), []openflow.Guard{openflow.GuardDHCP}},
		{"own IPv6", ip6(128, guarded6), nil},
		{"link-local IPv6", ip6(128, guardedLL), nil},
		{"other IPv6", ip6(128, other6), []openflow.Guard{openflow.GuardIP}},
		{"other link-local IPv6", ip6(128, "fe80::ff:fe00:b"), []openflow.Guard{openflow.GuardIP}},
		{"ping from none", ip6(128, "::"), []openflow.Guard{openflow.GuardIP}},
		{"listener report from none", ip6(143, "::"), nil},
		{"router solicitation from none", ip6(133, "::"), nil},
		{"router advertisement", ip6(134, guardedLL), []openflow.Guard{openflow.GuardRA}},
		{"redirect of another", ip6(137, "fe80::1"), []openflow.Guard{openflow.GuardIP, openflow.GuardARP}},
		{"DAD", ip6(135, "::", target(guarded6)), nil},
		{"solicitation", ip6(135, guarded6, target(other6), sll(guardedMAC)), nil},
		{"solicitation without option", ip6(135, guardedLL, target(other6)), nil},
		{"malformed solicitation", ip6(135, guarded6, target("::")), []openflow.Guard{openflow.GuardARP}},
		{"solicitation of another", ip6(135, other6, target(guarded6), sll(guardedMAC)), []openflow.Guard{openflow.GuardIP, openflow.GuardARP}},
		{"solicitation with another MAC", ip6(135, guarded6, target(other6), sll(otherMAC)), []openflow.Guard{openflow.GuardARP}},
		{"advertisement", ip6(136, guarded6, target(guarded6), tll(guardedMAC)), nil},
		{"advertisement for another", ip6(136, guarded6, target(other6), tll(guardedMAC)), []openflow.Guard{openflow.GuardARP}},
		{"advertisement with another MAC", ip6(136, guarded6, target(guarded6), tll(otherMAC)), []openflow.Guard{openflow.GuardARP}},
		{"ARP", arpOf("10.20.0.1", guardedMAC), nil},
		{"ARP probe", arpOf("0.0.0.0", guardedMAC), nil},
		{"ARP for another", arpOf("10.20.0.2", guardedMAC), []openflow.Guard{openflow.GuardARP}},
		{"ARP with another MAC", arpOf("10.20.0.1", otherMAC), []openflow.Guard{openflow.GuardARP}},
		{"tag in a tag", stacked, []openflow.Guard{openflow.GuardTags, openflow.GuardIP, openflow.GuardARP, openflow.GuardDHCP, openflow.GuardRA}},
	} {
		set := map[openflow.Guard]model.PortSecurity{openflow.GuardNone: all}
		for g, s := range guards {
			set[g] = s
		}
		for g, security := range set {
			want := openflow.GuardNone
			for _, by := range c.by {
				switch {
				case g == openflow.GuardNone:
					want = c.by[0]
				case by == g && c.by[0] == openflow.GuardTags:
					want = openflow.GuardTags
				case by == g:
					want = g
				}
				if want != openflow.GuardNone {
					break
				}
			}
			checkGuard(t, c.name, c.p, security, want)
		}
	}
}

func checkGuard(t *testing.T, name string, p packet, security model.PortSecurity, want openflow.Guard) {
	t.Helper()
	state := example()
	state.Segments[0].Suppression = model.Suppression{}
	state.Ports[0].Security = security
	state.Ports[0].IPs = []netip.Addr{netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr(guarded6)}
	w := resolve(state)
	w.compile(t.Fatalf)
	p.in = w.ports["tap-red"]
	s := w.sw(t.Fatalf)
	if got := s.send(p); len(got) > 0 != (want == openflow.GuardNone) || openflow.GuardOf(s.drop) != want {
		t.Errorf("%s with %+v: %v, dropped by guard %d (%s), want %d", name, security, got, openflow.GuardOf(s.drop), s.drop, want)
	}
}
