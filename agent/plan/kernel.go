package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/model"
)

// KernelInput is everything a plan on the kernel's tables follows from.
type KernelInput struct {
	Want []rows.Row
	Have map[rows.Key]rows.Row
	// Notices are of objects that are wanted but not among Want, or not wholly:
	// what they have stays.
	Notices map[model.Ref]model.Notice
	// Failed are objects that this pass goes on without: they are neither created
	// nor changed, and nothing of theirs is removed.
	Failed map[model.Ref]model.Notice
	// Listed tells of what carries no mark whether greave made it.
	Listed func(rows.Key) bool
}

// DiffKernel is the plan that turns the kernel's tables into those wanted.
func DiffKernel(in KernelInput) Plan {
	d := &kernelDiffer{KernelInput: in, plan: Plan{Notices: map[model.Ref]model.Notice{}, Remarks: map[model.Ref]string{}},
		want: map[rows.Key]rows.Row{}, gone: map[device]bool{}, blocked: map[device]model.Ref{}}
	maps.Copy(d.plan.Notices, in.Notices)
	maps.Copy(d.plan.Notices, in.Failed)
	if d.Listed == nil {
		d.Listed = func(rows.Key) bool { return false }
	}
	var links []rows.Row // first, bridges before their ports: rows on them follow what becomes of them
	for _, w := range in.Want {
		d.want[w.Key] = w
		if w.Table == rows.Link {
			links = append(links, w)
		}
	}
	slices.SortStableFunc(links, func(a, b rows.Row) int { return cmp.Compare(linkRank(&a), linkRank(&b)) })
	for _, w := range links {
		d.link(w)
	}
	for _, w := range in.Want {
		if w.Table != rows.Link {
			d.row(w)
		}
	}
	d.removals()
	d.reach()
	d.sort()
	return d.plan
}

// device is where a row is.
type device struct{ netns, name string }

func at(k rows.Key) device { return device{k.Netns, k.Link} }

type kernelDiffer struct {
	KernelInput
	plan    Plan
	want    map[rows.Key]rows.Row
	gone    map[device]bool // devices that an operation makes anew or takes away, and all that is on them
	blocked map[device]model.Ref
}

func (d *kernelDiffer) op(o Op) { d.plan.Ops = append(d.plan.Ops, o) }

func (d *kernelDiffer) failed(ref model.Ref) bool {
	_, ok := d.Failed[ref]
	return ok
}

func (d *kernelDiffer) conflict(ref model.Ref, format string, args ...any) {
	d.plan.Notices[ref] = model.Notice{Reason: model.NoticeConflict, Message: fmt.Sprintf(format, args...)}
}

// link plans one device.
func (d *kernelDiffer) link(w rows.Row) {
	have, exists := d.Have[w.Key]
	switch {
	case d.failed(w.Object):
		d.blocked[at(w.Key)] = w.Object
		return
	case d.waits(w, device{w.Netns, w.Fields[rows.FieldMaster]}):
		d.blocked[at(w.Key)] = w.Object
		return
	case d.missing(w) != "":
		d.block(w, model.Notice{Reason: model.NoticeDeviceAbsent, Message: "the host has no device " + d.missing(w) + " yet"})
		return
	case w.Bound && !exists:
		d.block(w, model.Notice{Reason: model.NoticeDeviceAbsent, Message: "the host has no device " + w.Link + " yet"})
		return
	case w.Bound:
		d.boundLink(w, have)
		return
	case exists && !have.Owned && !w.Adopt:
		d.block(w, model.Notice{Reason: model.NoticeConflict, Message: fmt.Sprintf(
			"a device named %s exists and is not greave's: rename it in the document, or set adopt: true to take it over", w.Link)})
		return
	}
	op := Op{Verb: Create, Stage: StageAdd, Object: w.Object, Target: w.Key.String(), Disruption: None, Row: &w}
	if !exists {
		op.Changes = madeOf(w)
		d.op(op)
		return
	}
	op.Changes = d.afterMaster(w, have)
	if len(op.Changes) == 0 {
		return
	}
	op.Verb, op.Disruption = Update, linkDisruption(op.Changes)
	if remade(w, op.Changes) {
		op.Verb, op.Disruption = Recreate, Disruptive
		d.gone[at(w.Key)] = true
	}
	d.op(op)
}

