package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
)

// wire is one explicit tunnel between a bridge of its own on each of two hosts.
// near and far are fields of the Tunnel on h1 and h2; with byHand, options of
// an Interface, h2's end is made by ovs-vsctl.
type wire struct {
	name      string
	near, far string
	byHand    string
	ping      []string // further arguments of ping(8)
	silent    bool     // nothing gets through
	v6        bool     // the underlay's family
	check     func(t *testing.T, out, in lab.OuterPacket)
	all       func(t *testing.T, out []lab.OuterPacket)

	a, b *lab.Guest
}

func (w wire) vtep(h *lab.Host) netip.Addr {
	if w.v6 {
		return h.VTEP6
	}
	return h.VTEP
}

func both(fields string) wire { return wire{near: fields, far: fields} }

func (w wire) as(name string, check func(t *testing.T, out, in lab.OuterPacket)) *wire {
	w.name, w.check = name, check
	return &w
}

// layWires builds the tunnels: guests, a document a host, and what is by hand.
func layWires(t *testing.T, l *lab.Lab, wires []*wire, mtu int) {
	t.Helper()
	h1, h2 := l.Hosts[0], l.Hosts[1]
	docs := map[*lab.Host]*[3]strings.Builder{h1: {}, h2: {}}
	state := func(h *lab.Host, to netip.Addr, i int, g *lab.Guest, fields string) {
		d := docs[h]
		fmt.Fprintf(&d[0], "- {name: br%d, datapath: netdev}\n", i)
		fmt.Fprintf(&d[1], "- {name: %s, device: %s, bridge: br%d}\n", g.Name, g.Dev, i)
		fmt.Fprintf(&d[2], "- {name: tun%d, bridge: br%d, remote: {address: '%s'}, %s}\n", i, i, to, fields)
	}
	for i, w := range wires {
		w.a = guest(t, h1, fmt.Sprint("a", i), fmt.Sprintf("10.1.%d.1/24", i), fmt.Sprintf("02:00:00:00:%02x:01", i), mtu)
		w.b = guest(t, h2, fmt.Sprint("b", i), fmt.Sprintf("10.1.%d.2/24", i), fmt.Sprintf("02:00:00:00:%02x:02", i), mtu)
		state(h1, w.vtep(h2), i, w.a, w.near)
		if w.byHand == "" {
			state(h2, w.vtep(h1), i, w.b, w.far)
			continue
		}
		vsctl(t, h2, fmt.Sprintf("add-br br%d -- set Bridge br%d datapath_type=netdev -- add-port br%d %s -- add-port br%d tun%d -- set Interface tun%d options:remote_ip=%s %s",
			i, i, i, w.b.Dev, i, i, i, h1.VTEP, w.byHand))
	}
	for h, d := range docs {
		apply(t, h, "bridges:\n"+d[0].String()+"ports:\n"+d[1].String()+"tunnels:\n"+d[2].String())
	}
}

// runWires pings through every wire while h1's NIC is recorded, and judges each.
func runWires(t *testing.T, l *lab.Lab, wires []*wire, filter string) {
	h1, h2 := l.Hosts[0], l.Hosts[1]
	stop := capture(t, h1, "", filter)
	got, before := make([]int, len(wires)), make([]int, len(wires))
	for i, w := range wires {
		before[i] = heard(t, w.b)
		if !w.silent {
			reaches(t, w.a, w.b.Addr.Addr())
		}
		got[i] = echo(t, w.a, w.b.Addr.Addr(), w.ping...)
	}
	packets := stop()
	for i, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			out := echoes(packets, w.a.Addr.Addr(), w.b.Addr.Addr())
			in := pick(packets, func(p lab.OuterPacket) bool {
				f := inner(p)
				return f.echo == 0 && f.from == w.b.Addr.Addr()
			})
			if w.silent {
				if n := heard(t, w.b) - before[i]; got[i] != 0 || len(in) != 0 || n != 0 {
					t.Errorf("%d of 5 answered, the far guest heard %d frames", got[i], n)
				}
				return
			}
			if got[i] != 5 || len(out) < 5 || len(in) < 5 {
				t.Fatalf("%d of 5 answered; %d requests and %d replies on the wire", got[i], len(out), len(in))
			}
			o, r := out[len(out)-1], in[len(in)-1]
			if o.Src != w.vtep(h1) || o.Dst != w.vtep(h2) || r.Src != w.vtep(h2) || r.Dst != w.vtep(h1) {
				t.Errorf("outer addresses %s > %s and %s > %s", o.Src, o.Dst, r.Src, r.Dst)
			}
			if w.check != nil {
				w.check(t, o, r)
			}
			if w.all != nil {
				w.all(t, out)
			}
		})
	}
}

