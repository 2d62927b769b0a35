package ovs_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/agent/ovs"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/ovsdb"
	"github.com/greave-sdn/greave/ovsdb/ovsdbtest"
)

var owner = model.NewOwner("test")

// devices is a host that has the devices that a test says.
type devices map[string]model.Device

func (d *devices) Devices(context.Context) (map[string]model.Device, error) { return *d, nil }
func (d *devices) KernelDatapath(context.Context) bool                      { return false }
func (d *devices) Changes() <-chan struct{}                                 { return nil }

// rig is a backend on a real switch, all of whose devices are dummies.
type rig struct {
	*ovsdbtest.Server
	backend  *ovs.Backend
	session  *ovsdb.Session
	devices  devices
	bindings *openflow.Bindings
}

func newRig(t *testing.T) *rig {
	t.Helper()
	srv := ovsdbtest.Start(t, ovsdbtest.WithSwitch())
	r := &rig{Server: srv, session: ovsdb.New(ovsdb.Config{Endpoint: srv.Socket}), bindings: openflow.NewBindings(), devices: devices{}}
	r.backend = ovs.New(ovs.Config{
		Owner: owner, Session: r.session, Host: &r.devices, Now: time.Now,
		Switch: ofctl.New(ofctl.Config{RunDir: srv.RunDir}), SwitchTimeout: 3 * time.Second,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- r.session.Run(ctx) }()
	go func() { done <- r.backend.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		<-done
	})
	r.await(t, "the session is synced", r.session.Synced)
	return r
}

func (r *rig) await(t rapid.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// caughtUp waits until the session has seen what was written by hand.
func (r *rig) caughtUp(t rapid.TB) {
	t.Helper()
	next := r.VSCtl("get", "Open_vSwitch", ".", "next_cfg")
	r.await(t, "the session has seen all writes", func() bool {
		s, err := r.session.Snapshot(context.Background())
		return err == nil && fmt.Sprint(s.Switch.NextCfg) == next
	})
}

func (r *rig) resolve(t rapid.TB, s model.HostState) model.Resolved {
	t.Helper()
	var f model.Facts
	if err := r.backend.Facts(context.Background(), &f); err != nil {
		t.Fatalf("facts: %v", err)
	}
	return model.Resolve(model.Union(model.Normalize(s, model.HostState{})), f)
}

// try resolves a stated document and makes one pass.
func (r *rig) try(t rapid.TB, s model.HostState, full bool) reconcile.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return r.backend.Pass(ctx, reconcile.PassInput{Want: r.resolve(t, s), Bindings: r.bindings, Full: full})
}

// pass is try, and it must be finished.
func (r *rig) pass(t rapid.TB, s model.HostState, full bool) reconcile.Outcome {
	t.Helper()
	out := r.try(t, s, full)
	if out.Err != nil {
		t.Fatalf("pass: %v", out.Err)
	}
	return out
}

// plan is what a full observation leaves to do.
func (r *rig) plan(t rapid.TB, s model.HostState) plan.Plan {
	t.Helper()
	p, err := r.backend.Plan(context.Background(), r.resolve(t, s), r.bindings.Clone())
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return p
}

func (r *rig) ofctl(bridge string, args ...string) string {
	args = slices.Insert(args, 1, "unix:"+r.RunDir+"/"+bridge+".mgmt")
	return r.Tool("ovs-ofctl", append([]string{"-OOpenFlow13,OpenFlow14,OpenFlow15", "--no-names"}, args...)...)
}

