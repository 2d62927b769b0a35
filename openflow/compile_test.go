package openflow_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
	"github.com/greave-sdn/greave/openflow"
)

var update = flag.Bool("update", false, "rewrite golden files and the flows in docs/pipeline.md")

// object is who a flow or group of a world's program belongs to.
func (w *world) object(c openflow.Cookie) model.Ref {
	name, _ := w.b.Pool(openflow.PoolObjects).Name(uint64(c.Object()))
	ref, _ := model.ParseRef(name)
	return ref
}

// byObject renders a program as ovs-ofctl text, sorted within each object.
func (w *world) byObject() map[model.Ref][]string {
	type line struct {
		table, priority int
		text            string
	}
	lines := map[model.Ref][]line{}
	for _, f := range w.p.Flows {
		ref := w.object(f.Cookie)
		lines[ref] = append(lines[ref], line{int(f.Table), -int(f.Priority), f.String()})
	}
	for _, g := range w.p.Groups {
		ref := w.p.GroupOwner[g.ID]
		lines[ref] = append(lines[ref], line{1000, int(g.ID), g.String()})
	}
	out := map[model.Ref][]string{}
	for ref, list := range lines {
		slices.SortFunc(list, func(a, b line) int {
			return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.priority, b.priority), strings.Compare(a.text, b.text))
		})
		for _, l := range list {
			out[ref] = append(out[ref], l.text)
		}
	}
	return out
}

func TestCompileGolden(t *testing.T) {
	w := resolve(example())
	w.compile(t.Fatalf)
	var files []txtar.File
	all := w.byObject()
	for _, ref := range slices.SortedFunc(maps.Keys(all), model.Ref.Compare) {
		files = append(files, txtar.File{Name: ref.String(), Data: []byte(strings.Join(all[ref], "\n") + "\n")})
	}
	path := filepath.Join("testdata", "compile.txtar")
	got := txtar.Format(&txtar.Archive{Comment: []byte("The program of the state in docs/pipeline.md, by object.\n\n"), Files: files})
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs (-want +got):\n%s", path, gocmp.Diff(string(want), string(got)))
	}
}

// TestCompileProperties: every flow and group can be written, has one key,
// belongs to exactly one object of the state, and that object's cookie is its
// alone; the order of the document does not matter; a second compilation with
// the same numbers is the same.
func TestCompileProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := modeltest.Moving(t, modeltest.HostState().Draw(t, "state"))
		w := resolve(s)
		w.compile(t.Fatalf)
		refs := w.s.Refs()
		keys, cookies := map[openflow.Key]bool{}, map[model.Ref]openflow.Cookie{}
		for _, f := range w.p.Flows {
			if err := f.Check(); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			if keys[f.Key] {
				t.Fatalf("twice: %s", f)
			}
			keys[f.Key] = true
			ref := w.object(f.Cookie)
			if !slices.Contains(refs, ref) || f.Cookie.Owner() != owner.Tag || f.Cookie.Kind() != uint8(ref.Kind) {
				t.Fatalf("%s belongs to %s", f, ref)
			}
			if c, ok := cookies[ref]; ok && c != f.Cookie {
				t.Fatalf("%s has two cookies", ref)
			}
			cookies[ref] = f.Cookie
		}
		back := map[openflow.Cookie]model.Ref{}
		for ref, c := range cookies {
			if other, ok := back[c]; ok {
				t.Fatalf("%s and %s have one cookie", ref, other)
			}
			back[c] = ref
		}
		for _, g := range w.p.Groups {
			ref, bound := w.b.GroupObject(g.ID)
			if err := g.Check(); err != nil || g.ID < openflow.GroupMin || g.ID > openflow.GroupMax || !slices.Contains(refs, w.p.GroupOwner[g.ID]) || !bound || ref != w.p.GroupOwner[g.ID] {
				t.Fatalf("%s of %s: %v", g, w.p.GroupOwner[g.ID], err)
			}
		}
		again := resolve(modeltest.Shuffle(t, s))
		again.ports = w.ports
		again.compile(t.Fatalf)
		if d := gocmp.Diff(w.byObject(), again.byObject()); d != "" {
			t.Fatalf("the order of the document matters:\n%s", d)
		}
		before := w.byObject()
		w.compile(t.Fatalf)
		if d := gocmp.Diff(before, w.byObject()); d != "" {
			t.Fatalf("compiling twice:\n%s", d)
		}
	})
}

