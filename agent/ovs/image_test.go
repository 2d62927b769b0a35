package ovs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/ovsdb/ovsdbtest"
)

// TestSuspectedWhileRead: what others write while an image is being read is in
// no cached image: the next reading sees it.
func TestSuspectedWhileRead(t *testing.T) {
	srv := ovsdbtest.Start(t, ovsdbtest.WithSwitch())
	srv.VSCtl("--", "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev", "fail_mode=secure")
	real := srv.Tool("sh", "-c", "command -v ovs-ofctl")
	// An ovs-ofctl that stops between the flows and the groups.
	dir := t.TempDir()
	began, goOn := filepath.Join(dir, "began"), filepath.Join(dir, "go")
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *dump-groups*) touch %s; until [ -e %s ]; do sleep 0.01; done;; esac\nexec %s \"$@\"\n", began, goOn, real)
	if err := os.WriteFile(filepath.Join(dir, "ovs-ofctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	m := newImages(ofctl.New(ofctl.Config{RunDir: srv.RunDir}), model.NewOwner("test"))
	done := make(chan error)
	go func() {
		_, err := m.read(t.Context(), "br0")
		done <- err
	}()
	for _, err := os.Stat(began); err != nil; _, err = os.Stat(began) {
		time.Sleep(time.Millisecond)
	}
	srv.Tool(real, "add-flow", "unix:"+srv.RunDir+"/br0.mgmt", "table=7,actions=drop")
	m.suspect("br0")
	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if i, err := m.read(t.Context(), "br0"); err != nil || len(i.Flows) != 1 {
		t.Errorf("%d flows, %v; want the one that was added meanwhile", len(i.Flows), err)
	}
}

// TestAlteredIsToldNotFought: an operation that does not stick is tried twice,
// for somebody may have been quicker than the read-back, and then left alone for
// a while. It is done at once when it says something else; a dry run changes
// nothing.
func TestAlteredIsToldNotFought(t *testing.T) {
	now := time.Unix(0, 0)
	b := &Backend{altered: map[string]unstuck{}, cfg: Config{Now: func() time.Time { return now }}}
	op := func(value string) plan.Op {
		return plan.Op{Verb: plan.Update, Object: model.Ref{Kind: model.KindTunnel, Name: "t"}, Target: "port t", Changes: []plan.Change{{Field: "ttl", Old: "1", New: value}}}
	}
	diff := func(p *pass, o ...plan.Op) plan.Plan {
		d := plan.Plan{Ops: o, Notices: map[model.Ref]model.Notice{}}
		p.leaveAltered(&d)
		return d
	}
	for i, step := range []struct {
		value  string
		after  time.Duration
		dry    bool // nothing is done
		sticks bool
		done   bool // it is tried
		told   bool // it is left alone then
	}{
		{value: "9", done: true, sticks: true},
		{value: "9", done: true}, // somebody put the old value back at once
		{value: "9", done: true, sticks: true},
		{value: "9", done: true},
		{value: "9", done: true, told: true},
		{value: "9", after: unstuckMin / 2, told: true},
		{value: "8", dry: true, done: true},
		{value: "9", told: true},
		{value: "9", after: unstuckMin, done: true, told: true},
		{value: "9", after: unstuckMin, told: true}, // twice as long now
		{value: "9", after: unstuckMin, done: true, sticks: true},
		{value: "9", done: true},
		{value: "8", done: true},
		{value: "9", done: true},
	} {
		now = now.Add(step.after)
		p := b.newPass(reconcile.PassInput{})
		d := diff(p, op(step.value))
		if done := len(d.Ops) > 0; done != step.done {
			t.Errorf("step %d: to do %v", i, d.Ops)
		}
		if step.dry {
			continue
		}
		p.out.Done = d.Ops
		if !step.sticks {
			p.out.Remaining = diff(p, op(step.value))
		}
		p.tellAltered()
		told := p.out.Notices[op("").Object].Reason == model.NoticeAlteredBySwitch
		if left := len(p.out.Remaining.Ops) > 0; told != step.told || left != (!step.sticks && !step.told) {
			t.Errorf("step %d: left %v, notices %v", i, p.out.Remaining.Ops, p.out.Notices)
		}
	}
}
