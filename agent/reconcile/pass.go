package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// work is what one pass starts from.
type work struct {
	sources []SourceStatus
	gen     uint64
	agreed  map[string]bool // sources that agree to a mass removal
	unknown error           // of a source whose document cannot be read
	desired desired
	facts   model.Facts
	want    model.Resolved
	values  map[model.Ref]any
}

// begin takes down what is in force.
func (l *Loop) begin() (w work, all states) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.gen, w.agreed, all = l.gen, map[string]bool{}, states{}
	for _, name := range slices.Sorted(maps.Keys(l.sources)) {
		c := l.sources[name]
		s := SourceStatus{Source: name, Revision: c.Revision.Revision, gen: c.gen}
		if c.err != nil {
			s.Error = c.err.Error()
			w.unknown = cmp.Or(w.unknown, fmt.Errorf("source %q: %w", name, c.err))
		} else {
			all[name] = c.state
		}
		if c.MassRemoval || c.state.AllowMassRemoval || c.state.AllowEmpty && c.state.Empty() {
			w.agreed[name] = true
		}
		w.sources = append(w.sources, s)
	}
	if !l.loaded {
		w.unknown = ErrNotLoaded
	}
	return w, all
}

// pass makes one pass. It returns when the host's own changes may start the
// next one, and when that is due in any case; zero: not.
func (l *Loop) pass(ctx context.Context) (floor, next time.Time) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.PassTimeout)
	defer cancel()
	w, all := l.begin()
	w.desired = l.desired(w.gen, all)
	l.ask(&w.facts, w.desired.union)
	if err := l.cfg.Backend.Facts(ctx, &w.facts); err != nil {
		if errors.Is(ctx.Err(), context.Canceled) { // greave stops
			return floor, next
		}
		w.facts.OVS = nil
		w.resolve()
		l.publish(l.absent(w, err))
		return l.afterBroken(err)
	}
	l.facts.Store(&w.facts)
	w.resolve()
	if why := l.cfg.Standby(); why != "" {
		l.broken, l.full = 0, true
		l.publish(l.standingBy(w, why))
		return floor, next
	}
	if len(w.sources) == 0 || w.unknown != nil { // what is wanted is not known: observe only
		l.broken = 0
		l.publish(l.idle(w))
		return floor, next
	}
	same := w.gen == l.begun && l.clean && reflect.DeepEqual(l.resolved, w.want)
	if w.gen != l.begun {
		l.begun, l.stuck = w.gen, 0
		l.publish(l.underWay(w))
	}
	l.clean = false
	held := l.hold(w.desired, w.values, w.facts)
	start := l.cfg.Now()
	out := l.cfg.Backend.Pass(ctx, PassInput{Want: w.want, Bindings: l.bindings, Hold: held, Full: l.full, Same: same, Guard: l.guard(w), Persist: l.persist})
	if out.Idle { // most often it is greave's own writes that the host told of
		l.clean = true
		return floor, next
	}
	if len(out.Done) > 0 {
		l.log.Info("host changed", "op", countOps(out.Done), "took", l.cfg.Now().Sub(start))
	}
	if out.Err != nil {
		l.persist()
		if errors.Is(ctx.Err(), context.Canceled) { // greave stops
			return floor, next
		}
		l.publish(l.unfinished(w, out.Err))
		return l.afterBroken(out.Err)
	}
	l.settle(w, held, out)
	l.clean = len(l.retries)+len(out.Notices)+len(out.Away) == 0 && out.Remaining.Empty()
	if away, ok := out.Away[model.BackendOVS]; ok {
		return l.afterBroken(away.Err)
	}
	return l.afterPass(out)
}

// ask says what is to be found out for a desired state.
func (l *Loop) ask(f *model.Facts, union model.HostState) {
	f.Choice.Kept = l.built()
	f.AskFor = func(c model.Choice) []model.WayAsk { return model.Asks(union, c) }
}

