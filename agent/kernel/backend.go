// Package kernel is the backend that builds resolved objects over netlink: it
// reads the kernel's tables into rows, carries out a plan row by row, and
// believes a write only when it reads it back.
//
// It must not import the generated API, gRPC or libovsdb.
package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/greave-sdn/greave/agent/crash"
	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// Facts is what this backend asks of the host beside the tables.
type Facts interface {
	// Devices lists the network devices with their addresses.
	Devices(ctx context.Context) (map[string]model.Device, error)
	// Ways looks up routes; one that there is not is absent.
	Ways(ctx context.Context, asks []model.WayAsk) (map[model.WayAsk]model.Way, error)
}

// Tables is what reads and writes the kernel's tables; Host is one.
type Tables interface {
	Read(ctx context.Context, s Scope) (map[rows.Key]rows.Row, error)
	// Do carries out operations that do not depend on each other, of a length that Together gives, and
	// returns what came of each.
	Do(ctx context.Context, ops []plan.Op) []error
	// Counters reads those of all devices of the namespaces.
	Counters(ctx context.Context, netns []string) (map[LinkAt]Counters, error)
	// Watch calls event when something may have changed, until ctx ends.
	Watch(ctx context.Context, event func(whole bool))
}

// Config says what the backend works with.
type Config struct {
	Owner  model.Owner
	Tables Tables
	Facts  Facts
	Logger *slog.Logger
	Now    func() time.Time
}

// Backend implements reconcile.Backend.
type Backend struct {
	cfg     Config
	changes chan struct{}
	shut    map[model.Ref]time.Time // tunnels that led into themselves, until when they stay down
}

var _ reconcile.Backend = (*Backend)(nil)

// New returns a backend; Run starts what it listens to.
func New(cfg Config) *Backend {
	return &Backend{cfg: cfg, changes: make(chan struct{}, 1), shut: map[model.Ref]time.Time{}}
}

// Run listens for changes of the kernel's tables until ctx ends. A pass reads
// all of them, so that lost events cost no more than others.
func (b *Backend) Run(ctx context.Context) error {
	b.cfg.Tables.Watch(ctx, func(bool) {
		select {
		case b.changes <- struct{}{}:
		default:
		}
	})
	return nil
}

// Changes implements reconcile.Backend.
func (b *Backend) Changes() <-chan struct{} { return b.changes }

// Facts implements reconcile.Backend.
func (b *Backend) Facts(ctx context.Context, f *model.Facts) error {
	devices, err := b.cfg.Facts.Devices(ctx)
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	f.Devices = devices
	if f.AskFor == nil {
		return nil
	}
	if f.Ways, err = b.cfg.Facts.Ways(ctx, f.AskFor(f.Choice)); err != nil {
		return fmt.Errorf("look up routes: %w", err)
	}
	return nil
}

// Plan implements reconcile.Backend.
func (b *Backend) Plan(ctx context.Context, want model.Resolved, bind *openflow.Bindings) (plan.Plan, error) {
	p := b.newPass(reconcile.PassInput{Want: want, Bindings: bind})
	return p.diff(ctx)
}

// rounds is how often a pass reads and writes: what one round takes away may
// have been in the way of what it made.
const rounds = 3

// Pass implements reconcile.Backend.
func (b *Backend) Pass(ctx context.Context, in reconcile.PassInput) (out reconcile.Outcome) {
	p := b.newPass(in)
	for round := range rounds {
		d, err := p.diff(ctx)
		if err != nil {
			out.Err = err
			return out
		}
		out.Remaining, out.Notices, out.Used = d, d.Notices, d.Used
		if d.Empty() || round == rounds-1 {
			break
		}
		if round == 0 && in.Holds(&out.Remaining) {
			return out
		}
		in.Persist() // what carries no mark is known as greave's before it is there
		done, err := p.do(ctx, d.Ops)
		out.Done = append(out.Done, done...)
		if err != nil {
			out.Err = err
			return out
		}
	}
	maps.Copy(out.Notices, p.refused)
	return out
}

// pass is the state of one pass.
type pass struct {
	*Backend
	in      reconcile.PassInput
	program rows.Program
	refused map[model.Ref]model.Notice // by the kernel, in this pass
}

func (b *Backend) newPass(in reconcile.PassInput) *pass {
	p := &pass{Backend: b, in: in, refused: map[model.Ref]model.Notice{}}
	want := in.Want
	notices := b.loops(&want)
	p.program = rows.Compile(want, b.cfg.Owner)
	maps.Copy(p.program.Notices, notices)
	maps.Copy(p.program.Notices, in.Want.Blocked)
	return p
}

// shutFor is how long a tunnel stays down whose far end was reached through it.
const shutFor = time.Minute

// loops takes tunnels down whose far end is reached through themselves: each
// packet would be encapsulated again until none fits. Down, a tunnel has no
// routes, so that it stays down for a while: what made the route may do it again.
func (b *Backend) loops(want *model.Resolved) map[model.Ref]model.Notice {
	out, now, wanted := map[model.Ref]model.Notice{}, b.cfg.Now(), map[model.Ref]bool{}
	want.Tunnels = slices.Clone(want.Tunnels)
	for i, t := range want.Tunnels {
		ref := t.Ref()
		wanted[ref] = true
		if t.Loops {
			b.shut[ref] = now.Add(shutFor)
		}
		if until, ok := b.shut[ref]; ok && now.Before(until) {
			want.Tunnels[i].Loops = true
			out[ref] = model.Notice{Reason: model.NoticeRecursive, Message: fmt.Sprintf(
				"the route to %s led through this tunnel itself; it is down for %s: give the far end a route of its own", t.RemoteAddr, shutFor)}
		} else {
			delete(b.shut, ref)
		}
	}
	maps.DeleteFunc(b.shut, func(ref model.Ref, _ time.Time) bool { return !wanted[ref] })
	return out
}

