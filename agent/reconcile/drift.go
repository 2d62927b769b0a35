package reconcile

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
)

// An object that had to be repaired more than flapMax times within flapWindow
// is left alone for flapHold: two that fight over a switch help nobody.
const (
	flapMax    = 10
	flapWindow = time.Minute
	flapHold   = time.Minute
)

// repairsIn picks from what a pass did that which nobody had asked for anew:
// the object's rows were right after the last pass and are wanted unchanged.
// Flows, and rows that are taken away and do not say whose they were, count only
// where nothing at all was to change. A bridge that had lost all flows counts as
// one repair, of the bridge.
func (l *Loop) repairsIn(o Outcome, values map[model.Ref]any, r model.Resolved) map[model.Ref]repair {
	out := map[model.Ref]repair{}
	same := reflect.DeepEqual(l.resolved, r)
	wiped := map[string]bool{}
	for ref, cause := range o.Wiped {
		wiped[plan.FlowsOf(ref.Name)] = true
		out[ref] = repair{wiped: cause}
	}
	for _, op := range o.Done {
		if wiped[op.Target] { // one event, not one for each object that lost a flow
			continue
		}
		was, ok := l.realised[op.Object]
		if !ok || op.Verb == plan.Sweep || ofMove(op) || !same && !attributed(op) || !reflect.DeepEqual(was, values[op.Object]) {
			continue
		}
		is := out[op.Object]
		is.ops = append(is.ops, op)
		out[op.Object] = is
	}
	return out
}

// repair is what a pass mended of one object.
type repair struct {
	wiped string // of a bridge: what took all its flows
	ops   []plan.Op
}

func (r repair) String() string {
	switch {
	case r.wiped == "":
		return opsText(r.ops)
	case len(r.ops) == 0:
		return r.wiped + "; put back"
	}
	return r.wiped + "; put back, and: " + opsText(r.ops)
}

// attributed tells whether an operation is surely on account of its object. The
// kernel's tables have no place to say what a row is for, except of a device:
// one that goes is booked on its device's object, and its own is not stated any
// more.
func attributed(op plan.Op) bool {
	switch op.Verb {
	case plan.Install, plan.Withdraw:
		return false
	case plan.Delete:
		return op.Row == nil || op.Row.Object != model.Ref{}
	}
	return true
}

// bookRepairs logs repairs and holds what flaps. It returns the conditions that
// tell of them.
func (l *Loop) bookRepairs(repairs map[model.Ref]repair, d desired, values map[model.Ref]any) map[model.Ref]Condition {
	now := l.cfg.Now()
	out := map[model.Ref]Condition{}
	for i, ref := range slices.SortedFunc(maps.Keys(repairs), model.Ref.Compare) {
		text := repairs[ref].String()
		out[ref] = Condition{Type: ConditionDrift, Reason: ReasonRepaired, Message: "another changed it; mended: " + text, Since: now}
		if i < maxLines {
			l.log.Info("drift repaired", "object", ref.String(), "source", d.source[ref], "op", text)
		}
		if len(repairs[ref].ops) == 0 { // leaving a bridge without flows would cut all its traffic
			continue
		}
		recent := slices.DeleteFunc(l.repairs[ref], func(t time.Time) bool { return now.Sub(t) > flapWindow })
		l.repairs[ref] = append(recent, now)
		if len(l.repairs[ref]) <= flapMax {
			continue
		}
		delete(l.repairs, ref)
		message := fmt.Sprintf("repaired more than %d times within %s, last: %s; left alone for %s", flapMax, flapWindow, text, flapHold)
		l.retries[ref] = &retry{notice: model.Notice{Reason: ReasonFlapping, Message: message}, until: now.Add(flapHold), value: values[ref], flapping: true}
		out[ref] = Condition{Type: ConditionDrift, Status: true, Reason: ReasonFlapping, Message: message, Since: now}
		l.log.Warn("object flaps", "object", ref.String(), "source", d.source[ref], "err", message)
	}
	if n := len(repairs) - maxLines; n > 0 {
		l.log.Info(fmt.Sprintf("drift of %d more objects repaired", n))
	}
	for ref := range l.repairs {
		if _, wanted := values[ref]; !wanted {
			delete(l.repairs, ref)
		}
	}
	return out
}

func opsText(ops []plan.Op) string {
	lines := make([]string, len(ops))
	for i, o := range ops {
		lines[i] = strings.Join(strings.Fields(o.String()), " ")
	}
	return strings.Join(lines, "; ")
}