// waits tells whether a row has to wait for a device of another object, and
// says so.
func (d *kernelDiffer) waits(w rows.Row, on device) bool {
	ref, blocked := d.blocked[on]
	if !blocked {
		return false
	}
	if _, told := d.plan.Notices[w.Object]; !told && ref != w.Object {
		d.plan.Notices[w.Object] = model.Notice{Reason: model.NoticeBlockedOn, Message: "waits for " + ref.String(), On: []model.Ref{ref}}
	}
	return true
}

// missing is a device that a link needs and the host has not: a VRF, the device
// that outer packets leave by.
func (d *kernelDiffer) missing(w rows.Row) string {
	for _, f := range []string{rows.FieldMaster, "dev"} {
		name := w.Fields[f]
		k := rows.Key{Netns: w.Netns, Table: rows.Link, Link: name}
		if under, apart := w.Fields[rows.FieldUnderlay]; apart && f == "dev" {
			k.Netns = under
		}
		_, wanted := d.want[k]
		if _, exists := d.Have[k]; name != "" && !wanted && !exists {
			return name
		}
	}
	return ""
}

func (d *kernelDiffer) block(w rows.Row, n model.Notice) {
	d.plan.Notices[w.Object] = n
	d.blocked[at(w.Key)] = w.Object
}

// boundLink plans what greave writes on somebody else's device: whose port it
// is. One that is another's port is left to it.
func (d *kernelDiffer) boundLink(w, have rows.Row) {
	master := have.Fields[rows.FieldMaster]
	if to := w.Fields[rows.FieldMaster]; master != "" && master != to && to != "" && !w.Adopt && !d.ours(w.Netns, master) {
		d.block(w, model.Notice{Reason: model.NoticeConflict, Message: fmt.Sprintf(
			"device %s is a port of %s, which is not greave's: take it out with ip link set %s nomaster, or set adopt: true", w.Link, master, w.Link)})
		return
	}
	changes := d.afterMaster(w, have)
	if len(changes) > 0 {
		d.op(Op{Verb: Update, Stage: StageAdd, Object: w.Object, Target: w.Key.String(), Disruption: linkDisruption(changes), Changes: changes, Row: &w})
	}
}

func (d *kernelDiffer) ours(netns, link string) bool {
	return d.Have[rows.Key{Netns: netns, Table: rows.Link, Link: link}].Owned
}

// afterMaster compares a device with one that has lost its bridge, when the
// bridge is made anew.
func (d *kernelDiffer) afterMaster(w, have rows.Row) []Change {
	if m := have.Fields[rows.FieldMaster]; m != "" && d.gone[device{w.Netns, m}] {
		have.Fields = maps.Clone(have.Fields)
		have.Fields[rows.FieldMaster] = ""
	}
	return linkChanges(w, have)
}

// linkChanges lists the fields that differ, those that say what the device is
// first.
func linkChanges(w, have rows.Row) []Change {
	var c changes
	for _, f := range linkFields(w) {
		old, there := have.Fields[f]
		if port, ok := strings.CutPrefix(f, rows.PortPrefix); ok && !there { // no bridge's port yet
			old = rows.PortDefault(port)
		}
		c.add(f, old, w.Fields[f])
	}
	return c
}

// madeOf lists the fields of a new row that say something: not what any device
// of its kind has.
func madeOf(w rows.Row) []Change {
	usual := rows.Kinds[w.Fields[rows.FieldKind]].Defaults()
	usual[rows.FieldUp], usual[rows.FieldAlias] = "true", w.Fields[rows.FieldAlias]
	delete(usual, rows.FieldKind)
	made := slices.DeleteFunc(linkChanges(w, rows.Row{}), func(c Change) bool { return c.New == usual[c.Field] })
	for i := range made {
		made[i].Old = ""
	}
	return made
}

func linkFields(w rows.Row) []string {
	return slices.SortedFunc(maps.Keys(w.Fields), func(a, b string) int {
		return cmp.Or(cmp.Compare(fieldRank(a), fieldRank(b)), cmp.Compare(a, b))
	})
}

