// Package ovs is the backend that builds resolved objects in Open vSwitch: it
// reads rows and flows, lowers a plan to at most two OVSDB transactions and one
// OpenFlow bundle a bridge, and believes a write only when it reads it back.
//
// It must not import the generated API or gRPC.
package ovs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/ovsdb"
)

// Host is what this backend asks of the host beside Open vSwitch.
type Host interface {
	// Devices lists the network devices with their addresses.
	Devices(ctx context.Context) (map[string]model.Device, error)
	// KernelDatapath tells whether the openvswitch module answers.
	KernelDatapath(ctx context.Context) bool
	// Changes kicks when a device or an address may have changed.
	Changes() <-chan struct{}
}

// Config says what the backend works with.
type Config struct {
	Owner   model.Owner
	Here    func() bool // whether the host has Open vSwitch, should it not answer; nil: it has
	Session *ovsdb.Session
	Lock    *ovsdb.Lock // nothing is written without it; nil: there is none to ask for
	Switch  *ofctl.Client
	Host    Host
	Logger  *slog.Logger
	Now     func() time.Time
	// SwitchTimeout bounds the wait for ovs-vswitchd to take up a transaction;
	// 0 means 5 s.
	SwitchTimeout time.Duration
	// OrphanGrace is the least time between the two full observations that make a
	// port an orphan; 0 means 10 s.
	OrphanGrace time.Duration
}

// Backend implements reconcile.Backend.
type Backend struct {
	cfg     Config
	images  *images
	watch   *watcher
	altered map[string]unstuck // by target
	wipes   *wipes
	orphans orphanage
	moving  bool // the last pass had guests that move, or learned flows of such
	left    left
	host    atomic.Pointer[seenHost]
	doubted map[string]bool // bridges whose datapath may know mirrors as they were; nil: not looked at yet
	changes chan struct{}
}

// seenHost is the host that a snapshot of the database shows.
type seenHost struct {
	rows   uint64 // ovsdb.Snapshot.Serial
	kernel bool   // its datapath answers
	model.OVSHost
}

// hostIn turns a snapshot into a host, once for each snapshot. It is shared: do
// not write to it.
func (b *Backend) hostIn(ctx context.Context, snap ovsdb.Snapshot) *model.OVSHost {
	kernel := b.cfg.Host.KernelDatapath(ctx)
	if h := b.host.Load(); h != nil && h.rows == snap.Serial && h.kernel == kernel {
		return &h.OVSHost
	}
	h := &seenHost{snap.Serial, kernel, hostOf(snap, kernel)}
	b.host.Store(h)
	return &h.OVSHost
}

// left is what the last pass ended with. The zero value is none.
type left struct {
	rows    uint64   // ovsdb.Snapshot.Serial
	bridges []string // whose flows it read
}

var _ reconcile.Backend = (*Backend)(nil)

// New returns a backend; Run starts what it listens to.
func New(cfg Config) *Backend {
	if cfg.SwitchTimeout == 0 {
		cfg.SwitchTimeout = 5 * time.Second
	}
	if cfg.OrphanGrace == 0 {
		cfg.OrphanGrace = 10 * time.Second
	}
	b := &Backend{cfg: cfg, altered: map[string]unstuck{}, orphans: orphanage{}, changes: make(chan struct{}, 1)}
	b.images = newImages(cfg.Switch, cfg.Owner)
	b.wipes = newWipes(cfg.Now)
	b.watch = newWatcher(cfg.Switch, func(bridge string, lost bool) {
		if lost {
			b.wipes.lost(bridge)
		}
		b.images.suspect(bridge)
		b.kick()
	})
	return b
}

// Run forwards changes of the database, of the host and of the watched bridges
// until ctx ends.
func (b *Backend) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.watch.run(ctx)
	}()
	defer func() { <-done }()
	var locked <-chan struct{}
	if b.cfg.Lock != nil {
		locked = b.cfg.Lock.Changes()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.cfg.Session.Changes():
		case <-locked:
		case <-b.cfg.Host.Changes():
		}
		b.kick()
	}
}

// Changes implements reconcile.Backend.
func (b *Backend) Changes() <-chan struct{} { return b.changes }

func (b *Backend) kick() {
	select {
	case b.changes <- struct{}{}:
	default:
	}
}

// Facts implements reconcile.Backend.
func (b *Backend) Facts(ctx context.Context, f *model.Facts) error {
	f.Owner = b.cfg.Owner.Name
	f.OVSHere = b.cfg.Session.Synced() || b.cfg.Here == nil || b.cfg.Here()
	if f.Devices == nil {
		devices, err := b.cfg.Host.Devices(ctx)
		if err != nil {
			return fmt.Errorf("list devices: %w", err)
		}
		f.Devices = devices
	}
	snap, err := b.cfg.Session.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("read Open vSwitch: %w", err)
	}
	f.OVS = b.hostIn(ctx, snap)
	return nil
}

// Plan implements reconcile.Backend.
func (b *Backend) Plan(ctx context.Context, want model.Resolved, bind *openflow.Bindings) (plan.Plan, error) {
	b.images.dropAll()
	b.left = left{} // what it reads anew may be for a pass to mend
	p := b.newPass(reconcile.PassInput{Want: want, Bindings: bind})
	if err := p.observe(ctx); err != nil {
		return plan.Plan{}, err
	}
	p.sweep = b.orphans.ripe(p.sightings(), b.cfg.Now(), b.cfg.OrphanGrace)
	return p.diff(true)
}

// attempts is how often a pass is tried while rows change under its hands.
const attempts = 3

// Pass implements reconcile.Backend. A row that somebody changed between the
// reading and the write starts the pass again.
func (b *Backend) Pass(ctx context.Context, in reconcile.PassInput) reconcile.Outcome {
	if in.Full {
		b.images.dropAll()
	}
	if in.Same && !in.Full && b.asLeft(ctx) {
		return reconcile.Outcome{Idle: true}
	}
	b.left = left{}
	var out reconcile.Outcome
	for attempt := range attempts {
		p := b.newPass(in)
		p.last = attempt == attempts-1
		p.look = in.Full && attempt == 0
		err := p.run(ctx)
		p.out.Done = append(out.Done, p.out.Done...)
		maps.Copy(p.out.Wiped, out.Wiped)
		out = p.out
		out.Err = err
		if !stale(err) {
			break
		}
	}
	return out
}

// errNoLock ends a pass: two that write to one switch undo each other's work.
var errNoLock = errors.New("the lock of the database is not had yet")

// mayWrite fails unless this greaved is the one of its name that writes.
func (b *Backend) mayWrite() error {
	if b.cfg.Lock == nil || b.cfg.Lock.State() == ovsdb.LockHeld {
		return nil
	}
	return errNoLock
}

// asLeft tells whether the host shows what the last pass read last. While guests
// move, what the switch has learned counts too, which nothing tells of.
func (b *Backend) asLeft(ctx context.Context) bool {
	snap, err := b.cfg.Session.Snapshot(ctx)
	return err == nil && !b.moving && snap.Serial == b.left.rows && b.images.hold(b.left.bridges)
}

// stale tells whether a write failed because the rows are no longer what was
// observed.
func stale(err error) bool {
	return errors.Is(err, ovsdb.ErrRowChanged) || errors.Is(err, ovsdb.ErrRowGone) || errors.Is(err, ovsdb.ErrExists)
}
