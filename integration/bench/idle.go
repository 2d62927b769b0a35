package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// idleWindow is long enough for a full pass of greave's (every 30 s) and for several rounds of
// statistics (every 5 s).
const idleWindow = 62 * time.Second

// idle: what greaved and a client of everything take of a processor while the counters of 5,000
// tunnels move.
func idle(ctx context.Context, b *bench) error {
	n := b.n(5000)
	window := idleWindow / time.Duration(b.scale)
	window = max(window, 6*time.Second)
	return b.onHost(ctx, true, func(h *host) error {
		if err := h.replace(ctx, tunnelDoc(n)); err != nil {
			return err
		}
		library, err := startSelf(ctx, roleMonitor, h.OVSSocket())
		if err != nil {
			return err
		}
		defer library.stop()
		moving, stop := context.WithCancel(ctx)
		moved := make(chan error, 1)
		go func() { moved <- h.moveCounters(moving, n) }()
		defer stop()
		time.Sleep(max(5*time.Second/time.Duration(b.scale), time.Second)) // what Apply left to do
		pids := [2]int{h.GreavedPid(), library.pid()}
		var used [2]float64
		for i, pid := range pids {
			if used[i], err = cpuSeconds(pid); err != nil {
				return err
			}
		}
		began := time.Now()
		select {
		case err := <-moved:
			return fmt.Errorf("counters do not move: %w", err)
		case <-time.After(window):
		}
		took := time.Since(began).Seconds()
		for i, pid := range pids {
			after, err := cpuSeconds(pid)
			if err != nil {
				return err
			}
			used[i] = 100 * (after - used[i]) / took
		}
		b.add(fmt.Sprintf("idle while the counters of %d tunnels move", n), "% of a core", "libovsdb with every column",
			pairs{used[:1], used[1:]}, valueAtMost(0.1, "% of a core"))
		return nil
	})
}

// moveCounters has the switch send a frame by every tunnel, once a second.
func (h *host) moveCounters(ctx context.Context, n int) error {
	db, err := h.raw(ctx)
	if err != nil {
		return err
	}
	defer db.close()
	var rows []struct{ Ofport int }
	if err := db.query("Interface", []string{"ofport"}, allTunnels, &rows); err != nil {
		return err
	}
	if len(rows) != n {
		return fmt.Errorf("%d tunnels of %d", len(rows), n)
	}
	const copies = 250 // one translation has room for some 800
	for tick := time.NewTicker(time.Second); ; {
		for at := 0; at < len(rows); at += copies {
			var actions []string
			for _, r := range rows[at:min(at+copies, len(rows))] {
				actions = append(actions, fmt.Sprintf("output:%d", r.Ofport))
			}
			if _, err := h.tool(ctx, "", "ovs-ofctl", "-OOpenFlow13", "packet-out", "unix:"+h.RunDir()+"/"+tunnelBridge+".mgmt",
				"in_port=LOCAL packet="+strings.Repeat("ff", 6)+"020000000001"+"0800"+strings.Repeat("00", 46)+" actions="+strings.Join(actions, ",")); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
	}
}
