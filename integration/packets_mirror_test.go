package integration

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// mirrorSite is a host whose frames are mirrored and one that collects: two guests
// on an ordinary bridge, one of a segment on either host, and two that get copies
// by cable.
type mirrorSite struct {
	h1, h2         *lab.Host
	a, b, red1, r2 *lab.Guest
	span, rspan    *lab.Guest
}

func newMirrorSite(t *testing.T, l *lab.Lab) *mirrorSite {
	t.Helper()
	h1, h2 := l.Hosts[0], l.Hosts[1]
	for _, h := range l.Hosts[:2] { // without the foreign objects: a GRE port is among them
		check(t, h.StartGreaved(t.Context()))
	}
	s := &mirrorSite{h1: h1, h2: h2}
	s.a, s.b = guest(t, h1, "a", "10.1.0.1/24", guestMAC(1), 0), guest(t, h1, "b", "10.1.0.2/24", guestMAC(2), 0)
	s.red1, s.r2 = guest(t, h1, "red1", "10.2.0.1/24", guestMAC(11), 0), guest(t, h2, "r2", "10.2.0.2/24", guestMAC(12), 0)
	s.span, s.rspan = guest(t, h1, "span", "", guestMAC(21), 0), guest(t, h1, "rspan", "", guestMAC(22), 0)
	apply(t, h2, s.base(h2, h1, "r2")+"bridges: [{name: br-greave, datapath: netdev}]\n")
	return s
}

// base is a host of the fabric.
func (s *mirrorSite) base(h, far *lab.Host, guest string) string {
	return vtepOf(h) + "segments: [{name: red, key: 100, encap: vxlan}]\n" + "peers:\n" + peersOf([]*lab.Host{far}, h, ", segments: [red]") +
		fmt.Sprintf("ports:\n- {name: %s, device: %s, attachments: [{segment: red}]}\n", guest, guest)
}

// state applies the mirrored host's document with these mirrors.
func (s *mirrorSite) state(t *testing.T, mirrors string) {
	t.Helper()
	apply(t, s.h1, s.base(s.h1, s.h2, "red1")+`
- {name: a, device: a, bridge: br-lan}
- {name: b, device: b, bridge: br-lan}
- {name: rspan, device: rspan, bridge: br-lan, vlan: {tag: 99}}
bridges: [{name: br-lan, datapath: netdev}, {name: br-greave, datapath: netdev}]
`+strings.ReplaceAll(mirrors, "COLLECTOR", s.h2.VTEP.String()))
}

// wireCopies are the pings among packets of one tunnel: requests and replies, by
// number.
func wireCopies(packets []lab.OuterPacket, of func(lab.OuterPacket) bool, from, to netip.Addr) (requests, replies []int) {
	packets = pick(packets, of)
	bySeq, last := map[uint16]int{}, uint16(0)
	for _, p := range packets {
		if f := inner(p); f.echo == 0 && f.from == to {
			bySeq[f.seq]++
			last = max(last, f.seq)
		}
	}
	replies = make([]int, last)
	for seq, n := range bySeq {
		replies[seq-1] = n
	}
	return copies(pick(packets, func(p lab.OuterPacket) bool { return inner(p).from == from }), to), replies
}

func ofERSPAN(session uint32) func(lab.OuterPacket) bool {
	return func(p lab.OuterPacket) bool {
		return p.GREProtocol == 0x88be && len(p.Inner) > 4 && uint32(p.Inner[2]&3)<<8|uint32(p.Inner[3]) == session
	}
}

func ofVNI(n uint32) func(lab.OuterPacket) bool {
	return func(p lab.OuterPacket) bool { return p.VNI != nil && *p.VNI == n }
}

func ofKey(n uint32) func(lab.OuterPacket) bool {
	return func(p lab.OuterPacket) bool { return p.GREProtocol == 0x6558 && p.Key != nil && *p.Key == n }
}

