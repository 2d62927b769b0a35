package plan_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/openflowtest"
)

// host simulates a host with Open vSwitch: rows, flows, and what ovs-vswitchd
// makes of them. It spells values in its own way and gives other port numbers
// than it was asked for when odd says so.
type host struct {
	ovs    model.OVSHost
	images map[string]openflow.Image
	odd    func() bool
	owner  model.Owner
	b      *openflow.Bindings
}

func newHost() *host {
	return &host{
		ovs:    model.OVSHost{Version: "3.1.0", Bridges: map[string]model.OVSBridge{}, Ports: map[string]model.OVSPort{}, Attached: map[string]model.OVSAttached{}},
		images: map[string]openflow.Image{},
		odd:    func() bool { return false },
		owner:  model.NewOwner("host-a"),
		b:      openflow.NewBindings(),
	}
}

// input is what a pass would see now for a document.
func (h *host) input(s model.HostState) plan.Input {
	union := model.Union(model.Normalize(s, model.HostState{}))
	want := model.Resolve(union, model.Facts{OVS: &h.ovs, Devices: modeltest.Devices(union)})
	in := plan.Input{Want: want, Have: h.ovs, Images: map[string]openflow.Image{}, Owner: h.owner}
	adopting := map[string]bool{}
	for _, b := range want.Bridges {
		adopting[b.Name] = b.Adopt
	}
	for name, b := range h.ovs.Bridges {
		if adopting[name] || b.ExternalIDs[model.MarkOwner] == h.owner.Name {
			in.Images[name] = h.images[name]
		}
	}
	return in
}

func (h *host) diff(s model.HostState, predict bool, failed map[model.Ref]model.Notice) (plan.Plan, error) {
	in := h.input(s)
	in.Predict, in.Failed = predict, failed
	return plan.Diff(in, h.b)
}

// pass does the three stages as the backend does, and returns the plan on what
// the host shows then.
func (h *host) pass(s model.HostState) (plan.Plan, error) {
	return h.passWithout(s, nil)
}

func (h *host) passWithout(s model.HostState, failed map[model.Ref]model.Notice) (plan.Plan, error) {
	for _, stage := range []plan.Stage{plan.StageAdd, plan.StageFlows, plan.StageRemove} {
		p, err := h.diff(s, stage == plan.StageAdd, failed)
		if err != nil {
			return p, err
		}
		if stage == plan.StageFlows {
			for name, ch := range p.Bundles {
				after, err := openflowtest.Apply(h.images[name], ch)
				if err != nil {
					return p, fmt.Errorf("bundle for %s: %w", name, err)
				}
				h.images[name] = after
			}
			continue
		}
		h.commit(p.Stage(stage))
	}
	p, err := h.diff(s, false, failed)
	if err == nil {
		h.b.Retain(p.Used)
	}
	return p, err
}

// commit applies one transaction. Rows that go are gone before new ones come.
func (h *host) commit(ops []plan.Op) {
	for _, o := range ops {
		if o.Verb == plan.Recreate {
			delete(h.ovs.Ports, o.Port.Name)
		}
	}
	for _, o := range ops {
		switch {
		case o.Bridge != nil:
			h.bridge(o.Verb, *o.Bridge)
		case o.Attached != nil:
			h.attached(o.Verb, *o.Attached)
		default:
			h.port(o.Verb, *o.Port)
		}
	}
	h.collect()
	h.reconfigure()
}

func (h *host) attached(v plan.Verb, w plan.WantAttached) {
	id := w.Row
	switch v {
	case plan.Delete:
		delete(h.ovs.Attached, id)
		return
	case plan.Create:
		id = fmt.Sprint(len(h.ovs.Attached), w.Object)
	}
	h.ovs.Attached[id] = model.OVSAttached{Table: w.Table, Bridge: w.Bridge, Fields: maps.Clone(w.Fields), ExternalIDs: merged(h.ovs.Attached[id].ExternalIDs, w.Marks)}
}

// collect drops what bridges refer to with them, and ports that are gone from what
// refers to them.
func (h *host) collect() {
	maps.DeleteFunc(h.ovs.Attached, func(_ string, a model.OVSAttached) bool { return h.ovs.Bridges[a.Bridge].Name == "" })
	for _, a := range h.ovs.Attached {
		for _, column := range []string{"select_src_port", "select_dst_port", "output_port"} {
			names := slices.DeleteFunc(strings.Split(a.Fields[column], ","), func(p string) bool { return h.ovs.Ports[p].Name == "" })
			a.Fields[column] = strings.Join(names, ",")
		}
	}
}

