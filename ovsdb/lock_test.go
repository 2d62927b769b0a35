package ovsdb

import (
	"context"
	"log/slog"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/ovsdb/ovsdbtest"
)

// ask runs a lock until the function returned is called.
func ask(t *testing.T, socket, owner string) (*Lock, func()) {
	t.Helper()
	l := NewLock(Config{Endpoint: "unix:" + socket, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}, owner)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	end := func() { cancel(); <-done }
	t.Cleanup(end)
	return l, end
}

func (l *Lock) becomes(t *testing.T, want LockState) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); l.State() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s is %d, want %d", l.ID(), l.State(), want)
		}
	}
}

// TestLock: one of two clients of an owner has the lock, the other is in line, a
// third of another owner is not concerned; the next gets it when the first ends,
// when it is stolen, and when the server comes back.
func TestLock(t *testing.T) {
	db := ovsdbtest.Start(t)
	first, end := ask(t, db.Socket, "h-1.example")
	first.becomes(t, LockHeld)
	second, _ := ask(t, db.Socket, "h-1.example")
	second.becomes(t, LockWaiting)
	if first.Standby() != "" || !strings.Contains(second.Standby(), second.ID()) {
		t.Errorf("standby: %q and %q", first.Standby(), second.Standby())
	}
	other, _ := ask(t, db.Socket, "h_1.example")
	other.becomes(t, LockHeld)

	end()
	second.becomes(t, LockHeld)
	first.becomes(t, LockUnknown)

	steal, cancel := context.WithCancel(t.Context())
	defer cancel()
	thief := exec.CommandContext(steal, "ovsdb-client", "steal", "unix:"+db.Socket, second.ID())
	if err := thief.Start(); err != nil {
		t.Fatal(err)
	}
	second.becomes(t, LockWaiting)
	cancel()
	_ = thief.Wait()
	second.becomes(t, LockHeld)

	db.KillServer()
	second.becomes(t, LockUnknown)
	if second.Standby() != "" {
		t.Errorf("standby without a server: %q", second.Standby())
	}
	db.StartServer()
	second.becomes(t, LockHeld)
	other.becomes(t, LockHeld)
}

// TestLockOfSilentServer: a server that stands still is let go of.
func TestLockOfSilentServer(t *testing.T) {
	db := ovsdbtest.Start(t)
	l := NewLock(Config{Endpoint: "unix:" + db.Socket}, "h1")
	l.probeEvery = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	l.becomes(t, LockHeld)
	time.Sleep(500 * time.Millisecond)
	if l.State() != LockHeld {
		t.Fatal("lost while the server answers")
	}
	db.SignalServer(syscall.SIGSTOP)
	l.becomes(t, LockUnknown)
	db.KillServer()
}

// TestLockID: an id of RFC 7047 section 3.1, and a different one for each owner.
func TestLockID(t *testing.T) {
	id := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	name := rapid.StringMatching(`[A-Za-z0-9._-]{1,20}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := name.Draw(t, "a"), name.Draw(t, "b")
		if !id.MatchString(lockID(a)) || (a == b) != (lockID(a) == lockID(b)) {
			t.Errorf("%q is %s, %q is %s", a, lockID(a), b, lockID(b))
		}
	})
}
