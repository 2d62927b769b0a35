package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
)

// segmentDoc is one host's part of a segment red that all hosts share, with its
// guest gN and the addresses of the others' guests. Fields are further ones of
// the segment, such as ", encap: vxlan".
func segmentDoc(hosts []*lab.Host, self *lab.Host, fields string) string {
	var b strings.Builder
	b.WriteString(vtepOf(self))
	fmt.Fprintf(&b, "segments:\n- {name: red, key: 100%s}\n", fields)
	b.WriteString("peers:\n" + peersOf(hosts, self, ", segments: [red]"))
	fmt.Fprintf(&b, "ports:\n- {name: g%d, device: g%d, attachments: [{segment: red}], macs: [%q]}\n", self.N, self.N, guestMAC(self.N))
	b.WriteString("fdb:\n")
	for _, h := range hosts {
		if h != self {
			fmt.Fprintf(&b, "- {segment: red, mac: %q, peer: %s}\n", guestMAC(h.N), h.Name)
		}
	}
	return b.String()
}

func guestMAC(n int) string         { return fmt.Sprintf("02:00:00:00:00:%02x", n) }
func guestAddr(n int) netip.Addr    { return addr("10.0.0.%d", n) }
func guestCIDR(n int) string        { return guestAddr(n).String() + "/24" }
func unknownMAC(n int) string       { return fmt.Sprintf("02:ff:00:00:00:%02x", n) }
func broadcastOf(n int) (to string) { return fmt.Sprintf("10.0.%d.255", n) }

// redGuests adds guest gN to each host.
func redGuests(t *testing.T, hosts []*lab.Host, mtu int) []*lab.Guest {
	t.Helper()
	var out []*lab.Guest
	for _, h := range hosts {
		out = append(out, guest(t, h, fmt.Sprint("g", h.N), guestCIDR(h.N), guestMAC(h.N), mtu))
	}
	return out
}

// broadcast sends n broadcasts, to the last address of a guest's network.
func broadcast(t *testing.T, g *lab.Guest, n int) netip.Addr {
	t.Helper()
	to := addr("%s", broadcastOf(0))
	echo(t, g, to, "-b", "-c", fmt.Sprint(n), "-i", "0.02", "-W", "0.5")
	return to
}

// fake makes a guest resolve an address to a hardware address nobody answers for.
func fake(t *testing.T, g *lab.Guest, ip netip.Addr, mac string) {
	t.Helper()
	inGuest(t, g, "ip", "neigh", "replace", ip.String(), "lladdr", mac, "dev", "eth0", "nud", "permanent")
}

