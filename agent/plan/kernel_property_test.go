package plan_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
)

// TestKernelSecondPlanEmpty: a plan carried out leaves nothing to do, from
// nothing, from another document, and after a foreign hand; and what is not
// greave's stays as it is.
func TestKernelSecondPlanEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newKernelHost()
		h.device("theirs", "gre", map[string]string{"local": "203.0.113.1"})
		to := func(s model.HostState, what string) {
			for range 3 { // as a pass does: what goes away may be in the way
				p := h.diff(s, nil)
				if p.Empty() {
					return
				}
				if err := h.apply(p.Ops); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
			if p := h.diff(s, nil); !p.Empty() {
				t.Fatalf("%s: still to do:\n%s", what, p.Text())
			}
		}
		first, second := modeltest.KernelState().Draw(t, "first"), modeltest.KernelState().Draw(t, "second")
		to(first, "first document")
		owned := slices.SortedFunc(maps.Keys(h.rows), rows.Key.Compare)
		if k := rapid.SampledFrom(owned).Draw(t, "by hand"); h.rows[k].Owned {
			h.remove(h.rows[k])
			to(first, "after "+k.String()+" was removed by hand")
		}
		to(second, "second document")
		to(model.HostState{}, "nothing")
		for k, r := range h.rows {
			if r.Owned {
				t.Fatalf("left: %s", k)
			}
		}
		if r := h.rows[linkKey("theirs")]; r.Fields["local"] != "203.0.113.1" || len(r.Fields) != 3 {
			t.Fatalf("theirs became %v", r.Fields)
		}
	})
}

// TestKernelPlanHoldsFailed: an object that failed is neither changed nor
// removed, and costs the others nothing.
func TestKernelPlanHoldsFailed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newKernelHost()
		s := modeltest.KernelState().Draw(t, "state")
		refs := s.Refs()
		if len(refs) == 0 {
			return
		}
		bad := rapid.SampledFrom(refs).Draw(t, "failed")
		failed := map[model.Ref]model.Notice{bad: {Reason: model.NoticeKernelRefused}}
		for range 3 {
			p := h.diff(s, failed)
			for _, o := range p.Ops {
				if o.Object == bad {
					t.Fatalf("%s although it failed", o)
				}
			}
			if err := h.apply(p.Ops); err != nil {
				t.Fatal(err)
			}
		}
		if p := h.diff(s, failed); !p.Empty() {
			t.Fatalf("still to do:\n%s", p.Text())
		}
		var p plan.Plan
		for range 3 {
			p = h.diff(s, nil)
			if err := h.apply(p.Ops); err != nil {
				t.Fatal(err)
			}
		}
		if p = h.diff(s, nil); !p.Empty() {
			t.Fatalf("without the failure, still to do:\n%s", p.Text())
		}
	})
}
