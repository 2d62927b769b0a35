package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/greave-sdn/greave/agent/store"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

func TestSubmitsCoalesce(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.sim.took = 50 * time.Millisecond
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if _, err := r.submit("operator", doc(tunnel(fmt.Sprintf("t%d", i), byte(i+1)))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		d := r.Documents()[0]
		if d.Revision.Revision != 100 || len(r.History("operator")) != store.HistoryLen {
			t.Errorf("revision %d, %d kept", d.Revision.Revision, len(r.History("operator")))
		}
		if n := r.sim.count(); n > 3 {
			t.Errorf("%d passes for 100 documents", n)
		}
		r.want(d.State.Tunnels[0].Ref(), Active)
		if len(r.Status().Objects) != 2 {
			t.Errorf("objects: %v", r.Status().Objects)
		}
	})
}

func TestStaleBase(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.mustSubmit("operator", doc(tunnel("t1", 1)))
		zero := uint64(0)
		s := doc(tunnel("t1", 9))
		_, err := r.Submit(t.Context(), Submission{Source: "operator", State: s, Base: &zero})
		var stale *StaleError
		if !errors.As(err, &stale) || stale.Current != 1 {
			t.Fatalf("stale base: %v", err)
		}
		if r.Documents()[0].Revision.Revision != 1 {
			t.Error("a stale document came into force")
		}
		if n := r.mustSubmit("operator", doc(tunnel("t1", 1))); n != 1 {
			t.Errorf("an unchanged document became revision %d", n)
		}
		b, _ := json.Marshal(s)
		one := uint64(1)
		if n, err := r.Submit(t.Context(), Submission{Source: "operator", Document: b, State: s, Base: &one, ValidateOnly: true}); n != 1 || err != nil {
			t.Errorf("validate only: %d %v", n, err)
		}
		if n, err := r.Submit(t.Context(), Submission{Source: "operator", Document: b, State: s, Base: &one}); n != 2 || err != nil {
			t.Errorf("right base: %d %v", n, err)
		}
		if n, err := r.Rollback(t.Context(), "operator", 1, "back", false); n != 3 || err != nil {
			t.Errorf("roll back: %d %v", n, err)
		}
		if d := r.Documents()[0]; !reflect.DeepEqual(d.State.Tunnels[0], tunnel("t1", 1)) || d.Comment != "back" {
			t.Errorf("rolled back to %+v", d)
		}
		if _, err := r.Rollback(t.Context(), "operator", 77, "", false); !errors.Is(err, ErrNoRevision) {
			t.Errorf("roll back to what never was: %v", err)
		}
	})
}

// TestRefused refuses documents for what they say and for a disk that fails.
func TestRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.mustSubmit("operator", doc(tunnel("t1", 1)))
		passes := r.sim.count()
		for what, bad := range map[string]model.HostState{
			"bad reference": {Tunnels: []model.Tunnel{tunnel("t2", 2)}},
			"wrong host":    {Host: "elsewhere", Bridges: []model.Bridge{{Name: "br0"}}},
			"empty":         {},
		} {
			_, err := r.submit("operator", bad)
			var fields model.FieldErrors
			if !errors.As(err, &fields) {
				t.Errorf("%s: %v", what, err)
			}
			if _, err := r.DryRun(t.Context(), "operator", bad); !errors.As(err, &fields) {
				t.Errorf("%s, dry run: %v", what, err)
			}
		}
		r.store.Close() // from now on nothing can be made durable
		var failed *StoreError
		if _, err := r.submit("operator", doc(tunnel("t2", 2))); !errors.As(err, &failed) {
			t.Errorf("failing store: %v", err)
		}
		synctest.Wait()
		check := func() {
			t.Helper()
			if d := r.Documents(); len(d) != 1 || d[0].Revision.Revision != 1 || !reflect.DeepEqual(d[0].State.Tunnels[0], tunnel("t1", 1)) {
				t.Errorf("in force: %+v", d)
			}
			r.want(t1, Active)
		}
		check()
		if r.sim.count() != passes {
			t.Error("a refused document made a pass")
		}
		r.restart()
		check()
	})
}

