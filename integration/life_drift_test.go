package integration

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestDrift is D11: what somebody changes by hand comes back, and is told once.
func TestDrift(t *testing.T) {
	s := newSite(t)
	_, err := s.AddGuest(t.Context(), "tap0", "", "02:00:00:00:00:01", 0)
	s.must(err)
	s.apply(ordinary(s, `ports: [{name: p0, device: tap0, attachments: [{segment: red}]}]`))
	watch := s.watch()
	flow := regexp.MustCompile(`cookie=\S+, table=50, (\S+) `).FindStringSubmatch(s.flows("br-greave"))
	if flow == nil {
		t.Fatalf("no flow in table 50:\n%s", s.flows("br-greave"))
	}
	group := regexp.MustCompile(`group_id=(\d+)`).FindStringSubmatch(s.flows("br-greave"))
	if group == nil {
		t.Fatalf("no group:\n%s", s.flows("br-greave"))
	}
	priority := regexp.MustCompile(`priority=\d+,?`).FindString(flow[1])
	match := "table=50," + strings.TrimPrefix(flow[1], priority)
	for _, c := range []struct {
		name, object string // object: who is told of it
		spoil        func(s site)
	}{
		{"port deleted", "tunnel gre-7", func(s site) { s.vsctl("del-port", "gre-7") }},
		{"device port deleted", "port p0", func(s site) { s.vsctl("del-port", "tap0") }},
		{"option changed", "tunnel gre-7", func(s site) { s.vsctl("set", "Interface", "gre-7", "options:key=8") }},
		{"option added", "tunnel gre-7", func(s site) { s.vsctl("set", "Interface", "gre-7", "options:ttl=9") }},
		{"mark removed", "bridge br-lan", func(s site) { s.vsctl("remove", "Bridge", "br-lan", "external_ids", "greave-object") }},
		{"flow deleted", "", func(s site) { s.ofctl("br-greave", "del-flows", match) }},
		{"all flows deleted", "", func(s site) { s.ofctl("br-greave", "del-flows") }},
		{"group deleted", "", func(s site) { s.ofctl("br-greave", "del-groups", "group_id="+group[1]) }},
		{"shared tunnel port deleted", "bridge br-greave", func(s site) {
			var args []string
			for name := range strings.Lines(s.vsctl("list-ports", "br-greave")) {
				if name = strings.TrimSpace(name); name != "tap0" {
					args = append(args, "--", "del-port", name)
				}
			}
			s.vsctl(args...)
		}},
		{"bridge deleted", "bridge br-lan", func(s site) { s.vsctl("del-br", "br-lan") }},
		{"overlay bridge deleted", "bridge br-greave", func(s site) { s.vsctl("del-br", "br-greave") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			rows, flows, logged := s.configured(), s.flows("br-greave"), len(s.GreavedLog())
			told := watch.drifts(c.object)
			start := time.Now()
			c.spoil(s)
			eventually(t, promise, "repaired", func() bool { return s.configured() == rows && s.flows("br-greave") == flows })
			t.Logf("D11: repaired after %v (promise 1 s)", time.Since(start).Round(time.Millisecond))
			s.waitPlan()
			if c.object == "" {
				if log := s.GreavedLog()[logged:]; !strings.Contains(log, "drift repaired") {
					t.Errorf("not told in the log:\n%s", log)
				}
				return
			}
			eventually(t, promise, "told by Watch", func() bool { return watch.drifts(c.object) > told })
			time.Sleep(200 * time.Millisecond)
			if n := watch.drifts(c.object) - told; n != 1 {
				t.Errorf("told %d times by Watch, want once", n)
			}
			if n := strings.Count(s.GreavedLog()[logged:], `msg="drift repaired" component=reconcile object="`+c.object+`"`); n != 1 {
				t.Errorf("told %d times in the log, want once:\n%s", n, s.GreavedLog()[logged:])
			}
		})
	}
}

// configured is what greave's rows say, without what a row made anew has new.
func (s site) configured() string {
	s.t.Helper()
	var b strings.Builder
	for _, q := range [][2]string{{"Bridge", "name,datapath_type,fail_mode,protocols,external_ids"}, {"Interface", "name,type,options,ofport,external_ids"}} {
		fmt.Fprintln(&b, s.vsctl("--format=csv", "--no-headings", "--columns="+q[1], "find", q[0], "external_ids:greave-owner="+s.Name))
	}
	return sortLines(b.String())
}

// TestFlapping is D11: who deletes the same port again and again is not fought
// for ever: greave backs off, says so, and keeps everything else.
func TestFlapping(t *testing.T) {
	s := newSite(t)
	doc := strings.Replace(ordinary(s, ""), "tunnels: [", "tunnels: [{name: gre-8, bridge: br-lan, remote: {address: 192.0.2.203}}, ", 1)
	s.apply(doc)
	gone := func() bool { return s.vsctl("--no-headings", "--columns=name", "find", "Port", "name=gre-7") == "" }
	start := time.Now()
	deleted := 0
	for ; deleted < 20; deleted++ {
		if gone() {
			break
		}
		s.vsctl("del-port", "gre-7")
		for end := time.Now().Add(3 * time.Second); gone() && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if deleted >= 20 || deleted < 5 {
		t.Fatalf("gave up after %d deletions, want 5 to 19", deleted)
	}
	t.Logf("D11: backed off after %d deletions in %v", deleted, time.Since(start).Round(time.Millisecond))
	s.becomes(tunnelKind, "gre-7", drifted, "FLAPPING")
	if !strings.Contains(s.GreavedLog(), "object flaps") || !strings.Contains(s.GreavedLog(), "level=WARN") {
		t.Errorf("no alarm in the log")
	}
	time.Sleep(3 * time.Second)
	if !gone() {
		t.Error("it did not back off: the port is back within 3 s")
	}
	if o := s.object(tunnelKind, "gre-8"); o.GetState() != active {
		t.Errorf("gre-8 suffers: %v", o)
	}
	// A new wish is tried at once.
	s.apply(strings.Replace(doc, "in: 7, out: 7", "in: 17, out: 17", 1))
}

// drifts counts the repairs that Watch tells of, by object.
type drifts struct {
	mu   sync.Mutex
	seen map[string]map[string]bool // object: times
}

// watch reads a stream of events to the end of the test.
func (s site) watch() *drifts {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	stream, err := s.Watch(ctx, &greavev1.WatchRequest{})
	s.must(err)
	d := &drifts{seen: map[string]map[string]bool{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e, err := stream.Recv()
			if err != nil {
				return
			}
			d.see(e.GetObject().GetStatus())
		}
	}()
	s.t.Cleanup(func() { cancel(); <-done })
	return d
}

func (d *drifts) see(o *greavev1.ObjectStatus) {
	for _, c := range o.GetConditions() {
		if c.Type != "Drift" {
			continue
		}
		d.mu.Lock()
		kind, _ := convert.KindFromWire(o.Kind)
		name := kind.String() + " " + o.Name
		if d.seen[name] == nil {
			d.seen[name] = map[string]bool{}
		}
		d.seen[name][c.Since.AsTime().String()] = true
		d.mu.Unlock()
	}
}

// drifts is how many repairs of an object were told so far.
func (d *drifts) drifts(object string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.seen[object])
}
