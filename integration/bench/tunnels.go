package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/digitalocean/go-openvswitch/ovs"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

const (
	tunnelBridge = "br-lan"
	farEnd       = "192.0.2.200"
)

// tunnelDoc is n GRE tunnels to one far end, told apart by their keys.
func tunnelDoc(n int) *greavev1.HostState {
	s := &greavev1.HostState{Bridges: []*greavev1.Bridge{{Name: tunnelBridge, Datapath: greavev1.Datapath_DATAPATH_NETDEV}}}
	for i := range n {
		s.Tunnels = append(s.Tunnels, tunnel(i))
	}
	return s
}

func tunnel(i int) *greavev1.Tunnel {
	key := uint32(i + 1)
	return &greavev1.Tunnel{
		Name: fmt.Sprintf("gre-%d", i), Bridge: tunnelBridge,
		Remote: &greavev1.TunnelRemote{Endpoint: &greavev1.TunnelRemote_Address{Address: farEnd}},
		Key:    &greavev1.TunnelKey{Kind: &greavev1.TunnelKey_Fixed{Fixed: &greavev1.FixedKey{In: &key, Out: &key}}},
	}
}

// allTunnels selects the tunnels among the interfaces.
var allTunnels = []any{[]any{"type", "==", "gre"}}

// tunnels: explicit GRE tunnels from nothing, each found on the switch with a number.
func tunnels(ctx context.Context, b *bench) error {
	for _, size := range []struct {
		full int
		goal goal
	}{{1000, atMost(2)}, {5000, atMost(1.5)}} {
		if err := tunnelsOf(ctx, b, b.n(size.full), size.goal); err != nil {
			return err
		}
	}
	return nil
}

func tunnelsOf(ctx context.Context, b *bench, n int, g goal) error {
	var rows []tunnelRow
	doc := tunnelDoc(n)
	byGreave := func(ctx context.Context) (took float64, err error) {
		return took, b.onHost(ctx, true, func(h *host) error {
			if took, err = seconds(func() error { return h.replace(ctx, doc) }); err != nil || rows != nil {
				return err
			}
			db, err := h.raw(ctx)
			if err != nil {
				return err
			}
			defer db.close()
			if rows, err = rowsOf(db); err == nil && len(rows) != n {
				err = fmt.Errorf("%d rows of %d tunnels", len(rows), n)
			}
			return err
		})
	}
	byRaw := func(ctx context.Context) (took float64, err error) {
		return took, b.onHost(ctx, false, func(h *host) error {
			took, err = h.rawTunnels(ctx, rows)
			return err
		})
	}
	p, err := b.inTurn(ctx, byGreave, byRaw)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d GRE tunnels, Apply to all realised", n)
	b.add(what, "s", "one raw OVSDB transaction", p, g)
	ours := pairs{ours: []float64{median(p.ours)}}
	big, err := oneVsctl(ctx, b, rows)
	if err != nil {
		return err
	}
	rival := "one ovs-vsctl with all, 1 run"
	if big >= patience.Seconds() {
		rival += ", stopped then"
	}
	ours.theirs = []float64{big}
	b.add(what, "s", rival, ours, noGoal)
	return oneByOne(ctx, b, rows, what, ours.ours)
}

// rawTunnels makes the rows by one transaction and says how long until all are realised.
func (h *host) rawTunnels(ctx context.Context, rows []tunnelRow) (float64, error) {
	db, err := h.raw(ctx)
	if err != nil {
		return 0, err
	}
	defer db.close()
	request, err := db.transaction(db.bridgeWith(tunnelBridge, rows)...)
	if err != nil {
		return 0, err
	}
	return seconds(func() error { return db.realise(request, allTunnels) })
}

func oneVsctl(ctx context.Context, b *bench, rows []tunnelRow) (took float64, err error) {
	args := []string{"ovs-vsctl", "--", "add-br", tunnelBridge, "--", "set", "Bridge", tunnelBridge, "datapath_type=netdev"}
	for _, t := range rows {
		args = append(args, t.vsctlArgs(tunnelBridge)...)
	}
	return took, b.onHost(ctx, false, func(h *host) error {
		took, err = seconds(func() error { _, err := h.tool(ctx, "", args...); return err })
		if errors.Is(err, context.DeadlineExceeded) { // it is quadratic in the number of ports
			took, err = patience.Seconds(), nil
		}
		return err
	})
}

// sampled is how many tunnels are made one by one, with none there and with all there: the cost of
// one grows with those that there are, so the mean of the two stands for all.
const sampled = 3

func oneByOne(ctx context.Context, b *bench, rows []tunnelRow, what string, ours []float64) error {
	for _, rival := range []struct {
		name string
		add  func(context.Context, *host, int) error
	}{{"ovs-vsctl for each", byVsctl}, {"go-openvswitch for each", byLibrary}} {
		total, err := scaledUp(ctx, b, rows, rival.add)
		if err != nil {
			return err
		}
		b.add(what, "s", fmt.Sprintf("%s, %d measured, scaled up", rival.name, 2*sampled), pairs{ours, []float64{total}}, noGoal)
	}
	return nil
}

// sample is the name and the key of a tunnel that is in no document.
func sample(i int) (name, key string) { return fmt.Sprintf("one-%d", i), fmt.Sprint(1<<20 + i) }

func byVsctl(ctx context.Context, h *host, i int) error {
	name, key := sample(i)
	_, err := h.tool(ctx, "", "ovs-vsctl", "add-port", tunnelBridge, name, "--", "set", "Interface", name, "type=gre",
		"options:remote_ip="+farEnd, "options:key="+key)
	return err
}

func byLibrary(ctx context.Context, h *host, i int) error {
	name, key := sample(i)
	c := ovs.New(ovs.Exec(func(cmd string, args ...string) ([]byte, error) {
		out, err := h.tool(ctx, "", append([]string{cmd}, args...)...)
		return []byte(out), err
	}))
	if err := c.VSwitch.AddPort(tunnelBridge, name); err != nil {
		return err
	}
	return c.VSwitch.Set.Interface(name, ovs.InterfaceOptions{Type: ovs.InterfaceTypeGRE, RemoteIP: farEnd, Key: key})
}

func scaledUp(ctx context.Context, b *bench, rows []tunnelRow, add func(context.Context, *host, int) error) (total float64, err error) {
	return total, b.onHost(ctx, false, func(h *host) error {
		db, err := h.raw(ctx)
		if err != nil {
			return err
		}
		defer db.close()
		made := 0
		few := func() error {
			took, err := seconds(func() error {
				for range sampled {
					if err := add(ctx, h, made); err != nil {
						return err
					}
					made++
				}
				return nil
			})
			total += took / (2 * sampled) * float64(len(rows))
			return err
		}
		for _, ops := range [][]any{db.bridgeWith(tunnelBridge, nil), addPorts(tunnelBridge, rows)} {
			request, err := db.transaction(ops...)
			if err != nil {
				return err
			}
			where := []any{[]any{"name", "==", tunnelBridge}}
			if err := db.realise(request, where); err != nil {
				return err
			}
			if err := few(); err != nil {
				return err
			}
		}
		return nil
	})
}