// TestCompileWithoutOne: when one object leaves, the flows of every other but
// those that name it stay what they are, to the byte.
func TestCompileWithoutOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		before := w.byObject()
		for _, gone := range w.s.Refs() {
			if gone.Kind == model.KindBridge || gone.Kind == model.KindVtep {
				continue
			}
			less := *w
			less.s = without(w.s, gone)
			less.r = model.Resolve(less.s, modeltest.Facts(w.s))
			less.b = w.b.Clone()
			less.compile(t.Fatalf)
			after := less.byObject()
			if len(after[gone]) > 0 {
				t.Fatalf("%s still has %q", gone, after[gone])
			}
			for ref, lines := range after {
				if !touches(w, gone, ref) && !slices.Equal(lines, before[ref]) {
					t.Fatalf("%s leaves and %s changes:\n%s", gone, ref, gocmp.Diff(before[ref], lines))
				}
			}
		}
	})
}

// without removes an object and what cannot be without it.
func without(s model.HostState, gone model.Ref) model.HostState {
	named := func(kind model.Kind, name string) bool { return gone == model.Ref{Kind: kind, Name: name} }
	isGone := func(name string) bool { return named(model.KindSegment, name) || named(model.KindPeer, name) }
	s.Peers, s.Segments = slices.Clone(s.Peers), slices.Clone(s.Segments)
	for i := range s.Peers {
		s.Peers[i].Segments = slices.DeleteFunc(slices.Clone(s.Peers[i].Segments), isGone)
	}
	for i := range s.Segments {
		s.Segments[i].Members = slices.DeleteFunc(slices.Clone(s.Segments[i].Members), isGone)
	}
	s.Peers = slices.DeleteFunc(s.Peers, func(p model.Peer) bool { return p.Ref() == gone })
	s.Segments = slices.DeleteFunc(s.Segments, func(g model.Segment) bool { return g.Ref() == gone })
	s.Ports = slices.Clone(s.Ports)
	for i, p := range s.Ports {
		s.Ports[i].Attachments = slices.DeleteFunc(slices.Clone(p.Attachments), func(a model.Attachment) bool { return isGone(a.Segment) })
	}
	s.Ports = slices.DeleteFunc(s.Ports, func(p model.Port) bool {
		return p.Ref() == gone || gone.Kind == model.KindSegment && len(p.Attachments) == 0
	})
	s.Fdb = slices.DeleteFunc(slices.Clone(s.Fdb), func(e model.FdbEntry) bool {
		return e.Ref() == gone || isGone(e.Segment) || isGone(e.Peer)
	})
	s.Tunnels = slices.DeleteFunc(slices.Clone(s.Tunnels), func(t model.Tunnel) bool { return t.Ref() == gone })
	return s
}

// touches tells whether ref's flows name gone: a segment's those of its ports
// and members, and of the encapsulations they arrive by; the bridge's and a
// peer's those of the encapsulations in use.
func touches(w *world, gone, ref model.Ref) bool {
	switch ref.Kind {
	case model.KindBridge:
		return true // which encapsulations are in use
	case model.KindSegment:
		return gone.Kind == model.KindPeer || gone.Kind == model.KindFdb ||
			slices.ContainsFunc(w.r.Ports, func(p model.ResolvedPort) bool {
				return p.Ref() == gone && attached(p.Port, ref.Name)
			})
	case model.KindPeer: // a peer has flows for each encapsulation that its segments use
		return gone.Kind == model.KindSegment || gone.Kind == model.KindFdb
	case model.KindPort, model.KindFdb:
		return share(w, gone, ref) || gone.Kind == model.KindSegment && slices.ContainsFunc(w.r.Ports, func(p model.ResolvedPort) bool {
			return p.Ref() == ref && attached(p.Port, gone.Name)
		})
	}
	return false
}