// TestT2FlowBasedGRE: one port carries the traffic to all peers, each reached
// by its own outer destination. What comes from an address that is no peer's,
// or with a key that is no segment's, goes nowhere.
func TestT2FlowBasedGRE(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{Hosts: 4})
	h1, h4 := l.Hosts[0], l.Hosts[3]
	for _, h := range l.Hosts[:3] { // the far end at h4 is an operator's
		if err := h.StartGreaved(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	guests := redGuests(t, l.Hosts, 0)
	vsctl(t, h4, fmt.Sprintf("add-br hand -- set Bridge hand datapath_type=netdev -- add-port hand g4 -- add-port hand t -- set Interface t type=gre options:remote_ip=%s options:key=100", h1.VTEP))
	for _, h := range l.Hosts[:3] {
		apply(t, h, segmentDoc(l.Hosts, h, ""))
	}
	if ports := strings.Fields(vsctl(t, h1, "--bare --columns=name find Interface type=gre")); len(ports) != 1 {
		t.Errorf("GRE ports %v, want one for three peers", ports)
	}
	for _, g := range guests[1:] {
		reaches(t, guests[0], g.Addr.Addr())
	}
	t.Run("by its own destination", func(t *testing.T) {
		var stops []func() []lab.OuterPacket
		for _, h := range l.Hosts {
			stops = append(stops, capture(t, h, "", "proto gre"))
		}
		for _, g := range guests[1:] {
			if n := echo(t, guests[0], g.Addr.Addr()); n != 5 {
				t.Errorf("%s: %d of 5", g.Name, n)
			}
		}
		for i, h := range l.Hosts {
			packets := stops[i]()
			for _, g := range guests[1:] {
				seen := echoes(packets, guestAddr(1), g.Addr.Addr())
				if want := g.Host == h || h == h1; want != (len(seen) == 5) || !want && len(seen) > 0 {
					t.Errorf("%s saw %d of 5 requests for %s", h.Name, len(seen), g.Name)
				}
				for _, p := range seen {
					if p.Src != h1.VTEP || p.Dst != g.Host.VTEP || p.Key == nil || *p.Key != 100 || p.GREProtocol != 0x6558 {
						t.Fatalf("request for %s in %s > %s, GRE %#x", g.Name, p.Src, p.Dst, p.GREProtocol)
					}
				}
			}
		}
	})
	if _, _, err := h4.Exec(t.Context(), "ip", "addr", "add", "192.0.2.204/24", "dev", "br-phy"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, options, table string }{
		{"unknown source", "options:local_ip=192.0.2.204 options:key=100", "20"},
		{"another key", "options:key=999", "25"},
	} {
		t.Run(c.name, func(t *testing.T) {
			vsctl(t, h4, "clear Interface t options -- set Interface t options:remote_ip="+h1.VTEP.String()+" "+c.options)
			dropped := missed(t, h1, c.table)
			fake(t, guests[3], guestAddr(1), guestMAC(1))
			wire, end := capture(t, h1, "", "proto gre"), capture(t, h1, "g1", "icmp")
			unreachable(t, guests[3], guestAddr(1))
			arrived, through := len(echoes(wire(), guestAddr(4), guestAddr(1))), len(end())
			if arrived != 5 || through != 0 {
				t.Errorf("%d of 5 arrived at the host, %d of 0 at the guest", arrived, through)
			}
			if n := missed(t, h1, c.table) - dropped; n != 5 {
				t.Errorf("table %s dropped %d, want 5", c.table, n)
			}
			vsctl(t, h4, "clear Interface t options -- set Interface t options:key=100 options:remote_ip="+h1.VTEP.String())
			reaches(t, guests[3], guestAddr(1)) // it was that alone
		})
	}
}

// missed is how many packets met no flow but the last of a table of br-greave.
func missed(t *testing.T, h *lab.Host, table string) int {
	t.Helper()
	n := -1
	for line := range strings.Lines(ofctl(t, h, "br-greave", "--no-names", "dump-flows", "table="+table)) {
		if strings.Contains(line, "priority=0 ") {
			_, after, _ := strings.Cut(line, "n_packets=")
			if _, err := fmt.Sscanf(after, "%d", &n); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

// TestL1Isolation: segments of three encapsulations to one peer reuse all addresses
// and one of them the others' key, and none hears a frame of another.
func TestL1Isolation(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{})
	start(t, l)
	guests := map[string][]*lab.Guest{}
	for i, h := range l.Hosts {
		doc := vtepOf(h) + "segments:\n- {name: red, key: 100}\n- {name: blue, key: 200}\n- {name: green, key: 200, encap: vxlan}\n- {name: grey, key: 200, encap: geneve}\n" +
			"peers:\n" + peersOf(l.Hosts, h, ", segments: [red, blue, green, grey]") + "ports:\n"
		for _, s := range []string{"red", "blue", "green", "grey"} {
			g := guest(t, h, fmt.Sprint(s, h.N), guestCIDR(h.N), guestMAC(h.N), 0)
			guests[s] = append(guests[s], g)
			doc += fmt.Sprintf("- {name: %s, device: %s, attachments: [{segment: %s}], macs: [%q]}\n", g.Name, g.Dev, s, guestMAC(h.N))
		}
		doc += fmt.Sprintf("fdb:\n- {segment: red, mac: %q, peer: %s}\n", guestMAC(l.Hosts[1-i].N), l.Hosts[1-i].Name)
		apply(t, h, doc)
	}
	for _, s := range []string{"red", "blue", "green", "grey"} {
		t.Run(s, func(t *testing.T) {
			reaches(t, guests[s][0], guestAddr(2))
			before := map[string]int{}
			for name, pair := range guests {
				for _, g := range pair { // nobody asks again for what it knew, and this segment asks anew
					inGuest(t, g, "ip", "neigh", "flush", "dev", "eth0")
				}
				before[name] = heard(t, pair[0]) + heard(t, pair[1])
			}
			if n := echo(t, guests[s][0], guestAddr(2), "-c", "20"); n != 20 {
				t.Errorf("%d of 20 answered", n)
			}
			broadcast(t, guests[s][0], 5)
			for name, pair := range guests {
				n := heard(t, pair[0]) + heard(t, pair[1]) - before[name]
				if name != s && n != 0 || name == s && n < 20+20+2+5 {
					t.Errorf("%s heard %d frames", name, n)
				}
			}
		})
	}
}

// TestL4FloodCopies: a broadcast goes once to each member of the segment and to
// no other peer.
func TestL4FloodCopies(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{Hosts: 4})
	start(t, l)
	h1 := l.Hosts[0]
	guests := redGuests(t, l.Hosts, 0)
	for _, h := range l.Hosts {
		members := ""
		if h == h1 {
			members = ", members: [h2, h3]" // h4 takes part, and is sent no flood
		}
		apply(t, h, segmentDoc(l.Hosts, h, members))
	}
	for _, g := range guests[1:3] {
		reaches(t, guests[0], g.Addr.Addr())
	}
	fake(t, guests[0], guestAddr(4), guestMAC(4))
	reaches(t, guests[0], guestAddr(4))
	stop := capture(t, h1, "", "proto gre and src host "+h1.VTEP.String())
	to := broadcast(t, guests[0], 10)
	sent := stop()
	for _, h := range l.Hosts[1:] {
		got := copies(pick(sent, func(p lab.OuterPacket) bool { return p.Dst == h.VTEP }), to)
		want := each(10, 1)
		if h.N == 4 {
			want = nil
		}
		if !slices.Equal(got, want) {
			t.Errorf("copies of each broadcast to %s: %v, want %v", h.Name, got, want)
		}
	}
}

// TestO6Groups: a flood to two members is exactly two copies on the one port,
// by a group of type all and an indirect group each.
func TestO6Groups(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{Hosts: 3})
	start(t, l)
	h1 := l.Hosts[0]
	guests := redGuests(t, l.Hosts, 0)
	guest(t, h1, "more", "10.0.0.9/24", guestMAC(9), 0)
	for _, h := range l.Hosts {
		doc := segmentDoc(l.Hosts, h, "")
		if h == h1 {
			doc = strings.Replace(doc, "ports:\n", "ports:\n- {name: more, device: more, attachments: [{segment: red}]}\n", 1)
		}
		apply(t, h, doc)
	}
	reaches(t, guests[0], guestAddr(2))
	reaches(t, guests[0], guestAddr(3))
	wire, local := capture(t, h1, "", "proto gre and src host "+h1.VTEP.String()), capture(t, h1, "more", "icmp")
	to := broadcast(t, guests[0], 10)
	sent, heard := wire(), local()
	if all := copies(sent, to); !slices.Equal(all, each(10, 2)) {
		t.Errorf("copies on the wire %v, want 2 each", all)
	}
	for _, h := range l.Hosts[1:] {
		if n := copies(pick(sent, func(p lab.OuterPacket) bool { return p.Dst == h.VTEP }), to); !slices.Equal(n, each(10, 1)) {
			t.Errorf("copies to %s %v, want 1 each", h.Name, n)
		}
	}
	if n := copies(heard, to); !slices.Equal(n, each(10, 1)) {
		t.Errorf("copies to the local guest %v, want 1 each", n)
	}
	types := map[string]int{}
	for _, g := range groupsOf(t, h1, "br-greave") {
		_, after, _ := strings.Cut(g, "type=")
		kind, _, _ := strings.Cut(after, ",")
		types[kind]++
	}
	if len(types) != 2 || types["all"] != 2 || types["indirect"] != 2 { // flood and local; a peer each
		t.Errorf("groups by type: %v", types)
	}
}

// TestL5NoLoop: in a full mesh each guest hears a broadcast once, with one
// encapsulation and with two in the same segment.
func TestL5NoLoop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		encap func(a, b int) string // of the peers a and b towards each other
	}{
		{"one encapsulation", func(int, int) string { return "" }},
		{"two encapsulations", func(a, b int) string {
			if a == 3 || b == 3 {
				return ", encap: vxlan"
			}
			return ""
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := lab.ForTest(t, lab.Options{Hosts: 3})
			start(t, l)
			guests := redGuests(t, l.Hosts, 0)
			for _, h := range l.Hosts {
				doc := segmentDoc(l.Hosts, h, "")
				for _, p := range l.Hosts {
					doc = strings.Replace(doc, fmt.Sprintf("remote: %s}], segments: [red]", p.VTEP), fmt.Sprintf("remote: %s}], segments: [red]%s", p.VTEP, c.encap(h.N, p.N)), 1)
				}
				apply(t, h, doc)
			}
			for _, from := range guests {
				for _, to := range guests {
					if from != to {
						reaches(t, from, to.Addr.Addr())
					}
				}
			}
			for _, from := range guests {
				floodOnce(t, l, guests, from)
			}
		})
	}
}

// floodOnce broadcasts from one guest and counts: one copy at each other guest,
// none back, two on the wire of the sender and one on those of the others.
func floodOnce(t *testing.T, l *lab.Lab, guests []*lab.Guest, from *lab.Guest) {
	t.Helper()
	var wires, ends []func() []lab.OuterPacket
	for i, h := range l.Hosts {
		wires = append(wires, capture(t, h, "", "proto gre or udp port 4789"))
		ends = append(ends, capture(t, h, guests[i].Dev, "icmp"))
	}
	to := broadcast(t, from, 5)
	for i, h := range l.Hosts {
		wire, end := 1, 1
		if h == from.Host {
			wire = len(l.Hosts) - 1 // and end is the frame that the guest sent itself
		}
		if n := copies(wires[i](), to); !slices.Equal(n, each(5, wire)) {
			t.Errorf("from %s: the wire of %s saw %v copies, want %d each", from.Name, h.Name, n, wire)
		}
		if n := copies(ends[i](), to); !slices.Equal(n, each(5, end)) {
			t.Errorf("from %s: %s saw %v copies, want %d each", from.Name, guests[i].Name, n, end)
		}
	}
}
