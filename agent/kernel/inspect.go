package kernel

import (
	"context"
	"fmt"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// Counters are those of a device since it was made.
type Counters struct {
	RxPackets, RxBytes, RxDropped, RxErrors uint64
	TxPackets, TxBytes, TxDropped, TxErrors uint64
}

// Inspection is the kernel's tables as people ask for them, read now.
type Inspection struct {
	Rows     map[rows.Key]rows.Row
	Counters map[LinkAt]Counters
	Netns    []string // that were read, greaved's own ("") first
}

// Inspect reads the tables for people.
func (b *Backend) Inspect(ctx context.Context, want model.Resolved, bind *openflow.Bindings) (in Inspection, err error) {
	p := b.newPass(reconcile.PassInput{Want: want.For(model.BackendKernel), Bindings: bind})
	s := p.scope()
	in.Netns = append([]string{""}, s.Netns...)
	if in.Rows, err = b.cfg.Tables.Read(ctx, s); err != nil {
		return in, fmt.Errorf("read the kernel's tables: %w", err)
	}
	if in.Counters, err = b.cfg.Tables.Counters(ctx, in.Netns); err != nil {
		return in, fmt.Errorf("read counters: %w", err)
	}
	return in, nil
}
