package reconcile

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
)

// kernelView is a state resolved on a host without Open vSwitch, with all that the loop and the
// kernel's backend make of it.
type kernelView struct {
	resolved model.Resolved
	values   map[model.Ref]any
	rows     []rows.Row
	facts    model.Facts
}

func viewOf(s model.HostState, f model.Facts) kernelView {
	normal := model.Normalize(s, model.HostState{})
	d := states{"operator": normal}.desired()
	f.Choice = model.Choice{Auto: model.BackendKernel}
	r := model.Resolve(d.union, f)
	return kernelView{r, valuesOf(d, r), rows.Compile(r.For(model.BackendKernel), model.NewOwner("h1")).Rows, f}
}

// underlayFacts draws what may change of a host while its documents stay as they are.
func underlayFacts(t *rapid.T, s model.HostState) model.Facts {
	f := model.Facts{Devices: modeltest.Devices(s), Ways: map[model.WayAsk]model.Way{}}
	mtu := rapid.SampledFrom([]int{1500, 1400, 9000})
	under := f.Devices["br-phy"]
	under.MTU = mtu.Draw(t, "underlay MTU")
	f.Devices["br-phy"] = under
	at := rapid.SampledFrom([]byte{3, 4}).Draw(t, "address of eth1")
	a4, a6 := netip.AddrFrom4([4]byte{10, 0, 9, at}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 9, 15: at})
	f.Devices["eth1"] = model.Device{Name: "eth1", MTU: mtu.Draw(t, "MTU of eth1"), Global: []netip.Addr{a4, a6}, Addrs: []string{a4.String(), a6.String()}}
	f.Devices["vrf-red"] = model.Device{Name: "vrf-red", MTU: 1500, Table: rapid.SampledFrom([]int{100, 101}).Draw(t, "table")}
	for _, ask := range model.Asks(s, model.Choice{Auto: model.BackendKernel}) {
		from := a4
		if ask.Remote.Is6() {
			from = a6
		}
		f.Ways[ask] = model.Way{Source: from, Device: "eth1", MTU: f.Devices["eth1"].MTU}
	}
	return f
}

// kernelPlan is what a pass would do on a host that has the rows of one view but those that went by
// hand, to come to another. As the kernel tells them, only devices name their object.
func kernelPlan(before, after kernelView, gone ...rows.Key) plan.Plan {
	have, listed := map[rows.Key]rows.Row{}, map[rows.Key]bool{}
	for _, f := range []model.Facts{before.facts, after.facts} {
		for name := range f.Devices {
			for _, netns := range []string{"", "blue"} {
				k := rows.Key{Netns: netns, Table: rows.Link, Link: name}
				have[k] = rows.Row{Key: k, Fields: map[string]string{rows.FieldKind: "dummy"}}
			}
		}
	}
	for _, w := range before.rows {
		w.Fields = maps.Clone(w.Fields)
		w.Owned = !w.Bound
		if w.Unmarked || w.Bound {
			listed[w.Key] = true
		}
		if w.Table != rows.Link || w.Bound {
			w.Object = model.Ref{}
		}
		have[w.Key] = w
	}
	for _, k := range gone {
		delete(have, k)
	}
	return plan.DiffKernel(plan.KernelInput{Want: after.rows, Have: have, Listed: func(k rows.Key) bool { return listed[k] }})
}

func loopAt(v kernelView) *Loop {
	return &Loop{realised: v.values, values: v.values, resolved: v.resolved}
}

// TestAskedForIsNoDrift: what a pass does because the document or the underlay changed is nobody
// else's doing, on whichever object's account it is done.
func TestAskedForIsNoDrift(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := modeltest.KernelState().Draw(t, "first")
		next := changedIn(t, s)
		before := viewOf(s, underlayFacts(t, s))
		after := viewOf(next, underlayFacts(t, next))
		p := kernelPlan(before, after)
		for ref, is := range loopAt(before).repairsIn(Outcome{Done: p.Ops}, after.values, after.resolved) {
			t.Errorf("taken for a repair of %s: %s", ref, is)
		}
	})
}

// changedIn is a state with one list as another state has it, where that is valid.
func changedIn(t *rapid.T, s model.HostState) model.HostState {
	other, next := modeltest.KernelState().Draw(t, "second"), s
	switch rapid.IntRange(0, 6).Draw(t, "changed list") {
	case 1:
		next.Segments = other.Segments
	case 2:
		next.Peers = other.Peers
	case 3:
		next.Ports = other.Ports
	case 4:
		next.Fdb = other.Fdb
	case 5:
		next.Tunnels = other.Tunnels
	case 6:
		next.Bridges = other.Bridges
	}
	normal := model.Normalize(next, model.HostState{})
	if model.Validate(normal, nil, "h1", model.Capabilities{Choice: model.Choice{Auto: model.BackendKernel}}) != nil {
		return s
	}
	return next
}

// TestRepairsAreTold: what went by hand is told of, also when an object that has nothing to do with
// it is stated in the same moment.
func TestRepairsAreTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := modeltest.KernelState().Draw(t, "state")
		facts := underlayFacts(t, s)
		before := viewOf(s, facts)
		own := slices.DeleteFunc(slices.Clone(before.rows), func(r rows.Row) bool { return r.Bound })
		if len(own) == 0 {
			return
		}
		gone := rapid.SampledFrom(own).Draw(t, "by hand")
		next := s
		if rapid.Bool().Draw(t, "one more tunnel") {
			next.Tunnels = append(slices.Clone(s.Tunnels), model.Tunnel{Name: "another", Layer: model.LayerL3,
				Local: netip.MustParseAddr("203.0.113.1"), Remote: netip.MustParseAddr("203.0.113.2")})
		}
		after := viewOf(next, facts)
		repairs := loopAt(before).repairsIn(Outcome{Done: kernelPlan(before, after, gone.Key).Ops}, after.values, after.resolved)
		if len(repairs[gone.Object].ops) == 0 {
			t.Errorf("%s of %s came back untold", gone.Key, gone.Object)
		}
	})
}
