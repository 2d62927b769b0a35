// Package ovsdb is greave's session with the Open_vSwitch database: one connection kept for ever, one monitor, snapshots that
// say which connection they belong to, and guarded transactions whose refusals name the object to blame.
//
// It owns every use of libovsdb and the rules that make it safe to use. It knows rows, not what greave wants of them, and must
// not import model, openflow or anything under agent.
package ovsdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/greave-sdn/greave/ovsdb/vswitch"
)

const (
	maxTimeout     = 5 * time.Second // of any call; libovsdb holds its lock for the whole of one
	connectTimeout = 2 * time.Second
	attemptTimeout = 10 * time.Second // dial, schema, and the monitor's reply, which of 5,000 ports takes a busy machine seconds
	pollInterval   = 20 * time.Millisecond
	maxSocketPath  = 107 // sun_path of unix(7), less the final NUL
)

// Config says where the database is and how to talk to it.
type Config struct {
	// Endpoint is the socket of ovsdb-server: "unix:/path" or "/path", at most 107 bytes of path.
	Endpoint string
	// Timeout bounds every single call; 0, or more than 5 s, means 5 s.
	Timeout time.Duration
	// Logger receives changes of the connection's state; nil discards them.
	Logger *slog.Logger
}

// Session is one client of the database. Its methods may be called at any time, by many goroutines; outside Run they say
// ErrNotSynced or ErrNotConnected.
type Session struct {
	cfg        Config
	log        *slog.Logger
	probeEvery time.Duration
	probeWait  time.Duration
	changes    chan struct{}

	mu         sync.Mutex // guards the next three
	client     client.Client
	generation uint64
	wake       chan struct{} // closed at the next news, nil when nobody waits

	snapMu sync.Mutex // guards the next three
	snap   Snapshot
	image  image
	serial uint64
}

// New returns a session that is not connected; Run connects it.
func New(cfg Config) *Session {
	if cfg.Timeout <= 0 || cfg.Timeout > maxTimeout {
		cfg.Timeout = maxTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Session{
		cfg:        cfg,
		log:        cfg.Logger,
		probeEvery: 5 * time.Second,
		probeWait:  2 * time.Second,
		changes:    make(chan struct{}, 1),
		generation: 1,
	}
}

// Run connects, and connects again whenever the connection is lost, until ctx ends; then it returns nil. It returns an error
// only for an endpoint that can never work. It must be called once.
func (s *Session) Run(ctx context.Context) error {
	endpoint, err := socketURL(s.cfg.Endpoint)
	if err != nil {
		return err
	}
	dbModel, err := vswitch.FullDatabaseModel()
	if err != nil {
		return fmt.Errorf("build database model: %w", err)
	}
	l := newLink(ctx.Done(), s.lost)
	logger := logr.FromSlogHandler(s.log.Handler())
	// Not WithInactivityCheck: it panics in the library when the server drops the connection (libovsdb issue 464).
	c, err := client.NewOVSDBClient(dbModel, client.WithEndpoint(endpoint),
		client.WithReconnect(attemptTimeout, l), client.WithLogger(&logger))
	if err != nil {
		return fmt.Errorf("build database client: %w", err)
	}
	if !s.connect(ctx, c) {
		return nil
	}
	kick := func(table string) {
		if table == vswitch.OpenvSwitchTable {
			s.wakeAll()
		}
		s.kick()
	}
	c.Cache().AddEventHandler(&cache.EventHandlerFuncs{
		AddFunc:    func(table string, _ model.Model) { kick(table) },
		UpdateFunc: func(table string, _, _ model.Model) { kick(table) },
		DeleteFunc: func(table string, _ model.Model) { kick(table) },
	})
	s.setClient(c)
	s.follow(ctx, c, l)
	s.setClient(nil)
	s.lost()
	shutDown(c)
	return nil
}

// connect makes the first connection; the library makes all later ones. It returns false when ctx ended first.
func (s *Session) connect(ctx context.Context, c client.Client) bool {
	pause, said := minBackoff, ""
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := c.Connect(attempt)
		cancel()
		if ctx.Err() != nil {
			if err == nil {
				shutDown(c)
			}
			return false
		}
		if err == nil {
			return true
		}
		if err.Error() != said {
			said = err.Error()
			s.log.Warn("database not reached", "error", err)
		}
		if !sleep(ctx, pause) {
			return false
		}
		pause = min(2*pause, maxBackoff)
	}
}

