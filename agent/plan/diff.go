package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// Input is everything a plan follows from.
type Input struct {
	Want   model.Resolved
	Have   model.OVSHost
	Images map[string]openflow.Image // by bridge that greave owns
	Owner  model.Owner
	// Failed are objects that this pass goes on without: they are neither
	// created nor compiled, and nothing of theirs is removed.
	Failed map[model.Ref]model.Notice
	// Unread says of bridges that are not among Images why they could not be read.
	Unread map[string]string
	// Sweep are ports of others that were seen orphaned long enough, with the
	// reason. They go where their bridge says so.
	Sweep map[string]string
	// Learned are the flows of overlay bridges that the switch has learned of
	// guests that move.
	Learned map[string][]openflow.Seen
	// Predict lets a port that does not exist yet count as having the number
	// that greave will ask for: for a plan of all stages at once.
	Predict bool
}

// Diff is the plan that turns what the host has into what it should have. It
// takes numbers from b for what is new.
func Diff(in Input, b *openflow.Bindings) (Plan, error) {
	d := &differ{Input: in, b: b, plan: Plan{
		Bundles: map[string]openflow.Change{}, Notices: map[model.Ref]model.Notice{},
		Warnings: map[model.Ref]model.Notice{}, Remarks: map[model.Ref]string{},
	}, wipes: map[string]bool{}, swept: map[string]bool{}}
	maps.Copy(d.plan.Notices, in.Want.Blocked)
	maps.Copy(d.plan.Notices, in.Failed)
	bridges := d.takeBridges(wantBridges(in.Want, in.Owner))
	d.disowned()
	ports := d.takePorts(wantPorts(in.Want, b, in.Owner), bridges)
	d.bridges(bridges)
	d.ports(ports)
	d.attached(ports, bridges)
	if err := d.flows(ports, bridges); err != nil {
		return Plan{}, err
	}
	d.marks(ports)
	d.activations()
	d.sweep(bridges)
	d.removals(bridges, ports)
	d.reach()
	sortOps(d.plan.Ops)
	return d.plan, nil
}

type differ struct {
	Input
	plan  Plan
	b     *openflow.Bindings
	wipes map[string]bool // bridges whose flows an operation wipes

	unwanted map[attachedKey][]string // rows of greave that bridges refer to
	swept    map[string]bool          // ports that a sweep takes
}

func (d *differ) owns(ids map[string]string) bool { return ids[model.MarkOwner] == d.Owner.Name }

func (d *differ) op(o Op) { d.plan.Ops = append(d.plan.Ops, o) }

func (d *differ) failed(ref model.Ref) bool {
	_, ok := d.Failed[ref]
	return ok
}

// takeBridges drops bridges whose name belongs to somebody else.
func (d *differ) takeBridges(list []WantBridge) map[string]WantBridge {
	out := map[string]WantBridge{}
	for _, b := range list {
		have, ok := d.Have.Bridges[b.Name]
		if _, port := d.Have.Ports[b.Name]; !ok && port {
			d.conflict(b.Ref(), "a port", b.Name)
			continue
		}
		if ok && !d.owns(have.ExternalIDs) && !b.Adopt {
			d.conflict(b.Ref(), "a bridge", b.Name)
			continue
		}
		out[b.Name] = b
	}
	return out
}

// takePorts drops ports whose name belongs to somebody else, or whose bridge
// is missing.
func (d *differ) takePorts(list []WantPort, bridges map[string]WantBridge) map[string]WantPort {
	out, rivals, slots := map[string]WantPort{}, d.rivals(), d.foreignSlots()
	d.stolen(rivals)
	for _, p := range list {
		have, exists := d.Have.Ports[p.Name]
		_, bridge := d.Have.Bridges[p.Name]
		if b := (model.Ref{Kind: model.KindBridge, Name: p.Bridge}); bridges[p.Bridge].Name == "" && !d.foreign(p.Bridge) || d.failed(b) {
			if p.Object != b {
				d.plan.Notices[p.Object] = model.Notice{Reason: model.NoticeBlockedOn, Message: "waits for " + b.String(), On: []model.Ref{b}}
			}
			continue
		}
		if n := clash(p, rivals[bridges[p.Bridge].Datapath]); n.Reason != "" {
			d.plan.Notices[p.Object] = n
			continue
		}
		switch {
		case p.Bound:
		case bridge:
			d.conflict(p.Object, "a bridge", p.Name)
			continue
		case exists && !d.owns(have.ExternalIDs) && !p.Adopt:
			d.conflict(p.Object, "a port", p.Name)
			continue
		}
		if n := slotTaken(p, bridges[p.Bridge].Datapath, slots); n.Reason != "" {
			d.plan.Notices[p.Object] = n
			continue
		}
		out[p.Name] = p
	}
	leaveHalves(out)
	return out
}

