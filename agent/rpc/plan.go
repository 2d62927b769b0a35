package rpc

import (
	"github.com/greave-sdn/greave/agent/plan"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/proto/convert"
)

var verbs = map[plan.Verb]greavev1.Verb{
	plan.Create:   greavev1.Verb_VERB_CREATE,
	plan.Update:   greavev1.Verb_VERB_UPDATE,
	plan.Recreate: greavev1.Verb_VERB_RECREATE,
	plan.Install:  greavev1.Verb_VERB_INSTALL,
	plan.Withdraw: greavev1.Verb_VERB_WITHDRAW,
	plan.Mark:     greavev1.Verb_VERB_MARK,
	plan.Unmark:   greavev1.Verb_VERB_UNMARK,
	plan.Delete:   greavev1.Verb_VERB_DELETE,
	plan.Sweep:    greavev1.Verb_VERB_SWEEP,
}

// wirePlan turns a plan into its wire form; enums of stages and disruption have
// the same numbers on both sides. An object that nobody states yet is of the
// source that asks.
func (s *Server) wirePlan(p plan.Plan, asking string) *greavev1.Plan {
	out := &greavev1.Plan{}
	now := s.cfg.Loop.Status()
	for _, o := range p.Ops {
		source := asking
		if st, known := now.Object(o.Object); known {
			source = st.Source
		}
		op := &greavev1.Operation{
			Verb: verbs[o.Verb], Stage: greavev1.Stage(o.Stage),
			Kind: convert.KindToWire(o.Object.Kind), Name: o.Object.Name, Target: o.Target, Source: source,
			Disruption: greavev1.Disruption(o.Disruption), Text: o.String(),
		}
		for _, c := range o.Changes {
			op.Changes = append(op.Changes, &greavev1.FieldChange{Field: c.Field, Old: c.Old, New: c.New})
		}
		for _, r := range o.Affects {
			op.Affects = append(op.Affects, r.Mark())
		}
		out.Operations = append(out.Operations, op)
		out.Disruption = max(out.Disruption, op.Disruption)
	}
	return out
}
