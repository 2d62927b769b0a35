package facts

import (
	"context"
	"slices"
	"testing"
	"time"

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
}

func TestRunEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := New().Run(ctx); err != nil {
		t.Fatal(err)
	}
}
