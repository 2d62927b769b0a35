package conformance

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/greave-sdn/greave/model/mtu"
)

// testCase is one thing that a part of the documents must do.
type testCase struct {
	name   string
	part   string
	encaps []Encap
	run    func(s *scene)
}

var cases = []testCase{
	{"segment: every guest reaches every other", "segments", meshEncaps, reach},
	{"segment: hears nothing of another with the same addresses", "segments", allEncaps, isolated},
	{"segment: one copy of a broadcast to each, none back", "segments", meshEncaps, broadcastOnce},
	{"segment: a broadcast does not go round the mesh", "segments", meshEncaps, noLoop},
	{"segment: one copy of a multicast to each", "segments", allEncaps, multicastOnce},
	{"segment: unknown address flooded", "segments", meshEncaps, unknownFlooded},
	{"segment: unknown address dropped", "drop", allEncaps, unknownDropped},
	{"segment: known address to its host alone", "segments", allEncaps, oneHost},
	{"segment: learned address to its host alone", "learn", allEncaps, learned},
	{"segment: VLAN tag kept", "segments", allEncaps, func(s *scene) { tagKept(s, "red") }},
	{"segment: VLAN attachment, each port in its own VLAN", "trunk", allEncaps, ownVLAN},
	{"segment: VLAN attachment, a second tag kept", "trunk", allEncaps, secondTag},
	{"segment: VLAN attachment, other VLANs dropped", "trunk", allEncaps, otherVLANs},
	{"segment: frames that are not IP", "segments", allEncaps, func(s *scene) { notIP(s, "red") }},
	{"segment: largest packet to the byte", "segments", allEncaps, func(s *scene) { largest(s, "red") }},
	{"segment: ARP answered locally", "quiet", allEncaps, answered},
	{"segment: ND not flooded", "quiet six", allEncaps, answered6},
	{"segment: another key dropped", "strange", allEncaps, func(s *scene) { anotherKey(s, "strange") }},

	{"tunnel: both ways, with its addresses and key", "tunnel", allEncaps, bothWays},
	{"tunnel: another key dropped", "other key", allEncaps, func(s *scene) { anotherKey(s, "okey") }},
	{"tunnel: checksum", "checksum", allEncaps, checksum},
	{"tunnel: sequence", "sequence", onlyGRE, sequence},
	{"tunnel: ttl and tos", "header", allEncaps, header},
	{"tunnel: access VLAN", "access", allEncaps, access},
	{"tunnel: trunk", "tunnel", allEncaps, func(s *scene) { tagKept(s, "tun") }},
	{"tunnel: largest packet to the byte", "tunnel", allEncaps, func(s *scene) { largest(s, "tun") }},
	{"tunnel: frames that are not IP", "tunnel", allEncaps, func(s *scene) { notIP(s, "tun") }},
	{layer3Case, "layer 3", onlyGRE, layer3},
}

// layer3Case needs a kernel with GRE, that of the guest: a layer 3 tunnel is the kernel's beside
// Open vSwitch too.
const layer3Case = "tunnel: layer 3, IPv4 and IPv6"

// in tells whether the row is one of the column.
func (r Row) in(c Column) bool { return r.Case != layer3Case || c.InGuest }

func reach(s *scene) {
	var shots []shot
	for _, net := range []string{"red", "blue"} {
		s.pairs(net, func(from, to *end) { shots = append(shots, from.to(to.mac, to)) })
	}
	s.fire(shots...)
}

func isolated(s *scene) {
	var shots []shot
	for _, net := range []string{"red", "blue"} {
		for _, e := range s.ends[net] {
			shots = append(shots, e.to(everyone, s.others(e)...), e.to(nobody, s.others(e)...))
		}
	}
	s.fire(shots...)
}

func broadcastOnce(s *scene) {
	s.fire(s.broadcasts("red")...)
}

// broadcasts are one from each guest of a net.
func (s *scene) broadcasts(net string) (shots []shot) {
	for _, e := range s.ends[net] {
		shots = append(shots, e.to(everyone, s.others(e)...))
	}
	return shots
}