func (h *host) bridge(v plan.Verb, w plan.WantBridge) {
	if v == plan.Delete {
		delete(h.ovs.Bridges, w.Name)
		delete(h.images, w.Name)
		maps.DeleteFunc(h.ovs.Ports, func(_ string, p model.OVSPort) bool { return p.Bridge == w.Name })
		return
	}
	b, exists := h.ovs.Bridges[w.Name]
	b.ExternalIDs = merged(b.ExternalIDs, w.Marks)
	if exists && b.FailMode != w.FailMode && (b.FailMode == model.FailSecure || w.FailMode == model.FailSecure) || b.Datapath != w.Datapath {
		h.images[w.Name] = openflow.Image{} // flows are wiped
	}
	b.Name, b.Datapath, b.FailMode = w.Name, w.Datapath, w.FailMode
	if w.FailMode == model.FailStandalone && h.odd() {
		b.FailMode = 0 // the column is empty
	}
	if len(w.Protocols) > 0 {
		b.Protocols = slices.Compact(slices.Sorted(slices.Values(w.Protocols)))
	}
	b.HWAddr, b.MTURequest = cmp.Or(mac(w.HWAddr), mac(b.HWAddr)).m(), cmp.Or(w.MTU, b.MTURequest)
	if w.DatapathID.Set {
		b.DatapathID = w.DatapathID
	}
	h.ovs.Bridges[w.Name] = b
	h.ovs.Ports[w.Name] = model.OVSPort{Name: w.Name, Bridge: w.Name, Type: "internal", Ofport: 65534}
	if b.FailMode != model.FailSecure && len(h.images[w.Name].Flows) == 0 {
		h.images[w.Name] = standaloneImage()
	}
}

// standaloneImage is what a switch puts on a standalone bridge by itself.
func standaloneImage() openflow.Image {
	return openflow.Image{Flows: []openflow.Seen{{Parsed: true, Flow: openflow.Flow{Actions: []openflow.Action{openflow.Normal{}}}}}}
}

type mac model.MAC

func (m mac) m() model.MAC { return model.MAC(m) }

func merged(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, b)
	return out
}

func (h *host) port(v plan.Verb, w plan.WantPort) {
	p := h.ovs.Ports[w.Name]
	switch v {
	case plan.Delete:
		delete(h.ovs.Ports, w.Name)
		return
	case plan.Mark:
		p.ExternalIDs = merged(p.ExternalIDs, map[string]string{model.MarkInstalled: h.owner.Name + " 2026-01-01T00:00:00Z"})
	case plan.Unmark:
		p.ExternalIDs = maps.Clone(p.ExternalIDs)
		delete(p.ExternalIDs, model.MarkInstalled)
	case plan.Create, plan.Recreate:
		p = model.OVSPort{Name: w.Name, Bridge: w.Bridge, Type: w.Type, Options: maps.Clone(w.Options), BFD: maps.Clone(w.BFD), VLAN: w.VLAN, HWAddr: w.HWAddr, MTURequest: w.MTU, ExternalIDs: maps.Clone(w.Marks), OfportAsked: int(w.Ofport)}
		if w.Type == "" && h.odd() {
			p.Type = "system"
		}
	case plan.Update:
		if p.Type != w.Type && (p.Type != "system" || w.Type != "") {
			p.Type = w.Type
		}
		p.HWAddr, p.MTURequest = cmp.Or(mac(w.HWAddr), mac(p.HWAddr)).m(), w.MTU
		p.Options, p.VLAN, p.ExternalIDs = maps.Clone(w.Options), w.VLAN, merged(p.ExternalIDs, w.Marks)
	}
	h.ovs.Ports[w.Name] = p
}

