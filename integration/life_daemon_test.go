package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestOneDaemonPerState: a second greaved on one state directory, or on one
// socket, refuses to start and says why; the first is not disturbed.
func TestOneDaemonPerState(t *testing.T) {
	s := newSite(t)
	s.apply(ordinary(s, ""))
	binary, _, err := lab.Binaries(t.Context())
	s.must(err)
	for _, c := range []struct{ name, listen, state, says string }{
		{"state directory", s.GreavedSocket() + "2", s.StateDir(), s.StateDir()},
		{"socket", s.GreavedSocket(), s.StateDir() + "2", "another process answers"},
	} {
		_, stderr, err := s.Exec(t.Context(), "timeout", "10", binary, "--name", s.Name, "--ovsdb", s.OVSSocket(), "--listen", c.listen, "--state-dir", c.state)
		if lab.ExitCode(err) != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("a second greaved on one %s: %v: %s", c.name, err, stderr)
		}
	}
	s.waitPlan()
	info, err := os.Stat(strings.TrimPrefix(s.GreavedSocket(), "unix:"))
	s.must(err)
	if info.Mode().Perm() != 0o660 {
		t.Errorf("mode of the socket is %v, want 0660", info.Mode().Perm())
	}
	s.must(s.StopGreaved())
	if _, err := os.Stat(strings.TrimPrefix(s.GreavedSocket(), "unix:")); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// TestStartsWithoutOVS: greaved starts where Open vSwitch does not run, says so,
// keeps what it is told, and converges when Open vSwitch appears.
func TestStartsWithoutOVS(t *testing.T) {
	s := newSites(t, 1)[0]
	s.StopSwitch()
	s.StopDB()
	s.run()
	r, err := s.Get(t.Context(), &greavev1.GetRequest{})
	s.must(err)
	if got := r.Status.Ovs.State; got != greavev1.OvsState_OVS_STATE_DISCONNECTED && got != greavev1.OvsState_OVS_STATE_ABSENT {
		t.Errorf("state of Open vSwitch: %v", got)
	}
	doc := ordinary(s, "")
	a, err := s.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, doc)})
	s.must(err)
	if a.Revision != 1 {
		t.Errorf("revision %d, want 1", a.Revision)
	}
	eventually(t, promise, "each object says what it waits for", func() bool {
		o := s.object(tunnelKind, "gre-7")
		return o.GetState() == pending && reasons(o)["OVS_NOT_RUNNING"]
	})
	if _, stderr, err := s.Greave(t.Context(), "plan"); lab.ExitCode(err) != 1 || !strings.Contains(stderr, "Open vSwitch") {
		t.Errorf("plan without Open vSwitch: %v: %s", err, stderr)
	}
	if out, _, err := s.Greave(t.Context(), "status"); !strings.Contains(out, "OVS_NOT_RUNNING") {
		t.Errorf("status without Open vSwitch: %v\n%s", err, out)
	}
	s.must(s.StartDB(t.Context()))
	s.must(s.StartSwitch(t.Context()))
	s.becomes(tunnelKind, "gre-7", active, "")
	s.waitPlan()
	if n := s.installed("br-greave"); n == 0 {
		t.Error("no flows")
	}

	t.Run("switch stalled", func(t *testing.T) {
		s := s.in(t)
		s.StopSwitch()
		eventually(t, promise, "greaved says that the switch does not follow", func() bool {
			// A change needs the switch; without one nobody can tell.
			r, err := s.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, strings.Replace(doc, "in: 7, out: 7", "in: 8, out: 8", 1))})
			s.must(err)
			g, err := s.Get(t.Context(), &greavev1.GetRequest{})
			s.must(err)
			return r.Revision == 2 && g.Status.Ovs.State == greavev1.OvsState_OVS_STATE_SWITCH_STALLED
		})
		s.must(s.StartSwitch(t.Context()))
		s.waitConnected()
		s.becomes(tunnelKind, "gre-7", active, "")
		s.waitPlan()
		if got := s.vsctl("get", "Interface", "gre-7", "options:key"); got != `"8"` {
			t.Errorf("key of gre-7 = %s, want 8", got)
		}
	})
}
