package main

import (
	"context"
	"fmt"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

var _ = play(60, "greaved dies, traffic does not", kill)

// kill sends a packet each millisecond from h1 to h2 while h2's greaved is
// killed with -9 and started again, and a second time without, for comparison.
func kill(ctx context.Context, d *demo) error {
	h := d.lab.Hosts[1]
	from, to := d.guests["red"][0], d.guests["red"][1]
	control, err := d.flood(ctx, from, to, func() error { time.Sleep(2 * time.Second); return nil })
	if err != nil {
		return err
	}
	d.say("%s$ kill -9 %d", h.Name, h.GreavedPid())
	killed, err := d.flood(ctx, from, to, func() error {
		h.KillGreaved()
		time.Sleep(time.Second)
		return h.StartGreaved(ctx)
	})
	if err != nil {
		return err
	}
	d.show(floodText("undisturbed", control))
	d.show(floodText("kill -9 and restart", killed))
	d.check(killed.Lost <= control.Lost, "no packet more was lost than without the kill")
	back := within(ctx, 15*time.Second, func() bool {
		_, _, err := h.Greave(ctx, "plan")
		return err == nil
	})
	d.check(back, "the restarted greaved finds nothing to do")
	return nil
}

func floodText(what string, r lab.FloodResult) string {
	return fmt.Sprintf("%-20s %d sent, %d lost, longest gap %.1f ms", what+":", r.Sent, r.Lost, float64(r.LongestGap.Microseconds())/1000)
}

func (d *demo) flood(ctx context.Context, from, to *lab.Guest, during func() error) (lab.FloodResult, error) {
	f, err := lab.StartFlood(ctx, from, to, time.Millisecond)
	if err != nil {
		return lab.FloodResult{}, err
	}
	if err := during(); err != nil {
		f.Stop()
		return lab.FloodResult{}, err
	}
	return f.Stop(), nil
}