// pinged pings between two guests while the collector's NIC is recorded.
func (s *mirrorSite) pinged(t *testing.T, from, to *lab.Guest) []lab.OuterPacket {
	t.Helper()
	reaches(t, from, to.Addr.Addr())
	stop := capture(t, s.h2, "", "proto gre or udp port 4789")
	if n := echo(t, from, to.Addr.Addr()); n != 5 {
		t.Errorf("%d of 5 answered", n)
	}
	return stop()
}

func sameCopies(t *testing.T, what string, packets []lab.OuterPacket, of func(lab.OuterPacket) bool, from, to *lab.Guest, requests, replies int) {
	t.Helper()
	gotQ, gotR := wireCopies(packets, of, from.Addr.Addr(), to.Addr.Addr())
	want := func(n int) []int {
		if n == 0 {
			return nil
		}
		return each(5, n)
	}
	if !slices.Equal(gotQ, want(requests)) || !slices.Equal(gotR, want(replies)) {
		t.Errorf("%s: copies of requests %v, of replies %v; want %d and %d of each of 5", what, gotQ, gotR, requests, replies)
	}
}

const mirrorER = `
mirrors:
- {name: er0, bridge: br-lan, select: {ports: [{port: a}]}, output: {collector: {encap: erspan, remote: {address: COLLECTOR}, key: {fixed: {in: 9, out: 9}}, erspan: {index: 5}}}}
`

const mirrorVX = `- {name: vx0, bridge: br-lan, select: {all: true}, output: {collector: {encap: vxlan, remote: {address: COLLECTOR}, key: {fixed: {in: 5000, out: 5000}}}}}
`

// TestO9Mirrors: copies of the frames of a bridge arrive at a collector, by each
// encapsulation, at a device and in a VLAN: one of each frame, of the ports, ways and
// VLANs that are selected, from ordinary bridges and from the overlay's, also while
// packets are under way; and they end with the mirror, while another's stays.
func TestO9Mirrors(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{})
	s := newMirrorSite(t, l)
	t.Run("two on one bridge", s.twoMirrors)
	t.Run("ways and VLANs", s.ways)
	t.Run("device", s.device)
	t.Run("VLAN", s.intoVLAN)
	t.Run("overlay", s.overlay)
	t.Run("gone", s.gone)
}

func (s *mirrorSite) twoMirrors(t *testing.T) {
	s.state(t, mirrorER+mirrorVX)
	packets := s.pinged(t, s.a, s.b)
	sameCopies(t, "ERSPAN", packets, ofERSPAN(9), s.a, s.b, 1, 1)
	sameCopies(t, "VXLAN", packets, ofVNI(5000), s.a, s.b, 1, 1)
	if h := erspanOf(t, pick(packets, ofERSPAN(9))[0]); h != (erspanHeader{Version: 1, Session: 9, Index: 5}) {
		t.Errorf("header %+v", h)
	}
	want := &greavev1.ObservedMirror{Bridge: "br-lan", In: []string{"a"}, Out: []string{"a"}, Output: "er0", Remote: s.h2.VTEP.String()}
	eventually(t, settle, "copies are counted", func() bool {
		r, err := dial(t, s.h1).List(t.Context(), &greavev1.ListRequest{Kind: greavev1.ObjectKind_OBJECT_KIND_MIRROR, Name: "er0"})
		check(t, err)
		m := r.GetObjects()[0].GetMirror()
		if m.GetBridge() != want.Bridge || !slices.Equal(m.GetIn(), want.In) || !slices.Equal(m.GetOut(), want.Out) || m.GetOutput() != want.Output || m.GetRemote() != want.Remote || m.GetOfport() <= 0 {
			t.Fatalf("observed %v", m)
		}
		return m.GetCounters().GetTxPackets() >= 10
	})

	// One goes, and one comes back with another selection, while packets are under way.
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = s.a.Exec(ctx, "ping", "-n", "-q", "-i", "0.05", "-w", "110", s.b.Addr.Addr().String()) // until it is ended
	}()
	defer func() {
		cancel()
		<-done
	}()
	s.state(t, "mirrors:\n"+mirrorVX)
	stop := capture(t, s.h2, "", "proto gre or udp port 4789")
	before := heard(t, s.b)
	eventually(t, settle, "packets are under way", func() bool { return heard(t, s.b) > before+20 })
	packets = stop()
	q, r := wireCopies(packets, ofERSPAN(9), s.a.Addr.Addr(), s.b.Addr.Addr())
	if v, _ := wireCopies(packets, ofVNI(5000), s.a.Addr.Addr(), s.b.Addr.Addr()); len(q)+len(r) > 0 || len(v) == 0 {
		t.Errorf("%d requests and %d replies are copied still by the mirror that is gone, %d by the other", len(q), len(r), len(v))
	}
	s.state(t, "mirrors:\n"+strings.Replace(mirrorVX, "all: true", "ports: [{port: b, direction: in}]", 1))
	stop = capture(t, s.h2, "", "udp port 4789")
	before = heard(t, s.b)
	eventually(t, settle, "packets are under way", func() bool { return heard(t, s.b) > before+20 })
	packets = pick(stop(), ofVNI(5000))
	q, r = wireCopies(packets, ofVNI(5000), s.a.Addr.Addr(), s.b.Addr.Addr())
	if len(q) > 0 || len(r) == 0 {
		t.Errorf("what b sends is selected: %d requests and %d replies copied", len(q), len(r))
	}
}