func TestTwoSources(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.mustSubmit("a", doc(tunnel("t1", 1)))
		r.mustSubmit("b", model.HostState{Bridges: []model.Bridge{{Name: "br1"}}, Tunnels: []model.Tunnel{tunnel("t2", 2)}})
		r.mustSubmit("a", doc()) // REPLACE by one source
		if r.sim.has(t1) || !r.sim.has(t2) {
			t.Errorf("t1 there: %v, t2 there: %v", r.sim.has(t1), r.sim.has(t2))
		}
		if o := r.want(t2, Active); o.Source != "b" || o.Revision != 1 {
			t.Errorf("%+v", o)
		}
		_, err := r.submit("b", model.HostState{Bridges: []model.Bridge{{Name: "br0"}}})
		if err == nil || !strings.Contains(err.Error(), "bridges[0]") || !strings.Contains(err.Error(), "bridge br0 of source a") {
			t.Errorf("one object stated twice: %v", err)
		}
		if _, err := r.submit("a", model.HostState{AllowEmpty: true}); err == nil {
			t.Error("source a took away the bridge that b's tunnel is on")
		}
		r.mustSubmit("b", model.HostState{AllowEmpty: true})
		r.restart()
		if !r.sim.has(br0) || len(r.sim.rows) != 1 {
			t.Errorf("rows: %v", r.sim.rows)
		}
		p, err := r.Purge(t.Context(), false)
		if err != nil || len(p.Ops) != 1 || !r.sim.has(br0) {
			t.Fatalf("purge plan: %v %v", p.Ops, err)
		}
		if _, err := r.Purge(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(r.sim.rows) != 0 || len(r.Status().Objects) != 0 {
			t.Errorf("after the purge: %v", r.sim.rows)
		}
	})
}

// TestObservesOnly holds that nothing is removed while what is wanted is not
// known: no source, a host that cannot be read, a document that cannot be read.
func TestObservesOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		foreign := model.Ref{Kind: model.KindTunnel, Name: "left-over"}
		r.sim.with(func() { r.sim.rows[foreign] = 1 })
		time.Sleep(5 * time.Minute)
		if r.sim.count() != 0 || !r.sim.has(foreign) {
			t.Fatal("a loop without a source made a pass")
		}
		if p, err := r.PlanCurrent(t.Context()); err != nil || !p.Empty() {
			t.Errorf("plan without a source: %v %v", p.Ops, err)
		}
		r.sim.with(func() { r.sim.down = errLost })
		if n, err := r.submit("operator", doc(tunnel("t1", 1))); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		time.Sleep(time.Minute)
		if r.sim.count() != 0 || r.want(t1, Pending).Ready().Reason != model.NoticeOVSAbsent {
			t.Error("a pass was made on a host that cannot be read")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if ok, not, err := r.Wait(ctx, "operator", 1); ok || len(not) != 2 || err != nil || not[0].Ready().Reason != model.NoticeOVSAbsent {
			t.Errorf("wait: %v %+v %v", ok, not, err)
		}
		r.sim.with(func() { r.sim.down = nil })
		time.Sleep(time.Second)
		r.want(t1, Active)
		if r.sim.has(foreign) {
			t.Error("what is no longer stated stays")
		}

		must(t, r.store.Append(store.Entry{Source: "later", Revision: store.Revision{Revision: 1, Document: []byte("{of a later version")}}))
		r.end()
		r.sim.with(func() { r.sim.rows[foreign] = 1 })
		passes := r.sim.count()
		r.restart()
		time.Sleep(time.Minute)
		if !r.sim.has(foreign) || r.sim.count() != passes || r.state(t1) != Pending {
			t.Errorf("passes are made while source later cannot be read")
		}
		if _, err := r.PlanCurrent(t.Context()); err == nil {
			t.Error("a plan is made while source later cannot be read")
		}
		r.mustSubmit("later", model.HostState{AllowEmpty: true})
		r.want(t1, Active)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEmptySourceIsStated(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.sim.with(func() { r.sim.rows[t1] = 1 })
		r.mustSubmit("operator", model.HostState{AllowEmpty: true})
		if r.sim.has(t1) {
			t.Error("an accepted empty document takes nothing away")
		}
		if ok, _, err := r.Wait(t.Context(), "operator", 1); !ok || err != nil {
			t.Error(ok, err)
		}
	})
}

