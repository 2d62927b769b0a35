// Package reconcile owns the one loop that makes the host what its sources
// state: revisions, passes, retries, status. It knows no backend: it declares
// what it needs of one. It must not import libovsdb, netlink, gRPC or the
// generated API.
package reconcile

import (
	"context"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// Backend builds resolved objects on one part of the host.
type Backend interface {
	// Facts adds to f what this backend knows of the host. An error means that
	// the host cannot be read now; f then says what is absent.
	Facts(ctx context.Context, f *model.Facts) error
	// Plan reads the host in full and says what a pass would do.
	Plan(ctx context.Context, want model.Resolved, b *openflow.Bindings) (plan.Plan, error)
	// Pass makes the host what want says, in three stages, and reads back.
	Pass(ctx context.Context, in PassInput) Outcome
	// Changes kicks when the host may have changed.
	Changes() <-chan struct{}
}

// PassInput is what one pass works from.
type PassInput struct {
	Want     model.Resolved
	Bindings *openflow.Bindings
	// Hold are objects that this pass leaves alone: they wait for their retry.
	Hold map[model.Ref]model.Notice
	// Full drops every cached image first: start, reconnect, resync.
	Full bool
	// Guard says why a plan must not be carried out, "" when it may; nil: any may.
	// What is not carried out comes back as what remains.
	Guard func(plan.Plan) string
	// Same says that the last pass was for the same and left nothing undone:
	// where the host is as it left it, there is nothing to look at.
	Same bool
	// Persist makes the bindings taken so far durable, before what they stand
	// for is written.
	Persist func()
}

// Holds tells whether a plan must not be carried out, and notes why in it.
func (in PassInput) Holds(p *plan.Plan) bool {
	if in.Guard != nil {
		p.Held = in.Guard(*p)
	}
	return p.Held != ""
}

// Outcome is what a pass did.
type Outcome struct {
	// Idle says that the host is as the last pass left it, and was not looked
	// at further. All else is empty then.
	Idle bool
	// Done lists the operations that were carried out, in order.
	Done []plan.Op
	// Notices say what is wrong with an object: held, refused by the switch, in
	// conflict, altered by the switch.
	Notices map[model.Ref]model.Notice
	// Wiped says of bridges that had lost all of greave's flows since the pass
	// before what did it, as far as rows and the connection tell.
	Wiped map[model.Ref]string
	// Remaining is the plan on the host as read back; empty when all is realised.
	Remaining plan.Plan
	// Used names the bindings in use; valid only when Err is nil.
	Used openflow.Names
	// Away says why parts of the host could not be reached or finished, when
	// there are several.
	Away map[model.Backend]Away
	// Err is set when the pass could not be finished: no connection, a deadline.
	Err error
}

// Away is why one part of the host could not be reached or finished.
type Away struct {
	Err     error
	Started bool // it answered, and then broke off
}