func (d *differ) conflict(ref model.Ref, what, name string) {
	remedy := "rename it in the document, or set adopt: true to take it over"
	if ref.Name != name && ref.Kind == model.KindBridge { // a port that greave names itself
		remedy = "remove it"
	}
	whose := "not greave's"
	if owner := cmp.Or(d.Have.Bridges[name].ExternalIDs[model.MarkOwner], d.Have.Ports[name].ExternalIDs[model.MarkOwner]); owner != "" {
		whose = "of the greaved named " + owner
	}
	d.plan.Notices[ref] = model.Notice{Reason: model.NoticeConflict, Message: fmt.Sprintf(
		"%s named %s exists and is %s: %s", what, name, whose, remedy)}
}

// bridges plans the creation and change of bridges.
func (d *differ) bridges(want map[string]WantBridge) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		b := want[name]
		if d.failed(b.Ref()) {
			continue
		}
		have, ok := d.Have.Bridges[name]
		op := Op{Verb: Update, Stage: StageAdd, Object: b.Ref(), Target: "bridge " + name, Disruption: None, Bridge: &b}
		if !ok {
			op.Verb = Create
			op.Changes = bridgeChanges(b, model.OVSBridge{})
			d.op(op)
			continue
		}
		op.Changes = append(bridgeChanges(b, have), markChanges(b.Marks, have.ExternalIDs)...)
		if len(op.Changes) == 0 {
			if why := d.Unread[name]; why != "" {
				d.plan.Notices[b.Ref()] = model.Notice{Reason: model.NoticeRefused, Message: "bridge " + name + " cannot be used: " + why}
			}
			continue
		}
		for _, c := range op.Changes {
			if c.Field == "fail_mode" || c.Field == "datapath" { // both wipe the flows
				op.Disruption = Disruptive
				d.wipes[name] = true
			}
		}
		d.op(op)
	}
}

func bridgeChanges(w WantBridge, h model.OVSBridge) []Change {
	var c changes
	c.add("datapath", unset(h.Datapath, h.Datapath.String()), w.Datapath.String())
	if h.Name == "" || (w.FailMode == model.FailSecure) != (h.FailMode == model.FailSecure) { // none is standalone
		c.add("fail_mode", unset(h.FailMode, h.FailMode.String()), w.FailMode.String())
	}
	if len(w.Protocols) > 0 {
		c.add("protocols", strings.Join(h.Protocols, "+"), strings.Join(w.Protocols, "+"))
	}
	if !w.HWAddr.IsZero() {
		c.add("hwaddr", unset(h.HWAddr, h.HWAddr.String()), w.HWAddr.String())
	}
	if w.DatapathID.Set && w.DatapathID != h.DatapathID {
		c.add("datapath_id", unset(h.DatapathID, fmt.Sprintf("%016x", h.DatapathID.V)), fmt.Sprintf("%016x", w.DatapathID.V))
	}
	if w.MTU != 0 {
		c.add("mtu", unset(h.MTURequest, fmt.Sprint(h.MTURequest)), fmt.Sprint(w.MTU))
	}
	return c
}

type changes []Change

func (c *changes) add(field, old, new string) {
	if old != new {
		*c = append(*c, Change{field, old, new})
	}
}

// unset gives text, or nothing when v is the zero value.
func unset[T comparable](v T, text string) string {
	var zero T
	if v == zero {
		return ""
	}
	return text
}

func markChanges(want, have map[string]string) []Change {
	var c changes
	for _, k := range slices.Sorted(maps.Keys(want)) {
		c.add(k, have[k], want[k])
	}
	return c
}

// ports plans the creation and change of ports.
func (d *differ) ports(want map[string]WantPort) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		p := want[name]
		if p.Bound || d.failed(p.Object) {
			continue
		}
		have, ok := d.Have.Ports[name]
		op := Op{Verb: Update, Stage: StageAdd, Object: p.Object, Target: "port " + name, Disruption: None, Port: &p}
		switch {
		case !ok:
			op.Verb = Create
			op.Changes = append([]Change{{"bridge", "", p.Bridge}}, portChanges(p, model.OVSPort{})...)
		case have.Bridge != p.Bridge:
			op.Verb, op.Disruption = Recreate, Disruptive
			op.Changes = append([]Change{{"bridge", have.Bridge, p.Bridge}}, portChanges(p, have)...)
		default:
			op.Changes = append(portChanges(p, have), markChanges(p.Marks, have.ExternalIDs)...)
			op.Disruption = portDisruption(op.Changes)
		}
		if len(op.Changes) > 0 {
			d.op(op)
		} else if have.Error != "" || have.Ofport < 0 {
			d.plan.Notices[p.Object] = model.Notice{Reason: model.NoticeRefused, Message: fmt.Sprintf(
				"the switch does not carry port %s: %s", name, cmp.Or(have.Error, "no reason given"))}
		}
	}
}