func (s *mirrorSite) ways(t *testing.T) {
	mirror := func(name string, vni int, selects string) string {
		return fmt.Sprintf("- {name: %s, bridge: br-lan, select: {%s}, output: {collector: {encap: vxlan, remote: {address: COLLECTOR}, key: {fixed: {in: %d, out: %d}}}}}\n", name, selects, vni, vni)
	}
	s.state(t, "mirrors:\n"+mirror("in", 1, "ports: [{port: a, direction: in}]")+mirror("out", 2, "ports: [{port: a, direction: out}]")+
		mirror("untagged", 3, "all: true, vlans: [0, 7]")+mirror("tagged", 4, "all: true, vlans: [7]")+mirror("both", 5, "ports: [{port: a}, {port: b}]"))
	packets := s.pinged(t, s.a, s.b)
	for _, c := range []struct {
		name              string
		vni               uint32
		requests, replies int
	}{{"in", 1, 1, 0}, {"out", 2, 0, 1}, {"untagged", 3, 1, 1}, {"tagged", 4, 0, 0}, {"both", 5, 1, 1}} {
		sameCopies(t, c.name, packets, ofVNI(c.vni), s.a, s.b, c.requests, c.replies)
	}
}

// cableCopies counts pings at a guest that gets copies by cable.
func cableCopies(t *testing.T, r *lab.Raw, tag uint16) (requests, replies int) {
	t.Helper()
	frames, err := r.Heard()
	check(t, err)
	for _, f := range frames {
		if tagged := f[12] == 0x81; tagged != (tag != 0) {
			continue
		} else if tagged {
			f = slices.Concat(f[:12], f[16:])
		}
		p, err := lab.DecodeFrame(f)
		if err != nil || p.Proto != 1 || len(p.Inner) == 0 {
			continue
		}
		switch p.Inner[0] {
		case 8:
			requests++
		case 0:
			replies++
		}
	}
	return requests, replies
}

func (s *mirrorSite) device(t *testing.T) {
	ear, err := s.span.Raw()
	check(t, err)
	s.state(t, "mirrors:\n- {name: m, bridge: br-lan, select: {ports: [{port: a}]}, output: {device: span}, snaplen: 64}\n")
	reaches(t, s.a, s.b.Addr.Addr())
	_, _ = cableCopies(t, ear, 0)
	if n := echo(t, s.a, s.b.Addr.Addr()); n != 5 {
		t.Errorf("%d of 5 answered", n)
	}
	frames, err := ear.Heard()
	check(t, err)
	frames = pick(frames, func(f []byte) bool { return f[12] == 8 && f[13] == 0 })
	if len(frames) != 10 {
		t.Errorf("%d copies of 10 frames", len(frames))
	}
	for _, f := range frames {
		if len(f) != 64 {
			t.Errorf("a copy of %d bytes, want 64", len(f))
		}
	}
}

