package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/greave-sdn/greave/agent/store"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// Revisions is what keeps the accepted documents; store.Store is one.
type Revisions interface {
	Sources() []string
	// History returns the revisions of a source, the oldest first.
	History(source string) []store.Revision
	// Append makes all entries durable, or none.
	Append(entries ...store.Entry) error
}

// Numbers is what keeps the bindings; store.Store is one.
type Numbers interface {
	Bindings() openflow.BindingsDelta
	AppendBindings(openflow.BindingsDelta) error
}

// Store is what the loop keeps its state in.
type Store interface {
	Revisions
	Numbers
}

// Config is what a loop works with. The durations have defaults.
type Config struct {
	Host    string // the name that documents may address this host by
	Owner   model.Owner
	Backend Backend
	Store   Store
	// AllowMassRemoval: passes may take away any number of objects unasked.
	AllowMassRemoval bool
	// Decode turns a stored document into the state it states, not normalised.
	Decode func([]byte) (model.HostState, error)
	// Standby says why this process must not touch the host, "" when it may; nil:
	// it always may.
	Standby func() string
	Logger  *slog.Logger
	Now     func() time.Time // time.Now when nil

	Resync      time.Duration // between two full observations: 30 s
	Backoff     time.Duration // first wait of an object that the switch refused: 1 s
	MaxBackoff  time.Duration // last one: 60 s
	PassTimeout time.Duration // bounds one pass: 2 min
}

func (c *Config) setDefaults() {
	for d, v := range map[*time.Duration]time.Duration{
		&c.Resync: 30 * time.Second, &c.Backoff: time.Second, &c.MaxBackoff: time.Minute, &c.PassTimeout: 2 * time.Minute,
	} {
		if *d == 0 {
			*d = v
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Standby == nil {
		c.Standby = func() string { return "" }
	}
}

// Bounds of the wait after a pass that could not be finished, and of the wait
// before the host's own changes start the next one: a host that answers again
// is served within a second.
const (
	brokenMin = 100 * time.Millisecond
	brokenMax = 5 * time.Second
	urgeMax   = time.Second
)

// current is what one source has in force.
type current struct {
	store.Revision
	state model.HostState // as stated
	gen   uint64          // the acceptance it came with
	since uint64          // the revision after which only merges came
	err   error           // the stored document cannot be read
}

// Loop makes the host what its sources state.
type Loop struct {
	cfg  Config
	log  *slog.Logger
	kick chan struct{}

	accept sync.Mutex    // one acceptance at a time; held over the write to disk
	host   chan struct{} // holds one token: who has it may talk to the backend

	mu      sync.Mutex // guards the three below
	sources map[string]current
	gen     uint64 // counts acceptances
	loaded  bool

	facts   atomic.Pointer[model.Facts] // as last observed
	inForce atomic.Pointer[inForce]
	status  atomic.Pointer[published]

	// What follows belongs to who holds the token.
	bindings *openflow.Bindings
	unsaved  []openflow.BindingsDelta
	retries  map[model.Ref]*retry
	repairs  map[model.Ref][]time.Time
	values   map[model.Ref]any // what the last finished pass worked from, by object
	resolved model.Resolved    // and as a whole
	realised map[model.Ref]any // those values that it found built
	begun    uint64            // the acceptances that a pass has seen
	full     bool              // the next pass reads everything
	reached  bool              // a pass has reached every part of the host
	clean    bool              // the last pass left nothing undone and nothing to say
	broken   int               // passes in a row that were not finished
	stuck    int               // passes in a row that left operations undone
}

// New returns a loop that does nothing before Load and Run.
func New(cfg Config) *Loop {
	cfg.setDefaults()
	l := &Loop{
		cfg: cfg, log: cfg.Logger.With("component", "reconcile"),
		kick: make(chan struct{}, 1), host: make(chan struct{}, 1),
		sources: map[string]current{}, bindings: openflow.NewBindings(),
		retries: map[model.Ref]*retry{}, repairs: map[model.Ref][]time.Time{}, realised: map[model.Ref]any{}, full: true,
	}
	l.host <- struct{}{}
	l.status.Store(&published{HostStatus: HostStatus{Host: cfg.Host, Owner: cfg.Owner.Name}, changed: make(chan struct{})})
	return l
}

// Load takes up what the store has. A document that cannot be decoded is told
// of and keeps the loop from changing anything until its source states a new
// one: what that source wants is not known.
func (l *Loop) Load() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded {
		return errors.New("load state: done already")
	}
	l.bindings.Load(l.cfg.Store.Bindings())
	for _, name := range l.cfg.Store.Sources() {
		h := l.cfg.Store.History(name)
		if len(h) == 0 {
			continue
		}
		c := current{Revision: h[len(h)-1], gen: 1}
		c.state, c.err = l.decode(c.Document)
		if c.err != nil {
			l.log.Error("stored document cannot be read", "source", name, "revision", c.Revision.Revision, "err", c.err)
		}
		l.sources[name] = c
	}
	l.gen, l.loaded = 1, true
	return nil
}

// decode reads a stored document; an empty one wants nothing.
func (l *Loop) decode(document []byte) (model.HostState, error) {
	if len(document) == 0 {
		return model.HostState{AllowEmpty: true}, nil
	}
	s, err := l.cfg.Decode(document)
	if err != nil {
		return model.HostState{}, fmt.Errorf("decode document: %w", err)
	}
	return s, nil
}

// Kick asks for a pass soon.
func (l *Loop) Kick() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Run makes passes until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	resync := time.NewTicker(l.cfg.Resync)
	defer resync.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var floor, next time.Time // host changes wait for floor; next is what the timer is set to
	full := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.kick:
		case <-l.cfg.Backend.Changes():
			if wait := floor.Sub(l.cfg.Now()); wait > 0 {
				if next.IsZero() || next.After(floor) {
					next = floor
					timer.Reset(wait)
				}
				continue
			}
		case <-timer.C:
		case <-resync.C:
			full = true
		}
		if !l.take(ctx) {
			return nil
		}
		l.full = l.full || full
		full = false
		floor, next = l.pass(ctx)
		l.release()
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(max(0, next.Sub(l.cfg.Now())))
		}
	}
}

// take waits for the token of the backend.
func (l *Loop) take(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-l.host:
		return true
	}
}

func (l *Loop) release() { l.host <- struct{}{} }

// Responds waits until no pass is under way, and is false when ctx ends before.
// A pass has bounds of its own (Config.PassTimeout).
func (l *Loop) Responds(ctx context.Context) bool {
	if !l.take(ctx) {
		return false
	}
	l.release()
	return true
}
