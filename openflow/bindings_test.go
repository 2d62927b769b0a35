package openflow_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

var pools = []string{openflow.PoolSegments, openflow.PoolGroups} // all are alike

// bound reads out every number of a Bindings.
func bound(b *openflow.Bindings) map[string]map[string]uint64 {
	out := map[string]map[string]uint64{}
	for pool, names := range b.Names() {
		out[pool] = map[string]uint64{}
		for name := range names {
			out[pool][name], _ = b.Pool(pool).Lookup(name)
		}
	}
	return out
}

func TestPoolLowestFree(t *testing.T) {
	b := openflow.NewBindings()
	p := b.Pool(openflow.PoolSegments)
	for i, name := range []string{"a", "b", "c", "d"} {
		if id := p.Get(name); id != uint64(i+1) {
			t.Errorf("%s is %d", name, id)
		}
	}
	b.Retain(openflow.Names{openflow.PoolSegments: {"b": true, "d": true}})
	for _, c := range []struct {
		name string
		id   uint64
	}{{"d", 4}, {"e", 1}, {"b", 2}, {"f", 3}, {"g", 5}} {
		if id := p.Get(c.name); id != c.id {
			t.Errorf("%s is %d, want %d", c.name, id, c.id)
		}
	}
}

func TestPoolUsedUp(t *testing.T) {
	b := openflow.NewBindings()
	p := b.Pool(openflow.PoolPorts)
	for i := range openflow.OfportMax - openflow.OfportMin + 1 {
		if p.Get(fmt.Sprint(i)) == 0 {
			t.Fatalf("used up at %d", i)
		}
	}
	if id := p.Get("one more"); id != 0 {
		t.Errorf("one more is %d", id)
	}
	b.Retain(openflow.Names{})
	if id := p.Get("again"); id != openflow.OfportMin {
		t.Errorf("after release: %d", id)
	}
}

// TestBindingsModel runs random calls beside a plain map: a name keeps its
// number while it is retained, no two names share one, the lowest free one is
// given, and the deltas replayed elsewhere give the same numbers.
func TestBindingsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, replica := openflow.NewBindings(), openflow.NewBindings()
		mirror := map[string]map[string]uint64{}
		for _, pool := range pools {
			mirror[pool] = map[string]uint64{}
		}
		name := rapid.SampledFrom([]string{"a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				pool, n := rapid.SampledFrom(pools).Draw(t, "pool"), name.Draw(t, "name")
				id := b.Pool(pool).Get(n)
				if old, ok := mirror[pool][n]; ok && old != id {
					t.Fatalf("%s %s was %d, is %d", pool, n, old, id)
				} else if !ok {
					used := map[uint64]bool{}
					for _, other := range mirror[pool] {
						used[other] = true
					}
					lowest := floor[pool]
					for used[lowest] {
						lowest++
					}
					if lowest != id {
						t.Fatalf("%s %s is given %d of %v", pool, n, id, mirror[pool])
					}
				}
				mirror[pool][n] = id
				if back, ok := b.Pool(pool).Name(id); !ok || back != n {
					t.Fatalf("%d is %q", id, back)
				}
			},
			"retain": func(t *rapid.T) {
				keep := openflow.Names{}
				for _, pool := range pools {
					keep.Add(pool, rapid.SliceOf(name).Draw(t, "keep")...)
					maps.DeleteFunc(mirror[pool], func(n string, _ uint64) bool { return !keep[pool][n] })
				}
				b.Retain(keep)
			},
			"save": func(t *rapid.T) {
				data, err := json.Marshal(b.Delta())
				if err != nil {
					t.Fatal(err)
				}
				var d openflow.BindingsDelta
				if err := json.Unmarshal(data, &d); err != nil {
					t.Fatal(err)
				}
				replica.Load(d)
				if diff := gocmp.Diff(bound(b), bound(replica)); diff != "" {
					t.Fatalf("after replay of %s:\n%s", data, diff)
				}
				if !b.Delta().Empty() || !replica.Delta().Empty() {
					t.Fatal("a second delta is not empty")
				}
			},
			"clone": func(t *rapid.T) {
				before := bound(b)
				c := b.Clone()
				c.Retain(openflow.Names{})
				for _, pool := range pools {
					c.Pool(pool).Get("only in the clone")
				}
				c.Delta()
				if diff := gocmp.Diff(before, bound(b)); diff != "" {
					t.Fatalf("the clone is not apart:\n%s", diff)
				}
			},
		})
	})
}

var floor = map[string]uint64{openflow.PoolSegments: 1, openflow.PoolGroups: uint64(openflow.GroupMin)}

// TestLoadSwap: two names may have changed places since the last delta.
func TestLoadSwap(t *testing.T) {
	set := func(a, b uint64) openflow.BindingsDelta {
		return openflow.BindingsDelta{Set: map[string]map[string]uint64{openflow.PoolSegments: {"a": a, "b": b}}}
	}
	b := openflow.NewBindings()
	b.Load(set(1, 2))
	b.Load(set(2, 1))
	if d := gocmp.Diff(set(2, 1).Set, bound(b)); d != "" {
		t.Error(d)
	}
	if id := b.Pool(openflow.PoolSegments).Get("c"); id != 3 {
		t.Errorf("c is %d", id)
	}
}

// TestLoadSkips what a damaged store may hold.
func TestLoadSkips(t *testing.T) {
	b := openflow.NewBindings()
	b.Pool(openflow.PoolSegments).Get("mine")
	b.Load(openflow.BindingsDelta{
		Set: map[string]map[string]uint64{
			openflow.PoolSegments: {"thief": 1, "x": 7, "y": 7, "zero": 0},
			openflow.PoolPorts:    {"low": 5, "high": 70000},
			"clouds":              {"x": 1},
		},
		Free: map[string][]string{"clouds": {"x"}, openflow.PoolPaths: {"nobody"}},
	})
	want := map[string]map[string]uint64{openflow.PoolSegments: {"mine": 1, "x": 7}}
	if d := gocmp.Diff(want, bound(b)); d != "" {
		t.Error(d)
	}
}

func TestUsedNamesAreBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for pool, names := range w.used {
			for n := range names {
				if _, ok := w.b.Pool(pool).Lookup(n); !ok {
					t.Fatalf("%s %q is used and not bound", pool, n)
				}
			}
		}
		before := w.byObject()
		w.b.Retain(w.used)
		w.compile(t.Fatalf)
		if d := gocmp.Diff(before, w.byObject()); d != "" {
			t.Fatalf("releasing what is unused changes flows:\n%s", d)
		}
	})
}

func TestOwnerTag(t *testing.T) {
	seen := map[uint16]string{}
	for i := range 50 {
		o := model.NewOwner(fmt.Sprint("host-", i))
		if o.Tag == 0 || seen[o.Tag] != "" || o != model.NewOwner(o.Name) {
			t.Errorf("%+v and %q", o, seen[o.Tag])
		}
		seen[o.Tag] = o.Name
	}
}