// built is where bridges have been built: auto does not move them.
func (l *Loop) built() map[model.Ref]model.Backend {
	out := map[model.Ref]model.Backend{}
	for name := range l.bindings.Names()[openflow.PoolBackends] {
		for _, b := range []model.Backend{model.BackendOVS, model.BackendKernel} {
			if mark, ok := strings.CutPrefix(name, b.String()+" "); ok {
				if ref, ok := model.ParseRef(mark); ok {
					out[ref] = b
				}
			}
		}
	}
	return out
}

// keepBuilt books where the bridges of a pass are built.
func (l *Loop) keepBuilt(r model.Resolved, used openflow.Names) {
	for ref, on := range r.On {
		if ref.Kind != model.KindBridge {
			continue
		}
		for _, b := range []model.Backend{model.BackendOVS, model.BackendKernel} {
			name := b.String() + " " + ref.Mark()
			if b == on {
				l.bindings.Pool(openflow.PoolBackends).Get(name)
				used.Add(openflow.PoolBackends, name)
			} else {
				l.bindings.Pool(openflow.PoolBackends).Drop(name)
			}
		}
	}
}

func (w *work) resolve() {
	w.want = model.Resolve(w.desired.union, w.facts)
	w.values = valuesOf(w.desired, w.want)
}

// settle books what a finished pass found.
func (l *Loop) settle(w work, held map[model.Ref]model.Notice, out Outcome) {
	l.full = false
	if len(out.Away) == 0 {
		l.broken, l.reached = 0, true
	}
	if out.Used == nil {
		out.Used = openflow.Names{}
	}
	l.keepBuilt(w.want, out.Used)
	l.settleRetries(w.values, held, out.Notices)
	drift := l.bookRepairs(l.repairsIn(out, w.values, w.want), w.desired, w.values)
	if l.releasable(w, out) {
		l.bindings.Retain(out.Used)
	}
	l.persist()
	h := l.judge(w, out, drift)
	l.values, l.resolved = w.values, w.want
	l.realised = map[model.Ref]any{}
	for _, o := range h.Objects {
		if o.State == Active || o.State == Degraded {
			l.realised[o.Ref] = w.values[o.Ref]
		}
	}
	l.publish(h)
}

// releasable tells whether the host holds nothing of what is not in use: no
// operation is left, and no object was passed over that may still be there.
func (l *Loop) releasable(w work, out Outcome) bool {
	for ref, n := range out.Notices {
		if _, blocked := w.want.Blocked[ref]; !blocked && n.Reason != model.NoticeAlteredBySwitch {
			return false
		}
	}
	return out.Remaining.Empty()
}

// persist hands new bindings to the store. What cannot be written is kept for
// the next time.
func (l *Loop) persist() {
	if d := l.bindings.Delta(); !d.Empty() {
		l.unsaved = append(l.unsaved, d)
	}
	for len(l.unsaved) > 0 {
		if err := l.cfg.Store.AppendBindings(l.unsaved[0]); err != nil {
			l.log.Warn("bindings cannot be kept", "err", err)
			return
		}
		l.unsaved = l.unsaved[1:]
	}
}

func (l *Loop) afterBroken(err error) (floor, next time.Time) {
	if l.broken == 0 {
		l.log.Warn("pass not finished", "err", err)
	}
	wait := backoff(l.broken, brokenMin, brokenMax)
	l.broken++
	l.full = true
	now := l.cfg.Now()
	return now.Add(min(wait, urgeMax)), now.Add(wait)
}

// afterPass paces passes that leave something undone: their own writes come
// back as changes of the host.
func (l *Loop) afterPass(out Outcome) (floor, next time.Time) {
	next = l.nextRetry()
	if len(out.Wiped) > 0 { // who does so may go on: no more than ten times a second
		floor = l.cfg.Now().Add(brokenMin)
	}
	if out.Remaining.Empty() {
		l.stuck = 0
		return floor, next
	}
	floor = l.cfg.Now().Add(backoff(l.stuck, brokenMin, l.cfg.MaxBackoff))
	l.stuck++
	if next.IsZero() || floor.Before(next) {
		next = floor
	}
	return floor, next
}

func countOps(ops []plan.Op) string {
	counts := map[plan.Verb]int{}
	for _, o := range ops {
		counts[o.Verb]++
	}
	var parts []string
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", v, counts[v]))
	}
	return strings.Join(parts, ", ")
}
