package kernel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

// one carries out one operation on one row. Update writes only the fields that the operation
// changes. What is to be deleted and is not there is deleted.
func (h *Host) one(ctx context.Context, op plan.Op, together *batch) error {
	row := op.Row
	if row == nil {
		return errors.New("operation without a row of the kernel's")
	}
	sp, err := h.space(row.Netns)
	if noNamespace(err) && op.Verb == plan.Delete {
		return nil
	} else if err != nil {
		return err
	}
	changes := make(map[string]bool, len(op.Changes))
	for _, c := range op.Changes {
		changes[c.Field] = true
	}
	w := writer{h: h, ctx: ctx, sp: sp, verb: op.Verb, row: *row, changes: changes, op: opText(op.Verb.String(), row.Key), together: together}
	err = w.do()
	if IsGone(err) && row.Link != "" && sp.index[row.Link] != 0 && op.Verb != plan.Delete {
		// The device may have been made anew, with another index, since it was read.
		delete(sp.index, row.Link)
		err = w.do()
	}
	if op.Verb == plan.Delete && IsGone(err) {
		return nil
	}
	return err
}

// writer is one operation.
type writer struct {
	h       *Host
	ctx     context.Context
	sp      *space
	verb    plan.Verb
	row     rows.Row
	changes map[string]bool
	op      string
	// together is what sends changes with those of other operations; nil: each is sent by itself.
	together *batch
}

func (w *writer) do() error {
	write, ok := map[rows.Table]func(plan.Verb) error{
		rows.FOU: w.fou, rows.Link: w.link, rows.Address: w.address,
		rows.Neighbour: w.neighbour, rows.FDB: w.fdb, rows.Route: w.route,
	}[w.row.Table]
	if !ok {
		return fmt.Errorf("%s: unknown table", w.op)
	}
	if w.verb != plan.Recreate {
		return write(w.verb)
	}
	if err := write(plan.Delete); err != nil && !IsGone(err) {
		return err
	}
	return write(plan.Create)
}

// createFlags are those of a request that makes, changes or replaces.
func createFlags(v plan.Verb) int {
	if v == plan.Update {
		return unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	return unix.NLM_F_CREATE | unix.NLM_F_EXCL
}

func (w *writer) change(typ, flags int, m message) error { return w.changeIn(w.sp, typ, flags, m) }

// changeIn is change for a namespace that may be another than the row's.
func (w *writer) changeIn(sp *space, typ, flags int, m message) error {
	if w.together == nil || sp != w.together.at {
		return sp.change(w.ctx, w.op, typ, flags, m)
	}
	c := &change{typ: typ, flags: flags, payload: m}
	if !w.together.yield(c) {
		return fmt.Errorf("%s: %w", w.op, context.Cause(w.ctx))
	}
	if c.err != nil {
		return newError(w.op, c.err)
	}
	return nil
}

// device is the index of the row's device.
func (w *writer) device() (int32, error) {
	i, err := w.sp.device(w.ctx, w.row.Link)
	return int32(i), err
}

// invalid is an error of a row that cannot be written.
func (w *writer) invalid(err error) error { return fmt.Errorf("%s: %w", w.op, err) }

// takeOver is for tables whose entries the kernel makes by itself too, by learning and resolving:
// an entry that is in the way is replaced unless it is somebody's.
func (w *writer) takeOver(err error, somebodys func() (bool, error), replace func(flags int) error) error {
	if !IsExists(err) {
		return err
	}
	if is, findErr := somebodys(); findErr != nil && !IsGone(findErr) {
		return errors.Join(err, findErr)
	} else if is {
		return err
	}
	return replace(unix.NLM_F_CREATE | unix.NLM_F_REPLACE)
}