// noLoop counts on the wires: one copy to each other host, and none from those.
func noLoop(s *scene) {
	shots := s.broadcasts("red")
	s.fire(shots...)
	for _, x := range shots {
		for i := range s.hosts {
			want := 0
			if i == x.from.host {
				want = len(s.hosts) - 1
			}
			s.wire(i, x.mark, want)
		}
	}
}

func multicastOnce(s *scene) {
	var shots []shot
	for _, e := range s.ends["red"] {
		shots = append(shots, e.to(multicast4, s.others(e)...), e.to(multicast6, s.others(e)...))
	}
	s.fire(shots...)
}

func unknownFlooded(s *scene) {
	e := s.ends["red"][0]
	x := e.to(nobody, s.others(e)...)
	s.fire(x)
	s.wire(0, x.mark, len(s.hosts)-1)
}

func unknownDropped(s *scene) {
	e := s.ends["drop"][0]
	x := e.to(nobody)
	s.fire(x, e.to(everyone, s.others(e)...), e.to(guestMAC(1), s.ends["drop"][1]))
	s.wire(0, x.mark, 0)
}

func oneHost(s *scene) { oneHostOnly(s, "red") }

// oneHostOnly demands that a frame for a guest leaves its sender once, for that guest's host.
func oneHostOnly(s *scene, net string) {
	var shots []shot
	s.pairs(net, func(from, to *end) { shots = append(shots, from.to(to.mac, to)) })
	s.fire(shots...)
	for _, x := range shots {
		p := s.wire(x.from.host, x.mark, 1)[0]
		if want := s.hosts[x.to[0].host].Address; p.Dst != want {
			s.t.Errorf("%s went to %s, want %s", x.mark, p.Dst, want)
		}
		for i := range s.hosts {
			if sent, received := s.onWire(i, x.mark); i != x.from.host && i != x.to[0].host && len(sent)+len(received) != 0 {
				s.t.Errorf("%s concerned %s", x.mark, s.hosts[i].Name)
			}
		}
	}
}

// learned needs one frame from a guest, and a moment until its address counts.
func learned(s *scene) {
	s.fire(s.broadcasts("learn")...)
	for limit := time.Now().Add(patience); time.Now().Before(limit); {
		x := s.ends["learn"][0].to(guestMAC(1), s.ends["learn"][1])
		s.listen(true)
		s.ok(x.from.send(x.frame))
		time.Sleep(settle)
		s.listen(false)
		if sent, _ := s.onWire(0, x.mark); len(sent) == 1 {
			break
		}
	}
	oneHostOnly(s, "learn")
}

func tagKept(s *scene, net string) {
	var shots []shot
	s.pairs(net, func(from, to *end) {
		shots = append(shots, from.to(to.mac, to).in(100), from.to(everyone, s.others(from)...).in(4094))
	})
	s.fire(shots...)
}

// ownVLAN sends in each segment of a trunk, to everyone and to one: the others hear it in the VLAN
// that their port has for the segment, and nobody in the other segment, which has the same addresses.
func ownVLAN(s *scene) {
	var shots []shot
	for _, segment := range []string{"red", "blue"} {
		for _, e := range s.ends["trunk"] {
			shots = append(shots, e.to(everyone, s.others(e)...).across(segment))
		}
		s.pairs("trunk", func(from, to *end) { shots = append(shots, from.to(to.mac, to).across(segment)) })
	}
	s.fire(shots...)
	for _, x := range shots { // without a tag between hosts
		sent, _ := s.onWire(x.from.host, x.mark)
		for _, p := range sent {
			if len(p.Inner) < 14 || p.Inner[12] != 8 || p.Inner[13] != 0 {
				s.t.Errorf("%s: a tag crossed the underlay: %x", x.mark, p.Inner)
			}
		}
	}
}

// across is the shot in the VLAN of a segment, as each trunk has it.
func (x shot) across(segment string) shot {
	plain := x.frame
	x.as = func(e *end) []byte {
		return slices.Concat(plain[:12], tagBytes(trunkVLAN(segment, e.host)), plain[12:])
	}
	x.frame = x.as(x.from)
	return x
}

