package main

import (
	"context"
	"strconv"
	"time"
)

var _ = play(50, "A tunnel deleted by hand comes back", repair)

func repair(ctx context.Context, d *demo) error {
	h := d.lab.Hosts[0]
	d.say("%s$ ovs-vsctl del-port gre-7", h.Name)
	if _, err := h.Vsctl(ctx, "del-port", "gre-7"); err != nil {
		return err
	}
	start := time.Now()
	back := within(ctx, 10*time.Second, func() bool {
		ofport, err := h.Vsctl(ctx, "--if-exists", "get", "Interface", "gre-7", "ofport")
		n, bad := strconv.Atoi(ofport)
		return err == nil && bad == nil && n > 0
	})
	d.check(back, "gre-7 is back after %.1f s", time.Since(start).Seconds())
	_, err := d.greave(ctx, h, "get", "tunnels")
	d.check(err == nil, "status shows it")
	return nil
}
