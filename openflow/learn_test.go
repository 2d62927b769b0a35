package openflow_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/openflowtest"
)

// learning is a segment that learns, with a peer by GRE, one by VXLAN, and a
// guest on each of two ports that state no address.
func learning(t *testing.T) (w world, s *sw) {
	t.Helper()
	state := example()
	state.Segments[0].Learning, state.Segments[0].Suppression = true, model.Suppression{}
	state.Ports = []model.Port{
		{Name: "a", Device: "tap-a", Attachments: []model.Attachment{{Segment: "red"}}},
		{Name: "b", Device: "tap-b", Attachments: []model.Attachment{{Segment: "red"}}},
	}
	w = resolve(state)
	w.compile(t.Fatalf)
	s = w.sw(t.Fatalf)
	s.learns = true
	return w, s
}

// from is a packet of a peer in red.
func (w *world) from(peer string, src, dst model.MAC) packet {
	for h, paths := range w.r.Hops {
		if h.Peer == peer && (h.Encap == model.EncapVXLAN) == (peer == "host-c") {
			return packet{in: w.tunnelPort(h.Encap), tunSrc: paths[0].Remote, tunDst: paths[0].Local, tunID: 100, src: src, dst: dst}
		}
	}
	panic(peer)
}

// TestPipelineLearns: an unknown address is flooded until its owner has sent a
// frame, and then goes there alone, wherever that moves; a stated one goes where
// the document says, and a group address is nobody's.
func TestPipelineLearns(t *testing.T) {
	w, s := learning(t)
	guest, near := model.MAC{2, 7, 7, 7, 7, 7}, model.MAC{2, 8, 8, 8, 8, 8}
	a, b := w.ports["tap-a"], w.ports["tap-b"]
	everyone := model.MAC{255, 255, 255, 255, 255, 255}
	goes := func(p packet, want ...string) {
		t.Helper()
		var got []string
		for _, c := range s.send(p) {
			got = append(got, c.String())
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s to %s goes to %q, want %q", p.src, p.dst, got, want)
		}
	}
	toB, toC := fmt.Sprintf("port %d key 100 192.0.2.1>192.0.2.2", w.tunnelPort(model.EncapGRE)), fmt.Sprintf("port %d key 100 192.0.2.1>192.0.2.3", w.tunnelPort(model.EncapVXLAN))
	onA, onB := fmt.Sprint("port ", a), fmt.Sprint("port ", b)
	ask := packet{in: a, src: near, dst: guest}
	goes(ask, onB, toB, toC)
	s.send(w.from("host-b", guest, everyone))
	goes(ask, toB)
	s.send(w.from("host-c", guest, everyone))
	goes(ask, toC)
	goes(w.from("host-b", model.MAC{2, 9, 9, 9, 9, 9}, guest)) // split horizon holds for learned ones
	s.send(packet{in: b, src: guest, dst: everyone})
	goes(ask, onB)
	goes(w.from("host-b", model.MAC{2, 9, 9, 9, 9, 9}, guest), onB)
	goes(packet{in: b, src: guest, dst: near}, onA)

	stated := model.MAC{2, 0, 0, 0, 0, 0xb} // behind host-b
	s.send(w.from("host-c", stated, everyone))
	goes(packet{in: a, src: near, dst: stated}, toB)
	group := model.MAC{1, 0, 0x5e, 0, 0, 9}
	s.send(w.from("host-b", group, everyone))
	goes(packet{in: a, src: near, dst: group}, onB, toB, toC)
}

