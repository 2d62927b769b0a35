package kernel

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

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

// Counters reads those of all devices of the namespaces.
func (h *Host) Counters(ctx context.Context, list []string) (map[LinkAt]Counters, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[LinkAt]Counters{}
	for _, name := range list {
		s, err := h.space(name)
		if noNamespace(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		var m message
		m.header(ifinfo{})
		answer, err := s.dump(ctx, "counters", unix.RTM_GETLINK, m)
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
