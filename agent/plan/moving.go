package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// activations plans to make permanent what the switch has learned: the row of a
// port whose guest announced itself is marked, and the next pass, which resolves
// it as an active one, compiles it so. The mark goes when the port is stated
// without an activation, or not at all.
func (d *differ) activations() {
	stated, blocked := map[string]model.ResolvedPort{}, false
	for _, p := range d.Want.Ports {
		stated[p.Device] = p
		if p.Staged && !d.failed(p.Ref()) {
			d.activation(p)
		}
	}
	for ref := range d.Want.Blocked {
		blocked = blocked || ref.Kind == model.KindPort
	}
	for _, name := range slices.Sorted(maps.Keys(d.Have.Ports)) {
		have := d.Have.Ports[name]
		p, known := stated[name]
		if !have.Activated(d.Owner.Name) || p.Activation != 0 || !known && (blocked || d.owns(have.ExternalIDs)) {
			continue
		}
		ref := p.Ref()
		if !known {
			ref.Name = name
		}
		d.op(Op{Verb: Unmark, Stage: StageRemove, Object: ref, Target: "port " + name, Disruption: None,
			Changes: []Change{{model.MarkActivated, have.ExternalIDs[model.MarkActivated], ""}}, Port: &WantPort{Object: ref, Name: name, Bridge: have.Bridge, Bound: true}})
	}
	d.moved()
}

func (d *differ) activation(p model.ResolvedPort) {
	have := d.Have.Ports[p.Device]
	if have.Activated(d.Owner.Name) {
		return
	}
	by := "greave activate " + p.Name
	if p.Activation == model.ActivateAnnouncement {
		by = "its guest's announcement, or " + by
	}
	d.plan.Remarks[p.Ref()] = "in place for a guest that is not here yet: no frame passes before " + by
	want := (openflow.LearnActive{Port: openflow.Port(have.Ofport)}).Flow()
	if have.Ofport <= 0 || !slices.ContainsFunc(d.Learned[p.Bridge], func(f openflow.Seen) bool { return f.Parsed && f.Key == want.Key }) {
		return
	}
	d.op(Op{Verb: Mark, Stage: StageRemove, Object: p.Ref(), Target: "port " + p.Device, Disruption: None,
		Changes: []Change{{model.MarkActivated, "", d.Owner.Name}}, Port: &WantPort{Object: p.Ref(), Name: p.Device, Bridge: p.Bridge, Bound: true}})
}

// moved says of addresses that are stated in one place and found in another.
func (d *differ) moved() {
	active := map[string]string{} // by FDB name
	for _, p := range d.Want.Ports {
		for _, a := range p.Attachments {
			for _, m := range p.MACs {
				if p.Activation != 0 && !p.Staged {
					active[model.FdbName(a.Segment, m)] = p.Name
				}
			}
		}
	}
	for _, e := range d.Want.Fdb {
		if port := active[model.FdbName(e.Segment, e.MAC)]; port != "" {
			d.plan.Remarks[e.Ref()] = fmt.Sprintf("port %s has the address: the guest has come here", port)
		} else if e.MovingTo != "" && d.learnedFor(e.Ref()) {
			d.plan.Remarks[e.Ref()] = fmt.Sprintf("the guest has announced itself from %s, and frames follow: state peer: %s", e.MovingTo, e.MovingTo)
		}
	}
	for _, p := range d.Want.Ports {
		if p.MovingTo != "" && d.learnedFor(p.Ref()) {
			d.plan.Remarks[p.Ref()] = fmt.Sprintf("the guest has announced itself from %s, and frames follow: state an FDB entry in place of the port", p.MovingTo)
		}
	}
}

// learnedFor tells whether the switch has learned where a guest went.
func (d *differ) learnedFor(ref model.Ref) bool {
	for _, list := range d.Learned {
		for _, f := range list {
			if f.Table == openflow.TableMoved && RefOfCookie(d.b, f.Cookie) == ref {
				return true
			}
		}
	}
	return false
}

// forgotten are the learned flows that no guest which moves accounts for any more.
func (d *differ) forgotten(bridge string, program *openflow.Program) []openflow.Removal {
	var out []openflow.Removal
	for _, f := range d.Learned[bridge] {
		if f.Cookie.Owner() != d.Owner.Tag || f.Cookie.Kind() != openflow.KindLearned {
			continue
		}
		if program != nil && f.Parsed && slices.ContainsFunc(program.Learned, func(want openflow.Flow) bool {
			return want.Key == f.Key && want.Cookie == f.Cookie && slices.Equal(want.Actions, f.Actions)
		}) {
			continue
		}
		r := openflow.Removal{Key: f.Key, Cookie: f.Cookie}
		if !f.Parsed {
			r.MatchText = f.MatchText
		}
		out = append(out, r)
	}
	return out
}
