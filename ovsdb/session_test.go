package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/greave-sdn/greave/ovsdb/ovsdbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds each wait of a test.
const patience = 15 * time.Second

// start runs a session until the test ends.
func start(t testing.TB, endpoint string) *Session {
	t.Helper()
	s := New(Config{Endpoint: endpoint, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	run(t, s)
	return s
}

func run(t testing.TB, s *Session) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

// until waits for a snapshot that satisfies ok, using nothing but what callers have: Changes and Snapshot.
func until(t testing.TB, s *Session, what string, ok func(Snapshot) bool) Snapshot {
	t.Helper()
	timeout := time.After(patience)
	for {
		snap, err := s.Snapshot(t.Context())
		if err == nil && ok(snap) {
			return snap
		}
		select {
		case <-s.Changes():
		case <-timeout:
			t.Fatalf("no snapshot with %s after %v (last error %v)", what, patience, err)
		}
	}
}

func synced(t testing.TB, s *Session) Snapshot {
	t.Helper()
	return until(t, s, "anything", func(Snapshot) bool { return true })
}

// untilLost allows less time than the first echo takes to be sent: a cut connection is noticed by itself.
func untilLost(t testing.TB, s *Session) {
	t.Helper()
	for began := time.Now(); s.Synced(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 3*time.Second {
			t.Fatal("still synced after 3s")
		}
	}
}

func skipUnderRace(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("the race detector is on: libovsdb has data races of its own when a connection is cut (libovsdb issue 497); a run without it has this test")
	}
}

func TestColumnsAreThoseOfTheModel(t *testing.T) {
	text, err := os.ReadFile("vswitch/vswitch.ovsschema")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Tables map[string]struct{ Columns map[string]any }
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	want, got := map[string][]string{}, map[string][]string{}
	for name, table := range schema.Tables {
		want[name] = slices.Sorted(maps.Keys(table.Columns))
	}
	for _, table := range tables {
		got[table.name] = slices.Sorted(slices.Values(table.columns))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("monitored columns differ from vswitch.ovsschema (-schema +monitored):\n%s", diff)
	}
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct{ endpoint, want string }{
		{"unix:/run/db.sock", "unix:///run/db.sock"},
		{"/run/db.sock", "unix:///run/db.sock"},
		{"/run/a b%zz?x#y", "unix:///run/a%20b%25zz%3Fx%23y"},
		{"tcp:192.0.2.1:6640", ""},
		{"db.sock", ""},
		{"", ""},
		{"/" + strings.Repeat("x", 106), "unix:///" + strings.Repeat("x", 106)},
		{"/" + strings.Repeat("x", 107), ""},
	} {
		got, err := socketURL(c.endpoint)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("socketURL(%q) = %q, %v, want %q", c.endpoint, got, err, c.want)
		}
	}
	if err := New(Config{Endpoint: "tcp:192.0.2.1:6640"}).Run(t.Context()); err == nil {
		t.Error("Run with an impossible endpoint = nil, want an error")
	}
}

func TestNotRunning(t *testing.T) {
	s := New(Config{Endpoint: "/nowhere"})
	if _, err := s.Snapshot(t.Context()); !errors.Is(err, ErrNotSynced) {
		t.Errorf("Snapshot = %v, want ErrNotSynced", err)
	}
	if _, err := s.Transact(t.Context(), NewTxn("x")); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Transact = %v, want ErrNotConnected", err)
	}
	if _, err := s.Select(t.Context(), "Bridge", nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("Select = %v, want ErrNotConnected", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.WaitConfigured(ctx, 1); !errors.Is(err, ErrNotSynced) {
		t.Errorf("WaitConfigured = %v, want ErrNotSynced", err)
	}
}

// Run must leave nothing behind, whatever state it ends in.
func TestRunEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		reach  func(t *testing.T, db *ovsdbtest.Server, s *Session)
		racy   bool
		absent bool
	}{
		{name: "never connected", absent: true, reach: func(*testing.T, *ovsdbtest.Server, *Session) { time.Sleep(100 * time.Millisecond) }},
		{name: "while connecting", reach: func(*testing.T, *ovsdbtest.Server, *Session) {}},
		{name: "synced", reach: func(t *testing.T, _ *ovsdbtest.Server, s *Session) { synced(t, s) }},
		{name: "lost", racy: true, reach: func(t *testing.T, db *ovsdbtest.Server, s *Session) {
			synced(t, s)
			db.KillServer()
			untilLost(t, s)
			time.Sleep(500 * time.Millisecond) // deep in the back-off
		}},
		{name: "just lost", racy: true, reach: func(t *testing.T, db *ovsdbtest.Server, s *Session) {
			synced(t, s)
			db.KillServer()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.racy {
				skipUnderRace(t)
			}
			db := ovsdbtest.Start(t)
			before := goleak.IgnoreCurrent()
			endpoint := db.Socket
			if c.absent {
				endpoint += ".none"
			}
			s := New(Config{Endpoint: endpoint})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			c.reach(t, db, s)
			cancel()
			began := time.Now()
			if err := <-done; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("Run took %v to end", took)
			}
			goleak.VerifyNone(t, before)
			if _, err := s.Snapshot(t.Context()); !errors.Is(err, ErrNotSynced) {
				t.Errorf("Snapshot after the end of Run = %v, want ErrNotSynced", err)
			}
		})
	}
}

