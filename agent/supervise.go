package agent

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/greave-sdn/greave/agent/reconcile"
)

// supervise tells the service manager that started greaved how it is (sd_notify(3)), and returns at
// once where none did: ready when a first pass has ended, so that what is ordered after greaved
// finds its tunnels; and a line of status after each change.
func supervise(ctx context.Context, loop *reconcile.Loop, log *slog.Logger) error {
	h, err := loop.Next(ctx, 0)
	if err != nil {
		return nil // greaved ends before its first pass has
	}
	if sent, err := daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS="+statusLine(h)); !sent {
		if err != nil {
			log.Warn("service manager cannot be told", "err", err)
		}
		return nil
	}
	defer func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) }()
	for said := statusLine(h); ; {
		if h, err = loop.Next(ctx, h.Version); err != nil {
			return nil // ctx has ended: greaved stops
		}
		if line := statusLine(h); line != said {
			_, _ = daemon.SdNotify(false, "STATUS="+line)
			said = line
		}
	}
}

// watchdog tells a service manager that asks for it (WatchdogSec) of a loop that lives; a loop that
// does not come to an end of its work in time is not told of, and greaved is started anew.
func watchdog(ctx context.Context, loop *reconcile.Loop) error {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("read WATCHDOG_USEC: %w", err)
	}
	if limit == 0 {
		return nil
	}
	tick := time.NewTicker(limit / 2)
	defer tick.Stop()
	for {
		if loop.Responds(ctx) {
			_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// statusLine is what `systemctl status` shows: "3 of 4 objects as stated".
func statusLine(h reconcile.HostStatus) string {
	for _, c := range h.Conditions {
		if !c.Status {
			return c.Reason + ": " + c.Message
		}
	}
	ready := 0
	for _, o := range h.Objects {
		if o.State == reconcile.Active {
			ready++
		}
	}
	return fmt.Sprintf("%d of %d objects as stated", ready, len(h.Objects))
}
