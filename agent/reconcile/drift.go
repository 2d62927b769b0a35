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
	"github.com/greave-sdn/greave/openflow"
)

// An object that had to be repaired more than flapMax times within flapWindow
// is left alone for flapHold: two that fight over a switch help nobody.
const (
	flapMax    = 10
	flapWindow = time.Minute
	flapHold   = time.Minute
)

// bridgeValue is what the rows of a bridge follow from: its shared tunnel
// ports come with the encapsulations in use.
type bridgeValue struct {
	model.Bridge
	encaps []model.Encap
}

// valuesOf is what the rows of each object follow from.
func valuesOf(d desired, r model.Resolved) map[model.Ref]any {
	out := make(map[model.Ref]any, len(d.objects))
	for ref, o := range d.objects {
		out[ref] = o
	}
	var encaps []model.Encap
	if len(r.Bridges) > 0 {
		encaps = slices.Sorted(slices.Values(openflow.Encaps(r)))
	}
	for _, b := range r.Bridges {
		out[b.Ref()] = bridgeValue{b, encaps}
	}
	for _, p := range r.Ports {
		p.Ofport = 0 // the host's to choose
		out[p.Ref()] = p
	}
	for _, t := range r.Tunnels {
		out[t.Ref()] = t
	}
	return out
}

// repairsIn picks from what a pass did that which nobody had asked for anew:
// the object's rows were right after the last pass and are wanted unchanged,
// or nothing at all was to change and yet flows had to be written.
func (l *Loop) repairsIn(done []plan.Op, values map[model.Ref]any, r model.Resolved) map[model.Ref][]plan.Op {
	var out map[model.Ref][]plan.Op
	same := reflect.DeepEqual(l.resolved, r)
	for _, op := range done {
		was, ok := l.realised[op.Object]
		flows := op.Verb == plan.Install || op.Verb == plan.Withdraw
		if !ok || flows && !same || !reflect.DeepEqual(was, values[op.Object]) {
			continue
		}
		if out == nil {
			out = map[model.Ref][]plan.Op{}
		}
		out[op.Object] = append(out[op.Object], op)
	}
	return out
}

// bookRepairs logs repairs and holds what flaps. It returns the conditions that
// tell of them.
func (l *Loop) bookRepairs(repairs map[model.Ref][]plan.Op, d desired, values map[model.Ref]any) map[model.Ref]Condition {
	now := l.cfg.Now()
	out := map[model.Ref]Condition{}
	for i, ref := range slices.SortedFunc(maps.Keys(repairs), model.Ref.Compare) {
		text := opsText(repairs[ref])
		out[ref] = Condition{Type: ConditionDrift, Reason: ReasonRepaired, Message: "another changed it; mended: " + text, Since: now}
		if i < maxLines {
			l.log.Info("drift repaired", "object", ref.String(), "source", d.source[ref], "op", text)
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
