package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// peerDoc is n peers behind the one flow-based port. Segments have 800 members at most, so the peers
// are in as many segments as that takes.
func peerDoc(h *host, n int) *greavev1.HostState {
	const members = 500
	s := &greavev1.HostState{Vteps: []*greavev1.Vtep{{Name: "underlay", Endpoint: &greavev1.Vtep_Address{Address: h.VTEP.String()}}}}
	for i := range (n + members - 1) / members {
		key := uint32(100 + i)
		s.Segments = append(s.Segments, &greavev1.Segment{Name: fmt.Sprintf("s%d", i), Key: &key})
	}
	for i := range n {
		s.Peers = append(s.Peers, &greavev1.Peer{
			Name:     fmt.Sprintf("p%d", i),
			Paths:    []*greavev1.PeerPath{{Remote: fmt.Sprintf("198.18.%d.%d", i/250, 1+i%250)}},
			Segments: []string{fmt.Sprintf("s%d", i/members)},
		})
	}
	return s
}

// peers: 5,000 far ends behind one flow-based port, and as a port each.
func peers(ctx context.Context, b *bench) error {
	n := b.n(5000)
	var flowMemory, portMemory []float64
	side := func(doc func(*host) *greavev1.HostState, memory *[]float64) measure {
		return func(ctx context.Context) (took float64, err error) {
			return took, b.onHost(ctx, true, func(h *host) error {
				before, err := h.switchMemory()
				if err != nil {
					return err
				}
				state := doc(h)
				if took, err = seconds(func() error { return h.replace(ctx, state) }); err != nil {
					return err
				}
				after, err := h.switchMemory()
				*memory = append(*memory, after-before)
				return err
			})
		}
	}
	p, err := b.inTurn(ctx, side(func(h *host) *greavev1.HostState { return peerDoc(h, n) }, &flowMemory),
		side(func(*host) *greavev1.HostState { return tunnelDoc(n) }, &portMemory))
	if err != nil {
		return err
	}
	b.add(fmt.Sprintf("%d peers on one flow-based port, Apply to realised", n), "s", "a port each, by greave", p, faster(20))
	b.add(fmt.Sprintf("memory of Open vSwitch for %d peers", n), "MiB", "a port each", pairs{flowMemory, portMemory}, atMost(0.1))
	return nil
}

// switchMemory is what ovsdb-server and ovs-vswitchd hold.
func (h *host) switchMemory() (sum float64, err error) {
	for _, daemon := range []string{"ovsdb-server", "ovs-vswitchd"} {
		text, err := os.ReadFile(filepath.Join(h.RunDir(), daemon+".pid"))
		if err != nil {
			return 0, err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return 0, err
		}
		mib, err := resident(pid)
		if err != nil {
			return 0, err
		}
		sum += mib
	}
	return sum, nil
}
