package main

import (
	"context"
	"strings"
)

var _ = play(90, "Taking it all away", leave)

// leave purges one host and looks whether only what others made is left.
func leave(ctx context.Context, d *demo) error {
	h := d.lab.Hosts[2]
	_, err := d.greave(ctx, h, "purge", "--yes")
	d.check(err == nil, "%s is purged", h.Name)
	bridges, err := h.Vsctl(ctx, "list-br")
	if err != nil {
		return err
	}
	if d.lab.Hosts[0].Datapath() == "system" {
		d.check(bridges == "", "no bridge is left")
		return nil
	}
	d.check(strings.TrimSpace(bridges) == "br-phy", "only br-phy, which greave did not make, is left")
	return nil
}
