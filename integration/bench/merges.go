package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// callers is how many state one object each at the same time.
const callers = 100

// merges: 100 callers state one tunnel each at the same time, beside 5,000.
func merges(ctx context.Context, b *bench) error {
	n := b.n(5000)
	return b.onHost(ctx, true, func(h *host) error {
		if err := h.replace(ctx, tunnelDoc(n)); err != nil {
			return err
		}
		db, err := h.raw(ctx)
		if err != nil {
			return err
		}
		defer db.close()
		added := n
		var passes, transactions []float64
		all := func(ctx context.Context) (float64, error) {
			before, err := h.written(ctx, db)
			if err != nil {
				return 0, err
			}
			took, err := seconds(func() error { return h.mergeEach(ctx, added, callers) })
			added += callers
			if err != nil {
				return 0, err
			}
			after, err := h.written(ctx, db)
			passes, transactions = append(passes, after.passes-before.passes), append(transactions, after.transactions-before.transactions)
			return took, err
		}
		one := func(ctx context.Context) (float64, error) {
			added++
			return seconds(func() error { return h.mergeEach(ctx, added-1, 1) })
		}
		p, err := b.inTurn(ctx, all, one)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d concurrent MERGEs of one tunnel each at %d", callers, n)
		b.add(what+", all answered", "s", "one MERGE alone", p, atMost(3))
		calls := make([]float64, len(passes))
		for i := range calls {
			calls[i] = callers
		}
		b.add(what+": passes", "", "calls", pairs{passes, calls}, valueAtMost(3, "passes"))
		b.add(what+": OVSDB transactions", "", "calls", pairs{transactions, calls}, valueAtMost(6, "transactions"))
		return nil
	})
}

// mergeEach has callers state the tunnels from number first on, one each, and waits for all answers.
func (h *host) mergeEach(ctx context.Context, first, callers int) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range callers {
		g.Go(func() error {
			return h.merge(ctx, &greavev1.HostState{Tunnels: []*greavev1.Tunnel{tunnel(first + i)}})
		})
	}
	return g.Wait()
}

// counts are those of a running greaved.
type counts struct{ passes, transactions float64 }

// written reads how many passes there were, and transactions: each raises next_cfg by one.
func (h *host) written(ctx context.Context, db *rawDB) (counts, error) {
	r, err := h.Get(ctx, &greavev1.GetRequest{})
	if err != nil {
		return counts{}, err
	}
	var rows []struct {
		NextCfg float64 `json:"next_cfg"`
	}
	if err := db.query("Open_vSwitch", []string{"next_cfg"}, []any{}, &rows); err != nil || len(rows) != 1 {
		return counts{}, fmt.Errorf("read next_cfg: %v: %w", rows, err)
	}
	return counts{float64(r.Status.Passes), rows[0].NextCfg}, nil
}
