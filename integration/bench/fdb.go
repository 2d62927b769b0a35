package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/digitalocean/go-openvswitch/ovs"

	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

const (
	fdbPeers    = 100
	overlay     = "br-greave"
	rivalBridge = "br-rival" // where the rivals write the same flows
)

// fdbDoc is n addresses of one segment behind 100 peers; every step-th one is behind another peer
// when moved is odd. A step of 0 moves none.
func fdbDoc(h *host, n, step, moved int) *greavev1.HostState {
	s := peerDoc(h, fdbPeers)
	for i := range n {
		s.Fdb = append(s.Fdb, fdbEntry(i, step > 0 && i%step == 0 && moved%2 == 1))
	}
	return s
}

func fdbEntry(i int, moved bool) *greavev1.FdbEntry {
	peer := i % fdbPeers
	if moved {
		peer = (peer + 1) % fdbPeers
	}
	return &greavev1.FdbEntry{
		Segment: "s0", Mac: fmt.Sprintf("02:00:00:%02x:%02x:%02x", i>>16&255, i>>8&255, i&255), Peer: fmt.Sprintf("p%d", peer),
	}
}

// fdb: static addresses, which are a flow each.
func fdb(ctx context.Context, b *bench) error {
	for _, full := range []int{10_000, 100_000} {
		if err := fdbOf(ctx, b, b.n(full)); err != nil {
			return err
		}
	}
	return nil
}

// fdbBench is one size on one host.
type fdbBench struct {
	*bench
	h     *host
	n     int
	sw    *ofctl.Client
	flows []openflow.Flow // of the addresses, as greave wrote them
	file  [2]string       // the same as text; in the second every 100th address has moved
}

