package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// flows compiles the programs of the bridges and plans one bundle for each.
func (d *differ) flows(ports map[string]WantPort, bridges map[string]WantBridge) error {
	ofport := d.ofports(ports)
	programs, err := openflow.Compile(d.Want, d.b, d.Owner, ofport)
	if err != nil {
		return fmt.Errorf("compile flows: %w", err)
	}
	for _, p := range programs.Bridges {
		d.leaveOutFailed(p)
	}
	d.plan.Programs = programs.Bridges
	d.use(programs.Used, ports)
	d.dependants(bridges, ofport)
	held := d.held(ports)
	for _, name := range slices.Sorted(maps.Keys(bridges)) {
		if !d.failed(bridges[name].Ref()) {
			d.bundle(name, programs.Bridges[name], held)
		}
	}
	return nil
}

// leaveOutFailed takes the flows and groups of failed objects out of a program.
// Those of others that lead to them end in a table's miss.
func (d *differ) leaveOutFailed(p *openflow.Program) {
	if len(d.Failed) == 0 {
		return
	}
	p.Flows = slices.DeleteFunc(p.Flows, func(f openflow.Flow) bool { return d.failed(RefOfCookie(d.b, f.Cookie)) })
	p.Groups = slices.DeleteFunc(p.Groups, func(g openflow.Group) bool { return d.failed(p.GroupOwner[g.ID]) })
}

// held lists the failed objects whose flows stay as they are. Those of a port
// that is gone do not: its number may be another's.
func (d *differ) held(ports map[string]WantPort) map[model.Ref]bool {
	carried := map[model.Ref]bool{}
	for name, p := range ports {
		carried[p.Object] = d.Have.Ports[name].Ofport > 0
	}
	held := map[model.Ref]bool{}
	for ref := range d.Failed {
		held[ref] = ref.Kind != model.KindPort || carried[ref]
	}
	return held
}

// bundle plans what turns the image of one bridge into its program.
func (d *differ) bundle(name string, program *openflow.Program, held map[model.Ref]bool) {
	image, seen := d.Images[name]
	if _, exists := d.Have.Bridges[name]; exists && !seen {
		return // not read: nothing can be said about its flows
	}
	if d.wipes[name] {
		d.plan.Foresees = true
		if d.Predict {
			image = openflow.Image{}
		}
	}
	change, conflicts := openflow.Diff(program, image, d.Owner)
	change.Remove = append(change.Remove, d.forgotten(name, program)...)
	change.Remove = slices.DeleteFunc(change.Remove, func(r openflow.Removal) bool { return held[RefOfCookie(d.b, r.Cookie)] })
	self := model.Ref{Kind: model.KindBridge, Name: name}
	change.Forget = slices.DeleteFunc(change.Forget, func(f openflow.Forget) bool { return held[RefOfForget(d.b, f, self)] })
	change.DropGroups = slices.DeleteFunc(change.DropGroups, func(g openflow.GroupID) bool {
		ref, bound := d.b.GroupObject(g)
		return bound && held[ref]
	})
	for _, c := range conflicts {
		d.plan.Notices[RefOfCookie(d.b, c.Flow.Cookie)] = model.Notice{Reason: model.NoticeConflict, Message: fmt.Sprintf(
			"a foreign flow in table %d of bridge %s stands where greave wants its own: remove it", c.Flow.Table, name)}
	}
	if !change.Empty() {
		d.plan.Bundles[name] = change
		d.flowOps(name, change, program)
	}
}

// use says which numbers are in use. While an object is left out because it
// failed, all are: the switch may still hold flows with its numbers.
func (d *differ) use(used openflow.Names, ports map[string]WantPort) {
	if len(d.Failed) > 0 {
		used = d.b.Names()
	}
	used.Add(openflow.PoolPorts, slices.Collect(maps.Keys(ports))...)
	for name, have := range d.Have.Ports {
		if d.owns(have.ExternalIDs) {
			used.Add(openflow.PoolPorts, name)
		}
	}
	d.plan.Used = used
}

