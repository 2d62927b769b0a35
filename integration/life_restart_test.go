package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// pair is two hosts with a guest each on segment red.
func pair(t *testing.T, args ...string) (sites []site, guests []*lab.Guest) {
	t.Helper()
	return pairOf(t, lab.Options{Hosts: 2}, args...)
}

func pairOf(t *testing.T, opts lab.Options, args ...string) (sites []site, guests []*lab.Guest) {
	t.Helper()
	sites = sitesOf(t, opts)
	for i, s := range sites {
		g, err := s.AddGuest(t.Context(), "tap0", fmt.Sprintf("10.0.0.%d/24", i+1), fmt.Sprintf("02:00:00:00:00:0%d", i+1), 1400)
		s.must(err)
		guests = append(guests, g)
		s.run(args...)
	}
	return sites, guests
}

// half is what host i of a pair should have; more is added.
func half(sites []site, i int, more string) string {
	me, other := sites[i], sites[1-i]
	return fmt.Sprintf(`
host: %s
vteps: [{name: underlay, address: %s}]
segments: [{name: red, key: 100}, {name: blue, key: 200}]
peers: [{name: other, paths: [{remote: %s}], segments: [red, blue]}]
fdb: [{segment: red, mac: "02:00:00:00:00:0%d", peer: other}]
ports: [{name: guest, device: tap0, attachments: [{segment: red}], macs: ["02:00:00:00:00:0%d"]}]
bridges: [{name: br-lan, datapath: netdev}]
tunnels: [{name: gre-7, bridge: br-lan, remote: {address: %s}, key: {fixed: {in: 7, out: 7}}}]
%s`, me.Name, me.VTEP, other.VTEP, 2-i, i+1, other.VTEP, more)
}