func fdbOf(ctx context.Context, b *bench, n int) error {
	return b.onHost(ctx, true, func(h *host) error {
		f := &fdbBench{bench: b, h: h, n: n, sw: newSwitch(h)}
		if _, err := h.tool(ctx, "", "ovs-vsctl", "add-br", rivalBridge, "--", "set", "Bridge", rivalBridge, "datapath_type=netdev", "fail_mode=secure"); err != nil {
			return err
		}
		if err := f.prepare(ctx); err != nil {
			return err
		}
		for _, part := range []func(context.Context) error{f.install, f.write, f.change, f.read} {
			if err := part(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// newSwitch is greave's own reader and writer of flows.
func newSwitch(h *host) *ofctl.Client { return ofctl.New(ofctl.Config{RunDir: h.RunDir()}) }

// prepare has greave write both sets of flows, to have them as files.
func (f *fdbBench) prepare(ctx context.Context) error {
	for moved := range 2 {
		if err := f.h.replace(ctx, fdbDoc(f.h, f.n, movedStep, moved)); err != nil {
			return err
		}
		flows, err := f.fdbFlows(ctx, overlay)
		if err != nil {
			return err
		}
		if len(flows) != f.n {
			return fmt.Errorf("%d flows of %d addresses", len(flows), f.n)
		}
		var text []byte
		for _, flow := range flows {
			text = append(openflow.AppendFlow(text, flow), '\n')
		}
		f.file[moved] = filepath.Join(f.h.RunDir(), fmt.Sprintf("flows-%d", moved))
		if err := os.WriteFile(f.file[moved], text, 0o600); err != nil {
			return err
		}
		f.flows = flows
	}
	return nil
}

// movedStep: one address in 100 moves.
const movedStep = 100

// fdbFlows reads the flows of the addresses, in order of the switch.
func (f *fdbBench) fdbFlows(ctx context.Context, bridge string) ([]openflow.Flow, error) {
	seen, err := f.sw.Dump(ctx, bridge, ofctl.DumpFilter{Table: openflow.TableL2, OneTable: true})
	if err != nil {
		return nil, err
	}
	var out []openflow.Flow
	for _, s := range seen {
		if s.Match.EthDst.Mask == (openflow.MAC{255, 255, 255, 255, 255, 255}) {
			out = append(out, s.Flow)
		}
	}
	return out, nil
}

func (f *fdbBench) ofctl(ctx context.Context, args ...string) error {
	_, err := f.h.tool(ctx, "", slices.Concat([]string{"ovs-ofctl", "-OOpenFlow14"}, args)...)
	return err
}

// clear takes the flows of the rival's bridge away, which is not timed.
func (f *fdbBench) clear(ctx context.Context) error { return f.ofctl(ctx, "del-flows", f.target()) }

func (f *fdbBench) target() string { return "unix:" + f.h.RunDir() + "/" + rivalBridge + ".mgmt" }

func (f *fdbBench) addFlows(ctx context.Context) (float64, error) {
	if err := f.clear(ctx); err != nil {
		return 0, err
	}
	return seconds(func() error { return f.ofctl(ctx, "--bundle", "add-flows", f.target(), f.file[0]) })
}

// install: from Apply to read back.
func (f *fdbBench) install(ctx context.Context) error {
	full, empty := fdbDoc(f.h, f.n, 0, 0), fdbDoc(f.h, 0, 0, 0)
	p, err := f.inTurn(ctx, func(ctx context.Context) (float64, error) {
		if err := f.h.replace(ctx, empty); err != nil {
			return 0, err
		}
		return seconds(func() error { return f.h.replace(ctx, full) })
	}, f.addFlows)
	if err != nil {
		return err
	}
	f.add(fmt.Sprintf("%d FDB entries, Apply to read back", f.n), "s", "ovs-ofctl --bundle add-flows, the same flows", p, atMost(2.5))
	return nil
}

// write: the writing of the same flows alone, by the layer that does it.
func (f *fdbBench) write(ctx context.Context) error {
	p, err := f.inTurn(ctx, func(ctx context.Context) (float64, error) {
		if err := f.clear(ctx); err != nil {
			return 0, err
		}
		return seconds(func() error { return f.sw.Apply(ctx, rivalBridge, openflow.Change{Add: f.flows}) })
	}, f.addFlows)
	if err != nil {
		return err
	}
	f.add(fmt.Sprintf("%d FDB entries, the write alone", f.n), "s", "ovs-ofctl --bundle add-flows, the same flows", p, atMost(1.2))
	return nil
}

// change: one address in 100 moves to another peer, to and fro.
func (f *fdbBench) change(ctx context.Context) error {
	if _, err := f.addFlows(ctx); err != nil {
		return err
	}
	ours, theirs := 0, 0
	p, err := f.inTurn(ctx, func(ctx context.Context) (float64, error) {
		ours++
		some := &greavev1.HostState{}
		for i := 0; i < f.n; i += movedStep {
			some.Fdb = append(some.Fdb, fdbEntry(i, ours%2 == 1))
		}
		return seconds(func() error { return f.h.merge(ctx, some) })
	}, func(ctx context.Context) (float64, error) {
		theirs++
		return seconds(func() error { return f.ofctl(ctx, "replace-flows", f.target(), f.file[theirs%2]) })
	})
	if err != nil {
		return err
	}
	f.add(fmt.Sprintf("1 %% of %d FDB entries changed, MERGE to read back", f.n), "s", "ovs-ofctl replace-flows", p, faster(4))
	return nil
}

// read: all flows, each found again as it was written.
func (f *fdbBench) read(ctx context.Context) error {
	if _, err := f.addFlows(ctx); err != nil {
		return err
	}
	library := ovs.New(ovs.Protocols([]string{ovs.ProtocolOpenFlow14}), ovs.Exec(func(cmd string, args ...string) ([]byte, error) {
		out, err := f.h.tool(ctx, "", append([]string{cmd}, args...)...)
		return []byte(out), err
	}))
	p, err := f.inTurn(ctx, func(ctx context.Context) (float64, error) {
		return seconds(func() error { _, err := f.sw.Dump(ctx, rivalBridge, ofctl.DumpFilter{}); return err })
	}, func(context.Context) (float64, error) {
		return seconds(func() error {
			flows, err := library.OpenFlow.DumpFlows(f.target())
			if err == nil && len(flows) != f.n {
				err = fmt.Errorf("go-openvswitch reads %d flows of %d", len(flows), f.n)
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	f.add(fmt.Sprintf("a lossless read of %d flows", f.n), "s", "go-openvswitch DumpFlows", p, atMost(0.5))
	return f.lossless(ctx)
}

// lossless holds what is read to the text that was written.
func (f *fdbBench) lossless(ctx context.Context) error {
	flows, err := f.fdbFlows(ctx, rivalBridge)
	if err != nil {
		return err
	}
	written, err := os.ReadFile(f.file[0])
	if err != nil {
		return err
	}
	want := strings.Split(strings.TrimSpace(string(written)), "\n")
	var got []string
	for _, flow := range flows {
		got = append(got, string(openflow.AppendFlow(nil, flow)))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		return errors.New("the flows read are not those written")
	}
	return nil
}
