package reconcile

import (
	"slices"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
)

// ConditionActivated is of a port with an activation: its guest is here.
const ConditionActivated = "Activated"

// Reasons of ConditionActivated.
const (
	ReasonStaged    = "STAGED"    // all is in place, and no frame passes
	ReasonActivated = "ACTIVATED" // it is as any port
)

// activated tells of ports whose guests are moved here whether they have come.
func (g *ledger) activated() {
	for _, p := range g.w.want.Ports {
		o, ok := g.objects[p.Ref()]
		if p.Activation == 0 || !ok {
			continue
		}
		c := Condition{Type: ConditionActivated, Status: true, Reason: ReasonActivated, Message: "the guest is here"}
		if p.Staged {
			c = Condition{Type: ConditionActivated, Reason: ReasonStaged, Message: "no frame passes yet"}
		}
		was, _ := g.old.Object(p.Ref())
		o.Conditions = append(o.Conditions, g.since(c, was.Conditions))
		g.objects[p.Ref()] = o
	}
}

// Activated tells whether a port's guest is here; known is false when the port
// has no activation or no pass has found it.
func (o ObjectStatus) Activated() (active, known bool) {
	for _, c := range o.Conditions {
		if c.Type == ConditionActivated {
			return c.Status, true
		}
	}
	return false, false
}

// ofMove tells whether an operation follows from a guest that came: the switch
// learned it, and nobody changed anything.
func ofMove(op plan.Op) bool {
	return slices.ContainsFunc(op.Changes, func(c plan.Change) bool { return c.Field == model.MarkActivated })
}
