package main

import (
	"context"
	"fmt"
	"syscall"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// oneMore: a tunnel beside 5,000. Both sides work on one switch; greaved is halted while the other
// side writes, so that it does not read what the other side wrote on the same processors.
func oneMore(ctx context.Context, b *bench) error {
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
		byGreave := func(ctx context.Context) (float64, error) {
			one := &greavev1.HostState{Tunnels: []*greavev1.Tunnel{tunnel(added)}}
			added++
			return seconds(func() error { return h.merge(ctx, one) })
		}
		byRaw := func(ctx context.Context) (float64, error) {
			row := tunnelRow{
				Name: fmt.Sprintf("gre-%d", added), Type: "gre", ExternalIDs: []any{"map", []any{}},
				Options: []any{"map", []any{[]any{"remote_ip", farEnd}, []any{"key", fmt.Sprint(added + 1)}}},
				Ofport:  set([]any{}),
			}
			added++
			request, err := db.transaction(addPorts(tunnelBridge, []tunnelRow{row})...)
			if err != nil {
				return 0, err
			}
			defer h.halt()()
			return seconds(func() error { return db.realise(request, []any{[]any{"name", "==", row.Name}}) })
		}
		p, err := b.inTurn(ctx, byGreave, byRaw)
		if err != nil {
			return err
		}
		b.add(fmt.Sprintf("one more tunnel at %d, Apply to realised", n), "s", "one raw OVSDB transaction", p, atMost(1.5))
		library, err := b.inTurn(ctx, byGreave, func(ctx context.Context) (float64, error) {
			added++
			defer h.halt()()
			return seconds(func() error { return byLibrary(ctx, h, added) })
		})
		if err != nil {
			return err
		}
		b.add(fmt.Sprintf("one more tunnel at %d, Apply to realised", n), "s", "go-openvswitch", library, noGoal)
		return nil
	})
}

// halt stops greaved's processors until the function that it returns is called.
func (h *host) halt() (resume func()) {
	pid := h.GreavedPid()
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	return func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
}
