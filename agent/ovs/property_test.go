package ovs_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
	"github.com/greave-sdn/greave/openflow"
)

// fewer makes properties on a real switch run a number of times that fits a test.
func fewer(t *testing.T, checks string) {
	t.Helper()
	for name, value := range map[string]string{"rapid.checks": checks, "rapid.shrinktime": "10s"} {
		f := flag.Lookup(name)
		old := f.Value.String()
		if old != f.DefValue {
			continue // somebody asked for more
		}
		if err := f.Value.Set(value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Value.Set(old) })
	}
}

// TestSecondPassEmptyOnSwitch is the property of package plan on a real switch:
// whatever the document and whatever was done by hand, one pass leaves nothing to
// do, the next one does nothing, and what a pass sees from its cached images is
// what a full observation sees.
func TestSecondPassEmptyOnSwitch(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Open vSwitch: left out by -short")
	}
	fewer(t, "12")
	r := newRig(t)
	rapid.Check(t, func(t *rapid.T) {
		r.clear(t)
		for i := range rapid.IntRange(1, 2).Draw(t, "documents") {
			s := modeltest.Moving(t, modeltest.HostState().Draw(t, "state"))
			r.devices = modeltest.Devices(s)
			r.settles(t, s, i == 0)
			r.addGuests(t, s)
			r.settles(t, s, false)
			r.spoil(t, s)
			r.settles(t, s, false)
		}
		out := r.pass(t, model.HostState{AllowEmpty: true}, false)
		if !out.Remaining.Empty() {
			t.Fatalf("left after removal:\n%s", out.Remaining.Text())
		}
		if left := r.VSCtl("--no-headings", "--columns=name", "find", "Port", "external_ids:greave-owner="+owner.Name); left != "" {
			t.Fatalf("ports are left: %s", left)
		}
	})
}

// clear takes away everything, and all that the backend knows.
func (r *rig) clear(t rapid.TB) {
	for _, b := range strings.Fields(r.VSCtl("list-br")) {
		r.VSCtl("del-br", b)
	}
	r.VSCtl("add-br", modeltest.Foreign, "--", "set", "Bridge", modeltest.Foreign, "datapath_type=netdev")
	r.caughtUp(t)
	r.bindings = openflow.NewBindings()
}

// settles makes one pass and holds that nothing is left, for cached images and
// for a full observation.
func (r *rig) settles(t *rapid.T, s model.HostState, full bool) {
	out := r.pass(t, s, full)
	fine := []string{model.NoticePortAbsent, model.NoticePortElsewhere, model.NoticeForeignPorts}
	for ref, n := range out.Notices {
		if !slices.Contains(fine, n.Reason) {
			t.Fatalf("%s: %+v", ref, n)
		}
	}
	if !out.Remaining.Empty() {
		t.Fatalf("done: %v\nremaining:\n%s", out.Done, out.Remaining.Text())
	}
	if again := r.pass(t, s, false); len(again.Done) > 0 {
		t.Fatalf("first pass did:\n%v\nsecond pass did:\n%v", out.Done, again.Done)
	}
	if p := r.plan(t, s); !p.Empty() {
		t.Fatalf("a full observation sees what the cached one did not:\n%s", p.Text())
	}
	if again := r.pass(t, s, false); len(again.Done) > 0 {
		t.Fatalf("pass after a full observation did:\n%v", again.Done)
	}
}

// addGuests makes the OVS ports of bound ports as libvirt does, where their
// bridge is.
func (r *rig) addGuests(t rapid.TB, s model.HostState) {
	bridges := strings.Fields(r.VSCtl("list-br"))
	for i, p := range model.Union(model.Normalize(s, model.HostState{})).Ports {
		if p.IfaceID == "" || !slices.Contains(bridges, p.Bridge) {
			continue
		}
		name := fmt.Sprintf("v%d-%s", i, p.Bridge)
		r.VSCtl("--may-exist", "add-port", p.Bridge, name, "--", "set", "Interface", name, fmt.Sprintf("external_ids:iface-id=%q", p.IfaceID))
	}
	r.caughtUp(t)
}

// spoil does to greave's things what people do by hand, and waits until the
// backend has been told. Its cached images are all that the next pass has.
func (r *rig) spoil(t *rapid.T, s model.HostState) {
	chance := func() bool { return rapid.IntRange(0, 3).Draw(t, "spoil") == 0 }
	own := func(table string) []string {
		list := strings.Fields(r.VSCtl("--no-headings", "--columns=name", "find", table, "external_ids:greave-owner="+owner.Name))
		slices.Sort(list)
		return list
	}
	for _, name := range own("Port") {
		switch {
		case chance():
			r.VSCtl("del-port", name)
		case chance():
			r.VSCtl("set", "Interface", name, "options:ttl=7", "options:nonsense=x")
		case chance():
			r.VSCtl("set", "Port", name, "tag=99")
		case chance():
			r.VSCtl("remove", "Interface", name, "external_ids", "greave-object")
		}
	}
	for _, name := range own("Bridge") {
		switch before := r.ownImage(name); {
		case chance():
			r.VSCtl("set-fail-mode", name, "standalone")
		case chance():
			r.VSCtl("del-br", name)
			continue
		case chance():
			r.spoilFlows(t, name)
			r.repaired(t, s, name, before)
		}
	}
	r.caughtUp(t)
}

// ownImage is what of a bridge's image is greave's: not the flow by which
// ovs-vswitchd makes a standalone bridge switch.
func (r *rig) ownImage(bridge string) string {
	lines := strings.Split(r.image(bridge), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool {
		return !strings.Contains(l, "group_id=") && !strings.Contains(l, fmt.Sprintf("cookie=%#x", owner.Tag))
	}), "\n")
}

func (r *rig) spoilFlows(t *rapid.T, bridge string) {
	switch rapid.IntRange(0, 4).Draw(t, "flows") {
	case 0:
		r.ofctl(bridge, "del-flows")
	case 1:
		r.ofctl(bridge, "del-flows", fmt.Sprintf("table=%d", rapid.SampledFrom([]openflow.Table{0, 20, 25, 50, 70, 80, 90, 100}).Draw(t, "table")))
	case 2:
		r.ofctl(bridge, "del-groups")
	case 3:
		r.ofctl(bridge, "mod-flows", "table=50,actions=drop")
	case 4: // what a dead object of ours would have left
		stray := openflow.MakeCookie(owner.Tag, uint8(model.KindFdb), 0xfffff)
		r.ofctl(bridge, "add-flow", fmt.Sprintf("cookie=%s,table=50,priority=9,dl_dst=02:00:00:00:99:99,actions=drop", stray))
	}
}

// repaired makes passes until the flows are again what they were: the monitor
// tells of each change, a little later.
func (r *rig) repaired(t *rapid.T, s model.HostState, bridge, want string) {
	// Rows that were spoilt before are mended by the same passes.
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out := r.backend.Pass(context.Background(), reconcile.PassInput{Want: r.resolve(t, s), Bindings: r.bindings})
		got := r.ownImage(bridge)
		if out.Err == nil && got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("flows of %s are not what they were (%v):\n%s\nwere:\n%s", bridge, out.Err, got, want)
		}
	}
}