func TestServerComesLater(t *testing.T) {
	db := ovsdbtest.Start(t)
	db.KillServer()
	s := start(t, "unix:"+db.Socket)
	time.Sleep(200 * time.Millisecond)
	db.StartServer()
	if snap := synced(t, s); snap.Generation != 2 || snap.Switch.UUID == "" {
		t.Errorf("first snapshot has generation %d, switch %+v, want 2 and a UUID", snap.Generation, snap.Switch)
	}
}

// After kill -9 of the server nothing is read or written until all of the new state is there, with what was deleted meanwhile
// gone.
func TestServerKilledAndBack(t *testing.T) {
	skipUnderRace(t)
	db := ovsdbtest.Start(t)
	db.VSCtl("--no-wait", "add-br", "br0", "--", "add-port", "br0", "stays", "--", "add-port", "br0", "goes")
	s := start(t, db.Socket)
	generation := synced(t, s).Generation
	for range 3 {
		db.KillServer()
		untilLost(t, s)
		if _, err := s.Snapshot(t.Context()); !errors.Is(err, ErrNotSynced) {
			t.Fatalf("Snapshot without server = %v, want ErrNotSynced", err)
		}
		if _, err := s.Transact(t.Context(), NewTxn("x")); !errors.Is(err, ErrNotConnected) {
			t.Fatalf("Transact without server = %v, want ErrNotConnected", err)
		}
		db.Tool("ovsdb-tool", "transact", filepath.Join(db.RunDir, "conf.db"), `["Open_vSwitch",
			{"op":"select","table":"Port","where":[["name","==","goes"]],"columns":["_uuid"]},
			{"op":"update","table":"Port","where":[["name","==","stays"]],"row":{"tag":7}}]`)
		began := time.Now()
		db.StartServer()
		snap := synced(t, s)
		t.Logf("synced %v after the server was back", time.Since(began).Round(time.Millisecond))
		if snap.Generation != generation+2 {
			t.Errorf("generation went from %d to %d, want +2", generation, snap.Generation)
		}
		generation = snap.Generation
		if p, _ := snap.Port("stays"); p.Tag != Some(7) {
			t.Errorf("port stays = %+v, want the tag that was set meanwhile", p)
		}
	}
	deleteOffline(t, db, s)
}

func deleteOffline(t *testing.T, db *ovsdbtest.Server, s *Session) {
	t.Helper()
	snap := synced(t, s)
	goes, ok := snap.Port("goes")
	if !ok {
		t.Fatal("no port to delete")
	}
	db.KillServer()
	untilLost(t, s)
	db.Tool("ovsdb-tool", "transact", filepath.Join(db.RunDir, "conf.db"), `["Open_vSwitch",
		{"op":"mutate","table":"Bridge","where":[["name","==","br0"]],"mutations":[["ports","delete",["uuid","`+goes.UUID+`"]]]}]`)
	db.StartServer()
	snap = synced(t, s)
	if _, ok := snap.Port("goes"); ok {
		t.Error("the port that was deleted meanwhile is still there")
	}
	if _, ok := snap.Interface("goes"); ok {
		t.Error("its interface is still there")
	}
	if _, ok := snap.Port("stays"); !ok {
		t.Error("the other port is gone")
	}
}

