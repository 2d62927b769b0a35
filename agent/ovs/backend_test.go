package ovs_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/greave-sdn/greave/agent/facts"
	"github.com/greave-sdn/greave/agent/ovs"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/ovsdb"
	"github.com/greave-sdn/greave/ovsdb/ovsdbtest"
)

// rig is a backend on a real switch.
type rig struct {
	*ovsdbtest.Server
	backend  *ovs.Backend
	session  *ovsdb.Session
	bindings *openflow.Bindings
}

func newRig(t *testing.T) *rig {
	t.Helper()
	srv := ovsdbtest.Start(t, ovsdbtest.WithNetdevSwitch())
	session := ovsdb.New(ovsdb.Config{Endpoint: srv.Socket})
	host := facts.New()
	r := &rig{Server: srv, session: session, bindings: openflow.NewBindings()}
	r.backend = ovs.New(ovs.Config{
		Owner: model.NewOwner("test"), Session: session, Host: host, Now: time.Now,
		Switch: ofctl.New(ofctl.Config{RunDir: srv.RunDir}),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- session.Run(ctx) }()
	go func() { done <- r.backend.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		<-done
	})
	for range 100 {
		if session.Synced() {
			return r
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("session does not sync")
	return nil
}

// pass resolves a stated document and makes the switch so.
func (r *rig) pass(t *testing.T, s model.HostState, full bool) reconcile.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var f model.Facts
	if err := r.backend.Facts(ctx, &f); err != nil {
		t.Fatal(err)
	}
	want := model.Resolve(model.Union(model.Normalize(s, model.HostState{})), f)
	out := r.backend.Pass(ctx, reconcile.PassInput{Want: want, Bindings: r.bindings, Full: full})
	if out.Err != nil {
		t.Fatalf("pass: %v", out.Err)
	}
	return out
}

func small() model.HostState {
	addr := netip.MustParseAddr
	return model.HostState{
		Vteps:    []model.Vtep{{Name: "u", Addr: addr("192.0.2.1")}},
		Peers:    []model.Peer{{Name: "h2", Paths: []model.Path{{Remote: addr("192.0.2.2")}}, Segments: []string{"red"}}},
		Segments: []model.Segment{{Name: "red", Key: 100}},
		Fdb:      []model.FdbEntry{{Segment: "red", MAC: model.MAC{2, 0, 0, 0, 0, 2}, Peer: "h2"}},
		Bridges:  []model.Bridge{{Name: "br0", Datapath: model.DatapathNetdev}},
		Tunnels:  []model.Tunnel{{Name: "gre-7", Bridge: "br0", Remote: addr("192.0.2.7"), KeyIn: model.Some(uint64(7)), KeyOut: model.Some(uint64(7))}},
	}
}

func TestPassSettles(t *testing.T) {
	r := newRig(t)
	out := r.pass(t, small(), true)
	t.Logf("done:\n%v", out.Done)
	for ref, n := range out.Notices {
		t.Errorf("notice on %s: %v", ref, n)
	}
	if !out.Remaining.Empty() {
		t.Errorf("remaining after the first pass:\n%s", out.Remaining.Text())
	}
	if again := r.pass(t, small(), true); len(again.Done) > 0 {
		t.Errorf("second pass did:\n%v", again.Done)
	}
	if gone := r.pass(t, model.HostState{AllowEmpty: true}, false); !gone.Remaining.Empty() {
		t.Errorf("remaining after removal:\n%s", gone.Remaining.Text())
	}
	if left := r.VSCtl("list-br"); left != "" {
		t.Errorf("left: %s", left)
	}
}