func secondTag(s *scene) {
	var shots []shot
	s.pairs("trunk", func(from, to *end) {
		shots = append(shots, from.to(to.mac, to).in(99).across("red"), from.to(everyone, s.others(from)...).in(4094).across("blue"))
	})
	s.fire(shots...)
}

// otherVLANs sends in a VLAN that no attachment names, and in none.
func otherVLANs(s *scene) {
	var shots []shot
	for _, e := range s.ends["trunk"] {
		shots = append(shots, e.to(everyone).in(77), e.to(everyone))
	}
	s.fire(shots...)
	for _, x := range shots {
		s.wire(x.from.host, x.mark, 0)
	}
}

func notIP(s *scene, net string) {
	var shots []shot
	s.pairs(net, func(from, to *end) {
		mark := newMark()
		payload := append(append([]byte(nil), mark...), make([]byte, 50)...)
		shots = append(shots, shot{from: from, mark: mark, frame: ethernet(to.mac, from.mac, 0, etherLocal, payload), to: []*end{to}})
	})
	s.fire(shots...)
}

// largest sends, between the first two hosts, packets of the size that the arithmetic says and of
// one byte more.
func largest(s *scene, net string) {
	spec := map[Encap]mtu.Spec{
		GRE:    {Encap: mtu.GRETAP, Outer: mtu.IPv4, Key: true},
		VXLAN:  {Encap: mtu.VXLAN, Outer: mtu.IPv4},
		Geneve: {Encap: mtu.Geneve, Outer: mtu.IPv4},
	}[s.encap]
	fits, err := spec.InnerMTU(UnderlayMTU)
	s.ok(err)
	var shots []shot
	for i := range 2 {
		from, to := s.ends[net][i], s.ends[net][1-i]
		for extra := range 2 {
			mark := newMark()
			x := shot{from: from, mark: mark, frame: ethernet(to.mac, from.mac, 0, etherIPv4, ping(guestIP(i), guestIP(1-i), mark, fits+extra))}
			if extra == 0 {
				x.to = []*end{to}
			} else {
				x.told = true
			}
			shots = append(shots, x)
		}
	}
	s.fire(shots...)
}

// answered asks for the address of each other guest: the host answers for it, and nobody else hears.
func answered(s *scene) {
	s.pairs("quiet", func(from, to *end) {
		request := ethernet(everyone, from.mac, 0, etherARP, arp(1, from.mac, guestIP(from.host), mac{}, guestIP(to.host)))
		s.answered(from, request, arp(2, to.mac, guestIP(to.host), from.mac, guestIP(from.host)))
	})
}

// answered6 does the same by neighbour discovery. The answer is solicited and overrides. Over Open
// vSwitch's kernel datapath the guest asked for gets the question instead, sent to its MAC alone.
func answered6(s *scene) {
	s.pairs("six", func(from, to *end) {
		own, target := guestIP6(from.host), guestIP6(to.host)
		t := target.As16()
		group := netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]}) // RFC 4291 §2.7.1
		request := ethernet(mac{0x33, 0x33, 0xff, t[13], t[14], t[15]}, from.mac, 0, etherIPv6, nd(135, own, group, 0, target, 1, from.mac))
		if s.hosts[from.host].Kind == OVSSystem {
			direct := slices.Concat(to.mac[:], request[6:])
			s.directed(from, to, request, direct)
			return
		}
		s.answered(from, request, nd(136, target, own, 0x60000000, target, 2, to.mac))
	})
}

func (s *scene) answered(from *end, request, reply []byte) {
	s.listen(true)
	s.ok(from.send(request))
	for limit := time.Now().Add(patience); len(from.received(reply)) == 0 && time.Now().Before(limit); time.Sleep(tick) {
		s.listen(false)
	}
	time.Sleep(settle)
	s.listen(false)
	if n := len(from.received(reply)); n != 1 {
		s.t.Errorf("%s asked and heard %d answers, want 1", from.Name, n)
	}
	for _, e := range s.others(from) {
		if n := len(e.received(request[14:])); n != 0 {
			s.t.Errorf("%s heard %d requests of %s", e.Name, n, from.Name)
		}
	}
	s.wire(from.host, request[14:], 0)
}