// image is the flows and groups of a bridge as text.
func (r *rig) image(bridge string) string {
	var lines []string
	for _, what := range []string{"dump-flows", "dump-groups"} {
		for l := range strings.Lines(r.ofctl(bridge, what, "--no-stats")) {
			if !strings.Contains(l, "(xid=") {
				lines = append(lines, strings.TrimSpace(l))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func small() model.HostState {
	addr := netip.MustParseAddr
	return model.HostState{
		Vteps:    []model.Vtep{{Name: "u", Addr: addr("192.0.2.1")}},
		Peers:    []model.Peer{{Name: "h2", Paths: []model.Path{{Remote: addr("192.0.2.2")}}, Segments: []string{"red"}}},
		Segments: []model.Segment{{Name: "red", Key: 100}},
		Ports:    []model.Port{{Name: "p1", Device: "tap1", Attachments: []model.Attachment{{Segment: "red"}}}},
		Fdb:      []model.FdbEntry{{Segment: "red", MAC: model.MAC{2, 0, 0, 0, 0, 2}, Peer: "h2"}},
		Bridges:  []model.Bridge{{Name: "br0", Datapath: model.DatapathNetdev}},
		Tunnels:  []model.Tunnel{{Name: "gre-7", Bridge: "br0", Remote: addr("192.0.2.7"), KeyIn: model.Some(uint64(7)), KeyOut: model.Some(uint64(7))}},
	}
}

func TestPassSettles(t *testing.T) {
	r := newRig(t)
	r.devices = modeltest.Devices(small())
	out := r.pass(t, small(), true)
	for ref, n := range out.Notices {
		t.Errorf("notice on %s: %v", ref, n)
	}
	if len(out.Done) == 0 || !out.Remaining.Empty() {
		t.Errorf("done: %v\nremaining after the first pass:\n%s", out.Done, out.Remaining.Text())
	}
	for _, full := range []bool{false, true} {
		if again := r.pass(t, small(), full); len(again.Done) > 0 {
			t.Errorf("second pass, full %v, did:\n%v", full, again.Done)
		}
	}
	if gone := r.pass(t, model.HostState{AllowEmpty: true}, false); !gone.Remaining.Empty() {
		t.Errorf("remaining after removal:\n%s", gone.Remaining.Text())
	}
	if left := r.VSCtl("list-br"); left != "" {
		t.Errorf("left: %s", left)
	}
}

// TestIdle: a pass for the same looks at nothing while the host is as the last
// one left it, and at all when a row was written, a bridge suspected, or a full
// pass asked for.
func TestIdle(t *testing.T) {
	r := newRig(t)
	r.devices = modeltest.Devices(small())
	pass := func(full bool) reconcile.Outcome {
		t.Helper()
		in := reconcile.PassInput{Want: r.resolve(t, small()), Bindings: r.bindings, Full: full, Same: true}
		out := r.backend.Pass(t.Context(), in)
		if out.Err != nil {
			t.Fatal(out.Err)
		}
		return out
	}
	// The switch writes to new rows for a while.
	settles := func() { r.await(t, "a pass is idle", func() bool { return pass(false).Idle }) }
	if pass(false).Idle {
		t.Error("idle before the first pass")
	}
	settles()
	if pass(true).Idle {
		t.Error("a full pass is idle")
	}
	settles()
	r.VSCtl("--no-wait", "remove", "Interface", "gre-7", "options", "key")
	r.await(t, "the row is seen", func() bool {
		s, err := r.session.Snapshot(t.Context())
		i, _ := s.Interface("gre-7")
		return err == nil && i.Options["key"] == ""
	})
	if out := pass(false); out.Idle || len(out.Done) == 0 {
		t.Errorf("after a foreign write: %+v", out)
	}
	settles()
	r.ofctl("br-greave", "del-flows")
	r.plan(t, small())
	if out := pass(false); out.Idle || len(out.Done) == 0 {
		t.Errorf("after a wipe: %+v", out)
	}
	settles()
}

// TestOneDatabaseRefusal: an object that the database refuses is told, and all
// others are built in the same pass.
func TestOneDatabaseRefusal(t *testing.T) {
	r := newRig(t)
	s := model.HostState{Bridges: []model.Bridge{{Name: "br0", Datapath: model.DatapathNetdev}}}
	for i := range 40 {
		s.Tunnels = append(s.Tunnels, model.Tunnel{Name: fmt.Sprintf("gre-%d", i), Bridge: "br0", Remote: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})})
	}
	s.Tunnels[17].VLAN.Tag = 5000 // the schema allows 0-4095
	out := r.pass(t, s, true)
	if n := out.Notices[s.Tunnels[17].Ref()]; n.Reason != model.NoticeRefused || !strings.Contains(n.Message, "5000") || len(out.Notices) != 1 {
		t.Errorf("notices: %v, want gre-17 refused for its VLAN", out.Notices)
	}
	if ports := strings.Fields(r.VSCtl("list-ports", "br0")); len(ports) != 39 {
		t.Errorf("%d ports, want 39", len(ports))
	}
}

// TestOneFlowRefusal: an object whose flow the switch refuses is told, and the
// flows of all others go in with the same pass.
func TestOneFlowRefusal(t *testing.T) {
	r := newRig(t)
	s := small()
	r.devices = modeltest.Devices(s)
	r.pass(t, s, true)
	// Room for no more than the one FDB flow that is there.
	have := strings.Count(r.ofctl("br-greave", "dump-flows", fmt.Sprintf("table=%d", openflow.TableL2)), "cookie=")
	r.VSCtl("--", "--id=@t", "create", "Flow_Table", fmt.Sprintf("flow_limit=%d", have), "overflow_policy=refuse",
		"--", "set", "Bridge", "br-greave", fmt.Sprintf("flow_tables:%d=@t", openflow.TableL2))
	r.caughtUp(t)
	s.Fdb = append(s.Fdb, model.FdbEntry{Segment: "red", MAC: model.MAC{2, 0, 0, 0, 0, 3}, Peer: "h2"})
	s.Segments = append(s.Segments, model.Segment{Name: "blue", Key: 200, Members: []string{"h2"}})
	out := r.pass(t, s, false)
	if n := out.Notices[s.Fdb[1].Ref()]; n.Reason != model.NoticeRefused {
		t.Errorf("notices: %v, want the second FDB entry refused", out.Notices)
	}
	if !strings.Contains(r.image("br-greave"), "tun_id=0xc8") {
		t.Errorf("segment blue is not in:\n%s", r.image("br-greave"))
	}
	if !out.Remaining.Empty() {
		t.Errorf("remaining:\n%s", out.Remaining.Text())
	}
	r.VSCtl("clear", "Bridge", "br-greave", "flow_tables")
	r.caughtUp(t)
	if out := r.pass(t, s, false); len(out.Notices) > 0 || !out.Remaining.Empty() {
		t.Errorf("with room again: %v\n%s", out.Notices, out.Remaining.Text())
	}
}

// TestOfportTaken: when the number that greave asks for is taken, the flows are
// those of the number that the switch gave.
func TestOfportTaken(t *testing.T) {
	r := newRig(t)
	s := small()
	s.Ports = nil
	r.devices = modeltest.Devices(small())
	r.pass(t, s, true)
	var args []string
	for i := range 8 { // all that greave could ask for next
		name := fmt.Sprintf("theirs%d", i)
		args = append(args, "--", "add-port", "br-greave", name, "--", "set", "Interface", name, "type=internal", fmt.Sprintf("ofport_request=%d", 32768+i))
	}
	r.VSCtl(args...)
	r.caughtUp(t)
	out := r.pass(t, small(), false)
	if len(out.Notices) > 0 || !out.Remaining.Empty() {
		t.Errorf("notices %v, remaining:\n%s", out.Notices, out.Remaining.Text())
	}
	asked, given := r.VSCtl("get", "Interface", "tap1", "ofport_request"), r.VSCtl("get", "Interface", "tap1", "ofport")
	if asked == given {
		t.Fatalf("the switch gave %s as asked: the test proves nothing", given)
	}
	if image := r.image("br-greave"); !strings.Contains(image, "in_port="+given) || strings.Contains(image, "in_port="+asked) {
		t.Errorf("asked for %s, given %s, flows:\n%s", asked, given, image)
	}
	if again := r.pass(t, small(), true); len(again.Done) > 0 {
		t.Errorf("second pass did:\n%v", again.Done)
	}
}

// TestSwitchGone: a switch that does not follow ends the pass with an error and
// blames nobody; when it is back the next pass does the rest.
func TestSwitchGone(t *testing.T) {
	r := newRig(t)
	s := small()
	r.devices = modeltest.Devices(s)
	r.pass(t, s, true)
	r.KillSwitch()
	s.Tunnels[0].TTL.Fixed = model.Some(uint32(9))
	out := r.try(t, s, true)
	if out.Err == nil || len(out.Notices) > 0 {
		t.Errorf("pass without a switch: %v, notices %v", out.Err, out.Notices)
	}
	r.StartSwitch()
	r.caughtUp(t)
	if out := r.pass(t, s, true); len(out.Notices) > 0 || !out.Remaining.Empty() {
		t.Errorf("notices %v, remaining:\n%s", out.Notices, out.Remaining.Text())
	}
	if got := r.VSCtl("get", "Interface", "gre-7", "options:ttl"); got != `"9"` {
		t.Errorf("ttl = %s, want 9", got)
	}
	image := r.image("br-greave")
	r.KillServer()
	r.StartServer()
	r.await(t, "the session is synced again", func() bool { _, err := r.session.Snapshot(t.Context()); return err == nil })
	if out := r.pass(t, s, true); len(out.Done) > 0 || r.image("br-greave") != image {
		t.Errorf("after a restart of the database: %v", out.Done)
	}
}

// TestOneBadBridge: a bridge that cannot be read for a reason of its own is
// told, people are shown the rest, and all others are built in the same pass.
// It can be mended and removed.
func TestOneBadBridge(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(*rig, *model.Bridge)
		mend   func(*rig, *model.Bridge)
		reason string
	}{
		"the switch cannot make it": {
			func(_ *rig, b *model.Bridge) { b.Datapath = model.DatapathSystem }, // a dummy switch has none
			func(_ *rig, b *model.Bridge) { b.Datapath = model.DatapathNetdev }, "could not make it",
		},
		"somebody allows OpenFlow 1.0 only": {
			func(r *rig, _ *model.Bridge) { r.VSCtl("set", "Bridge", "bad", "protocols=OpenFlow10") },
			func(r *rig, _ *model.Bridge) { r.VSCtl("clear", "Bridge", "bad", "protocols") }, "OpenFlow 1.3",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s := small()
			bad := model.Bridge{Name: "bad", Datapath: model.DatapathNetdev}
			if c.reason == "OpenFlow 1.3" { // it takes a bridge to set protocols of
				r.pass(t, model.HostState{Bridges: []model.Bridge{bad}}, true)
			}
			c.spoil(r, &bad)
			r.caughtUp(t)
			s.Bridges = append(s.Bridges, bad)
			r.devices = modeltest.Devices(s)
			out := r.pass(t, s, true)
			if n := out.Notices[bad.Ref()]; n.Reason != model.NoticeRefused || !strings.Contains(n.Message, c.reason) || len(out.Notices) != 1 {
				t.Errorf("notices: %v, want one on the bridge with %q", out.Notices, c.reason)
			}
			if !strings.Contains(r.image("br-greave"), "tun_id=0x64") {
				t.Error("segment red is not in")
			}
			if in, err := r.backend.Inspect(t.Context()); err != nil || len(in.Images["br-greave"].Flows) == 0 {
				t.Errorf("inspection: %v", err)
			}
			c.mend(r, &s.Bridges[1])
			r.caughtUp(t)
			if out := r.pass(t, s, true); len(out.Notices) > 0 || !out.Remaining.Empty() {
				t.Errorf("mended: %v\n%s", out.Notices, out.Remaining.Text())
			}
			c.spoil(r, &s.Bridges[1])
			r.pass(t, s, true)
			r.caughtUp(t)
			if out := r.pass(t, small(), true); len(out.Notices) > 0 || strings.Contains(r.VSCtl("list-br"), "bad") {
				t.Errorf("no longer stated: %v\n%s", out.Notices, r.VSCtl("list-br"))
			}
		})
	}
}