// follow keeps the session synced until ctx ends. The library restarts the monitor on each new connection once it was set up,
// but tells nobody; so the way back is found by polling, while the way out is told exactly by the link.
func (s *Session) follow(ctx context.Context, c client.Client, l *link) {
	monitored := false
	for ctx.Err() == nil {
		epoch := l.losses.Load()
		up, err := s.establish(ctx, c, l, &monitored)
		switch {
		case err != nil:
			s.log.Warn("database not monitored", "error", err)
			sleep(ctx, 10*pollInterval)
		case up && s.synced(epoch, l):
			s.log.Info("database synced", "generation", s.Generation())
			s.watch(ctx, c, l, epoch)
		default:
			sleep(ctx, pollInterval)
		}
	}
}

// establish says whether there is a connection with a complete cache behind it, and sets up the one monitor on the first.
func (s *Session) establish(ctx context.Context, c client.Client, l *link, monitored *bool) (bool, error) {
	// Monitor takes the library's monitor lock and then its connection lock, a reconnect takes them the other way round. The
	// gate keeps a reconnect from starting meanwhile.
	l.gate.Lock()
	defer l.gate.Unlock()
	// During an attempt this waits for its end; the end includes the monitor's reply.
	if c.CurrentEndpoint() == "" {
		return false, nil
	}
	if *monitored {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if _, err := c.Monitor(ctx, newMonitor(c)); err != nil {
		// A monitor that was requested and is unknown to the library would crash it with the first update.
		c.Disconnect()
		return false, fmt.Errorf("monitor database: %w", err)
	}
	*monitored = true
	return true, nil
}

// newMonitor requests every monitored table in one go: with two monitors a reconnect silently loses the rows of one. Columns
// are named, because an update that holds a column unknown to the model is dropped whole. The method is monitor_cond and not
// its successor monitor_cond_since, because only there an inconsistent cache leads to a reconnect instead of a log line.
func newMonitor(c client.Client) *client.Monitor {
	m := c.NewMonitor()
	m.Method = ovsdb.ConditionalMonitorRPC
	for _, t := range tables {
		m.Tables = append(m.Tables, client.TableMonitor{Table: t.name, Fields: t.columns})
	}
	return m
}

// watch returns when the connection was lost or ctx ended. A server that stays silent counts as a lost connection.
func (s *Session) watch(ctx context.Context, c client.Client, l *link, epoch uint64) {
	ticker := time.NewTicker(s.probeEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		news := s.news()
		if l.losses.Load() != epoch {
			return
		}
		select {
		case <-ctx.Done():
		case <-news:
		case <-ticker.C:
			if s.alive(ctx, c) {
				continue
			}
			s.lost() // at once: Disconnect waits for calls in flight
			c.Disconnect()
			for l.losses.Load() == epoch && sleep(ctx, pollInterval) {
			}
		}
	}
}

// alive says whether the server answers one of two echoes, or ctx ended.
func (s *Session) alive(ctx context.Context, c client.Client) bool {
	for range 2 {
		echo, cancel := context.WithTimeout(ctx, s.probeWait)
		err := c.Echo(echo)
		cancel()
		if err == nil || ctx.Err() != nil {
			return true
		}
	}
	return false
}

// synced turns the generation even, unless the connection was lost since epoch.
func (s *Session) synced(epoch uint64, l *link) bool {
	s.mu.Lock()
	ok := l.losses.Load() == epoch && s.generation%2 == 1
	if ok {
		s.generation++
	}
	s.mu.Unlock()
	if ok {
		s.wakeAll()
		s.kick()
	}
	return ok
}

// lost turns the generation odd.
func (s *Session) lost() {
	s.mu.Lock()
	was := s.generation%2 == 0
	if was {
		s.generation++
	}
	s.mu.Unlock()
	s.wakeAll()
	if was {
		s.log.Info("database lost")
		s.kick()
	}
}

// Generation counts the comings and goings of the connection: even while the image of the database is complete and live, odd
// otherwise. A snapshot of another generation may have missed anything.
func (s *Session) Generation() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

// Synced says whether Snapshot and Transact can work now.
func (s *Session) Synced() bool { return s.Generation()%2 == 0 }

// Changes tells that something may have changed: a row, or the state of the connection. One pending signal stands for any
// number of changes, so there must be one reader, and it must take a whole snapshot. It is never closed.
func (s *Session) Changes() <-chan struct{} { return s.changes }

// ready returns the client and the generation while synced, else ErrNotConnected.
func (s *Session) ready() (client.Client, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil || s.generation%2 == 1 {
		return nil, s.generation, ErrNotConnected
	}
	return s.client, s.generation, nil
}

// unreached is ErrNotSynced with what keeps a client from the database's socket just now, if anything does.
func (s *Session) unreached(ctx context.Context) error {
	path, unix := strings.CutPrefix(s.cfg.Endpoint, "unix:")
	if !unix {
		return ErrNotSynced
	}
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return ErrNotSynced
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w; run greaved as a user who may write to this socket", ErrNotSynced, err)
	}
	return fmt.Errorf("%w: %w", ErrNotSynced, err)
}