func portChanges(w WantPort, h model.OVSPort) []Change {
	var c changes
	if t := h.Type; t != w.Type && !(t == "system" && w.Type == "") {
		c.add("type", t, w.Type)
	}
	keys := maps.Clone(w.Options)
	if keys == nil {
		keys = map[string]string{}
	}
	maps.Copy(keys, h.Options)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		c.add(k, h.Options[k], w.Options[k])
	}
	c.bfd(w.BFD, h.BFD)
	c.vlan(w.VLAN, h.VLAN.Normal())
	c.internal(w, h)
	return c
}

// portDisruption is the class of a change in place: an outer header that says
// something else loses nothing; other endpoints or keys cut what is in flight;
// another type makes a new device.
func portDisruption(list []Change) Disruption {
	class := None
	for _, c := range list {
		switch c.Field {
		case "type":
			return Disruptive
		case "remote_ip", "local_ip", "key", "in_key", "out_key", "dst_port", "tag", "vlan_mode", "trunks", "peer", "mac":
			class = Brief
		}
	}
	return class
}

// marks plans the word to somebody else's row that its flows are in.
func (d *differ) marks(want map[string]WantPort) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		p := want[name]
		if p.Bound && !d.failed(p.Object) && !d.installed(d.Have.Ports[name]) {
			d.op(Op{Verb: Mark, Stage: StageRemove, Object: p.Object, Target: "port " + name, Disruption: None,
				Changes: []Change{{model.MarkInstalled, "", d.Owner.Name}}, Port: &p})
		}
	}
}

func (d *differ) installed(p model.OVSPort) bool {
	return strings.HasPrefix(p.ExternalIDs[model.MarkInstalled], d.Owner.Name+" ")
}

// removals plans to take away what is ours and no longer wanted.
func (d *differ) removals(bridges map[string]WantBridge, ports map[string]WantPort) {
	gone, foreign := map[string]bool{}, d.foreignPorts()
	for _, name := range slices.Sorted(maps.Keys(d.Have.Bridges)) {
		have := d.Have.Bridges[name]
		ref := refOf(have.ExternalIDs, model.Ref{Kind: model.KindBridge, Name: name})
		if _, keep := bridges[name]; keep || !d.owns(have.ExternalIDs) || d.undecided(ref) {
			continue
		}
		if others := foreign[name]; len(others) > 0 {
			d.plan.Notices[ref] = model.Notice{Reason: model.NoticeForeignPorts, Message: fmt.Sprintf(
				"bridge %s is kept while ports of others are on it: %s", name, strings.Join(others, ", "))}
			d.bundle(name, nil, nil)
			continue
		}
		gone[name] = true
		d.op(Op{Verb: Delete, Stage: StageRemove, Object: ref, Target: "bridge " + name, Disruption: Disruptive, Bridge: &WantBridge{Bridge: model.Bridge{Name: name}}})
	}
	d.detach(gone)
	for _, name := range slices.Sorted(maps.Keys(d.Have.Ports)) {
		have := d.Have.Ports[name]
		_, keep := ports[name]
		if keep || gone[have.Bridge] || d.swept[name] {
			continue
		}
		ref := refOf(have.ExternalIDs, model.Ref{Kind: model.KindPort, Name: name})
		op := Op{Stage: StageRemove, Object: ref, Target: "port " + name, Port: &WantPort{Object: ref, Name: name, Bridge: have.Bridge}}
		switch {
		case d.undecided(ref) && !(d.owns(have.ExternalIDs) && (d.deviceGone(ref) || oldEnd(have, ports))):
		case d.owns(have.ExternalIDs):
			op.Verb, op.Disruption = Delete, Disruptive
			d.op(op)
		case d.installed(have) && !d.failed(model.Ref{Kind: model.KindBridge, Name: have.Bridge}):
			op.Verb, op.Disruption, op.Port.Bound = Unmark, None, true
			d.op(op)
		}
	}
}

// foreignPorts lists the ports of each bridge that are not greave's, in order.
func (d *differ) foreignPorts() map[string][]string {
	out := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(d.Have.Ports)) {
		if p := d.Have.Ports[name]; name != p.Bridge && !d.owns(p.ExternalIDs) {
			out[p.Bridge] = append(out[p.Bridge], name)
		}
	}
	return out
}

// undecided tells whether an object is wanted but cannot be built now: then
// what it has stays. A bridge kept for other people's ports is not wanted.
func (d *differ) undecided(ref model.Ref) bool {
	n, ok := d.plan.Notices[ref]
	return ok && n.Reason != model.NoticeForeignPorts
}

// deviceGone tells whether a port lost its device. Its row goes too: the
// userspace datapath (3.1) holds on to a socket of the old device, says that all
// is well, and carries nothing when a new one of that name comes.
func (d *differ) deviceGone(ref model.Ref) bool {
	return d.plan.Notices[ref].Reason == model.NoticeDeviceAbsent
}

func refOf(ids map[string]string, otherwise model.Ref) model.Ref {
	if r, ok := model.ParseRef(ids[model.MarkObject]); ok {
		return r
	}
	return otherwise
}
