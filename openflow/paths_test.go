package openflow_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// TestPipelinePaths: a packet takes a path of the first tier that has one alive, and
// of the very first when none is.
func TestPipelinePaths(t *testing.T) {
	path := func(remote string, role model.PathRole, priority uint32) model.Path {
		return model.Path{Remote: netip.MustParseAddr(remote), Role: role, Priority: model.Some(priority)}
	}
	s := example()
	s.Peers[0].Paths = []model.Path{path("10.0.0.4", model.PathBackup, 1), path("10.0.0.3", 0, 20), path("10.0.0.2", 0, 10), path("10.0.0.1", 0, 10)}
	w := resolve(s)
	w.compile(t.Fatalf)
	hop := model.Hop{Peer: "host-b", Encap: model.EncapGRE}
	var order []string
	for _, p := range w.r.Hops[hop] {
		order = append(order, p.Remote.String())
	}
	if want := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"}; !slices.Equal(order, want) {
		t.Fatalf("paths in the order %v, want %v", order, want)
	}
	for _, c := range []struct {
		dead []int // paths, from 0
		want string
	}{
		{nil, "10.0.0.1"}, {[]int{0}, "10.0.0.2"}, {[]int{1, 2}, "10.0.0.1"}, {[]int{0, 1}, "10.0.0.3"},
		{[]int{0, 1, 2}, "10.0.0.4"}, {[]int{0, 1, 2, 3}, "10.0.0.1"}, {[]int{3}, "10.0.0.1"},
	} {
		sw := w.sw(t.Fatalf)
		sw.dead = map[openflow.Port]bool{}
		for _, i := range c.dead {
			p := w.r.Hops[hop][i]
			sw.dead[w.ports[openflow.Probe{Encap: hop.Encap, Local: p.Local, Remote: p.Remote}.Port()]] = true
		}
		got := sw.send(packet{in: w.ports["tap-blue"], src: model.MAC{2, 0, 0, 0, 0, 0xa}, dst: model.MAC{2, 0, 0, 0, 0, 0xb}})
		if len(got) != 1 || got[0].remote.String() != c.want {
			t.Errorf("with paths %v dead: %v, want %s", c.dead, got, c.want)
		}
	}
	// Without probe ports there is nothing to watch, and the first tier is taken.
	probes, hops := openflow.Probes(w.r)
	if len(probes) != 4 || hops[0] != hop {
		t.Errorf("probes %v of %v", probes, hops)
	}
	for _, p := range probes {
		delete(w.ports, p.Port())
	}
	w.compile(t.Fatalf)
	got := w.sw(t.Fatalf).send(packet{in: w.ports["tap-blue"], src: model.MAC{2, 0, 0, 0, 0, 0xa}, dst: model.MAC{2, 0, 0, 0, 0, 0xb}})
	if len(got) != 1 || got[0].remote.String() != "10.0.0.1" {
		t.Errorf("without probes: %v", got)
	}
}