func fieldRank(f string) int {
	switch f {
	case rows.FieldKind:
		return 0
	case rows.FieldMaster:
		return 2
	case rows.FieldAlias:
		return 4
	}
	if strings.HasPrefix(f, rows.PortPrefix) {
		return 3
	}
	return 1
}

// remade tells whether the kernel makes one of the changes only by making the
// device anew.
func remade(w rows.Row, list []Change) bool {
	kind := rows.Kinds[w.Fields[rows.FieldKind]]
	return slices.ContainsFunc(list, func(c Change) bool {
		a, _ := kind.Attr(c.Field)
		return c.Field == rows.FieldKind || c.Field == rows.FieldUnderlay || !a.InPlace(c.Old, c.New)
	})
}

// linkDisruption is the class of a change in place: other endpoints, keys, a
// bridge or a VLAN cut what is in flight; a device that goes down stops.
func linkDisruption(list []Change) Disruption {
	class := None
	for _, c := range list {
		switch c.Field {
		case rows.FieldUp:
			if c.New == "false" {
				return Disruptive
			}
		case "local", "remote", "local6", "remote6", "ikey", "okey", "dev", rows.FieldMaster, rows.FieldVLANs, "vlan_filtering",
			"encap", "encap-dport", "icsum", "iseq":
			class = Brief
		}
	}
	return class
}

// row plans a row of another table.
func (d *kernelDiffer) row(w rows.Row) {
	if d.failed(w.Object) || d.waits(w, d.carrier(w)) {
		return
	}
	have, exists := d.Have[w.Key]
	exists = exists && !d.lost(have)
	op := Op{Verb: Create, Stage: StageAdd, Object: w.Object, Target: w.Key.String(), Disruption: None, Row: &w}
	if !exists {
		op.Changes = madeOf(w)
		d.op(op)
		return
	}
	op.Changes = linkChanges(w, have)
	if len(op.Changes) == 0 {
		if !have.Owned {
			d.remark(w)
		}
		return
	}
	if !have.Owned {
		d.conflict(w.Object, "%s exists and is not greave's: remove it, or leave it out of the document", w.Key)
		return
	}
	op.Verb, op.Disruption = Update, Brief
	d.op(op)
}

// remark says of a row that somebody else made, just as it is wanted, that it is
// theirs: it stays when the document no longer states it.
func (d *kernelDiffer) remark(w rows.Row) {
	text := w.Key.String() + " was there already and is not greave's: it stays when the document no longer states it"
	if first := d.plan.Remarks[w.Object]; first != "" {
		text = first + "; " + text
	}
	d.plan.Remarks[w.Object] = text
}

// lost tells whether a row goes with its device, or with the bridge of its
// device: the bridge holds its FDB.
func (d *kernelDiffer) lost(have rows.Row) bool {
	c := d.carrier(have)
	master := d.Have[rows.Key{Netns: c.netns, Table: rows.Link, Link: c.name}].Fields[rows.FieldMaster]
	return d.gone[c] || have.Table == rows.FDB && strings.HasPrefix(have.ID, "master ") && d.gone[device{c.netns, master}]
}

// carrier is the device that a row depends on.
func (d *kernelDiffer) carrier(r rows.Row) device {
	if r.Table == rows.Route {
		return device{r.Netns, r.Fields[rows.FieldDev]}
	}
	return at(r.Key)
}

