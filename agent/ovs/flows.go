package ovs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/greave-sdn/greave/agent/crash"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl"
)

// changeFlows is stage 2: one bundle a bridge. When the switch refuses an
// object the others are compiled without it and go in.
func (p *pass) changeFlows(ctx context.Context) error {
	d, err := p.diff(false)
	if err != nil {
		return err
	}
	p.findWiped(ctx, true)
	if len(d.Bundles) == 0 {
		return nil
	}
	for _, bridge := range slices.Sorted(maps.Keys(d.Bundles)) {
		if err := p.bundle(ctx, bridge, d); err != nil {
			return err
		}
	}
	p.learned = nil
	return p.observe(ctx)
}

func (p *pass) bundle(ctx context.Context, bridge string, d plan.Plan) error {
	whole := d.Bundles[bridge]
	own := ownership{p.in.Bindings, d.Programs[bridge], model.Ref{Kind: model.KindBridge, Name: bridge}}
	byObject := own.split(whole)
	sent := whole
	write := func(objects []model.Ref) error {
		sent = whole
		if len(objects) < len(byObject) {
			sent = joinChange(whole, byObject, objects)
		}
		if err := p.mayWrite(); err != nil {
			return err
		}
		crash.At("flows-new")
		if err := p.cfg.Switch.Apply(ctx, bridge, sent); err != nil {
			return fmt.Errorf("write flows of bridge %s: %w", bridge, err)
		}
		crash.At("flows-written")
		for _, o := range only(d.Stage(plan.StageFlows), objects) {
			if o.Target == plan.FlowsOf(bridge) {
				p.out.Done = append(p.out.Done, o)
			}
		}
		return p.Backend.images.readBack(ctx, bridge, sent)
	}
	blame := func(err error) ([]model.Ref, bool) { return own.blame(err, sent) }
	objects := slices.SortedFunc(maps.Keys(byObject), model.Ref.Compare)
	return newSplitter(len(objects)).run(objects, write, blame, p.fail)
}

// part is what one object has in a change, as indices into it.
type part struct {
	add, remove, forget, set, drop []int
}

// ownership says whose the elements of a bridge's changes are.
type ownership struct {
	bindings *openflow.Bindings
	program  *openflow.Program
	bridge   model.Ref // of what has no object
}

func (w ownership) flow(c openflow.Cookie) model.Ref { return plan.RefOfCookie(w.bindings, c) }

func (w ownership) group(id openflow.GroupID) model.Ref {
	if w.program == nil {
		return w.bridge
	}
	return w.program.GroupOwner[id]
}

// split sorts the elements of a change by object.
func (w ownership) split(ch openflow.Change) map[model.Ref]*part {
	out := map[model.Ref]*part{}
	at := func(r model.Ref) *part {
		if out[r] == nil {
			out[r] = &part{}
		}
		return out[r]
	}
	for i, f := range ch.Add {
		p := at(w.flow(f.Cookie))
		p.add = append(p.add, i)
	}
	for i, r := range ch.Remove {
		p := at(w.flow(r.Cookie))
		p.remove = append(p.remove, i)
	}
	for i, g := range ch.SetGroups {
		p := at(w.group(g.ID))
		p.set = append(p.set, i)
	}
	for i, f := range ch.Forget {
		p := at(plan.RefOfForget(w.bindings, f, w.bridge))
		p.forget = append(p.forget, i)
	}
	for i := range ch.DropGroups {
		p := at(w.bridge)
		p.drop = append(p.drop, i)
	}
	return out
}

// blame says which object a bundle was refused for. A switch that is gone, a
// deadline and the like are nobody's fault.
func (w ownership) blame(err error, sent openflow.Change) ([]model.Ref, bool) {
	var e *ofctl.Error
	if !errors.As(err, &e) || e.Warned || errors.Is(err, ofctl.ErrNoSwitch) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil, false
	}
	switch {
	case e.Line < 0:
		return nil, true
	case e.Kind == ofctl.KindAdd:
		return []model.Ref{w.flow(sent.Add[e.Line].Cookie)}, true
	case e.Kind == ofctl.KindRemove:
		return []model.Ref{w.flow(sent.Remove[e.Line].Cookie)}, true
	case e.Kind == ofctl.KindSetGroup:
		return []model.Ref{w.group(sent.SetGroups[e.Line].ID)}, true
	}
	return nil, true
}

// joinChange is the part of a change that belongs to objects.
func joinChange(ch openflow.Change, by map[model.Ref]*part, objects []model.Ref) openflow.Change {
	var sum part
	for _, r := range objects {
		p := by[r]
		sum.add = append(sum.add, p.add...)
		sum.remove = append(sum.remove, p.remove...)
		sum.forget = append(sum.forget, p.forget...)
		sum.set = append(sum.set, p.set...)
		sum.drop = append(sum.drop, p.drop...)
	}
	return openflow.Change{
		Add: pick(ch.Add, sum.add), Remove: pick(ch.Remove, sum.remove), Forget: pick(ch.Forget, sum.forget),
		SetGroups: pick(ch.SetGroups, sum.set), DropGroups: pick(ch.DropGroups, sum.drop),
	}
}

// pick keeps the order of the list: groups must stay sorted.
func pick[T any](list []T, indices []int) []T {
	slices.Sort(indices)
	out := make([]T, 0, len(indices))
	for _, i := range indices {
		out = append(out, list[i])
	}
	return out
}

// unstuck is a change of a row that was read back as something else.
type unstuck struct {
	op    string
	times int
	until time.Time // it is left alone until then
}

// Bounds of how long such a change is left alone.
const (
	unstuckMin = time.Minute
	unstuckMax = time.Hour
)

// tellAltered notes operations that were done in this pass and are to do again.
// Once may be a hand that was quicker than the read-back; the second time it is
// told, and not tried again until the wish or the host changes, or a while later.
func (p *pass) tellAltered() {
	done := map[string]bool{}
	for _, o := range p.out.Done {
		if o.Verb == plan.Update && !p.out.Remaining.Empty() {
			done[o.String()] = true
		}
	}
	for _, o := range p.out.Remaining.Ops {
		if o.Verb != plan.Update || !done[o.String()] { // what is missing or left over is somebody's doing, not the switch's
			continue
		}
		a := p.altered[o.Target]
		if a.op != o.String() {
			a = unstuck{op: o.String()}
		}
		if a.times++; a.times > 1 {
			a.until = p.cfg.Now().Add(min(unstuckMin<<min(a.times-2, 10), unstuckMax))
		}
		p.altered[o.Target], p.left[o.Target] = a, true
	}
	p.leaveAltered(&p.out.Remaining)
	maps.DeleteFunc(p.altered, func(target string, _ unstuck) bool { return !p.left[target] })
	p.out.Notices = p.out.Remaining.Notices
}

// leaveAltered takes out of a plan what was written before and did not stick.
func (p *pass) leaveAltered(d *plan.Plan) {
	d.Ops = slices.DeleteFunc(d.Ops, func(o plan.Op) bool {
		a, known := p.altered[o.Target]
		if !known || a.op != o.String() || !p.cfg.Now().Before(a.until) {
			return false
		}
		p.left[o.Target] = true
		d.Notices[o.Object] = model.Notice{Reason: model.NoticeAlteredBySwitch, Message: "the switch made something else of it: " + o.String()}
		return true
	})
}
