package integration

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestForeignUntouched is D13: after every step of an object's life the 200
// foreign objects are what they were, byte for byte, and so is a foreign flow on
// greave's own bridge.
func TestForeignUntouched(t *testing.T) {
	s := newSite(t)
	_, err := s.AddGuest(t.Context(), "tap0", "", "02:00:00:00:00:01", 0)
	s.must(err)
	before, err := s.ForeignDump(t.Context())
	s.must(err)
	full := ordinary(s, `ports: [{name: p0, device: tap0, attachments: [{segment: red}]}]`)
	for _, step := range []struct {
		name string
		do   func(s site)
	}{
		{"apply", func(s site) { s.apply(full) }},
		{"apply again", func(s site) { s.apply(full) }},
		{"change", func(s site) {
			s.apply(strings.NewReplacer("key: 100", "key: 101", "192.0.2.200", "192.0.2.210", "in: 7, out: 7", "in: 8, out: 9").Replace(full))
		}},
		{"delete", func(s site) { s.apply("bridges: [{name: br-lan, datapath: netdev}]") }},
		{"names of foreign objects", func(s site) {
			r, err := s.try(&greavev1.ApplyRequest{State: parse(s.t, `bridges: [{name: fgn0, datapath: netdev}, {name: br-lan, datapath: netdev}]
tunnels: [{name: fgngre, bridge: br-lan, remote: {address: 192.0.2.250}}]`)})
			s.must(err)
			if len(r.NotRealised) != 2 {
				s.t.Errorf("not realised: %v, want the two whose names are taken", r.NotRealised)
			}
			for _, o := range r.NotRealised {
				if o.State != failed || !reasons(o)["CONFLICT"] || !strings.Contains(message(o), "adopt: true") {
					s.t.Errorf("%s: %v", o.Name, o)
				}
			}
		}},
		{"kill and start", func(s site) { s.apply(full); s.KillGreaved(); s.run(); s.waitPlan() }},
		{"purge", func(s site) {
			_, err := s.Purge(s.t.Context(), &greavev1.PurgeRequest{Confirm: true})
			s.must(err)
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			s := s.in(t)
			step.do(s)
			after, err := s.ForeignDump(t.Context())
			s.must(err)
			if d := lineDiff(before, after); d != "" {
				t.Errorf("foreign objects changed:\n%s", d)
			}
		})
	}
}

// TestForeignFlows: on greave's own bridge flows and groups of others stay.
func TestForeignFlows(t *testing.T) {
	s := newSite(t)
	s.apply(ordinary(s, ""))
	s.ofctl("br-greave", "add-flow", "cookie=0xabc,table=0,priority=7,ip,nw_dst=203.0.113.9,actions=drop")
	s.ofctl("br-greave", "add-group", "group_id=77,type=all,bucket=actions=output:1")
	foreign := func() (out []string) {
		for l := range strings.Lines(s.flows("br-greave")) {
			if strings.Contains(l, "cookie=0xabc,") || strings.Contains(l, "group_id=77,") {
				out = append(out, strings.TrimSpace(l))
			}
		}
		return out
	}
	before := strings.Join(foreign(), "\n")
	if len(foreign()) != 2 {
		t.Fatalf("foreign flow and group: %s", before)
	}
	s.apply(strings.Replace(ordinary(s, ""), "key: 100", "key: 101", 1))
	s.KillGreaved()
	s.run()
	s.waitPlan()
	if d := lineDiff(before, strings.Join(foreign(), "\n")); d != "" {
		t.Errorf("foreign flow or group changed:\n%s", d)
	}
}

// TestPurge is D15: a purge removes all that is greave's and nothing else; a
// bridge on which others put a port stays, and that is told, until they take it
// off.
func TestPurge(t *testing.T) {
	s := newSite(t)
	_, err := s.AddGuest(t.Context(), "tap0", "", "02:00:00:00:00:01", 0)
	s.must(err)
	empty := s.identity()
	full := ordinary(s, `ports: [{name: p0, device: tap0, attachments: [{segment: red}]}]`)
	s.apply(full)
	_, err = s.Purge(t.Context(), &greavev1.PurgeRequest{})
	refused(t, err, codes.FailedPrecondition, "NOT_CONFIRMED")
	before := s.state()
	dry, err := s.Purge(t.Context(), &greavev1.PurgeRequest{DryRun: true})
	s.must(err)
	if d := lineDiff(before, s.state()); d != "" || len(dry.Plan.Operations) == 0 {
		t.Errorf("a dry run planned %v and changed:\n%s", dry.Plan, d)
	}
	if out, _, err := s.Greave(t.Context(), "purge", "--yes"); err != nil {
		t.Fatalf("greave purge --yes: %v\n%s", err, out)
	}
	if d := lineDiff(empty, s.identity()); d != "" {
		t.Errorf("the host is not what it was before greave:\n%s", d)
	}

	t.Run("foreign port on our bridge", func(t *testing.T) {
		s := s.in(t)
		s.apply(full)
		s.vsctl("add-port", "br-lan", "theirs", "--", "set", "Interface", "theirs", "type=internal", "external_ids:owner=somebody")
		theirs := s.vsctl("--format=csv", "--columns=_uuid,type,ofport,external_ids", "list", "Interface", "theirs")
		r, err := s.Purge(t.Context(), &greavev1.PurgeRequest{Confirm: true})
		s.must(err)
		if r.Realised || len(r.NotRealised) != 1 || r.NotRealised[0].Name != "br-lan" || !reasons(r.NotRealised[0])["FOREIGN_PORTS"] ||
			!strings.Contains(message(r.NotRealised[0]), "theirs") {
			t.Errorf("purge = %v, want br-lan to be kept for port theirs", r)
		}
		if got := s.vsctl("list-ports", "br-lan"); got != "theirs" {
			t.Errorf("ports of br-lan: %s, want theirs alone", got)
		}
		if got := s.vsctl("--format=csv", "--columns=_uuid,type,ofport,external_ids", "list", "Interface", "theirs"); got != theirs {
			t.Errorf("the foreign port was\n%s\nis\n%s", theirs, got)
		}
		s.vsctl("del-port", "theirs")
		eventually(t, promise, "br-lan goes once nothing foreign is on it", func() bool { return lineDiff(empty, s.identity()) == "" })
	})

	t.Run("after a lost state directory", func(t *testing.T) {
		s := s.in(t)
		s.apply(full)
		s.KillGreaved()
		s.exec("rm", "-r", s.StateDir())
		s.run()
		s.waitConnected()
		if out, _, err := s.Greave(t.Context(), "purge", "--yes"); err != nil {
			t.Fatalf("greave purge --yes: %v\n%s", err, out)
		}
		if d := lineDiff(empty, s.identity()); d != "" {
			t.Errorf("the host is not what it was before greave:\n%s", d)
		}
		if got, err := s.ForeignDump(t.Context()); err != nil || got == "" {
			t.Errorf("foreign objects: %v", err)
		}
	})
	if code := lab.ExitCode(func() error { _, _, err := s.Greave(t.Context(), "plan"); return err }()); code != 0 {
		t.Errorf("plan after a purge: exit status %d, want 0", code)
	}
}