func (s *mirrorSite) intoVLAN(t *testing.T) {
	ear, err := s.rspan.Raw()
	check(t, err)
	s.state(t, "mirrors:\n- {name: m, bridge: br-lan, select: {ports: [{port: a}]}, output: {vlan: 99}}\n")
	reaches(t, s.a, s.b.Addr.Addr())
	_, _ = cableCopies(t, ear, 0)
	if n := echo(t, s.a, s.b.Addr.Addr()); n != 5 {
		t.Errorf("%d of 5 answered", n)
	}
	if q, r := cableCopies(t, ear, 0); q != 5 || r != 5 {
		t.Errorf("in VLAN 99 %d requests and %d replies, want 5 and 5", q, r)
	}
}

func (s *mirrorSite) overlay(t *testing.T) {
	s.state(t, `mirrors:
- {name: m1, select: {all: true}, output: {collector: {encap: vxlan, remote: {address: COLLECTOR}, key: {fixed: {in: 5001, out: 5001}}}}}
- {name: m2, bridge: br-greave, select: {ports: [{port: red1, direction: out}]}, output: {collector: {encap: geneve, udp_port: 4788, remote: {peer: h2}, key: {fixed: {in: 5002, out: 5002}}}}}
`)
	reaches(t, s.red1, s.r2.Addr.Addr())
	stop := capture(t, s.h2, "", "udp portrange 4788-4789")
	before := heard(t, s.r2)
	if n := echo(t, s.red1, s.r2.Addr.Addr()); n != 5 {
		t.Errorf("%d of 5 answered", n)
	}
	if n := heard(t, s.r2) - before; n != 5 {
		t.Errorf("the far guest heard %d frames, want 5", n)
	}
	packets := stop()
	sameCopies(t, "the segment itself", packets, ofVNI(100), s.red1, s.r2, 1, 1)
	sameCopies(t, "all of the overlay bridge", packets, ofVNI(5001), s.red1, s.r2, 1, 1)
	replies := pick(packets, func(p lab.OuterPacket) bool { return p.DstPort == 4788 && len(p.Inner) > 8+34 && p.Inner[8+34] == 0 })
	if all := pick(packets, func(p lab.OuterPacket) bool { return p.DstPort == 4788 }); len(replies) != 5 || len(all) != 5 {
		t.Errorf("what goes out to red1: %d copies, %d of them replies, want 5 and 5", len(all), len(replies))
	}
}

func (s *mirrorSite) gone(t *testing.T) {
	vsctl(t, s.h1, "add-port br-lan span -- --id=@p get Port span -- --id=@m create Mirror name=theirs select_all=true output_port=@p external_ids:owner=somebody -- add Bridge br-lan mirrors @m")
	theirs := func() string {
		return vsctl(t, s.h1, "list Mirror theirs")
	}
	s.state(t, "mirrors:\n- {name: g0, bridge: br-lan, select: {all: true}, output: {collector: {remote: {address: COLLECTOR}, key: {fixed: {in: 77, out: 77}}}}}\n")
	sameCopies(t, "GRE", s.pinged(t, s.a, s.b), ofKey(77), s.a, s.b, 1, 1)
	was := theirs()
	s.state(t, "")
	sameCopies(t, "GRE after the mirror", s.pinged(t, s.a, s.b), ofKey(77), s.a, s.b, 0, 0)
	if now := theirs(); strings.Split(now, "statistics")[0] != strings.Split(was, "statistics")[0] {
		t.Errorf("a mirror of somebody else has changed:\n%s\n%s", was, now)
	}
	if n := vsctl(t, s.h1, "--columns=name --no-headings --format=csv list Mirror"); strings.TrimSpace(n) != "theirs" {
		t.Errorf("mirrors on the host: %q", n)
	}
}