func TestWait(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.sim.took = 200 * time.Millisecond
		r.sim.with(func() { r.sim.refuse[t2] = true })
		begin := time.Now()
		n, err := r.submit("operator", doc(tunnel("t1", 1)))
		must(t, err)
		if ok, not, err := r.Wait(t.Context(), "operator", n); !ok || len(not) > 0 || err != nil || time.Since(begin) < r.sim.took {
			t.Errorf("realised: %v %v %v", ok, not, err)
		}
		vm := model.Port{Name: "vm", Device: "tap0", Bridge: "br0"}
		s := doc(tunnel("t1", 1), tunnel("t2", 2))
		s.Ports = []model.Port{vm}
		n, err = r.submit("operator", s)
		must(t, err)
		ok, not, err := r.Wait(t.Context(), "operator", n)
		if ok || len(not) != 2 || err != nil || not[0].State != Pending || not[1].State != Retrying || not[1].Ready().Message != "File exists" {
			t.Errorf("one blocked, one refused: %v %+v %v", ok, not, err)
		}
		r.sim.with(func() { r.sim.broken = errLost })
		n, err = r.submit("operator", doc(tunnel("t1", 7)))
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		ok, not, err = r.Wait(ctx, "operator", n)
		if ok || err != nil || len(not) == 0 || ctx.Err() == nil || not[0].State != Retrying || !strings.Contains(not[0].Ready().Message, "lost") {
			t.Errorf("connection lost: %v %+v %v", ok, not, err)
		}
		if r.want(br0, Active); r.state(t1) != Retrying {
			t.Errorf("t1 is %s", r.state(t1))
		}
		if _, _, err := r.Wait(t.Context(), "operator", 1); !errors.As(err, new(*StaleError)) {
			t.Errorf("an old revision: %v", err)
		}
	})
}

// TestResponds: a loop in the middle of a pass does not answer, one between passes does.
func TestResponds(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		if !r.Responds(t.Context()) {
			t.Error("an idle loop does not answer")
		}
		r.sim.took = time.Minute
		_, err := r.submit("operator", doc(tunnel("t1", 1)))
		must(t, err)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if r.Responds(ctx) {
			t.Error("answers in the middle of a pass")
		}
		if !r.Responds(t.Context()) || r.state(t1) != Active {
			t.Error("does not answer at the end of it")
		}
	})
}

func TestBrokenPassesBackOff(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.mustSubmit("operator", doc(tunnel("t1", 1)))
		r.sim.with(func() { r.sim.broken = errLost })
		time.Sleep(time.Minute)
		n := r.sim.count()
		if n < 12 || n > 25 {
			t.Errorf("%d passes in a minute", n)
		}
		r.want(t1, Active) // nothing is known against it
		h := r.Status()
		if c := h.Conditions[0]; c.Type != ConditionReachable || c.Status || c.Since.After(time.Now().Add(-50*time.Second)) {
			t.Errorf("condition %+v", c)
		}
		n = r.sim.count()
		r.sim.with(func() { r.sim.broken = nil })
		time.Sleep(1001 * time.Millisecond) // though the next pass was due in five
		if c := r.Status().Conditions[0]; !c.Status {
			t.Errorf("condition %+v", c)
		}
		r.sim.mu.Lock()
		defer r.sim.mu.Unlock()
		if len(r.sim.inputs) == n || !r.sim.inputs[n].Full {
			t.Error("the first pass after a break does not read everything")
		}
		if w, i := r.lines("pass not finished"), r.lines("Reachable"); w != 1 || i != 2 {
			t.Errorf("%d warnings and %d changes logged:\n%s", w, i, r.log)
		}
	})
}

// TestBrokenHostThatChanges kicks all the time while passes break off.
func TestBrokenHostThatChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.mustSubmit("operator", doc(tunnel("t1", 1)))
		r.sim.with(func() { r.sim.broken = errLost })
		synctest.Wait()
		n := r.sim.count()
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			r.sim.kick()
		}
		if made := r.sim.count() - n; made < 8 || made > 20 {
			t.Errorf("%d passes in ten seconds", made)
		}
		n = r.sim.count()
		r.sim.with(func() { r.sim.broken = nil })
		time.Sleep(1001 * time.Millisecond)
		r.sim.mu.Lock()
		defer r.sim.mu.Unlock()
		if len(r.sim.inputs) == n || !r.sim.inputs[n].Full {
			t.Error("the first pass after a break does not read everything")
		}
	})
}

