package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// quiet: passes with nothing to do at 10,000 objects. One follows a foreign change of the database,
// and takes the flows as last read; one follows a foreign flow, and reads them all again.
func quiet(ctx context.Context, b *bench) error {
	n := b.n(10_000)
	return b.onHost(ctx, false, func(h *host) error {
		px, err := newProxy(ctx, h, overlay)
		if err != nil {
			return err
		}
		defer px.close()
		if err := h.startGreaved(ctx, b, "--ovsdb", "unix:"+px.dir+"/db.sock", "--ovs-rundir", px.dir); err != nil {
			return err
		}
		f := &fdbBench{bench: b, h: h, n: n - fdbPeers, sw: newSwitch(h)}
		if b.scale > 1 {
			f.n = n
		}
		if _, err := h.tool(ctx, "", "ovs-vsctl", "add-br", rivalBridge, "--", "set", "Bridge", rivalBridge, "datapath_type=netdev", "fail_mode=secure"); err != nil {
			return err
		}
		if err := f.prepare(ctx); err != nil {
			return err
		}
		written := px.writes.Load()
		if written == 0 {
			return errors.New("no write was counted while the flows were written: the count says nothing")
		}
		if _, err := f.addFlows(ctx); err != nil {
			return err
		}
		return f.quiet(ctx, px)
	})
}

func (f *fdbBench) quiet(ctx context.Context, px *proxy) error {
	replace := func(ctx context.Context) (float64, error) {
		return seconds(func() error { return f.ofctl(ctx, "replace-flows", f.target(), f.file[0]) })
	}
	if err := f.settled(ctx); err != nil {
		return err
	}
	before, serial := px.writes.Load(), 0
	for _, c := range []struct {
		name  string
		touch func(context.Context) error
		goal  goal
	}{
		{"flows as last read", func(ctx context.Context) error {
			_, err := f.h.tool(ctx, "", "ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".", fmt.Sprintf("external_ids:foreign=%d", serial))
			return err
		}, noGoal},
		{"flows read again", func(ctx context.Context) error {
			_, err := f.h.tool(ctx, "", "ovs-ofctl", "-OOpenFlow14", "add-flow", "unix:"+f.h.RunDir()+"/"+overlay+".mgmt",
				fmt.Sprintf("cookie=0xabc,table=200,priority=%d,actions=drop", 1+serial))
			return err
		}, noGoal},
	} {
		p, err := f.inTurn(ctx, func(ctx context.Context) (float64, error) {
			serial++
			return f.passTime(ctx, c.touch)
		}, replace)
		if err != nil {
			return err
		}
		f.add(fmt.Sprintf("a pass with nothing to do at %d objects, %s", f.n+fdbPeers, c.name), "s", "ovs-ofctl replace-flows with nothing to do", p, c.goal)
	}
	calls := float64(px.writes.Load() - before)
	f.book(figure{Name: fmt.Sprintf("writes of %d such passes, counted at the sockets", serial), Value: calls, Rival: "passes",
		RivalValue: float64(serial), Ratio: calls / float64(serial)}, valueAtMost(0, "writes"))
	return nil
}

// passTime is how long after a foreign change the pass that it calls for is over.
func (f *fdbBench) passTime(ctx context.Context, touch func(context.Context) error) (float64, error) {
	before, err := f.h.Get(ctx, &greavev1.GetRequest{})
	if err != nil {
		return 0, err
	}
	began := time.Now() // what made the change is a part of it: it may be over before its process has ended
	if err := touch(ctx); err != nil {
		return 0, err
	}
	for end := began.Add(patience); time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
		now, err := f.h.Get(ctx, &greavev1.GetRequest{})
		if err != nil {
			return 0, err
		}
		if now.Status.Passes > before.Status.Passes {
			return now.Status.ObservedAt.AsTime().Sub(began).Seconds(), nil
		}
	}
	return math.NaN(), errors.New("no pass followed a foreign change")
}

// settled returns when no pass has ended for a second.
func (f *fdbBench) settled(ctx context.Context) error {
	last := uint64(math.MaxUint64)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Second) {
		r, err := f.h.Get(ctx, &greavev1.GetRequest{})
		if err != nil {
			return err
		}
		if r.Status.Passes == last {
			return nil
		}
		last = r.Status.Passes
	}
	return errors.New("greaved does not come to rest")
}