// share tells whether two objects state one address in one segment, for which
// nobody answers until one of them is gone.
func share(w *world, a, b model.Ref) bool {
	has := func(ref model.Ref) map[string]bool { // a peer has what is behind it
		out := map[string]bool{}
		for _, p := range w.r.Ports {
			for _, ip := range p.IPs {
				for _, a := range p.Attachments {
					out[a.Segment+ip.String()] = out[a.Segment+ip.String()] || p.Ref() == ref
				}
			}
		}
		for _, e := range w.r.Fdb {
			for _, ip := range e.IPs {
				out[e.Segment+ip.String()] = out[e.Segment+ip.String()] || e.Ref() == ref || ref == (model.Ref{Kind: model.KindPeer, Name: e.Peer})
			}
		}
		return out
	}
	mine, theirs := has(a), has(b)
	for at, ok := range mine {
		if ok && theirs[at] {
			return true
		}
	}
	return false
}

// TestCompileWithoutPorts: what needs a port that has no number is left out,
// and the rest forwards on.
func TestCompileWithoutPorts(t *testing.T) {
	w := resolve(example())
	delete(w.ports, openflow.Carrier{Type: "vxlan"}.Port())
	delete(w.ports, "tap-blue")
	w.compile(t.Fatalf)
	all := w.byObject()
	for _, ref := range []model.Ref{{Kind: model.KindPeer, Name: "host-c"}, {Kind: model.KindPort, Name: "blue-a"}, {Kind: model.KindFdb, Name: "red/02:00:00:00:00:0c"}} {
		if len(all[ref]) > 0 {
			t.Errorf("%s: %q", ref, all[ref])
		}
	}
	got := w.sw(t.Fatalf).send(packet{in: w.ports["tap-red"], src: model.MAC{2, 0, 0, 0, 0, 0xa}, dst: destinations[0]})
	if len(got) != 1 || got[0].String() != "port 32768 key 100 192.0.2.1>192.0.2.2" {
		t.Errorf("broadcast goes to %v", got)
	}
}

func TestCompileNormalBridges(t *testing.T) {
	s := model.Union(model.Normalize(model.HostState{Bridges: []model.Bridge{{Name: "br0"}, {Name: "br1", FailMode: model.FailSecure}}}, model.HostState{}))
	r := model.Resolve(s, modeltest.Facts(s))
	all, err := openflow.Compile(r, openflow.NewBindings(), owner, func(string) openflow.Port { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	if n := len(all.Bridges["br0"].Flows); n != 0 {
		t.Errorf("a standalone bridge switches by itself, it has %d flows", n)
	}
	if f := all.Bridges["br1"].Flows; len(f) != 1 || !strings.HasSuffix(f[0].String(), "table=0, priority=0 actions=NORMAL") {
		t.Errorf("a secure bridge has %v", f)
	}
}

// many is a state of n segments with four local ports each.
func many(n int) world {
	var s model.HostState
	for i := range n {
		name := fmt.Sprint("s", i)
		s.Segments = append(s.Segments, model.Segment{Name: name, Key: uint64(1 + i)})
		for j := range 4 {
			s.Ports = append(s.Ports, model.Port{Name: fmt.Sprint("p", i, "-", j), Device: fmt.Sprint("t", i, "-", j), Attachments: []model.Attachment{{Segment: name}}})
		}
	}
	return resolve(s)
}

// TestCompileIsLinear counts how often ports are looked at, which no load of
// the machine changes: ten times the segments and ports, ten times the looks.
func TestCompileIsLinear(t *testing.T) {
	looks := func(n int) int {
		w, count := many(n), 0
		if _, err := openflow.Compile(w.r, w.b, owner, func(name string) openflow.Port { count++; return w.ports[name] }); err != nil {
			t.Fatal(err)
		}
		return count
	}
	if small, large := looks(100), looks(1000); large > 11*small {
		t.Errorf("%d looks for 100 segments, %d for 1000", small, large)
	}
}

func BenchmarkCompile(b *testing.B) {
	w := many(1000)
	for b.Loop() {
		w.compile(b.Fatalf)
	}
}