// removals plans to take away what is greave's and no longer wanted.
func (d *kernelDiffer) removals() {
	keys := slices.SortedFunc(maps.Keys(d.Have), rows.Key.Compare)
	foreign := d.foreignPorts(keys)
	for _, k := range keys {
		have := d.Have[k]
		if k.Table == rows.Link && have.Owned && d.unwanted(have) {
			if others := foreign[at(k)]; len(others) > 0 {
				d.plan.Notices[have.Object] = model.Notice{Reason: model.NoticeForeignPorts, Message: fmt.Sprintf(
					"bridge %s is kept while ports of others are on it: %v", k.Link, others)}
				continue
			}
			d.gone[at(k)] = true
			d.remove(have, Disruptive)
		}
	}
	for _, k := range keys {
		have := d.Have[k]
		switch {
		case k.Table == rows.Link && !have.Owned && d.Listed(k) && d.unwanted(have): // a port that greave bound
			if m := have.Fields[rows.FieldMaster]; m != "" && d.ours(k.Netns, m) && !d.gone[device{k.Netns, m}] {
				have.Bound = true
				d.remove(have, Disruptive)
			}
		case k.Table == rows.Link || d.lost(have):
		case have.Owned && d.unwanted(have):
			class := Disruptive
			if k.Table == rows.FDB {
				class = Brief // its frames are flooded
			}
			d.remove(have, class)
		}
	}
}

func (d *kernelDiffer) remove(have rows.Row, class Disruption) {
	d.op(Op{Verb: Delete, Stage: StageRemove, Object: d.owner(have), Target: have.Key.String(), Disruption: class, Row: &have})
}

// unwanted tells whether a row is in nobody's way of being removed: it is not
// wanted, and its object is not one that is wanted but cannot be built now.
func (d *kernelDiffer) unwanted(have rows.Row) bool {
	if _, wanted := d.want[have.Key]; wanted {
		return false
	}
	n, told := d.plan.Notices[d.owner(have)]
	return !told || n.Reason == model.NoticeForeignPorts || n.Reason == model.NoticeDeviceAbsent
}

// owner is the object that a row is for. A row without a mark goes with its
// device.
func (d *kernelDiffer) owner(have rows.Row) model.Ref {
	if have.Object != (model.Ref{}) {
		return have.Object
	}
	c := d.carrier(have)
	if o := d.Have[rows.Key{Netns: c.netns, Table: rows.Link, Link: c.name}].Object; o != (model.Ref{}) {
		return o
	}
	return model.Ref{Kind: model.KindTunnel, Name: cmp.Or(c.name, have.ID)} // greaved died before it could say
}

// foreignPorts lists the ports of each bridge that greave neither made nor bound.
func (d *kernelDiffer) foreignPorts(keys []rows.Key) map[device][]string {
	out := map[device][]string{}
	for _, k := range keys {
		have := d.Have[k]
		if m := have.Fields[rows.FieldMaster]; k.Table == rows.Link && m != "" && !have.Owned && !d.Listed(k) {
			out[device{k.Netns, m}] = append(out[device{k.Netns, m}], k.Link)
		}
	}
	return out
}

// reach fills in whose traffic an operation on a bridge touches.
func (d *kernelDiffer) reach() {
	for i := range d.plan.Ops {
		o := &d.plan.Ops[i]
		if o.Disruption == None || o.Row.Fields[rows.FieldKind] != "bridge" {
			continue
		}
		seen := map[model.Ref]bool{}
		for _, have := range d.Have {
			if have.Table == rows.Link && have.Fields[rows.FieldMaster] == o.Row.Link && have.Object != (model.Ref{}) {
				seen[have.Object] = true
			}
		}
		for _, w := range d.Want {
			if w.Bound && w.Fields[rows.FieldMaster] == o.Row.Link {
				seen[w.Object] = true
			}
		}
		delete(seen, o.Object)
		o.Affects = slices.SortedFunc(maps.Keys(seen), model.Ref.Compare)
	}
}

// sort puts operations into the order of stages and, on the way in, of tables:
// bridges before their ports, devices before what is on them. On the way out it
// is the other way round.
func (d *kernelDiffer) sort() {
	slices.SortStableFunc(d.plan.Ops, func(a, b Op) int {
		if a.Stage != b.Stage {
			return cmp.Compare(a.Stage, b.Stage)
		}
		if a.Stage == StageRemove {
			a, b = b, a
		}
		return cmp.Or(cmp.Compare(a.Row.Table, b.Row.Table), cmp.Compare(linkRank(a.Row), linkRank(b.Row)), a.Row.Key.Compare(b.Row.Key))
	})
}

func linkRank(r *rows.Row) int {
	switch r.Fields[rows.FieldKind] {
	case "bridge":
		return 0
	case "vlan":
		return 2
	}
	return 1
}
