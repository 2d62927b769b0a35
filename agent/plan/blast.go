package plan

import (
	"maps"
	"slices"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// reach fills in whose traffic the operations that are not without loss touch,
// besides that of their own objects: what is on a bridge, and what goes through
// a shared tunnel port.
func (d *differ) reach() {
	for i := range d.plan.Ops {
		o := &d.plan.Ops[i]
		if o.Disruption == None || o.Stage == StageFlows {
			continue
		}
		seen := map[model.Ref]bool{}
		switch {
		case o.Bridge != nil:
			d.onBridge(o.Bridge.Name, seen)
		case o.Object.Kind == model.KindBridge:
			d.throughPort(o.Port.Name, seen)
		}
		delete(seen, o.Object)
		o.Affects = slices.SortedFunc(maps.Keys(seen), model.Ref.Compare)
	}
}

// onBridge adds the segments, ports and tunnels that a bridge has or is to have.
func (d *differ) onBridge(bridge string, seen map[model.Ref]bool) {
	for name, p := range d.Have.Ports {
		if p.Bridge == bridge && name != bridge && d.owns(p.ExternalIDs) {
			seen[refOf(p.ExternalIDs, model.Ref{Kind: model.KindPort, Name: name})] = true
		}
	}
	if _, exists := d.Have.Bridges[bridge]; !exists {
		return
	}
	for _, s := range d.Want.Segments {
		if s.Bridge == bridge {
			seen[s.Ref()] = true
		}
	}
	for _, p := range d.Want.Ports {
		if p.Bridge == bridge {
			seen[p.Ref()] = true
		}
	}
}

// throughPort adds the segments with members behind a shared tunnel port.
func (d *differ) throughPort(port string, seen map[model.Ref]bool) {
	for _, s := range d.Want.Segments {
		for _, c := range openflow.Carriers(d.Want) {
			if c.Port() == port && slices.Contains(s.Encaps, c.Encap) {
				seen[s.Ref()] = true
			}
		}
	}
}