// reconfigure gives ports their numbers; a tunnel like one that is carried
// already is refused.
func (h *host) reconfigure() {
	carried := map[string]string{}
	key := func(p model.OVSPort) string {
		o := p.Options
		return fmt.Sprint(p.Type, o["remote_ip"], o["local_ip"], cmp.Or(o["in_key"], o["key"], "0"), cmp.Or(o["dst_port"], "4789"))
	}
	for name, p := range h.ovs.Ports {
		if p.Options["remote_ip"] != "" && p.Ofport > 0 {
			carried[key(p)] = name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.ovs.Ports)) {
		p := h.ovs.Ports[name]
		if holder, dup := carried[key(p)]; dup && holder != name && p.Options["remote_ip"] != "" {
			p.Ofport, p.Error = -1, "could not add network device to ofproto (File exists)"
		} else if p.Ofport <= 0 {
			p.Ofport, p.Error = h.ofport(p), ""
			carried[key(p)] = name
		}
		h.ovs.Ports[name] = p
	}
}

func (h *host) ofport(p model.OVSPort) int {
	used := map[int]bool{}
	for _, o := range h.ovs.Ports {
		if o.Bridge == p.Bridge {
			used[o.Ofport] = true
		}
	}
	if p.OfportAsked > 0 && !used[p.OfportAsked] && !h.odd() {
		return p.OfportAsked
	}
	for n := 1; ; n++ {
		if !used[n] {
			return n
		}
	}
}

// addGuests puts the OVS ports that a document binds, as libvirt would, and
// other people's flows and groups on the overlay bridge.
func (h *host) addGuests(s model.HostState) {
	union := model.Union(model.Normalize(s, model.HostState{}))
	for i, p := range union.Ports {
		if _, ok := h.ovs.Bridges[p.Bridge]; p.IfaceID != "" && ok {
			name := fmt.Sprintf("vnet%d", i)
			h.ovs.Ports[name] = model.OVSPort{Name: name, Bridge: p.Bridge, Type: "system", ExternalIDs: map[string]string{model.IDIface: p.IfaceID}}
		}
	}
	for name, b := range h.ovs.Bridges {
		if b.FailMode == model.FailSecure {
			i := h.images[name]
			i.Flows = append(i.Flows, openflow.Seen{Parsed: true, Flow: openflow.Flow{Key: openflow.Key{Table: 200, Priority: 7}, Cookie: 7}})
			i.Groups = append(i.Groups, openflow.SeenGroup{Group: openflow.Group{ID: 7}, Text: "group_id=7,type=all"})
			h.images[name] = i
		}
	}
	h.reconfigure()
}

// foreign renders all that is not greave's, but the marks it puts on bound
// ports and what is on greave's own bridges that are wiped, in a form to compare.
func (h *host) foreign(wiped map[string]bool) []string {
	var out []string
	for name, b := range h.ovs.Bridges {
		if b.ExternalIDs[model.MarkOwner] != h.owner.Name {
			out = append(out, fmt.Sprintf("bridge %s %+v", name, b))
		}
		if wiped[name] {
			continue
		}
		for _, f := range h.images[name].Flows {
			if f.Cookie.Owner() != h.owner.Tag && f.Cookie != 0 { // 0 is the switch itself
				out = append(out, fmt.Sprintf("flow %s %s %s", name, f, f.MatchText))
			}
		}
		for _, g := range h.images[name].Groups {
			if g.ID < openflow.GroupMin || g.ID > openflow.GroupMax {
				out = append(out, fmt.Sprintf("group %s %s", name, g.Text))
			}
		}
	}
	for name, p := range h.ovs.Ports {
		if p.ExternalIDs[model.MarkOwner] == h.owner.Name || name == p.Bridge {
			continue
		}
		p.ExternalIDs = maps.Clone(p.ExternalIDs)
		delete(p.ExternalIDs, model.MarkInstalled)
		out = append(out, fmt.Sprintf("port %s %+v", name, p))
	}
	slices.Sort(out)
	return out
}

// ours counts what carries greave's marks, and what the bindings hold.
func (h *host) ours() (rows, flows, marks int) {
	for _, b := range h.ovs.Bridges {
		if b.ExternalIDs[model.MarkOwner] == h.owner.Name {
			rows++
		}
	}
	for _, p := range h.ovs.Ports {
		if p.ExternalIDs[model.MarkOwner] == h.owner.Name {
			rows++
		}
		if p.ExternalIDs[model.MarkInstalled] != "" {
			marks++
		}
	}
	for _, i := range h.images {
		for _, f := range i.Flows {
			if f.Cookie.Owner() == h.owner.Tag {
				flows++
			}
		}
		for _, g := range i.Groups {
			if g.ID >= openflow.GroupMin && g.ID <= openflow.GroupMax {
				flows++
			}
		}
	}
	return rows, flows, marks
}
