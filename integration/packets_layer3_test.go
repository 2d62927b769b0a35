package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/mtu"
)

// beside is a bridge with a layer 3 tunnel and, on the same two hosts with the same
// key, one of layer 2.
func beside(h, far *lab.Host, v6 bool, fields string) string {
	remote := far.VTEP
	if v6 {
		remote = far.VTEP6
	}
	return fmt.Sprintf(`
bridges: [{name: br0, datapath: netdev}]
ports:
- {name: three, device: three, bridge: br0, macs: ["%s"]}
- {name: two, device: two, bridge: br0}
tunnels:
- {name: l3, bridge: br0, layer: l3, remote: {address: '%s'}, %s}
- {name: l2, bridge: br0, remote: {address: '%s'}, %s}
`, guestMAC(30+h.N), remote, fields, remote, fields)
}

// behind makes the guests: "three" reaches the other side through the layer 3
// tunnel, "two" through that of layer 2. three is on the bridge too, so it reaches
// the far "two" by frames, and the far "three" by packets.
func behind(t *testing.T, l *lab.Lab, guestMTU int) (three, two [2]*lab.Guest) {
	t.Helper()
	for i, h := range l.Hosts[:2] {
		three[i] = guest(t, h, "three", fmt.Sprintf("10.3.%d.1/24", h.N), guestMAC(30+h.N), guestMTU)
		two[i] = guest(t, h, "two", fmt.Sprintf("10.2.0.%d/24", h.N), guestMAC(20+h.N), guestMTU)
		far := 3 - h.N
		inGuest(t, three[i], "ip", "route", "add", fmt.Sprintf("10.3.%d.0/24", far), "via", "10.3.255.1", "dev", "eth0", "onlink")
		inGuest(t, three[i], "ip", "neigh", "add", "10.3.255.1", "lladdr", model.Layer3MAC.String(), "dev", "eth0", "nud", "permanent")
	}
	return three, two
}

// TestT3LayerThree: layer 3 GRE on a bridge of Open vSwitch, beside layer 2 GRE
// between the same hosts with the same key, over both families: both carry at
// once, neither takes the other's packets, the one without an Ethernet header.
func TestT3LayerThree(t *testing.T) {
	t.Parallel()
	const underlay, guestMTU = 1500, 1600
	l := lab.ForTest(t, lab.Options{IPv6: true, UnderlayMTU: underlay})
	start(t, l)
	three, two := behind(t, l, guestMTU)
	for _, c := range []struct {
		fields string
		v6     bool
		spec   mtu.Spec
	}{
		{key(7), false, mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4, Key: true}},
		{key(7), true, mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv6, Key: true}},
		{"key: {none: true}", false, mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4}},
		{key(8) + ", checksum: {out: true}", false, mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4, Key: true, Checksum: true}},
		{key(9) + ", sequence: {out: true}", true, mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv6, Key: true, Sequence: true}},
	} {
		t.Run(fmt.Sprintf("%v, %s", map[bool]string{false: "IPv4", true: "IPv6"}[c.v6], c.fields), func(t *testing.T) {
			h1, h2 := l.Hosts[0], l.Hosts[1]
			apply(t, h1, beside(h1, h2, c.v6, c.fields))
			apply(t, h2, beside(h2, h1, c.v6, c.fields))
			to := three[1].Addr.Addr()
			reaches(t, two[0], two[1].Addr.Addr())
			stop := capture(t, h1, "", "ip proto 47 or ip6 proto 47")
			n3, n2 := echo(t, three[0], to), echo(t, two[0], two[1].Addr.Addr())
			packets := stop()
			if n3 != 5 || n2 != 5 {
				t.Errorf("%d of 5 answered through layer 3, %d through layer 2", n3, n2)
			}
			for _, want := range []struct {
				from, to netip.Addr
				protocol uint16
			}{{three[0].Addr.Addr(), to, 0x0800}, {two[0].Addr.Addr(), two[1].Addr.Addr(), 0x6558}} {
				out := echoes(packets, want.from, want.to)
				if len(out) != 5 {
					t.Errorf("%d requests to %s on the wire", len(out), want.to)
				}
				for _, p := range out {
					if p.GREProtocol != want.protocol {
						t.Errorf("request to %s in GRE protocol %#04x, want %#04x", want.to, p.GREProtocol, want.protocol)
					}
				}
			}
			largest(t, three[0], three[1], c.spec, underlay)
			c.spec.Encap = mtu.GRETAP
			largest(t, two[0], two[1], c.spec, underlay)
		})
	}
}