// dependants says which objects wait for a bridge, a tunnel port, a segment or
// a peer that is not there.
func (d *differ) dependants(bridges map[string]WantBridge, ofport func(string) openflow.Port) {
	wait := func(ref, on model.Ref) {
		if !d.undecided(ref) {
			d.plan.Notices[ref] = model.Notice{Reason: model.NoticeBlockedOn, Message: "waits for " + on.String(), On: []model.Ref{on}}
		}
	}
	overlay := openflow.Overlay(d.Want).Ref()
	_, taken := bridges[overlay.Name]
	ready := taken && !d.failed(overlay)
	for _, s := range d.Want.Segments {
		if !ready {
			wait(s.Ref(), overlay)
		}
	}
	datapath := openflow.Overlay(d.Want).Datapath
	absent := func(h model.Hop, p model.ResolvedPath) bool {
		none := ofport(openflow.CarrierOf(datapath, h.Encap, p.Remote).Port()) == 0
		d.plan.Foresees = d.plan.Foresees || none
		return none && !d.Predict
	}
	for h, paths := range d.Want.Hops {
		if !ready || slices.ContainsFunc(paths, func(p model.ResolvedPath) bool { return absent(h, p) }) {
			wait(model.Ref{Kind: model.KindPeer, Name: h.Peer}, overlay)
		}
	}
	for _, p := range d.Want.Ports {
		for _, a := range p.Attachments {
			if on := (model.Ref{Kind: model.KindSegment, Name: a.Segment}); d.undecided(on) {
				wait(p.Ref(), on)
			}
		}
	}
	for _, e := range d.Want.Fdb {
		for _, on := range []model.Ref{{Kind: model.KindSegment, Name: e.Segment}, {Kind: model.KindPeer, Name: e.Peer}} {
			if d.undecided(on) {
				wait(e.Ref(), on)
			}
		}
	}
}

// ofports gives the OpenFlow port of each wanted port: the one it has, or the
// one it will be given.
func (d *differ) ofports(want map[string]WantPort) func(string) openflow.Port {
	return func(name string) openflow.Port {
		p, ok := want[name]
		if !ok {
			return 0
		}
		have, exists := d.Have.Ports[name]
		switch {
		case exists && have.Ofport > 0:
			return openflow.Port(have.Ofport)
		case !exists && !d.failed(p.Object):
			d.plan.Foresees = true
			if d.Predict {
				return p.Ofport
			}
		}
		return 0
	}
}

// RefOfCookie is the object behind a cookie.
func RefOfCookie(b *openflow.Bindings, c openflow.Cookie) model.Ref {
	name, ok := b.Pool(openflow.PoolObjects).Name(uint64(c.Object()))
	if ref, parsed := model.ParseRef(name); ok && parsed {
		return ref
	}
	return model.Ref{Kind: model.Kind(c.Kind()), Name: "(gone)"}
}

// RefOfForget is the object whose learned flows are to go; the bridge when it is
// gone itself.
func RefOfForget(b *openflow.Bindings, f openflow.Forget, bridge model.Ref) model.Ref {
	if f.Cookie == 0 {
		if name, ok := b.Pool(openflow.PoolSegments).Name(uint64(f.Segment)); ok {
			return model.Ref{Kind: model.KindSegment, Name: name}
		}
		return bridge
	}
	name, _ := b.Pool(openflow.PoolObjects).Name(uint64(f.Cookie.Object()))
	if ref, ok := model.ParseRef(name); ok {
		return ref
	}
	return bridge
}

// tally counts what a bundle does to one object.
type tally struct{ flowsIn, flowsOut, groupsIn, groupsOut, learnedOut int }

func (d *differ) flowOps(bridge string, ch openflow.Change, p *openflow.Program) {
	counts := map[model.Ref]*tally{}
	at := func(ref model.Ref) *tally {
		if counts[ref] == nil {
			counts[ref] = &tally{}
		}
		return counts[ref]
	}
	for _, f := range ch.Add {
		at(RefOfCookie(d.b, f.Cookie)).flowsIn++
	}
	for _, r := range ch.Remove {
		at(RefOfCookie(d.b, r.Cookie)).flowsOut++
	}
	for _, g := range ch.SetGroups {
		at(p.GroupOwner[g.ID]).groupsIn++
	}
	self := model.Ref{Kind: model.KindBridge, Name: bridge}
	for _, f := range ch.Forget {
		at(RefOfForget(d.b, f, self)).learnedOut++
	}
	for range ch.DropGroups {
		at(self).groupsOut++
	}
	for ref, n := range counts {
		d.op(flowOp(bridge, ref, *n))
	}
}

// FlowsOf is the target of operations on the flows of a bridge.
func FlowsOf(bridge string) string { return "flows of " + bridge }

func flowOp(bridge string, ref model.Ref, n tally) Op {
	op := Op{Verb: Install, Stage: StageFlows, Object: ref, Target: FlowsOf(bridge), Disruption: None}
	if n.flowsIn+n.groupsIn == 0 && n.flowsOut+n.groupsOut > 0 {
		op.Verb, op.Disruption = Withdraw, Disruptive // nothing carries its traffic any more
	}
	add := func(field string, v int) {
		if v > 0 {
			op.Changes = append(op.Changes, Change{Field: field, New: fmt.Sprint(v)})
		}
	}
	add("flows in", n.flowsIn)
	add("flows out", n.flowsOut)
	add("groups in", n.groupsIn)
	add("groups out", n.groupsOut)
	if n.learnedOut > 0 {
		op.Changes = append(op.Changes, Change{Field: "learned addresses", New: "forgotten"})
	}
	return op
}
