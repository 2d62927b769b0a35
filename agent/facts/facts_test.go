package facts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
)

func TestDevicesShowLoopback(t *testing.T) {
	devices, err := New().Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if lo := devices["lo"]; lo.MTU < 1500 {
		t.Errorf("lo has MTU %d", lo.MTU)
	}
	if lo := devices["lo"]; len(lo.Addrs) > 0 && !slices.Contains(lo.Addrs, "127.0.0.1") {
		t.Errorf("lo has addresses %v", lo.Addrs)
	}
	if lo := devices["lo"]; lo.Index == 0 || lo.Name != "lo" || lo.Master != "" {
		t.Errorf("lo is %+v", lo)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := New().Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestTornDumps: a list that changed while it was read is read again, and is
// never handed on as if it were whole.
func TestTornDumps(t *testing.T) {
	for torn, want := range map[int]error{0: nil, 3: nil, dumps: netlink.ErrDumpInterrupted} {
		n := 0
		list, err := whole(func() ([]int, error) {
			if n++; n <= torn {
				return []int{1}, fmt.Errorf("dump: %w", netlink.ErrDumpInterrupted)
			}
			return []int{1, 2}, nil
		})
		if !errors.Is(err, want) || (want == nil) != (len(list) == 2) {
			t.Errorf("%d torn: %v, %v", torn, list, err)
		}
	}
}
