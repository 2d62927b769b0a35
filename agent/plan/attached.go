package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/model"
)

// WantAttached is a row that a bridge refers to and that goes with it, as greave
// wants it: a mirror or a sampler.
type WantAttached struct {
	Object model.Ref
	Table  string // as ovs-vswitchd.conf.db(5) names it
	Bridge string
	// Fields are columns as text, sets in order and with commas, ports by name.
	// Those that are not named are empty.
	Fields map[string]string
	Marks  map[string]string
	Row    string // id of the row that there is; empty: none
	// Room is whether a bridge has any number of such rows, not one.
	Room bool
	// Ports are columns that hold ports: what the switch does not have is left out.
	Ports []string
}

// target is what an operation on it is called by.
func (w WantAttached) target() string {
	return fmt.Sprintf("%s %s of bridge %s", strings.ToLower(w.Table), w.Object.Name, w.Bridge)
}

// wantAttached lists them all, one function a kind.
func wantAttached(r model.Resolved) []WantAttached {
	return append(mirrorRows(r), samplerRows(r)...)
}

// attached plans the creation and change of attached rows, and finds those that
// nobody wants any more.
func (d *differ) attached(ports map[string]WantPort, bridges map[string]WantBridge) {
	ours, foreign := d.haveAttached()
	for _, w := range wantAttached(d.Want) {
		w.Marks = marksOf(d.Owner, w.Object)
		key := attachedKey{w.Object, w.Table, w.Bridge}
		if len(ours[key]) == 0 && !w.Room {
			key = d.predecessor(key, ours)
		}
		have := ours[key]
		if _, told := d.plan.Notices[w.Object]; told || d.failed(w.Object) { // its port, or it, is not as it should be
			delete(ours, key)
			continue
		}
		if b := (model.Ref{Kind: model.KindBridge, Name: w.Bridge}); bridges[w.Bridge].Name == "" || d.failed(b) {
			d.plan.Notices[w.Object] = model.Notice{Reason: model.NoticeBlockedOn, Message: "waits for " + b.String(), On: []model.Ref{b}}
			continue
		}
		if id := foreign[attachedKey{table: w.Table, bridge: w.Bridge}]; id != "" && !w.Room {
			d.plan.Notices[w.Object] = model.Notice{Reason: model.NoticeConflict, Message: fmt.Sprintf(
				"bridge %s has a %s of somebody else, and has room for one: remove it, or leave %s out", w.Bridge, w.Table, w.Object)}
			continue
		}
		d.onSwitch(&w, ports)
		op := Op{Verb: Create, Stage: StageAdd, Object: w.Object, Target: w.target(), Disruption: None, Attached: &w}
		if len(have) > 0 {
			row := d.Have.Attached[have[0]]
			op.Verb, w.Row = Update, have[0]
			op.Changes = append(fieldChanges(w.Fields, row.Fields), markChanges(w.Marks, row.ExternalIDs)...)
			ours[key] = have[1:] // what is there twice goes
		} else {
			op.Changes = fieldChanges(w.Fields, nil)
		}
		if len(op.Changes) > 0 {
			d.op(op)
		}
	}
	d.unwanted = ours
}

// predecessor is the row of another object, wanted no more, in whose place a new
// one comes: where a bridge has room for one, it becomes the new one's.
func (d *differ) predecessor(key attachedKey, ours map[attachedKey][]string) attachedKey {
	wanted := map[attachedKey]bool{}
	for _, w := range wantAttached(d.Want) {
		wanted[attachedKey{w.Object, w.Table, w.Bridge}] = true
	}
	for old := range ours {
		if old.table == key.table && old.bridge == key.bridge && !wanted[old] && !d.undecided(old.object) {
			return old
		}
	}
	return key
}

type attachedKey struct {
	object        model.Ref
	table, bridge string
}

// haveAttached lists the rows that are greave's by whose they are, and one of
// somebody else by table and bridge.
func (d *differ) haveAttached() (ours map[attachedKey][]string, foreign map[attachedKey]string) {
	ours, foreign = map[attachedKey][]string{}, map[attachedKey]string{}
	for _, id := range slices.Sorted(maps.Keys(d.Have.Attached)) {
		a := d.Have.Attached[id]
		if !d.owns(a.ExternalIDs) {
			foreign[attachedKey{table: a.Table, bridge: a.Bridge}] = id
			continue
		}
		key := attachedKey{refOf(a.ExternalIDs, model.Ref{Kind: model.KindBridge, Name: a.Bridge}), a.Table, a.Bridge}
		ours[key] = append(ours[key], id)
	}
	return ours, foreign
}

// onSwitch leaves out of port columns what the switch does not have and this pass
// does not make.
func (d *differ) onSwitch(w *WantAttached, ports map[string]WantPort) {
	for _, column := range w.Ports {
		names := slices.DeleteFunc(strings.Split(w.Fields[column], ","), func(name string) bool {
			p, wanted := ports[name]
			_, there := d.Have.Ports[name]
			return name == "" || !there && (!wanted || d.failed(p.Object))
		})
		w.Fields[column] = strings.Join(names, ",")
	}
}

func fieldChanges(want, have map[string]string) []Change {
	keys := map[string]bool{}
	for _, m := range []map[string]string{want, have} {
		for k := range m {
			keys[k] = true
		}
	}
	var c changes
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		c.add(k, have[k], want[k])
	}
	return c
}

// detach plans to take away what is ours and no longer wanted. What is on a bridge
// that is gone then needs no operation of its own; one that is kept for the ports of
// others does.
func (d *differ) detach(gone map[string]bool) {
	keys := slices.SortedFunc(maps.Keys(d.unwanted), func(a, b attachedKey) int {
		return cmp.Or(a.object.Compare(b.object), strings.Compare(a.table, b.table), strings.Compare(a.bridge, b.bridge))
	})
	for _, key := range keys {
		if gone[key.bridge] || d.undecided(key.object) {
			continue
		}
		for _, id := range d.unwanted[key] {
			w := WantAttached{Object: key.object, Table: key.table, Bridge: key.bridge, Row: id}
			d.op(Op{Verb: Delete, Stage: StageRemove, Object: key.object, Target: w.target(), Disruption: None, Attached: &w})
		}
	}
}