// TestLeftOverOperations holds that a pass whose operations do not stick is not
// repeated as fast as its own writes come back.
func TestLeftOverOperations(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.sim.with(func() { r.sim.sticky = true })
		n, err := r.submit("operator", doc(tunnel("t1", 1)))
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ok, not, err := r.Wait(ctx, "operator", n)
		if ok || err != nil || len(not) != 2 || not[0].Ready().Reason != ReasonNotRealised || ctx.Err() == nil {
			t.Errorf("%v %+v %v", ok, not, err)
		}
		if n := r.sim.count(); n < 6 || n > 15 {
			t.Errorf("%d passes in a minute", n)
		}
		r.sim.with(func() { r.sim.sticky = false })
		r.mustSubmit("operator", doc(tunnel("t1", 2))) // a new document does not wait
		r.want(t1, Active)
	})
}

func TestRefusedObjectBacksOff(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.sim.with(func() { r.sim.refuse[t1] = true })
		r.mustSubmit("operator", doc(tunnel("t1", 1), tunnel("t2", 2)))
		r.want(t2, Active) // one bad object blocks no other
		for range 600 {
			time.Sleep(time.Second)
			r.sim.kick()
		}
		tries := r.sim.tried(t1)
		if len(tries) < 12 || len(tries) > 22 {
			t.Errorf("%d tries in ten minutes: %v", len(tries), tries)
		}
		for i := 1; i < len(tries); i++ {
			if wait := tries[i].Sub(tries[i-1]); wait < 800*time.Millisecond || wait > 61*time.Second {
				t.Errorf("wait %d: %s", i, wait)
			}
		}
		since := r.want(t1, Retrying).Ready().Since
		if time.Since(since) < 9*time.Minute {
			t.Errorf("the condition says since %s", since)
		}
		if n := r.lines("object is RETRYING"); n != 1 {
			t.Errorf("%d lines:\n%s", n, r.log)
		}

		before := len(r.sim.tried(t1)) // another value lifts the hold
		r.mustSubmit("operator", doc(tunnel("t1", 3), tunnel("t2", 2)))
		if len(r.sim.tried(t1)) != before+1 {
			t.Error("a changed object is not tried at once")
		}
		time.Sleep(100 * time.Second)
		before = len(r.sim.tried(t1))
		r.sim.with(func() { r.sim.ports["t1"] = model.OVSPort{Name: "t1", Ofport: 7} }) // so does the host
		synctest.Wait()
		if len(r.sim.tried(t1)) != before+1 {
			t.Error("an object that the host shows differently is not tried at once")
		}
		r.sim.with(func() { delete(r.sim.refuse, t1) })
		time.Sleep(61 * time.Second)
		r.want(t1, Active)
	})
}

func TestDrift(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.mustSubmit("operator", doc(tunnel("t1", 1)))
		r.mustSubmit("operator", doc(tunnel("t1", 2))) // a wanted change is no drift
		if n := r.lines("drift"); n != 0 {
			t.Fatalf("%s", r.log)
		}
		take := func() {
			r.sim.with(func() { delete(r.sim.rows, t1) })
			synctest.Wait()
		}
		take()
		o := r.want(t1, Active)
		if len(o.Conditions) != 2 || o.Conditions[1].Reason != ReasonRepaired || !strings.Contains(o.Conditions[1].Message, "tunnel t1") || r.lines("drift repaired") != 1 {
			t.Fatalf("%+v\n%s", o, r.log)
		}
		for range 9 {
			time.Sleep(time.Second)
			take()
		}
		r.want(t1, Active)
		take()
		r.want(t1, Drifted)
		if r.lines("level=WARN") != 1 || r.lines("object flaps") != 1 {
			t.Errorf("%s", r.log)
		}
		for range 55 {
			take()
			time.Sleep(time.Second)
		}
		if r.want(t1, Drifted); r.sim.has(t1) {
			t.Error("a flapping object is not left alone")
		}
		time.Sleep(10 * time.Second)
		if o := r.want(t1, Active); o.Conditions[1].Status {
			t.Errorf("%+v", o)
		}
		if r.lines("level=WARN") != 1 {
			t.Errorf("%s", r.log)
		}
	})
}

