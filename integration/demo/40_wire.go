package main

import (
	"context"
	"fmt"
	"time"
)

var _ = play(40, "What the underlay sees", wire)

// wire captures what red1's ping looks like between the hosts.
func wire(ctx context.Context, d *demo) error {
	h1, h2 := d.lab.Hosts[0], d.lab.Hosts[1]
	capture, err := h1.Capture(ctx, "", "ip proto 47")
	if err != nil {
		return err
	}
	if _, err := d.guests["red"][0].Ping(ctx, d.guests["red"][1].Addr.Addr(), 10, 50*time.Millisecond); err != nil {
		return err
	}
	packets, err := capture.Stop()
	if err != nil {
		return err
	}
	for _, p := range packets {
		if p.Src == h1.VTEP && p.Dst == h2.VTEP && p.Key != nil {
			d.show(fmt.Sprintf("outer packet %s → %s, GRE protocol %#04x, key %d, %d bytes inside", p.Src, p.Dst, p.GREProtocol, *p.Key, len(p.Inner)))
			d.check(*p.Key == 100 && p.GREProtocol == 0x6558, "segment red travels as Ethernet over GRE with key 100")
			return nil
		}
	}
	d.check(false, "no GRE packet from %s to %s among %d", h1.VTEP, h2.VTEP, len(packets))
	return nil
}
