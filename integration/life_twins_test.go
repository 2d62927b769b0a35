package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// twin starts a further greaved on a site's host.
func (s site) twin(id, name string) (site, *lab.Twin) {
	s.t.Helper()
	w, err := s.StartTwin(s.t.Context(), id, name)
	s.must(err)
	return site{s.Host, dialTo(s.t, w.Socket()), s.t}, w
}

// standsBy is the message of a greaved that leaves the host to another; "" when
// it does not.
func (s site) standsBy() string {
	s.t.Helper()
	r, err := s.Get(s.t.Context(), &greavev1.GetRequest{})
	s.must(err)
	for _, c := range r.Status.Conditions {
		if c.Type == "Leader" && c.Status == greavev1.ConditionStatus_CONDITION_STATUS_FALSE && c.Reason == "STANDBY" {
			return c.Message
		}
	}
	return ""
}

// TestO19Standby is O19: two greaved of one name on one database do not undo each
// other's work: the second stands by, says why, and changes nothing whatever it is
// told; it takes over when the first dies, and the first stands by when it comes
// back. After a restart of ovsdb-server one of the two has the lock.
func TestO19Standby(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.apply(ordinary(s, ""))
	was := s.state()
	second, twin := s.twin("second", s.Name)
	eventually(t, promise, "the second stands by", func() bool { return strings.Contains(second.standsBy(), "greave_"+s.Name) })
	if why := s.standsBy(); why != "" {
		t.Errorf("the first stands by: %s", why)
	}
	other := strings.Replace(ordinary(s, ""), "in: 7, out: 7", "in: 8, out: 8", 1)
	_, err := second.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, other)})
	s.must(err)
	second.becomes(tunnelKind, "gre-7", pending, "STANDBY")
	s.vsctl("del-port", "gre-7") // the first mends it, and the second does not
	eventually(t, promise, "the first has mended it", func() bool { return strings.Contains(s.state(), "gre-7") })
	s.waitPlan()
	if d := lineDiff(withoutUUIDs(was), withoutUUIDs(s.state())); d != "" {
		t.Errorf("with a second greaved that wants something else:\n%s", d)
	}
	if strings.Contains(twin.Log(), "host changed") {
		t.Errorf("the second wrote:\n%s", twin.Log())
	}

	s.KillGreaved()
	start := time.Now()
	eventually(t, promise, "the second has taken over", func() bool { return s.vsctl("get", "Interface", "gre-7", "options:key") == `"8"` })
	t.Logf("O19: taken over %v after the first was killed", time.Since(start).Round(time.Millisecond))
	second.becomes(tunnelKind, "gre-7", active, "")
	second.waitPlan()
	s.run()
	eventually(t, promise, "the first stands by", func() bool { return s.standsBy() != "" })

	s.StopDB()
	s.must(s.StartDB(t.Context()))
	steady := 0
	eventually(t, 3*promise, "one of the two has the lock, and keeps it", func() bool {
		if (s.standsBy() == "") == (second.standsBy() == "") {
			steady = 0
		}
		steady++
		return steady > 8
	})
}

// withoutUUIDs leaves out what a row made anew has new.
func withoutUUIDs(state string) string {
	var out []string
	for l := range strings.Lines(state) {
		cells := strings.Split(l, ",")
		if len(cells) > 2 && strings.Count(cells[1], "-") == 4 {
			cells[1] = ""
		}
		out = append(out, strings.Join(cells, ","))
	}
	return strings.Join(out, "")
}

// TestO19ServerKilled is O19: ovsdb-server is killed in the middle of an apply and
// started again; the host becomes what was asked.
func TestO19ServerKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for round, pause := range []time.Duration{10 * time.Millisecond, 60 * time.Millisecond, 200 * time.Millisecond} {
		var tunnels strings.Builder
		for i := range 150 {
			fmt.Fprintf(&tunnels, "- {name: t%d, bridge: br-lan, remote: {address: 192.0.2.203}, key: {fixed: {in: %d, out: %d}}}\n", i, 1000*(round+1)+i, i+1)
		}
		doc := ordinary(s, "")
		doc = strings.Replace(doc, "tunnels: [{name: gre-7,", "tunnels:\n"+tunnels.String()+"- {name: gre-7,", 1)
		doc = strings.Replace(doc, "}}}]\n", "}}}\n", 1)
		_, err := s.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, doc)})
		s.must(err)
		time.Sleep(pause)
		s.StopDB()
		s.must(s.StartDB(t.Context()))
		start := time.Now()
		s.becomes(tunnelKind, "t149", active, "")
		s.waitPlan()
		t.Logf("O19: converged %v after ovsdb-server was back", time.Since(start).Round(time.Millisecond))
		if got := s.vsctl("get", "Interface", "t149", "options:in_key"); got != fmt.Sprintf("%q", fmt.Sprint(1000*(round+1)+149)) {
			t.Errorf("key of t149 in round %d: %s", round, got)
		}
	}
}
