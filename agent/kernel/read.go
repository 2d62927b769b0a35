package kernel

import (
	"context"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
)

// LinkAt is a device by namespace and name.
type LinkAt struct{ Netns, Name string }

// Scope says what a reading must hold.
type Scope struct {
	Owner model.Owner
	Netns []string // names under /run/netns besides greaved's own; one that is not there has nothing
	Links map[LinkAt]bool
	// Listed tells of a row without a mark whether greave made it.
	Listed func(rows.Key) bool
}

// Read reads all devices, and the other tables as far as they are of greave's devices and of
// s.Links: a full table of somebody else's routes or neighbours costs nothing.
func (h *Host) Read(ctx context.Context, s Scope) (map[rows.Key]rows.Row, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Listed == nil {
		s.Listed = func(rows.Key) bool { return false }
	}
	out := map[rows.Key]rows.Row{}
	watched := []string{""}
	for _, name := range append([]string{""}, s.Netns...) {
		space, err := h.space(name)
		if name != "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := h.readSpace(ctx, space, s, out); err != nil {
			return nil, err
		}
		if name != "" {
			watched = append(watched, name)
		}
	}
	slices.Sort(watched)
	h.watch(slices.Compact(watched))
	return out, nil
}

func (h *Host) readSpace(ctx context.Context, s *space, scope Scope, out map[rows.Key]rows.Row) error {
	links, names, err := s.links(ctx, scope.Owner)
	if err != nil {
		return err
	}
	on := map[int]rows.Row{}
	for i, name := range names {
		r := links[rows.Key{Netns: s.name, Table: rows.Link, Link: name}]
		if r.Owned || scope.Links[LinkAt{s.name, name}] {
			on[i] = r
		}
	}
	for k, r := range links {
		out[k] = r
	}
	if len(on) > 0 {
		for _, read := range []func() error{
			func() error { return s.addrs(ctx, on, out) },
			func() error { return s.neighs(ctx, on, out) },
			func() error { return s.fdb(ctx, on, scope.Listed, out) },
			func() error { return s.routes(ctx, links, names, out) },
		} {
			if err := read(); err != nil {
				return err
			}
		}
	}
	return h.fous(s.name, scope.Listed, out)
}

// Do carries out one operation on one row.
func (h *Host) Do(ctx context.Context, o plan.Op) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := *o.Row
	switch o.Verb {
	case plan.Create:
		return h.create(ctx, r)
	case plan.Recreate:
		if err := h.remove(ctx, r); err != nil && !IsGone(err) {
			return err
		}
		return h.create(ctx, r)
	case plan.Delete:
		return h.remove(ctx, r)
	}
	if r.Table == rows.Link {
		changed := map[string]string{}
		for _, c := range o.Changes {
			changed[c.Field] = c.Old
		}
		return h.updateLink(ctx, r, changed)
	}
	return h.replace(ctx, r)
}

func (h *Host) create(ctx context.Context, r rows.Row) error {
	if r.Table == rows.Link {
		return h.createLink(ctx, r)
	}
	return h.write(ctx, "create", r, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
}

func (h *Host) replace(ctx context.Context, r rows.Row) error {
	if r.Table == rows.FOU { // its type is fixed
		if err := h.remove(ctx, r); err != nil && !IsGone(err) {
			return err
		}
		return h.create(ctx, r)
	}
	return h.write(ctx, "update", r, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
}

// write makes a row that is no link, or puts it in place of one of its key.
func (h *Host) write(ctx context.Context, verb string, r rows.Row, flags int) error {
	op := opText(verb, r.Key)
	if r.Table == rows.FOU {
		return h.changeFOU(op, true, r)
	}
	s, err := h.space(r.Netns)
	if err != nil {
		return err
	}
	switch r.Table {
	case rows.Address:
		return s.changeAddr(ctx, op, unix.RTM_NEWADDR, flags, r)
	case rows.Neighbour:
		return s.changeNeigh(ctx, op, unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, r) // one that was resolved becomes permanent
	case rows.FDB:
		return s.changeFDB(ctx, op, unix.RTM_NEWNEIGH, r)
	}
	return s.changeRoute(ctx, op, unix.RTM_NEWROUTE, flags, r)
}

func (h *Host) remove(ctx context.Context, r rows.Row) error {
	op := opText("delete", r.Key)
	if r.Table == rows.FOU {
		return h.changeFOU(op, false, r)
	}
	s, err := h.space(r.Netns)
	if err != nil {
		return err
	}
	switch r.Table {
	case rows.Link:
		return s.deleteLink(ctx, r)
	case rows.Address:
		return s.changeAddr(ctx, op, unix.RTM_DELADDR, 0, r)
	case rows.Neighbour:
		return s.changeNeigh(ctx, op, unix.RTM_DELNEIGH, 0, r)
	case rows.FDB:
		return s.changeFDB(ctx, op, unix.RTM_DELNEIGH, r)
	}
	return s.changeRoute(ctx, op, unix.RTM_DELROUTE, 0, r)
}

// Counters reads those of all devices of the namespaces.
func (h *Host) Counters(ctx context.Context, list []string) (map[LinkAt]Counters, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[LinkAt]Counters{}
	for _, name := range list {
		s, err := h.space(name)
		if name != "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var m message
		m.header(ifinfo{})
		answer, err := s.route(ctx, "list devices", unix.RTM_GETLINK, unix.NLM_F_DUMP, m)
		if err != nil {
			return nil, err
		}
		for _, b := range answer {
			at := byID(b[min(len(b), unix.SizeofIfInfomsg):])
			stats := at[unix.IFLA_STATS64]
			if len(stats) < 64 {
				continue
			}
			n := func(i int) uint64 { return number(stats[8*i : 8*i+8]) } // struct rtnl_link_stats64
			out[LinkAt{name, cString(at[unix.IFLA_IFNAME])}] = Counters{
				RxPackets: n(0), TxPackets: n(1), RxBytes: n(2), TxBytes: n(3),
				RxErrors: n(4), TxErrors: n(5), RxDropped: n(6), TxDropped: n(7),
			}
		}
	}
	return out, nil
}