func (s *Session) setClient(c client.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = c
}

func (s *Session) kick() {
	select {
	case s.changes <- struct{}{}:
	default:
	}
}

// news returns a channel that is closed when the switch's own row or the state of the connection changes.
func (s *Session) news() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake == nil {
		s.wake = make(chan struct{})
	}
	return s.wake
}

func (s *Session) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake != nil {
		close(s.wake)
		s.wake = nil
	}
}

// WaitConfigured waits until ovs-vswitchd has taken up configuration number nextCfg (a Result's NextCfg), however often the
// connection is lost meanwhile. It ends with ctx, and without a deadline there after the session's timeout: with a
// *StalledError, or ErrNotSynced when the database was out of reach then.
func (s *Session) WaitConfigured(ctx context.Context, nextCfg int) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.cfg.Timeout)
		defer cancel()
	}
	for {
		news := s.news()
		sw, err := s.root()
		if err == nil && sw.CurCfg >= nextCfg {
			return nil
		}
		select {
		case <-news:
		case <-time.After(5 * pollInterval): // the library drops events when its queue is full
		case <-ctx.Done():
			switch {
			case errors.Is(ctx.Err(), context.Canceled):
				return fmt.Errorf("wait for cur_cfg %d: %w", nextCfg, ctx.Err())
			case err != nil:
				return fmt.Errorf("wait for cur_cfg %d: %w", nextCfg, ErrNotSynced)
			}
			return &StalledError{NextCfg: nextCfg, CurCfg: sw.CurCfg}
		}
	}
}

// root returns the live row of the switch itself.
func (s *Session) root() (*vswitch.OpenvSwitch, error) {
	c, _, err := s.ready()
	if err != nil {
		return nil, err
	}
	for _, row := range c.Cache().Table(vswitch.OpenvSwitchTable).RowsShallow() {
		return row.(*vswitch.OpenvSwitch), nil
	}
	return nil, fmt.Errorf("read table %s: no row: the database was not initialised", vswitch.OpenvSwitchTable)
}

// socketURL brings an endpoint into the form that libovsdb parses as a URL.
func socketURL(endpoint string) (string, error) {
	path := strings.TrimPrefix(endpoint, "unix:")
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("check database endpoint %q: want unix:/path or /path", endpoint)
	}
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("check database endpoint %q: %d bytes of path, at most %d are possible", endpoint, len(path), maxSocketPath)
	}
	return (&url.URL{Scheme: client.UNIX, Path: path}).String(), nil
}

// shutDown ends the library's goroutines: it cuts the connection, and the link ends what would make a new one. The library's
// Close takes the cache away from a goroutine that Connect has started and that may not have run yet, which then panics (found
// by FuzzReplies).
func shutDown(c client.Client) {
	c.Disconnect()
	for deadline := time.Now().Add(connectTimeout); c.CurrentEndpoint() != "" && time.Now().Before(deadline); {
		time.Sleep(pollInterval / 10)
	}
}

// sleep waits for d and says whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
