package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/model"
)

// orphansNamed is how many left-over ports a remark names.
const orphansNamed = 5

// sweep plans to remove the ports of guests that others left behind, on bridges
// that ask for it, and says of the others which there are. It is the one place
// where greave removes a row that it did not make.
func (d *differ) sweep(bridges map[string]WantBridge) {
	left := map[model.Ref][]string{}
	for _, name := range slices.Sorted(maps.Keys(d.Want.Orphans)) {
		have, exists := d.Have.Ports[name]
		b, wanted := bridges[have.Bridge]
		id := d.Want.Orphans[name]
		if !exists || !wanted || d.failed(b.Ref()) || d.owns(have.ExternalIDs) || have.ExternalIDs[model.IDIface] != id {
			continue
		}
		reason, ripe := d.Sweep[name]
		if !ripe || !b.SweepOrphans {
			left[b.Ref()] = append(left[b.Ref()], name)
			continue
		}
		d.swept[name] = true
		d.op(Op{Verb: Sweep, Stage: StageRemove, Object: b.Ref(), Target: "port " + name, Disruption: None,
			Changes: []Change{{model.IDIface, id, ""}, {"reason", "", reason}},
			Port:    &WantPort{Object: b.Ref(), Name: name, Bridge: have.Bridge, Bound: true}})
	}
	for ref, names := range left {
		d.plan.Remarks[ref] = orphansText(names, bridges[ref.Name].SweepOrphans)
	}
}

func orphansText(names []string, sweeps bool) string {
	shown := strings.Join(names[:min(len(names), orphansNamed)], ", ")
	if n := len(names) - orphansNamed; n > 0 {
		shown += fmt.Sprintf(" and %d more", n)
	}
	what := "sweep_orphans: true would remove them"
	if sweeps {
		what = "they go if that stays so"
	}
	return fmt.Sprintf("ports of guests whose devices are gone: %s; %s", shown, what)
}