// directed demands that a question comes to one guest alone, addressed to it.
func (s *scene) directed(from, to *end, request, arrives []byte) {
	s.listen(true)
	s.ok(from.send(request))
	for limit := time.Now().Add(patience); len(to.received(arrives)) == 0 && time.Now().Before(limit); time.Sleep(tick) {
		s.listen(false)
	}
	time.Sleep(settle)
	s.listen(false)
	for _, e := range s.others(from) {
		want := 0
		if e == to {
			want = 1
		}
		if n, direct := len(e.received(request[14:])), len(e.received(arrives)); n != want || direct != want {
			s.t.Errorf("%s heard %d requests of %s, %d of them to its MAC, want %d", e.Name, n, from.Name, direct, want)
		}
	}
	s.wire(from.host, request[14:], 1)
}

// anotherKey demands that what a host sends comes to the others and goes no further.
func anotherKey(s *scene, net string) {
	e := s.ends[net][0]
	x := e.to(everyone)
	s.fire(x)
	s.wire(0, x.mark, len(s.ends[net])-1)
	if _, received := s.onWire(1, x.mark); len(received) != 1 {
		s.t.Errorf("%s: %d came to %s, want 1", x.mark, len(received), s.hosts[1].Name)
	}
}

// across fires frames each way through a tunnel and lets check look at what the hosts sent, in order.
func across(s *scene, net string, frames int, check func(name string, p outer)) {
	var shots []shot
	for range frames {
		s.pairs(net, func(from, to *end) { shots = append(shots, from.to(to.mac, to)) })
	}
	s.fire(shots...)
	for _, x := range shots {
		check(fmt.Sprintf("%s from %s", x.mark, x.from.Name), outer{s.wire(x.from.host, x.mark, 1)[0], x.from.host})
	}
}

func bothWays(s *scene) {
	key := fmt.Sprint(partNamed("tunnel").key)
	across(s, "tun", 1, func(name string, p outer) {
		if p.Src != s.hosts[p.from].Address || p.Dst != s.hosts[1-p.from].Address || keyOf(p.OuterPacket) != key {
			s.t.Errorf("%s: %s > %s, key %s, want key %s", name, p.Src, p.Dst, keyOf(p.OuterPacket), key)
		}
	})
	e := s.ends["tun"][0]
	s.fire(e.to(everyone, s.others(e)...))
}

func checksum(s *scene) {
	across(s, "sum", 1, func(name string, p outer) {
		if !p.ChecksumHolds() {
			s.t.Errorf("%s: no checksum that holds: %+v", name, p.OuterPacket)
		}
	})
}

// sequence demands numbers that rise in the order of sending. The first frame makes a flow, which
// later ones may overtake.
func sequence(s *scene) {
	across(s, "seq", 1, func(string, outer) {})
	last := map[int]uint32{}
	across(s, "seq", 3, func(name string, p outer) {
		if p.Sequence == nil {
			s.t.Fatalf("%s: no sequence number", name)
		}
		if before, known := last[p.from]; known && *p.Sequence <= before {
			s.t.Errorf("%s: number %d after %d", name, *p.Sequence, before)
		}
		last[p.from] = *p.Sequence
	})
}

func header(s *scene) {
	across(s, "head", 1, func(name string, p outer) {
		if p.TTL != fixedTTL || p.TOS != fixedTOS {
			s.t.Errorf("%s: ttl %d, tos %d, want %d and %d", name, p.TTL, p.TOS, fixedTTL, fixedTOS)
		}
	})
}

// access sends frames of the tunnel's VLAN, of another, and of none: the first crosses, without a
// tag on the wire.
func access(s *scene) {
	var mine, shots []shot
	s.pairs("acc", func(from, to *end) {
		x := from.to(to.mac, to)
		mine = append(mine, x)
		shots = append(shots, x.in(accessVLAN), from.to(to.mac).in(accessVLAN+1), from.to(to.mac))
	})
	s.fire(shots...)
	for _, x := range mine {
		if p := s.wire(x.from.host, x.mark, 1)[0]; !bytes.Equal(p.Inner, x.frame) {
			s.t.Errorf("a tag crossed the tunnel: %x", p.Inner)
		}
	}
}
