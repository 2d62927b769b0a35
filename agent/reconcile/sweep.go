package reconcile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
)

// ConditionSwept is of a bridge: ports that others left behind were removed.
const ConditionSwept = "Swept"

// ReasonSwept is the reason of ConditionSwept.
const ReasonSwept = "ORPHANS_REMOVED"

// swept tells of ports of others that a pass removed: once in the log, and as a
// condition of their bridge, which stays until something else is desired of it.
func (g *ledger) swept(done []plan.Op) {
	gone := map[model.Ref][]string{}
	for _, op := range done {
		if op.Verb == plan.Sweep {
			gone[op.Object] = append(gone[op.Object], sweptText(op))
			g.l.log.Info("orphaned port removed", "object", op.Object.String(), "op", strings.Join(strings.Fields(op.String()), " "))
		}
	}
	for ref, o := range g.objects {
		i := slices.IndexFunc(o.Conditions, func(c Condition) bool { return c.Type == ConditionSwept })
		if i >= 0 || ref.Kind != model.KindBridge {
			continue
		}
		if texts := gone[ref]; len(texts) > 0 {
			o.Conditions = append(o.Conditions, Condition{Type: ConditionSwept, Status: true, Reason: ReasonSwept, Message: strings.Join(texts, "; "), Since: g.l.cfg.Now()})
		} else if was, ok := g.old.Object(ref); ok && reflect.DeepEqual(g.l.values[ref], g.w.values[ref]) {
			for _, c := range was.Conditions {
				if c.Type == ConditionSwept {
					o.Conditions = append(o.Conditions, c)
				}
			}
		}
		g.objects[ref] = o
	}
}

// sweptText is "port tap9 (iface-id …): its device is gone since …".
func sweptText(op plan.Op) string {
	var id, reason string
	for _, c := range op.Changes {
		switch c.Field {
		case model.IDIface:
			id = c.Old
		case "reason":
			reason = c.New
		}
	}
	return fmt.Sprintf("%s (%s %s): %s", op.Target, model.IDIface, id, reason)
}