// A server that hangs is noticed by the echo, and a write that it did not answer is reported as such.
func TestServerHangs(t *testing.T) {
	skipUnderRace(t)
	db := ovsdbtest.Start(t)
	s := New(Config{Endpoint: db.Socket, Timeout: 200 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	s.probeEvery, s.probeWait = 300*time.Millisecond, 100*time.Millisecond
	run(t, s)
	snap := synced(t, s)
	db.SignalServer(syscall.SIGSTOP)
	txn := NewTxn("set a mark")
	txn.UpdateSwitch("mark", snap.Switch.UUID, SwitchChange{ExternalIDs: MapChange{Set: map[string]string{"greave-test": "1"}}})
	began := time.Now()
	if _, err := s.Transact(t.Context(), txn); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("Transact to a hanging server = %v, want ErrOutcomeUnknown", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Transact took %v, want about its timeout of 200ms", took)
	}
	untilLost(t, s)
	db.SignalServer(syscall.SIGCONT)
	snap = synced(t, s)
	if snap.Generation != 4 {
		t.Errorf("generation = %d, want 4", snap.Generation)
	}
	if snap.Switch.ExternalIDs["greave-test"] != "1" {
		t.Error("the unanswered write did not happen here; the test no longer shows why the outcome is unknown")
	}
}

// A server that drops each connection at once must not crash or wedge the session.
func TestServerDropsConnections(t *testing.T) {
	cut(t, 60, func(i int) (time.Duration, int64) { return time.Duration(i%20) * time.Millisecond, math.MaxInt64 })
}

// Nor must one whose replies end anywhere: within the schema, the rows, an update.
func TestServerCutsReplies(t *testing.T) {
	cut(t, 20, func(i int) (time.Duration, int64) { return 100 * time.Millisecond, int64(i * i * 100) })
}

// cut puts a relay before a server that cuts n connections, each after a time or so many bytes of the
// server's, and then no more.
func cut(t *testing.T, n int, after func(i int) (time.Duration, int64)) {
	t.Helper()
	skipUnderRace(t)
	db := ovsdbtest.Start(t)
	front := filepath.Join(db.RunDir, "front.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", front)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, front)
	for i := range n {
		c, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		life, bytes := after(i)
		relay(t, c, db.Socket, life, bytes)
	}
	if err := listener.Close(); err != nil { // which removes the socket
		t.Fatal(err)
	}
	if err := os.Symlink(db.Socket, front); err != nil {
		t.Fatal(err)
	}
	until(t, s, "a live connection", func(snap Snapshot) bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rows, err := s.Select(ctx, "Open_vSwitch", []string{"_uuid"})
		return err == nil && len(rows) == 1 && rows[0].Text("_uuid") == snap.Switch.UUID
	})
}

// relay carries one connection for a while, or so many bytes of the server's, and cuts it.
func relay(t *testing.T, c net.Conn, socket string, life time.Duration, bytes int64) {
	t.Helper()
	server, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, 2)
	pipe := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from) // fails when cut
		done <- struct{}{}
	}
	go pipe(server, c)
	go pipe(c, io.LimitReader(server, bytes))
	select {
	case <-done:
		done <- struct{}{}
	case <-time.After(life):
	}
	if err := errors.Join(c.Close(), server.Close()); err != nil {
		t.Fatal(err)
	}
	<-done
	<-done
}

func TestSwitchStalls(t *testing.T) {
	sw := ovsdbtest.Start(t, ovsdbtest.WithSwitch())
	s := start(t, sw.Socket)
	snap := synced(t, s)
	bump := func() int {
		txn := NewTxn("nothing but next_cfg")
		result, err := s.Transact(t.Context(), txn)
		if err != nil {
			t.Fatal(err)
		}
		return result.NextCfg
	}
	next := bump()
	if next != snap.Switch.NextCfg+1 {
		t.Errorf("NextCfg = %d, want %d", next, snap.Switch.NextCfg+1)
	}
	if err := s.WaitConfigured(t.Context(), next); err != nil {
		t.Errorf("WaitConfigured(%d) = %v", next, err)
	}
	sw.KillSwitch()
	dead := bump()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := s.WaitConfigured(ctx, dead)
	stalled, ok := errors.AsType[*StalledError](err)
	if !ok || *stalled != (StalledError{NextCfg: dead, CurCfg: next}) || !errors.Is(err, ErrSwitchStalled) {
		t.Errorf("WaitConfigured(%d) = %v, want a StalledError at %d", dead, err, next)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.WaitConfigured(cancelled, dead); !errors.Is(err, context.Canceled) || errors.Is(err, ErrSwitchStalled) {
		t.Errorf("WaitConfigured, cancelled = %v, want context.Canceled", err)
	}
	sw.StartSwitch()
	if err := s.WaitConfigured(t.Context(), dead); err != nil {
		t.Errorf("WaitConfigured(%d), switch back = %v", dead, err)
	}
}
