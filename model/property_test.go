package model_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
)

var cmpOptions = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})}

func TestNormalizeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := modeltest.Moving(t, modeltest.HostState().Draw(t, "state"))
		once := model.Normalize(s, model.HostState{})
		if d := cmp.Diff(once, model.Normalize(once, model.HostState{}), cmpOptions); d != "" {
			t.Fatalf("normalising twice:\n%s", d)
		}
		if !once.Empty() {
			if err := model.Validate(once, nil, "any", netdevHost); err != nil {
				t.Fatal(err)
			}
		}
		for i, r := range s.Refs() {
			if once.Refs()[i] != r {
				t.Fatalf("object %d was %s, is %s", i, r, once.Refs()[i])
			}
		}
	})
}

// TestKernelProperties: a state of a host without Open vSwitch is valid there,
// all of it is for the kernel, and normalising it twice is normalising it once.
func TestKernelProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := modeltest.KernelState().Draw(t, "state")
		once := model.Normalize(s, model.HostState{})
		if d := cmp.Diff(once, model.Normalize(once, model.HostState{}), cmpOptions); d != "" {
			t.Fatalf("normalising twice:\n%s", d)
		}
		if !once.Empty() {
			if err := model.Validate(once, nil, "any", noOVS); err != nil {
				t.Fatalf("%v\nof %+v", err, once)
			}
		}
		union := model.Union(once)
		bridges, segments := map[string]model.Bridge{}, map[string]model.Segment{}
		for _, b := range union.Bridges {
			bridges[b.Name] = b
		}
		for _, g := range union.Segments {
			segments[g.Name] = g
		}
		for _, o := range union.Tunnels {
			if b, why := noOVS.Choice.Tunnel(o, bridges, segments); b != model.BackendKernel {
				t.Fatalf("%s is for %s: %s", o.Ref(), b, why)
			}
		}
	})
}

// TestSourcesProperty: a valid state dealt to three sources, each accepted
// beside the others in any order, is the same union.
func TestSourcesProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := modeltest.HostState().Draw(t, "state")
		whole = model.Normalize(whole, model.HostState{})
		parts := modeltest.Split(t, whole, 3)
		want := model.Union(whole)
		order := rapid.Permutation(parts).Draw(t, "sources")
		for i := range order {
			order[i] = modeltest.Shuffle(t, order[i])
		}
		if d := cmp.Diff(want, model.Union(order...), cmpOptions); d != "" {
			t.Fatalf("union depends on order:\n%s", d)
		}
		for i, own := range order {
			own.AllowEmpty = true
			others := model.Others{"x": order[(i+1)%3], "y": order[(i+2)%3]}
			if err := model.Validate(model.Normalize(own, others.Merge()), others, "any", netdevHost); err != nil {
				t.Fatalf("%v\nof %+v", err, own)
			}
		}
	})
}

func TestRefRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := modeltest.HostState().Draw(t, "state")
		for _, r := range s.Refs() {
			for _, text := range []string{r.Mark(), r.String()} {
				if back, ok := model.ParseRef(text); !ok || back != r {
					t.Fatalf("%q is %+v", text, back)
				}
			}
		}
	})
	for _, text := range []string{"", "tunnel", "tunnel/", "/x", "cloud/x"} {
		if r, ok := model.ParseRef(text); ok {
			t.Errorf("%q is %+v", text, r)
		}
	}
}

// TestEveryKindIsListed: Each and Objects come to the same objects, of every kind that there is.
func TestEveryKindIsListed(t *testing.T) {
	seen := map[model.Kind]bool{}
	rapid.Check(t, func(t *rapid.T) {
		s := modeltest.HostState().Draw(t, "state")
		var each []model.Ref
		s.Each(func(_ string, o model.Object) { each = append(each, o.Ref()) })
		if refs := s.Refs(); !slices.Equal(each, refs) {
			t.Fatalf("Each %v\nRefs %v", each, refs)
		}
		for _, r := range each {
			seen[r.Kind] = true
		}
	})
	for _, k := range model.Kinds() {
		if !seen[k] {
			t.Errorf("no generated state has a %s", k)
		}
	}
}
