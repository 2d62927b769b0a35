package reconcile

import (
	"context"
	"errors"
	"maps"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// joined is the kernel and Open vSwitch as one backend: each builds the objects
// that are its own. The kernel comes first: a device that it lets go of can be
// taken up by Open vSwitch in the same pass. The other way round the next pass
// does it, which Open vSwitch's own change calls for.
type joined struct {
	kernel, ovs Backend
	changes     chan struct{}
}

// Join makes one backend of the two. Its Run forwards their changes.
func Join(kernel, ovs Backend) *joined {
	return &joined{kernel, ovs, make(chan struct{}, 1)}
}

var _ Backend = (*joined)(nil)

// Run forwards changes until ctx ends.
func (j *joined) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-j.kernel.Changes():
		case <-j.ovs.Changes():
		}
		select {
		case j.changes <- struct{}{}:
		default:
		}
	}
}

// Changes implements Backend.
func (j *joined) Changes() <-chan struct{} { return j.changes }

// Facts implements Backend. That Open vSwitch does not answer is a fact.
func (j *joined) Facts(ctx context.Context, f *model.Facts) error {
	if err := j.ovs.Facts(ctx, f); err != nil {
		if ctx.Err() != nil {
			return err
		}
		f.OVS, f.OVSAway = nil, err.Error()
	}
	f.Choice.Auto = model.BackendKernel
	if f.OVSHere || f.OVS != nil {
		f.Choice.Auto = model.BackendOVS
	}
	return j.kernel.Facts(ctx, f)
}

// Plan implements Backend.
func (j *joined) Plan(ctx context.Context, want model.Resolved, b *openflow.Bindings) (plan.Plan, error) {
	p, err := j.kernel.Plan(ctx, want.For(model.BackendKernel), b)
	if err != nil || !needsOVS(want) {
		return p, err
	}
	o, err := j.ovs.Plan(ctx, want.For(model.BackendOVS), b)
	if err != nil {
		return plan.Plan{}, err
	}
	return p.With(o), nil
}

// needsOVS tells whether a pass has anything to do with Open vSwitch: the host
// has it, or an object needs it.
func needsOVS(r model.Resolved) bool {
	if r.OVSHere {
		return true
	}
	for _, on := range r.On {
		if on == model.BackendOVS {
			return true
		}
	}
	return false
}

// Pass implements Backend. A part that cannot be reached does not keep the
// other waiting.
func (j *joined) Pass(ctx context.Context, in PassInput) Outcome {
	part := func(b Backend, on model.Backend) Outcome {
		mine := in
		mine.Want = in.Want.For(on)
		return b.Pass(ctx, mine)
	}
	out := part(j.kernel, model.BackendKernel)
	if out.Err != nil || !needsOVS(in.Want) {
		return out
	}
	if !in.Want.OVSUp {
		out.away(Away{Err: errors.New(in.Want.OVSAway)}, in)
		return out
	}
	ovs := part(j.ovs, model.BackendOVS)
	if ovs.Idle {
		if len(out.Done)+len(out.Notices) == 0 && out.Remaining.Empty() {
			return ovs
		}
		ovs = j.again(ctx, in) // what there is to say is about the whole host
	}
	out.Done, out.Wiped = append(out.Done, ovs.Done...), ovs.Wiped
	if ovs.Err != nil {
		out.away(Away{ovs.Err, true}, in)
		return out
	}
	maps.Copy(out.Notices, ovs.Notices)
	out.Remaining = out.Remaining.With(ovs.Remaining)
	for pool, names := range ovs.Used {
		out.Used.Add(pool)
		maps.Copy(out.Used[pool], names)
	}
	return out
}

// again has Open vSwitch looked at in spite of its calm.
func (j *joined) again(ctx context.Context, in PassInput) Outcome {
	in.Want, in.Same = in.Want.For(model.BackendOVS), false
	return j.ovs.Pass(ctx, in)
}

// away books that Open vSwitch was not reached: what is there stays in use.
func (o *Outcome) away(why Away, in PassInput) {
	o.Away = map[model.Backend]Away{model.BackendOVS: why}
	o.Used = in.Bindings.Names()
}
