package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
	"github.com/greave-sdn/greave/model/mtu"
)

// overIPv6 is a document of a segment whose peers are reached over IPv6, those
// named in v4 over IPv4.
func overIPv6(hosts []*lab.Host, self *lab.Host, encap string, v4 ...string) string {
	var b, fdb strings.Builder
	fmt.Fprintf(&b, "vteps: [{name: v4, address: %s}, {name: v6, address: '%s'}]\nsegments: [{name: red, key: 100, encap: %s}]\nports: [{name: g, device: g, macs: ['%s'], attachments: [{segment: red}]}]\npeers:\n",
		self.VTEP, self.VTEP6, encap, guestMAC(self.N))
	for _, h := range hosts {
		if h == self {
			continue
		}
		vtep, remote := "v6", h.VTEP6
		for _, name := range v4 {
			if name == h.Name || name == self.Name {
				vtep, remote = "v4", h.VTEP
			}
		}
		fmt.Fprintf(&b, "- {name: %s, paths: [{vtep: %s, remote: '%s'}], segments: [red]}\n", h.Name, vtep, remote)
		fmt.Fprintf(&fdb, "- {segment: red, mac: '%s', peer: %s}\n", guestMAC(h.N), h.Name)
	}
	return b.String() + "fdb:\n" + fdb.String()
}

// TestT6IPv6Underlay: a segment over IPv6 underlays, with one peer of three over
// IPv4 on the same shared port: unicast and one copy of each broadcast, in packets
// whose size is what the arithmetic says.
func TestT6IPv6Underlay(t *testing.T) {
	t.Parallel()
	const underlay, guestMTU = 1500, 1600
	l := lab.ForTest(t, lab.Options{Hosts: 3, IPv6: true, UnderlayMTU: underlay})
	start(t, l)
	var guests []*lab.Guest
	for _, h := range l.Hosts {
		guests = append(guests, guest(t, h, "g", guestCIDR(h.N), guestMAC(h.N), guestMTU))
	}
	for encap, spec := range map[string]mtu.Spec{
		"gre": {Encap: mtu.GRETAP, Outer: mtu.IPv6, Key: true}, "vxlan": {Encap: mtu.VXLAN, Outer: mtu.IPv6}, "geneve": {Encap: mtu.Geneve, Outer: mtu.IPv6},
	} {
		t.Run(encap, func(t *testing.T) {
			for _, h := range l.Hosts {
				apply(t, h, overIPv6(l.Hosts, h, encap, l.Hosts[2].Name))
			}
			h1 := l.Hosts[0]
			reaches(t, guests[0], guestAddr(2))
			reaches(t, guests[0], guestAddr(3))
			stop := capture(t, h1, "", "proto gre or ip6 proto 47 or udp port 4789 or udp port 6081")
			if a, b := echo(t, guests[0], guestAddr(2)), echo(t, guests[0], guestAddr(3)); a != 5 || b != 5 {
				t.Errorf("%d of 5 answered over IPv6, %d over IPv4", a, b)
			}
			to := broadcast(t, guests[0], 5)
			packets := stop()
			for i, want := range []struct{ from, to lab.OuterPacket }{
				{lab.OuterPacket{Src: h1.VTEP6}, lab.OuterPacket{Dst: l.Hosts[1].VTEP6}}, {lab.OuterPacket{Src: h1.VTEP}, lab.OuterPacket{Dst: l.Hosts[2].VTEP}},
			} {
				out := echoes(packets, guestAddr(1), guestAddr(2+i))
				if len(out) != 5 {
					t.Errorf("%d requests to guest %d on the wire", len(out), 2+i)
				}
				for _, p := range out {
					if p.Src != want.from.Src || p.Dst != want.to.Dst {
						t.Errorf("request to guest %d in %s > %s", 2+i, p.Src, p.Dst)
					}
				}
			}
			if n := fmt.Sprint(copies(packets, to)); n != "[2 2 2 2 2]" {
				t.Errorf("copies of each broadcast: %s", n)
			}
			largest(t, guests[0], guests[1], spec, underlay)
			spec.Outer = mtu.IPv4
			largest(t, guests[0], guests[2], spec, underlay)
		})
	}
}