// scope is what a reading of the tables has to hold.
func (p *pass) scope() Scope {
	s := Scope{Owner: p.cfg.Owner, Links: map[LinkAt]bool{}, Listed: p.listed}
	for _, r := range p.program.Rows {
		if r.Netns != "" && !slices.Contains(s.Netns, r.Netns) {
			s.Netns = append(s.Netns, r.Netns)
		}
		if r.Table == rows.Link {
			s.Links[LinkAt{r.Netns, r.Link}] = true
		}
	}
	for name := range p.in.Bindings.Names()[openflow.PoolNetns] {
		if !slices.Contains(s.Netns, name) {
			s.Netns = append(s.Netns, name)
		}
	}
	return s
}

func (p *pass) listed(k rows.Key) bool {
	_, ok := p.in.Bindings.Pool(openflow.PoolRows).Lookup(k.String())
	return ok
}

// diff reads the tables and plans. It takes down what is to be known as
// greave's although it carries no mark, and which namespaces it has things in.
func (p *pass) diff(ctx context.Context) (plan.Plan, error) {
	have, err := p.cfg.Tables.Read(ctx, p.scope())
	if err != nil {
		return plan.Plan{}, fmt.Errorf("read the kernel's tables: %w", err)
	}
	failed := maps.Clone(p.in.Hold)
	if failed == nil {
		failed = map[model.Ref]model.Notice{}
	}
	maps.Copy(failed, p.refused)
	d := plan.DiffKernel(plan.KernelInput{Want: p.program.Rows, Have: have, Notices: p.program.Notices, Failed: failed, Listed: p.listed})
	p.list(&d, have)
	return d, nil
}

// list takes down which rows without a mark are greave's: those that it is about to make, and those
// that it has made. One that was there before is somebody else's. A port that the document binds is
// greave's to let go of, whoever put it under the bridge.
func (p *pass) list(d *plan.Plan, have map[rows.Key]rows.Row) {
	d.Used = openflow.Names{}
	take := func(pool, name string) {
		p.in.Bindings.Pool(pool).Get(name)
		d.Used.Add(pool, name)
	}
	for _, o := range d.Ops {
		if o.Row.Unmarked && o.Verb != plan.Delete {
			take(openflow.PoolRows, o.Row.Key.String())
		}
	}
	for _, w := range p.program.Rows {
		if w.Bound || w.Unmarked && p.listed(w.Key) {
			take(openflow.PoolRows, w.Key.String())
		}
		if w.Netns != "" {
			take(openflow.PoolNetns, w.Netns)
		}
	}
	for k, h := range have {
		if h.Unmarked && h.Owned || h.Table == rows.Link && !h.Owned && h.Fields[rows.FieldMaster] != "" && p.listed(k) {
			d.Used.Add(openflow.PoolRows, k.String())
		}
		if h.Owned && k.Netns != "" {
			d.Used.Add(openflow.PoolNetns, k.Netns)
		}
	}
}

// do carries out operations, those together that do not depend on each other.
// One that the kernel refuses costs its object those of its own that come after,
// and no other object anything.
func (p *pass) do(ctx context.Context, ops []plan.Op) (done []plan.Op, err error) {
	again := false               // something made room
	left := map[model.Ref]bool{} // objects that the next round goes on with
	for len(ops) > 0 {
		n := together(ops)
		run := make([]plan.Op, 0, n)
		for _, o := range ops[:n] {
			if _, refused := p.refused[o.Object]; !(refused || left[o.Object]) || o.Stage != plan.StageAdd {
				run = append(run, o)
			}
		}
		ops = ops[n:]
		crash.At("kernel-new")
		results := p.cfg.Tables.Do(ctx, run)
		crash.At("kernel-written")
		for i, err := range results {
			o := run[i]
			_, refused := p.refused[o.Object]
			switch {
			case err == nil || o.Verb == plan.Delete && IsGone(err):
				done = append(done, o)
				again = again || o.Verb == plan.Delete
			case IsGone(err): // it went away since it was read: the next round sees
				left[o.Object] = true
			case ctx.Err() != nil:
			case o.Row.Unmarked && o.Verb == plan.Create && IsExists(err): // somebody was faster
				p.in.Bindings.Pool(openflow.PoolRows).Drop(o.Row.Key.String())
				fallthrough
			case !refused:
				p.refused[o.Object] = notice(o, err)
			}
		}
		if ctx.Err() != nil {
			return done, fmt.Errorf("write the kernel's tables: %w", ctx.Err())
		}
	}
	if again {
		maps.DeleteFunc(p.refused, func(_ model.Ref, n model.Notice) bool { return n.Reason == model.NoticeConflict })
	}
	return done, nil
}

// notice says what a refusal means.
func notice(o plan.Op, err error) model.Notice {
	n := model.Notice{Reason: model.NoticeKernelRefused, Message: err.Error()}
	switch {
	case IsDriverMissing(err):
		n.Reason = model.NoticeDriverMissing
	case IsDenied(err):
		n.Reason = model.NoticeNoPermission
	case IsExists(err):
		n.Reason = model.NoticeConflict
	}
	return n
}