func TestDependants(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		s := model.HostState{
			Vteps:    []model.Vtep{{Name: "v", Addr: netip.MustParseAddr("192.0.2.1")}},
			Peers:    []model.Peer{{Name: "p", Paths: []model.Path{{Remote: netip.MustParseAddr("192.0.2.2")}}}},
			Segments: []model.Segment{{Name: "s", Key: 5, Members: []string{"p"}}},
		}
		r.mustSubmit("operator", s)
		ref := func(k model.Kind, n string) model.Ref { return model.Ref{Kind: k, Name: n} }
		if o := r.want(ref(model.KindVtep, "v"), Degraded); o.Ready().Reason != model.NoticeNoSuchAddress {
			t.Errorf("%+v", o)
		}
		if o := r.want(ref(model.KindPeer, "p"), Degraded); !slices.Equal(o.BlockedOn, []model.Ref{ref(model.KindVtep, "v")}) {
			t.Errorf("%+v", o)
		}
		r.want(ref(model.KindSegment, "s"), Degraded)
		if o := r.want(ref(model.KindBridge, model.DefaultOverlayBridge), Active); o.Source != "" {
			t.Errorf("%+v", o)
		}
		r.sim.with(func() { r.sim.refuse[ref(model.KindBridge, "br1")] = true })
		s.Bridges = []model.Bridge{{Name: "br1"}}
		s.Tunnels = []model.Tunnel{{Name: "t1", Bridge: "br1", Remote: netip.MustParseAddr("192.0.2.9")}}
		n := r.mustSubmit("operator", s)
		if o := r.want(t1, Pending); !slices.Equal(o.BlockedOn, []model.Ref{ref(model.KindBridge, "br1")}) {
			t.Errorf("%+v", o)
		}
		if ok, not, err := r.Wait(t.Context(), "operator", n); ok || err != nil || len(not) != 5 {
			t.Errorf("%v %v %v", ok, not, err)
		}
	})
}

func TestNextNeverDropsTheLast(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		seen := r.Status().Version
		for i := range byte(50) {
			r.mustSubmit("operator", doc(tunnel("t1", i+1)))
		}
		h, err := r.Next(t.Context(), seen) // a slow reader
		must(t, err)
		if h.Sources[0].Revision != 50 || !h.Sources[0].Realised {
			t.Errorf("%+v", h.Sources)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Next(ctx, h.Version); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing new: %v", err)
		}
	})
}

func TestBindingsSurvive(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.mustSubmit("operator", doc(tunnel("t1", 1)))
		if _, err := r.DryRun(t.Context(), "operator", doc(tunnel("t2", 1))); err != nil {
			t.Fatal(err)
		}
		if _, kept := r.bindings.Pool(openflow.PoolPeers).Lookup("of a dry run"); kept {
			t.Error("a dry run took numbers for good")
		}
		must(t, r.store.AppendBindings(openflow.BindingsDelta{Set: map[string]map[string]uint64{openflow.PoolPeers: {"p gre": 9}}}))
		r.restart()
		r.sim.mu.Lock()
		defer r.sim.mu.Unlock()
		if b := r.sim.inputs[len(r.sim.inputs)-1].Bindings; b != r.bindings {
			t.Error("the pass works with other bindings")
		}
		// The host uses none of them: they were released after the first pass. Where
		// a bridge was built stays known.
		d := r.store.Bindings()
		if delete(d.Set, openflow.PoolBackends); len(d.Set) != 0 {
			t.Errorf("the store keeps %v", d)
		}
	})
}

// TestDesiredIsWorkedOutOnce: the union of the sources is made anew for each
// acceptance, and not for each pass or reader.
func TestDesiredIsWorkedOutOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.mustSubmit("a", doc(tunnel("t1", 1)))
		synctest.Wait()
		one, again := r.Desired(), r.Desired()
		if len(one.Tunnels) != 1 || &one.Tunnels[0] != &again.Tunnels[0] {
			t.Errorf("made twice, or wrong: %v", one.Tunnels)
		}
		r.mustSubmit("a", doc(tunnel("t1", 1), tunnel("t2", 2)))
		synctest.Wait()
		if now := r.Desired(); len(now.Tunnels) != 2 {
			t.Errorf("after an acceptance: %v", now.Tunnels)
		}
	})
}