// gre demands an Ethernet payload (0x6558), these flags, and this key in each direction.
func gre(flags uint16, out, in uint32) func(*testing.T, lab.OuterPacket, lab.OuterPacket) {
	return func(t *testing.T, o, r lab.OuterPacket) {
		t.Helper()
		for _, c := range []struct {
			p   lab.OuterPacket
			key uint32
		}{{o, out}, {r, in}} {
			if c.p.Proto != 47 || c.p.GREProtocol != 0x6558 || c.p.GREFlags != flags {
				t.Errorf("protocol %d, GRE %#04x with flags %#04x, want flags %#04x", c.p.Proto, c.p.GREProtocol, c.p.GREFlags, flags)
			}
			if keyed := flags&0x2000 != 0; keyed != (c.p.Key != nil) || keyed && *c.p.Key != c.key {
				t.Errorf("key %v, want %d", c.p.Key, c.key)
			}
		}
	}
}

// outer demands TTL, TOS and DF of the outer header as sent.
func outer(ttl, tos uint8, df bool) func(*testing.T, lab.OuterPacket, lab.OuterPacket) {
	return func(t *testing.T, o, _ lab.OuterPacket) {
		if o.TTL != ttl || o.TOS != tos || o.DF != df {
			t.Errorf("ttl %d tos %#x df %t, want %d %#x %t", o.TTL, o.TOS, o.DF, ttl, tos, df)
		}
	}
}

func key(n int) string { return fmt.Sprintf("key: {fixed: {in: %d, out: %d}}", n, n) }

func checksums(t *testing.T, out []lab.OuterPacket) {
	for _, p := range out {
		if !p.ChecksumHolds() {
			t.Fatalf("checksum %v does not hold", p.Checksum)
		}
	}
}

func sequence(t *testing.T, out []lab.OuterPacket) {
	for i, p := range out {
		if p.Sequence == nil || i > 0 && *p.Sequence <= *out[i-1].Sequence {
			t.Fatalf("sequence numbers do not rise at packet %d", i)
		}
	}
}

// TestT1ExplicitGRETunnel: a tunnel that is a port of an ordinary bridge
// carries frames, with the header that its document states, towards greave and
// towards a far end that an operator made.
func TestT1ExplicitGRETunnel(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{})
	start(t, l)
	sum := both(key(6)+", checksum: {out: true}").as("checksum", gre(0xa000, 6, 6))
	sum.all = checksums
	seq := both(key(7)+", sequence: {out: true}").as("sequence", gre(0x3000, 7, 7))
	seq.all = sequence
	inherit := both(key(5)+", ttl: {inherit: true}, tos: {inherit: true}").as("inherited ttl and tos", outer(33, 0x48, true))
	inherit.ping = []string{"-t", "33", "-Q", "0x48"}
	wires := []*wire{
		both(key(1)).as("key", gre(0x2000, 1, 1)),
		both(key(1<<32-1)).as("largest key", gre(0x2000, 1<<32-1, 1<<32-1)),
		both("key: {none: true}").as("no key", gre(0, 0, 0)),
		wire{near: "key: {fixed: {in: 31, out: 32}}", far: "key: {fixed: {in: 32, out: 31}}"}.as("a key each way", gre(0x2000, 32, 31)),
		both(key(3)).as("default outer header", outer(64, 0, true)),
		both(key(4)+", ttl: {fixed: 17}, tos: {fixed: 40}").as("fixed ttl and tos", outer(17, 40, true)),
		inherit, sum, seq,
		both(key(8)+", df: false").as("without DF", outer(64, 0, false)),
		both(key(9)+", local: {address: VTEP}").as("local address", gre(0x2000, 9, 9)),
		wire{near: key(81), far: key(82), silent: true}.as("another key", nil),
		wire{near: key(11), byHand: "type=gre options:key=11"}.as("towards ovs-vsctl", gre(0x2000, 11, 11)),
		wire{near: "key: {fixed: {in: 121, out: 122}}", byHand: "type=gre options:in_key=122 options:out_key=121"}.as("towards ovs-vsctl, a key each way", gre(0x2000, 122, 121)),
	}
	for _, w := range wires {
		w.near = strings.ReplaceAll(w.near, "VTEP", l.Hosts[0].VTEP.String())
		w.far = strings.ReplaceAll(w.far, "VTEP", l.Hosts[1].VTEP.String())
	}
	layWires(t, l, wires, 0)
	runWires(t, l, wires, "proto gre")
}