// TestNameOfBondMember: a name that an interface of somebody else has, but no
// port, costs its object and no other.
func TestNameOfBondMember(t *testing.T) {
	r := newRig(t)
	r.VSCtl("--", "add-br", "theirs", "--", "set", "Bridge", "theirs", "datapath_type=netdev", "--", "add-bond", "theirs", "bond0", "m1", "m2",
		"--", "set", "Interface", "m1", "type=internal", "--", "set", "Interface", "m2", "type=internal")
	r.caughtUp(t)
	s := small()
	s.Ports = append(s.Ports, model.Port{Name: "p2", Device: "m1", Attachments: []model.Attachment{{Segment: "red"}}})
	r.devices = modeltest.Devices(s)
	out := r.pass(t, s, true)
	if n := out.Notices[s.Ports[1].Ref()]; n.Reason != model.NoticeRefused || !strings.Contains(n.Message, "m1") || len(out.Notices) != 1 {
		t.Errorf("notices: %v, want p2 refused for the name m1", out.Notices)
	}
	if ports := r.VSCtl("list-ports", "br-greave"); !strings.Contains(ports, "tap1") {
		t.Errorf("ports of br-greave: %s", ports)
	}
}

// TestInterfaceOfAnotherName: a port is bound by the iface-id of its interface,
// whatever that is called.
func TestInterfaceOfAnotherName(t *testing.T) {
	r := newRig(t)
	s := small()
	s.Ports = nil
	r.devices = modeltest.Devices(s)
	r.pass(t, s, true)
	r.VSCtl("--", "--id=@i", "create", "Interface", "name=inner", "type=internal", "external_ids:iface-id=vm-1",
		"--", "--id=@p", "create", "Port", "name=outer", "interfaces=@i", "--", "add", "Bridge", "br-greave", "ports", "@p")
	r.caughtUp(t)
	s.Ports = []model.Port{{Name: "p1", IfaceID: "vm-1", Attachments: []model.Attachment{{Segment: "red"}}}}
	if out := r.pass(t, s, false); len(out.Notices) > 0 || !out.Remaining.Empty() {
		t.Errorf("notices %v, remaining:\n%s", out.Notices, out.Remaining.Text())
	}
	if mark := r.VSCtl("get", "Interface", "inner", "external_ids:"+model.MarkInstalled); !strings.Contains(mark, owner.Name) {
		t.Errorf("mark: %s", mark)
	}
}

