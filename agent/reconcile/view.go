package reconcile

import (
	"context"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// Desired returns what all sources together want, normalised.
func (l *Loop) Desired() model.HostState {
	all, _ := l.states()
	return all.desired().union
}

// Bindings returns a copy of the numbers in use, to read flows by. It waits for
// the pass that is under way.
func (l *Loop) Bindings(ctx context.Context) (*openflow.Bindings, error) {
	if !l.take(ctx) {
		return nil, ctx.Err()
	}
	defer l.release()
	return l.bindings.Clone(), nil
}
