package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// start: a greaved that finds 5,000 tunnels built, from its exec to its first pass finished; a
// libovsdb client of everything, from its exec to a complete cache. And what each holds then.
func start(ctx context.Context, b *bench) error {
	n := b.n(5000)
	return b.onHost(ctx, true, func(h *host) error {
		if err := h.replace(ctx, tunnelDoc(n)); err != nil {
			return err
		}
		h.KillGreaved()
		var memory pairs
		byGreave := func(ctx context.Context) (float64, error) {
			took, err := h.restart(ctx, b)
			if err != nil {
				return 0, err
			}
			defer h.KillGreaved()
			mib, err := resident(h.GreavedPid())
			memory.ours = append(memory.ours, mib)
			return took, err
		}
		byLibrary := func(ctx context.Context) (took float64, err error) {
			var m *self
			took, err = seconds(func() error { m, err = startSelf(ctx, roleMonitor, h.OVSSocket()); return err })
			if err != nil {
				return 0, err
			}
			defer m.stop()
			mib, err := resident(m.pid())
			memory.theirs = append(memory.theirs, mib)
			return took, err
		}
		p, err := b.inTurn(ctx, byGreave, byLibrary)
		if err != nil {
			return err
		}
		b.add(fmt.Sprintf("start at %d tunnels, to the first pass finished", n), "s", "libovsdb with every column, to its cache complete", p, atMost(0.7))
		b.add(fmt.Sprintf("resident memory at %d tunnels", n), "MiB", "libovsdb with every column", memory, noGoal)
		return nil
	})
}

// restart starts greaved on a host that has its state, and says how long until it has found it
// realised, by its own log.
func (h *host) restart(ctx context.Context, b *bench) (float64, error) {
	before := len(h.GreavedLog())
	began := time.Now()
	if err := h.startGreaved(ctx, b); err != nil {
		return 0, err
	}
	for end := began.Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(h.GreavedLog()[before:]) {
			if !strings.Contains(line, `msg="document realised"`) {
				continue
			}
			stamp, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
			at, err := time.Parse(time.RFC3339Nano, stamp)
			return at.Sub(began).Seconds(), err
		}
	}
	return 0, errors.New("greaved does not say that its document is realised")
}
