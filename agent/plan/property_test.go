package plan_test

import (
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
	"github.com/greave-sdn/greave/openflow"
)

// TestSecondDiffEmpty is the property on which all of greave stands: whatever
// the document and whatever the host was, one pass leaves nothing to do, and
// what is foreign is what it was.
func TestSecondDiffEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHost()
		h.odd = func() bool { return rapid.IntRange(0, 3).Draw(t, "odd") == 0 }
		h.ovs.Bridges["br-int"] = model.OVSBridge{Name: "br-int", Datapath: model.DatapathNetdev, ExternalIDs: map[string]string{"owner": "somebody"}}
		h.ovs.Ports["br-int"] = model.OVSPort{Name: "br-int", Bridge: "br-int", Type: "internal", Ofport: 65534}
		h.ovs.Bridges["br-bare"] = model.OVSBridge{Name: "br-bare", Datapath: model.DatapathNetdev}
		h.ovs.Ports["gre-x"] = model.OVSPort{Name: "gre-x", Bridge: "br-int", Type: "gre", Ofport: 1, Options: map[string]string{"remote_ip": "10.8.8.8", "key": "7"}}

		var s model.HostState
		for range rapid.IntRange(1, 3).Draw(t, "documents") {
			s = modeltest.HostState().Draw(t, "state")
			s = modeltest.Moving(t, s)
			settle(t, h, s)
			h.addGuests(s)
			settle(t, h, s)
			spoil(t, h)
			settle(t, h, s)
		}
		settle(t, h, model.HostState{})
		rows, flows, marks := h.ours()
		if flows != 0 || marks != 0 {
			t.Fatalf("%d flows and %d marks are left", flows, marks)
		}
		for _, b := range h.ovs.Bridges {
			if b.ExternalIDs[model.MarkOwner] != "" && !slices.ContainsFunc(slices.Collect(maps.Values(h.ovs.Ports)), func(p model.OVSPort) bool {
				return p.Bridge == b.Name && p.Name != b.Name
			}) {
				t.Fatalf("bridge %s is left without ports of others", b.Name)
			}
			if b.ExternalIDs[model.MarkOwner] != "" {
				rows--
			}
		}
		if rows != 0 {
			t.Fatalf("%d ports are left: %v", rows, h.ovs.Ports)
		}
		settled := 0
		for _, names := range h.b.Names() {
			settled += len(names)
		}
		if settled != 0 {
			t.Fatalf("numbers are held: %v", h.b.Names())
		}
	})
}

// settle makes one pass and holds that nothing is left.
func settle(t *rapid.T, h *host, s model.HostState) {
	first, err := h.diff(s, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	wiped := map[string]bool{} // a plan says so: the bridge goes, or its fail_mode or datapath is mended
	for _, o := range first.Ops {
		if o.Bridge != nil && o.Disruption == plan.Disruptive {
			wiped[o.Bridge.Name] = true
		}
	}
	before := h.foreign(wiped)
	last, err := h.pass(s)
	if err != nil {
		t.Fatal(err)
	}
	if !last.Empty() || len(last.Bundles) > 0 {
		t.Fatalf("first plan:\n%s\nleft over:\n%s", first.Text(), last.Text())
	}
	for ref, n := range last.Notices {
		if n.Reason != model.NoticePortAbsent && n.Reason != model.NoticePortElsewhere && n.Reason != model.NoticeForeignPorts {
			t.Fatalf("%s: %+v", ref, n)
		}
	}
	if d := gocmp.Diff(before, h.foreign(wiped)); d != "" {
		t.Fatalf("foreign things changed (-before +after):\n%s\nby:\n%s", d, first.Text())
	}
}

// spoil does to greave's own things what people do by hand.
func spoil(t *rapid.T, h *host) {
	chance := func() bool { return rapid.IntRange(0, 4).Draw(t, "spoil") == 0 }
	for _, name := range slices.Sorted(maps.Keys(h.ovs.Ports)) {
		p := h.ovs.Ports[name]
		if p.ExternalIDs[model.MarkOwner] != h.owner.Name {
			continue
		}
		switch {
		case chance():
			delete(h.ovs.Ports, name)
			continue
		case chance():
			p.Options = merged(p.Options, map[string]string{"ttl": "7", "nonsense": "x"})
		case chance():
			p.VLAN = model.VLAN{Mode: model.VLANNativeTagged, Tag: 99, Trunks: []uint32{1, 99}}
		case chance():
			p.ExternalIDs = map[string]string{model.MarkOwner: h.owner.Name, "note": "mine"}
		}
		h.ovs.Ports[name] = p
	}
	for _, name := range slices.Sorted(maps.Keys(h.ovs.Bridges)) {
		b := h.ovs.Bridges[name]
		if b.ExternalIDs[model.MarkOwner] != h.owner.Name {
			continue
		}
		i := h.images[name]
		i.Flows = slices.DeleteFunc(slices.Clone(i.Flows), func(f openflow.Seen) bool { return f.Cookie.Owner() == h.owner.Tag && chance() })
		h.images[name] = i
		if chance() {
			if b.FailMode == model.FailSecure { // wiped, with the flows of others
				h.images[name] = standaloneImage()
			}
			b.FailMode = model.FailStandalone
			h.ovs.Bridges[name] = b
		}
	}
}

// TestOrder: within a stage bridges come before their ports, and go after them;
// rows are added before flows, and taken away after.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHost()
		s := modeltest.HostState().Draw(t, "state")
		up, err := h.diff(s, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		ordered(t, up)
		if _, err := h.pass(s); err != nil {
			t.Fatal(err)
		}
		down, err := h.diff(model.HostState{}, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		ordered(t, down)
		again, _ := h.diff(model.HostState{}, true, nil)
		if down.Text() != again.Text() {
			t.Fatalf("two plans of one input:\n%s\n%s", down.Text(), again.Text())
		}
	})
}

func ordered(t *rapid.T, p plan.Plan) {
	at := map[string]int{}
	for i, o := range p.Ops {
		if i > 0 && p.Ops[i-1].Stage > o.Stage {
			t.Fatalf("stages mixed:\n%s", p.Text())
		}
		at[o.Verb.String()+" "+o.Target] = i
		rows := 0
		for _, there := range []bool{o.Bridge != nil, o.Port != nil, o.Attached != nil} {
			if there {
				rows++
			}
		}
		if o.Disruption == 0 || o.Verb == 0 || o.Target == "" || rows > 1 || (o.Stage == plan.StageFlows) != (rows == 0) {
			t.Fatalf("half an operation: %+v", o)
		}
	}
	for i, o := range p.Ops {
		if o.Attached != nil && i > 0 && o.Stage == plan.StageRemove && p.Ops[i-1].Stage == o.Stage && p.Ops[i-1].Attached == nil {
			t.Fatalf("what a mirror refers to goes before it:\n%s", p.Text())
		}
		if o.Port == nil {
			continue
		}
		if made, ok := at["create bridge "+o.Port.Bridge]; ok && made > i {
			t.Fatalf("port before bridge:\n%s", p.Text())
		}
		if gone, ok := at["delete bridge "+o.Port.Bridge]; ok && gone < i {
			t.Fatalf("bridge goes before port:\n%s", p.Text())
		}
	}
}
