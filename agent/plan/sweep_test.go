package plan_test

import (
	"strings"
	"testing"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// TestSweep: an orphan goes from the bridge that asks for it when it was seen long
// enough; before that, and from a bridge that does not ask, it is named.
func TestSweep(t *testing.T) {
	const name, id = "vnet0", "vm-1"
	owner := model.NewOwner("host-a")
	bridge := model.Bridge{Name: "br0", Datapath: model.DatapathNetdev, FailMode: model.FailStandalone, Forwarding: model.ForwardNormal}
	for _, c := range []struct {
		name        string
		sweeps      bool
		seen        string // the reason, once it was seen twice
		changed     bool   // another port has the name now
		op, remarks string
	}{
		{"seen twice", true, "its device is gone since then", false, "sweep    port vnet0 (bridge br0): iface-id vm-1→none, reason=its device is gone since then [none]", ""},
		{"seen once", true, "", false, "", "they go if that stays so"},
		{"not asked for", false, "its device is gone since then", false, "", "sweep_orphans: true would remove them"},
		{"another guest's now", true, "its device is gone since then", true, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bridge
			b.SweepOrphans = c.sweeps
			iface := id
			if c.changed {
				iface = "vm-2"
			}
			marks := map[string]string{model.MarkOwner: owner.Name, model.MarkObject: b.Ref().Mark()}
			in := plan.Input{
				Want:   model.Resolved{Bridges: []model.Bridge{b}, Orphans: map[string]string{name: id}},
				Have:   model.OVSHost{Bridges: map[string]model.OVSBridge{"br0": {Name: "br0", Datapath: model.DatapathNetdev, ExternalIDs: marks}}, Ports: map[string]model.OVSPort{name: {Name: name, Bridge: "br0", ExternalIDs: map[string]string{model.IDIface: iface}, Ofport: 3}}},
				Images: map[string]openflow.Image{"br0": {}}, Owner: owner, Sweep: map[string]string{},
			}
			if c.seen != "" {
				in.Sweep[name] = c.seen
			}
			got, err := plan.Diff(in, openflow.NewBindings())
			if err != nil {
				t.Fatal(err)
			}
			if text := strings.TrimSpace(got.Text()); text != c.op {
				t.Errorf("plan %q, want %q", text, c.op)
			}
			if r := got.Remarks[b.Ref()]; !strings.HasSuffix(r, c.remarks) || c.remarks == "" && r != "" {
				t.Errorf("remark %q, want %q", r, c.remarks)
			}
		})
	}
}
