package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
)

// A pass that would take away more than massLeast objects that are more than massPercent of what
// greave has on the host waits until somebody agrees: half a document, a source that came without
// the others after the state was lost, and a template that rendered empty all look like a wish.
const (
	massLeast   = 20
	massPercent = 30
)

// guard returns what holds back a pass of w.
func (l *Loop) guard(w work) func(plan.Plan) string {
	if l.cfg.AllowMassRemoval {
		return nil
	}
	return func(p plan.Plan) string { return l.massRemoval(p, w.desired, w.agreed) }
}

// massRemoval says what is wrong with a plan that takes too much away, "" when it does not. What goes
// is what the plan takes away and, for what goes with the bridge that it is on, what the last status
// knows and nobody states any more.
func (l *Loop) massRemoval(p plan.Plan, d desired, agreed map[string]bool) string {
	gone, created := map[model.Ref]bool{}, map[model.Ref]bool{}
	for _, o := range p.Ops {
		switch o.Verb {
		case plan.Create:
			created[o.Object] = true
		case plan.Delete, plan.Withdraw, plan.Unmark:
			for _, ref := range append([]model.Ref{o.Object}, o.Affects...) {
				if _, wanted := d.objects[ref]; !wanted {
					gone[ref] = true
				}
			}
		}
	}
	if len(gone) == 0 {
		return ""
	}
	source := map[model.Ref]string{} // what the host showed after a start has none: anybody's yes counts
	for _, o := range l.Status().Objects {
		if _, wanted := d.objects[o.Ref]; !wanted {
			gone[o.Ref], source[o.Ref] = true, o.Source
		}
	}
	unasked := 0
	for ref := range gone {
		if whose := source[ref]; !agreed[whose] && (whose != "" || len(agreed) == 0) {
			unasked++
		}
	}
	kept := 0
	for ref := range d.objects {
		if _, was := l.realised[ref]; was || len(l.realised) == 0 && !created[ref] {
			kept++
		}
	}
	all := len(gone) + kept
	if unasked <= massLeast || unasked*100 <= massPercent*all {
		return ""
	}
	return fmt.Sprintf("%d of %d objects of greave's would be taken away at once (%s): if that is meant, say greave apply --allow-mass-removal, or allow_mass_removal: true in the document",
		unasked, all, kindsOf(gone))
}

// kindsOf counts objects by kind: "fdb 20, port 3".
func kindsOf(refs map[model.Ref]bool) string {
	counts := map[model.Kind]int{}
	var kinds []model.Kind
	for ref := range refs {
		if counts[ref.Kind]++; counts[ref.Kind] == 1 {
			kinds = append(kinds, ref.Kind)
		}
	}
	slices.Sort(kinds)
	var out []string
	for _, k := range kinds {
		out = append(out, fmt.Sprintf("%s %d", k, counts[k]))
	}
	return strings.Join(out, ", ")
}