// flood counts what is lost from the first guest to the second while f runs, and
// for a second at least.
func flood(t *testing.T, guests []*lab.Guest, f func()) (lab.FloodResult, time.Duration) {
	t.Helper()
	fl, err := lab.StartFlood(t.Context(), guests[0], guests[1], time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	start, least := time.Now(), time.After(time.Second)
	f()
	<-least
	took := time.Since(start)
	return fl.Stop(), took
}

// noLoss insists that event loses no more than the same time without it, median
// of three.
func noLoss(t *testing.T, what string, guests []*lab.Guest, event func()) {
	t.Helper()
	flood(t, guests, func() {}) // the first traffic of a host makes its datapath flows, and may lose packets to that
	var extra []int
	for range 3 {
		with, took := flood(t, guests, event)
		without, _ := flood(t, guests, func() { time.Sleep(took) })
		t.Logf("%s: %d sent, %d lost (%d in a row), longest gap %v; undisturbed: %d sent, %d lost, longest gap %v", what,
			with.Sent, with.Lost, with.LongestLoss, with.LongestGap.Round(time.Millisecond), without.Sent, without.Lost, without.LongestGap.Round(time.Millisecond))
		if with.Received < 500 {
			t.Fatalf("only %d packets arrived", with.Received)
		}
		extra = append(extra, with.Lost-without.Lost)
	}
	slices.Sort(extra)
	if extra[1] > 0 {
		t.Errorf("%s lost %v packets more than nothing, median %d", what, extra, extra[1])
	}
}

// TestKillAndStart is D9: greaved may be killed at any time, be started with
// another document, or lose its state; traffic goes on, and nothing that is still
// wanted is made anew.
func TestKillAndStart(t *testing.T) {
	sites, guests := pair(t)
	for i, s := range sites {
		s.apply(half(sites, i, ""))
	}
	s := sites[1]
	before := s.state()
	same := func(t *testing.T) {
		t.Helper()
		if d := lineDiff(before, s.in(t).state()); d != "" {
			t.Errorf("the host is not what it was:\n%s", d)
		}
	}

	t.Run("same document", func(t *testing.T) {
		s := s.in(t)
		noLoss(t, "kill -9 and start", guests, func() {
			time.Sleep(300 * time.Millisecond)
			s.KillGreaved()
			logged := len(s.GreavedLog())
			s.run()
			s.waitPlan()
			if log := s.GreavedLog()[logged:]; strings.Contains(log, "host changed") {
				t.Errorf("there was nothing to do, yet it did:\n%s", log)
			}
		})
		same(t)
	})

	t.Run("stopped", func(t *testing.T) { // D15: the dataplane stays when the daemon goes
		s := s.in(t)
		s.must(s.StopGreaved())
		same(t)
		if got, err := guests[0].Ping(t.Context(), guests[1].Addr.Addr(), 3, 10*time.Millisecond); err != nil || got.Received != 3 {
			t.Errorf("pings without greaved: %v, %v", got, err)
		}
	})

	t.Run("lost state directory", func(t *testing.T) {
		s := s.in(t)
		noLoss(t, "lost state and the same document", guests, func() {
			s.KillGreaved()
			s.must(os.RemoveAll(s.StateDir()))
			s.run()
			s.waitConnected()
			time.Sleep(500 * time.Millisecond) // long enough for a pass that would remove
			if d := lineDiff(before, s.state()); d != "" {
				t.Errorf("greaved, which knows no state, changed the host:\n%s", d)
			}
			s.apply(half(sites, 1, ""))
		})
		same(t)
		if n := strings.Count(s.GreavedLog(), "object is FAILED"); n > 0 {
			t.Errorf("it took its own objects for another's")
		}
	})
}

// waitConnected waits until greaved has Open vSwitch and has made a pass.
func (s site) waitConnected() {
	s.t.Helper()
	eventually(s.t, settle, "Open vSwitch is connected", func() bool {
		r, err := s.Get(s.t.Context(), &greavev1.GetRequest{})
		return err == nil && r.Status.Ovs.State == greavev1.OvsState_OVS_STATE_CONNECTED && len(r.Status.Conditions) > 0 &&
			r.Status.Conditions[0].Status == greavev1.ConditionStatus_CONDITION_STATUS_TRUE
	})
}

// TestKillAndStartChanged is D9 with a document that changed while greaved was
// dead: the part that stayed the same loses nothing.
func TestKillAndStartChanged(t *testing.T) {
	dir := t.TempDir()
	sites, guests := pair(t)
	s := sites[1]
	s.must(s.StopGreaved())
	write := func(doc string) {
		t.Helper()
		s.must(os.WriteFile(filepath.Join(dir, "host.yaml"), []byte(doc), 0o644))
	}
	sites[0].apply(half(sites, 0, ""))
	write(half(sites, 1, ""))
	s.run("--file", dir)
	s.becomes(portKind, "guest", active, "")
	kept := s.vsctl("--format=csv", "--no-headings", "--columns=name,_uuid,ofport", "find", "Interface", "name=tap0")
	turn := 0
	noLoss(t, "kill -9 and start with another document", guests, func() {
		s.KillGreaved()
		turn++
		doc := half(sites, 1, "")
		if turn%2 == 1 {
			doc = strings.NewReplacer("{name: blue, key: 200}", "{name: green, key: 300}", "red, blue", "red, green", "gre-7", "gre-8").Replace(doc)
		}
		write(doc)
		s.run("--file", dir)
		s.becomes(segmentKind, map[bool]string{true: "green", false: "blue"}[turn%2 == 1], active, "")
		s.waitPlan()
	})
	if now := s.vsctl("--format=csv", "--no-headings", "--columns=name,_uuid,ofport", "find", "Interface", "name=tap0"); now != kept {
		t.Errorf("the guest's port was %s, is %s", kept, now)
	}
	if left := s.vsctl("--no-headings", "--columns=name", "find", "Port", "name=gre-7"); left != "" {
		t.Errorf("gre-7 is left")
	}
}

// TestSwitchRestarts is D10: ovs-vswitchd and ovsdb-server may die. The flows come
// back, the numbers stay, and no row is made anew.
func TestSwitchRestarts(t *testing.T) {
	sites, guests := pair(t)
	for i, s := range sites {
		s.apply(half(sites, i, ""))
	}
	s := sites[1]
	rows, flows := s.identity(), s.flows("br-greave")
	ping := func(t *testing.T) {
		t.Helper()
		eventually(t, promise, "the guests reach each other", func() bool {
			got, err := guests[0].Ping(t.Context(), guests[1].Addr.Addr(), 1, time.Millisecond)
			return err == nil && got.Received == 1
		})
	}
	ping(t)

	t.Run("ovs-vswitchd", func(t *testing.T) {
		s := s.in(t)
		s.StopSwitch()
		time.Sleep(300 * time.Millisecond)
		dead := time.Now()
		s.must(s.StartSwitch(t.Context()))
		up := time.Now()
		eventually(t, promise, "the flows are back", func() bool { return s.flows("br-greave") == flows })
		t.Logf("D10: flows back %v after ovs-vswitchd was started, %v after it had taken up its database",
			time.Since(dead).Round(time.Millisecond), time.Since(up).Round(time.Millisecond))
		ping(t)
		t.Logf("D10: traffic back %v after ovs-vswitchd was started", time.Since(dead).Round(time.Millisecond))
		if d := lineDiff(rows, s.identity()); d != "" {
			t.Errorf("rows or ofports changed:\n%s", d)
		}
		s.waitPlan()
	})

	t.Run("ovsdb-server", func(t *testing.T) {
		s := s.in(t)
		s.StopDB()
		time.Sleep(300 * time.Millisecond)
		s.must(s.StartDB(t.Context()))
		start := time.Now()
		s.waitConnected()
		t.Logf("D10: connected again %v after ovsdb-server was started", time.Since(start).Round(time.Millisecond))
		s.waitPlan()
		if d := lineDiff(rows, s.identity()); d != "" {
			t.Errorf("rows or ofports changed:\n%s", d)
		}
		if d := lineDiff(flows, s.flows("br-greave")); d != "" {
			t.Errorf("flows changed:\n%s", d)
		}
		s.apply(strings.Replace(half(sites, 1, ""), "tunnels: [", "tunnels: [{name: gre-8, bridge: br-lan, remote: {address: 192.0.2.208}}, ", 1))
		ping(t)
	})
}