// TestRenamedPort: flows that another object takes over are no longer the
// first one's, in the cached image as on the switch.
func TestRenamedPort(t *testing.T) {
	r := newRig(t)
	s := small()
	r.devices = modeltest.Devices(s)
	r.pass(t, s, true)
	old := s.Ports[0].Ref()
	s.Ports[0].Name = "renamed"
	r.pass(t, s, false)
	s.Ports = nil
	for _, o := range r.pass(t, s, false).Done {
		if o.Object == old {
			t.Errorf("long gone: %s", o)
		}
	}
}

// TestMovedTunnelPorts: ovs-vswitchd refuses a tunnel port on its new bridge
// while it takes it off the old one, and takes it a moment later. One pass is
// enough all the same.
func TestMovedTunnelPorts(t *testing.T) {
	r := newRig(t)
	s := small()
	s.Segments = append(s.Segments, model.Segment{Name: "blue", Key: 200, Encap: model.EncapVXLAN, Members: []string{"h2"}})
	r.devices = modeltest.Devices(s)
	r.pass(t, s, true)
	normal := s.Bridges
	for i := range 24 {
		r.VSCtl("--may-exist", "add-port", "br-greave", "theirs", "--", "set", "Interface", "theirs", "type=internal") // keeps the bridge
		r.caughtUp(t)
		s.Bridges = normal
		if i%2 == 0 {
			s.Bridges = append(slices.Clone(normal), model.Bridge{Name: fmt.Sprintf("br-ov%d", i), Forwarding: model.ForwardOverlay})
		}
		if out := r.pass(t, s, false); !out.Remaining.Empty() {
			t.Fatalf("move %d: remaining:\n%s", i, out.Remaining.Text())
		}
	}
}
