package kernel

import (
	"context"
	"iter"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

const (
	// togetherMax is how many operations are carried out together: the kernel deals with their
	// messages in one call, which nothing ends before its time.
	togetherMax = 64
	// unknownMax is how many devices are looked up one by one; of more, a list is read.
	unknownMax = 4
)

// together is how many of the first operations do not depend on each other: of one kind on one
// table of one namespace, and on no device that another of them makes.
func together(ops []plan.Op) int {
	first, made := ops[0], map[string]bool{}
	if first.Row == nil {
		return 1
	}
	for i, o := range ops {
		if i == togetherMax || o.Row == nil || o.Stage != first.Stage || o.Verb != first.Verb ||
			o.Row.Table != first.Row.Table || o.Row.Netns != first.Row.Netns {
			return i
		}
		if o.Row.Table == rows.Link {
			f := o.Row.Fields
			if made[f[rows.FieldMaster]] || made[f["dev"]] {
				return i
			}
			made[o.Row.Link] = true
		}
	}
	return len(ops)
}

// batch is what sends the changes of several operations on one namespace.
type batch struct {
	at *space
	// yield gives a change away and returns when it is answered; false: it was not sent.
	yield func(*change) bool
}

// Do carries out operations that do not depend on each other, and returns what came of each. Each
// goes from one message to its next as if it were alone; in between, the messages of all go to the
// kernel in one call, in the order of the operations.
func (h *Host) Do(ctx context.Context, ops []plan.Op) []error {
	errs := make([]error, len(ops))
	if len(ops) == 0 {
		return errs
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(ops) == 1 {
		errs[0] = h.one(ctx, ops[0], nil)
		return errs
	}
	at, err := h.space(ops[0].Row.Netns)
	if err == nil {
		err = at.find(ctx, ops)
	}
	if err != nil { // each says so by itself
		for i, o := range ops {
			errs[i] = h.one(ctx, o, nil)
		}
		return errs
	}
	var steps []func() (*change, bool)
	for i, o := range ops {
		step, stop := iter.Pull(func(yield func(*change) bool) { errs[i] = h.one(ctx, o, &batch{at, yield}) })
		defer stop()
		steps = append(steps, step)
	}
	for len(steps) > 0 {
		var list []*change
		steps = slices.DeleteFunc(steps, func(step func() (*change, bool)) bool {
			c, more := step()
			if more {
				list = append(list, c)
			}
			return !more
		})
		if len(list) == 0 || ctx.Err() != nil {
			break // the rest is not sent: stop tells it
		}
		at.sockets[unix.NETLINK_ROUTE].changes(ctx, list)
	}
	return errs
}

// find looks up the devices that rows are on, with one list where many are not known: those that
// were made just now.
func (s *space) find(ctx context.Context, ops []plan.Op) error {
	unknown := 0
	for _, o := range ops {
		name := o.Row.Link
		switch o.Row.Table {
		case rows.Link, rows.FOU: // are on none
			continue
		case rows.Route:
			name = o.Row.Fields[rows.FieldDev]
		}
		if _, known := s.index[name]; !known && name != "" {
			unknown++
		}
	}
	if unknown <= unknownMax {
		return nil
	}
	return s.list(ctx)
}

// list takes down the index of every device.
func (s *space) list(ctx context.Context) error {
	answer, err := s.dumpLinks(ctx)
	if err != nil {
		return err
	}
	s.index = make(map[string]int, len(answer))
	for _, b := range answer {
		for id, v := range attributes(b[min(len(b), unix.SizeofIfInfomsg):]) {
			if id == unix.IFLA_IFNAME {
				s.index[cString(v)] = int(parseIfinfo(b).index)
				break
			}
		}
	}
	return nil
}
