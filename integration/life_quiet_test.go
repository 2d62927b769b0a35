package integration

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestQuietPass: a pass with nothing to do writes nothing, neither to the
// database nor to a bridge, whether it observed from the cached image (something
// foreign changed in the database), anew (somebody touched the flows) or in full
// (greaved was started).
func TestQuietPass(t *testing.T) {
	s := newSite(t)
	s.apply(ordinary(s, ""))
	s.waitPlan()
	for _, c := range []struct {
		name string
		do   func(s site)
	}{
		{"cached", func(s site) { s.vsctl("--no-wait", "set", "Open_vSwitch", ".", "external_ids:fgn-other=1") }},
		{"foreign flow", func(s site) { s.ofctl("br-greave", "add-flow", "cookie=0xabc,table=200,priority=7,actions=drop") }},
		{"start", func(s site) { s.KillGreaved(); s.run() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			events := s.flowEvents()
			next, pass := s.vsctl("--no-wait", "get", "Open_vSwitch", ".", "next_cfg"), s.lastPass()
			c.do(s)
			if c.name == "start" {
				s.waitConnected()
			}
			eventually(t, promise, "a pass was made", func() bool { return s.lastPass().After(pass) })
			time.Sleep(300 * time.Millisecond)
			if got := s.vsctl("--no-wait", "get", "Open_vSwitch", ".", "next_cfg"); got != next {
				t.Errorf("next_cfg was %s, is %s: something was written", next, got)
			}
			foreign := 0
			for _, e := range events() {
				if strings.Contains(e, "cookie=0xabc") {
					foreign++
				} else {
					t.Errorf("a flow was written: %s", e)
				}
			}
			if (foreign > 0) != (c.name == "foreign flow") {
				t.Errorf("the monitor saw %d foreign writes: it proves nothing", foreign)
			}
		})
	}

	t.Run("calls", func(t *testing.T) {
		s := s.in(t)
		trace := s.trace("execve,write")
		pass := s.lastPass()
		s.vsctl("--no-wait", "set", "Open_vSwitch", ".", "external_ids:fgn-other=2")
		eventually(t, promise, "a pass was made", func() bool { return s.lastPass().After(pass) })
		lines, err := trace.stop()
		s.must(err)
		for _, l := range lines {
			if strings.Contains(l, "transact") && !strings.Contains(l, `\"op\":\"select\"`) || strings.Contains(l, "execve(") && strings.Contains(l, "bundle") {
				t.Errorf("a pass with nothing to do made a call: %s", l[:min(len(l), 300)])
			}
		}
	})
}

// lastPass is when the last pass ended.
func (s site) lastPass() time.Time {
	s.t.Helper()
	r, err := s.Get(s.t.Context(), &greavev1.GetRequest{})
	s.must(err)
	return r.Status.ObservedAt.AsTime()
}

// flowEvents watches the flows of br-greave by a monitor of its own; the function
// returned ends it and lists the changes.
func (s site) flowEvents() func() []string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "ovs-ofctl", "-OOpenFlow13", "--unixctl="+s.RunDir()+"/monitor.ctl", "monitor", "unix:"+s.RunDir()+"/br-greave.mgmt", "watch:!initial")
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	s.must(cmd.Start())
	time.Sleep(200 * time.Millisecond)
	return func() (events []string) {
		s.must(cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
		for l := range strings.Lines(text.String()) {
			if strings.Contains(l, "event=") {
				events = append(events, strings.TrimSpace(l))
			}
		}
		return events
	}
}
