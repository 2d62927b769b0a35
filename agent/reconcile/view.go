package reconcile

import (
	"context"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// Desired returns what all sources together want, normalised. It is shared: do
// not write to it.
func (l *Loop) Desired() model.HostState {
	w, all := l.begin()
	return l.desired(w.gen, all).union
}

// Resolved returns what the last finished pass worked from. It is shared: do
// not write to it. It waits for the pass that is under way.
func (l *Loop) Resolved(ctx context.Context) (model.Resolved, error) {
	if !l.take(ctx) {
		return model.Resolved{}, ctx.Err()
	}
	defer l.release()
	return l.resolved, nil
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