// TestForget: what was learned behind a peer or port that is gone, or in a segment
// that learns no more, goes in the change that takes the flows away, whether the
// image knew of it or not; and when it came back it goes again. The rest stays.
func TestForget(t *testing.T) {
	w, _ := learning(t)
	segment, _ := w.b.Pool(openflow.PoolSegments).Lookup("red")
	cookie := func(ref model.Ref) openflow.Cookie {
		id, _ := w.b.Pool(openflow.PoolObjects).Lookup(ref.Mark())
		return openflow.MakeCookie(owner.Tag, openflow.KindLearned, openflow.ObjectID(id))
	}
	peer, port := cookie(model.Ref{Kind: model.KindPeer, Name: "host-b"}), cookie(model.Ref{Kind: model.KindPort, Name: "a"})
	full := imageOf(w.p)
	for name, c := range map[string]struct {
		edit func(*model.HostState)
		left func(openflow.Behind) bool
	}{
		"nothing": {func(*model.HostState) {}, func(openflow.Behind) bool { return true }},
		"peer":    {func(s *model.HostState) { *s = without(*s, model.Ref{Kind: model.KindPeer, Name: "host-b"}) }, func(b openflow.Behind) bool { return b.Cookie != peer }},
		"port":    {func(s *model.HostState) { *s = without(*s, model.Ref{Kind: model.KindPort, Name: "a"}) }, func(b openflow.Behind) bool { return b.Cookie != port }},
		"segment": {func(s *model.HostState) { s.Segments[0].Learning, s.Segments[1].Learning = true, false }, // red is the second
			func(b openflow.Behind) bool { return b.Segment != uint32(segment) }},
		"all": {func(s *model.HostState) {
			*s = model.HostState{Vteps: s.Vteps, Bridges: []model.Bridge{{Name: "br-greave"}}}
		}, func(openflow.Behind) bool { return false }},
	} {
		t.Run(name, func(t *testing.T) {
			less := w
			less.s.Segments = slices.Clone(w.s.Segments)
			c.edit(&less.s)
			less.s = model.Union(model.Normalize(less.s, model.HostState{}))
			less.r = model.Resolve(less.s, modeltest.Facts(w.s))
			less.b = w.b.Clone()
			less.compile(t.Fatalf)
			for _, known := range []bool{false, true} {
				have := full
				learned := openflow.Learned{{Cookie: peer, Segment: uint32(segment)}: 3, {Cookie: port, Segment: uint32(segment)}: 1, {Cookie: port, Segment: 77}: 1}
				if name == "nothing" || name == "peer" || name == "port" {
					delete(learned, openflow.Behind{Cookie: port, Segment: 77}) // of a segment that is none
				}
				if known {
					have.Learned = learned
				}
				ch := diffOf(less.p, have)
				have.Learned = learned
				for b := range learned {
					gone := slices.ContainsFunc(ch.Forget, func(f openflow.Forget) bool { return f.Has(b) })
					if b.Segment != 77 && gone == c.left(b) {
						t.Errorf("known %t: %v is forgotten: %t, by %v", known, b, gone, ch.Forget)
					}
				}
				after, err := openflowtest.Apply(have, ch)
				if err != nil {
					t.Fatal(err)
				}
				if again := diffOf(less.p, after); known && !again.Empty() {
					t.Errorf("a second change: %+v", again)
				}
			}
		})
	}
}

func diffOf(want *openflow.Program, have openflow.Image) openflow.Change {
	ch, _ := openflow.Diff(want, have, owner)
	return ch
}

// TestLearnedLines: a learned flow of the owner's is taken, and no other.
func TestLearnedLines(t *testing.T) {
	mine := openflow.MakeCookie(owner.Tag, openflow.KindLearned, 7)
	line := fmt.Sprintf(" cookie=%s, duration=1.2s, table=60, n_packets=0, n_bytes=0, idle_timeout=300, idle_age=1, priority=100,reg1=0x5,dl_dst=02:00:00:00:00:0b actions=load:0x1->NXM_NX_REG3[]", mine)
	for _, c := range []struct {
		old, new string
		taken    bool
	}{
		{"", "", true},
		{"table=60", "table=61", false},
		{mine.String(), openflow.MakeCookie(owner.Tag, 3, 7).String(), false},
		{mine.String(), openflow.MakeCookie(owner.Tag+1, openflow.KindLearned, 7).String(), false},
		{mine.String(), "x", false},
		{"reg1=0x5,", "", false},
	} {
		l := openflow.Learned{}
		text := strings.Replace(line, c.old, c.new, 1)
		if taken := l.Take(text, owner); taken != c.taken || len(l) != map[bool]int{true: 1}[taken] {
			t.Errorf("%s: taken %t, %v", text, taken, l)
		}
		if c.taken && l[openflow.Behind{Cookie: mine, Segment: 5}] != 1 {
			t.Errorf("%s: %v", text, l)
		}
	}
	rapid.Check(t, func(t *rapid.T) { // any text is one or none
		openflow.Learned{}.Take(rapid.String().Draw(t, "line"), owner)
	})
}
