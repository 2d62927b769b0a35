package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestSwitchRefuses is O3: what only the switch can refuse is told of the object,
// in its words, and soon; everything else is built; and when the cause goes, the
// object is built too.
func TestSwitchRefuses(t *testing.T) {
	s := newSite(t)
	_, err := s.AddGuest(t.Context(), "tap1", "", "02:00:00:00:00:01", 0)
	s.must(err)
	other, err := s.AddGuest(t.Context(), "tap2", "10.0.0.2/24", "02:00:00:00:00:12", 1400)
	s.must(err)
	// " 7" is 7 to the switch alone: to who reads the database these are two tunnels.
	s.vsctl("add-br", "br-hand", "--", "set", "Bridge", "br-hand", "datapath_type=netdev",
		"--", "add-port", "br-hand", "twin", "--", "set", "Interface", "twin", "type=gre", "options:remote_ip=192.0.2.202", `options:key=" 7"`)
	s.vsctl("add-port", "br-hand", "gre-taken", "--", "set", "Interface", "gre-taken", "type=gre", "options:remote_ip=192.0.2.209", "options:key=9")
	doc := ordinary(s, `ports: [{name: p1, device: tap1, attachments: [{segment: red}]}, {name: p2, device: tap2, attachments: [{segment: red}]}]`)
	doc = strings.Replace(doc, "tunnels: [", "tunnels: [{name: gre-8, bridge: br-lan, remote: {address: 192.0.2.203}}, {name: gre-9, bridge: br-lan, remote: {address: 192.0.2.209}, key: {fixed: {in: 9, out: 9}}}, ", 1)

	start := time.Now()
	r, err := s.try(&greavev1.ApplyRequest{State: parse(t, doc)})
	s.must(err)
	if took := time.Since(start); took > promise {
		t.Errorf("the answer took %v", took)
	} else {
		t.Logf("O3: a refusal by the switch was told after %v (promise 1 s)", took.Round(time.Millisecond))
	}
	bad := map[string]*greavev1.ObjectStatus{}
	for _, o := range r.NotRealised {
		bad[o.Name] = o
	}
	if len(bad) != 2 || bad["gre-7"] == nil || bad["gre-9"] == nil {
		t.Fatalf("not realised: %v, want gre-7 and gre-9", r.NotRealised)
	}
	if o := bad["gre-7"]; o.State != retried || !reasons(o)["REFUSED_BY_SWITCH"] || !strings.Contains(message(o), "gre-7") || !strings.Contains(message(o), "File exists") {
		t.Errorf("gre-7: %v", o)
	}
	if o := bad["gre-9"]; o.State != failed || !reasons(o)["CONFLICT"] || !strings.Contains(message(o), "gre-taken") {
		t.Errorf("gre-9: %v", o)
	}
	for _, name := range []string{"gre-8"} {
		if o := s.object(tunnelKind, name); o.GetState() != active {
			t.Errorf("%s suffers with the others: %v", name, o)
		}
	}
	if o := s.object(portKind, "p1"); o.GetState() != active {
		t.Errorf("p1 suffers with the others: %v", o)
	}

	s.vsctl("del-port", "twin")
	t.Logf("O3: built %v after the twin was gone", s.becomes(tunnelKind, "gre-7", active, "").Round(time.Millisecond))
	s.vsctl("del-port", "gre-taken")
	s.becomes(tunnelKind, "gre-9", active, "")

	t.Run("device vanishes", func(t *testing.T) {
		s := s.in(t)
		s.exec("ip", "link", "del", "tap1")
		t.Logf("O3: a vanished device was told after %v", s.becomes(portKind, "p1", pending, "DEVICE_ABSENT").Round(time.Millisecond))
		if o := s.object(portKind, "p1"); !strings.Contains(message(o), "tap1") {
			t.Errorf("the status does not name the device: %v", o)
		}
		if o := s.object(tunnelKind, "gre-8"); o.GetState() != active {
			t.Errorf("gre-8 suffers: %v", o)
		}
		// A new device of the same name must carry traffic, which the switch by itself would not let it.
		g, err := s.AddGuest(t.Context(), "tap1", "10.0.0.1/24", "02:00:00:00:00:01", 1400)
		s.must(err)
		s.becomes(portKind, "p1", active, "")
		eventually(t, promise, "the new device carries traffic", func() bool {
			got, err := g.Ping(t.Context(), other.Addr.Addr(), 1, time.Millisecond)
			return err == nil && got.Received == 1
		})
	})

	t.Run("tunnel gets another name", func(t *testing.T) {
		s := s.in(t)
		s.apply(strings.Replace(doc, "gre-7", "gre-70", 1)) // the switch takes it only once the old one is gone
		if got := s.vsctl("--no-headings", "--columns=name", "find", "Interface", "name=gre-7"); got != "" {
			t.Error("the tunnel's old name is left")
		}
	})
	s.vsctl("del-br", "br-hand")
	s.waitPlan()
}

// TestOneBadTunnel is D14: one bad tunnel does not block the other 99, neither
// at first nor in later changes.
func TestOneBadTunnel(t *testing.T) {
	s := newSite(t)
	s.vsctl("add-br", "br-hand", "--", "set", "Bridge", "br-hand", "datapath_type=netdev",
		"--", "add-port", "br-hand", "twin", "--", "set", "Interface", "twin", "type=gre", "options:remote_ip=192.0.2.202", `options:key=" 50"`)
	tunnels := func(ttl int) string {
		var b strings.Builder
		b.WriteString("bridges: [{name: br-lan, datapath: netdev}]\ntunnels:\n")
		for i := range 100 {
			fmt.Fprintf(&b, "- {name: gre-%d, bridge: br-lan, remote: {address: 192.0.2.202}, key: {fixed: {in: %d, out: %d}}, ttl: {fixed: %d}}\n", i+1, i+1, i+1, ttl)
		}
		return b.String()
	}
	for _, ttl := range []int{64, 65} {
		start := time.Now()
		r, err := s.try(&greavev1.ApplyRequest{State: parse(t, tunnels(ttl))})
		s.must(err)
		if len(r.NotRealised) != 1 || r.NotRealised[0].Name != "gre-50" {
			t.Fatalf("not realised: %v, want gre-50 alone", r.NotRealised)
		}
		t.Logf("D14: 99 of 100 tunnels after %v, the bad one named", time.Since(start).Round(time.Millisecond))
		for i := range 100 {
			name := fmt.Sprintf("gre-%d", i+1)
			if name == "gre-50" {
				continue
			}
			if got := s.vsctl("get", "Interface", name, "options:ttl"); got != fmt.Sprintf(`"%d"`, ttl) {
				t.Fatalf("ttl of %s = %s, want %d", name, got, ttl)
			}
		}
		out := s.vsctl("--no-headings", "--columns=name", "find", "Interface", "type=gre", "ofport>0", `external_ids:greave-owner=`+s.Name)
		if n := len(strings.Fields(out)); n != 99 {
			t.Errorf("%d tunnels have a port number, want 99", n)
		}
	}
	s.vsctl("del-br", "br-hand")
	s.becomes(tunnelKind, "gre-50", active, "")
}
