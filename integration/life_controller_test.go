package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// condition is one of an object's conditions; nil when it has none of the type.
func condition(o *greavev1.ObjectStatus, kind string) *greavev1.Condition {
	for _, c := range o.GetConditions() {
		if c.Type == kind {
			return c
		}
	}
	return nil
}

// redPair is two hosts that share segment red, with a guest each, and greaved.
func redPair(t *testing.T) (*lab.Lab, []*lab.Guest) {
	t.Helper()
	l := lab.ForTest(t, lab.Options{})
	start(t, l)
	guests := redGuests(t, l.Hosts, 0)
	for _, h := range l.Hosts {
		apply(t, h, segmentDoc(l.Hosts, h, ""))
	}
	reaches(t, guests[0], guestAddr(2))
	return l, guests
}

// TestO13AnotherController is O13: somebody sets an OpenFlow controller on the
// overlay bridge, a real one that takes the role of master and deletes what is
// there; sets fail_mode; takes the controller off. Each of these deletes all
// flows. They are put back, and one event says what did it.
func TestO13AnotherController(t *testing.T) {
	lab.RequireController(t)
	t.Parallel()
	l, guests := redPair(t)
	h := l.Hosts[0]
	s := site{h, dial(t, h), t}
	c, err := h.StartController(t.Context())
	check(t, err)
	want := s.flows("br-greave")
	for _, step := range []struct {
		name  string
		do    func() error
		cause string // what the event says
		other string // what SoleController says afterwards; "": it is sole
	}{
		{"a controller is set", func() error { _, err := h.Vsctl(t.Context(), "set-controller", "br-greave", c.Target); return err },
			"Bridge.controller was set to " + c.Target, c.Target + " (connected, role master)"},
		{"it deletes all flows", func() error { return c.Wipe(t.Context()) },
			"no row of the bridge was changed, but a controller can do it: " + c.Target + " (connected, role master)", c.Target},
		// While a controller is connected this deletes nothing.
		{"fail_mode is changed", func() error { _, err := h.Vsctl(t.Context(), "set-fail-mode", "br-greave", "standalone"); return err },
			"fail_mode standalone→secure", c.Target},
		{"the controller is taken off", func() error { _, err := h.Vsctl(t.Context(), "del-controller", "br-greave"); return err },
			"Bridge.controller, which was " + c.Target + ", was cleared", ""},
		{"fail_mode is changed without a controller", func() error { _, err := h.Vsctl(t.Context(), "set-fail-mode", "br-greave", "standalone"); return err },
			"Bridge.fail_mode was changed from secure to standalone", ""},
		{"ovs-ofctl deletes all flows", func() error { _, err := h.Ofctl(t.Context(), "br-greave", "del-flows"); return err },
			"another program did it over OpenFlow", ""},
	} {
		t.Run(step.name, func(t *testing.T) {
			s := s.in(t)
			logged := len(h.GreavedLog())
			flood, err := lab.StartFlood(t.Context(), guests[0], guests[1], time.Millisecond)
			check(t, err)
			defer flood.Stop()
			check(t, step.do())
			told := func() string {
				c := condition(s.object(bridgeKind, "br-greave"), "Drift")
				if c.GetReason() != "REPAIRED" {
					return ""
				}
				return c.GetMessage()
			}
			eventually(t, promise, "the flows are put back, and the cause is told: "+step.cause, func() bool {
				return s.flows("br-greave") == want && strings.Contains(told(), step.cause)
			})
			time.Sleep(300 * time.Millisecond) // a second event would come now
			r := flood.Stop()
			t.Logf("O13: %s: %d of %d packets lost, one a millisecond (promise 1 s)", step.name, r.Lost, r.Sent)
			if n := strings.Count(h.GreavedLog()[logged:], `msg="drift repaired"`); n != 1 {
				t.Errorf("told %d times, want once:\n%s", n, h.GreavedLog()[logged:])
			}
			var sole *greavev1.Condition
			eventually(t, 3*promise, "SoleController tells of "+step.other, func() bool { // ovs-vswitchd reports on controllers each 5 s
				sole = condition(s.object(bridgeKind, "br-greave"), "SoleController")
				return (sole != nil) == (step.other != "") && strings.Contains(sole.GetMessage(), step.other)
			})
			if sole != nil && (sole.Reason != "FOREIGN_CONTROLLER" || sole.Status != greavev1.ConditionStatus_CONDITION_STATUS_FALSE) {
				t.Errorf("SoleController is %v", sole)
			}
			s.waitPlan()
		})
	}
}

// TestO14DeadController is O14: the controller that somebody set on one host's
// overlay bridge dies and stays away for longer than Open vSwitch waits for one;
// that on another's never was there. The tunnel carries on: the bridges are
// secure, so that flows stay, and nothing takes their place.
func TestO14DeadController(t *testing.T) {
	lab.RequireController(t)
	t.Parallel()
	l, guests := redPair(t)
	h := l.Hosts[0]
	s := site{h, dial(t, h), t}
	c, err := h.StartController(t.Context())
	check(t, err)
	want := s.flows("br-greave")
	never := site{l.Hosts[1], dial(t, l.Hosts[1]), t}
	far := never.flows("br-greave")
	set := func(s site, target string) {
		// A standalone bridge would switch by itself after three probes.
		s.vsctl("set-controller", "br-greave", target, "--", "set", "Controller", "br-greave", "inactivity_probe=5000")
	}
	set(s, c.Target)
	set(never, "tcp:127.0.0.1:6654")
	eventually(t, 3*promise, "the controller is connected", func() bool {
		return strings.Contains(s.vsctl("--no-headings", "--columns=role", "list", "Controller"), "master")
	})
	eventually(t, promise, "the flows are put back", func() bool { return s.flows("br-greave") == want && never.flows("br-greave") == far })
	reaches(t, guests[0], guestAddr(2))
	flood, err := lab.StartFlood(t.Context(), guests[0], guests[1], 10*time.Millisecond)
	check(t, err)
	defer flood.Stop()
	c.Kill()
	time.Sleep(18 * time.Second)
	r := flood.Stop()
	t.Logf("O14: %d of %d packets lost", r.Lost, r.Sent)
	if r.Lost*100 > r.Sent { // a dead tunnel would lose them all
		t.Errorf("%d of %d packets lost without the controllers", r.Lost, r.Sent)
	}
	if d := lineDiff(want, s.flows("br-greave")) + lineDiff(far, never.flows("br-greave")); d != "" {
		t.Errorf("flows are different without the controllers:\n%s", d)
	}
	_, err = s.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, segmentDoc(l.Hosts, h, "")+"bridges: [{name: br-greave, forwarding: overlay, datapath: netdev, fail_mode: standalone}]\n")})
	if err == nil || !strings.Contains(err.Error(), "fail_mode") {
		t.Errorf("fail_mode: standalone on the overlay bridge: %v", err)
	}
}
