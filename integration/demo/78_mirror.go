package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

var _ = play(78, "Copies for a collector", mirror)

// mirror has h1 copy the frames of red1 to h3 while red1 pings red2, and stop.
func mirror(ctx context.Context, d *demo) error {
	h1, h3 := d.lab.Hosts[0], d.lab.Hosts[2]
	file, err := h1.WriteFile("mirror.yaml", fmt.Sprintf(`mirrors:
- name: watch
  select: {ports: [{port: red1}]}
  output: {collector: {encap: vxlan, remote: {address: %s}, key: {fixed: {in: 5000, out: 5000}}}}
`, h3.VTEP))
	if err != nil {
		return err
	}
	_, err = d.greave(ctx, h1, "apply", "--merge", "-f", file)
	d.check(err == nil, "the mirror is realised")
	out, err := copied(ctx, d, h3)
	if err != nil {
		return err
	}
	d.check(out.answered == 10 && out.sent == 10 && out.got == 10, "of 10 pings h3 gets one copy of each frame: %d that red1 sent, %d that it got", out.sent, out.got)
	_, err = d.greave(ctx, h1, "get", "mirrors")
	d.check(err == nil, "the mirror is listed")
	_, err = d.greave(ctx, h1, "delete", "mirror", "watch")
	d.check(err == nil, "the mirror is taken away")
	if out, err = copied(ctx, d, h3); err != nil {
		return err
	}
	d.check(out.answered == 10 && out.sent+out.got == 0, "the pings go on and h3 gets no more copies")
	return nil
}

type copies struct{ answered, sent, got int }

// copied pings from red1 to red2 and counts the copies that a host gets.
func copied(ctx context.Context, d *demo, at *lab.Host) (c copies, err error) {
	capture, err := at.Capture(ctx, "", "udp port 4789")
	if err != nil {
		return c, err
	}
	red1, red2 := d.guests["red"][0], d.guests["red"][1]
	stats, err := red1.Ping(ctx, red2.Addr.Addr(), 10, 50*time.Millisecond)
	if err != nil {
		return c, err
	}
	packets, err := capture.Stop()
	if err != nil {
		return c, err
	}
	c.answered = stats.Received
	for _, p := range packets {
		if p.VNI == nil || *p.VNI != 5000 || len(p.Inner) < 34 || p.Inner[12] != 8 || p.Inner[13] != 0 {
			continue
		}
		switch netip.AddrFrom4([4]byte(p.Inner[26:30])) {
		case red1.Addr.Addr():
			c.sent++
		case red2.Addr.Addr():
			c.got++
		}
	}
	return c, nil
}
