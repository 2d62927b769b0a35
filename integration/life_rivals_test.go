package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestT24ForeignRows is T24: a tunnel port that somebody else adds beside greave's
// flow-based one, in each way that Open vSwitch tells such ports apart. Where it
// takes a segment's packets greave says CONFLICT and names it, and where greave
// says nothing packets arrive: the switch's own order is the judge.
func TestT24ForeignRows(t *testing.T) {
	t.Parallel()
	l, guests := redPair(t)
	h1, h2 := l.Hosts[0], l.Hosts[1]
	s := site{h1, dial(t, h1), t}
	s.vsctl("add-br", "rival", "--", "set", "Bridge", "rival", "datapath_type=netdev")
	for i, c := range []struct {
		options string
		takes   bool
	}{
		{"type=gre options:remote_ip=REMOTE options:key=flow", true},
		{"type=gre options:remote_ip=REMOTE options:key=100", true},
		{"type=gre options:remote_ip=REMOTE options:key=101", false},
		{"type=gre options:remote_ip=REMOTE options:in_key=0x64 options:out_key=5", true},
		{"type=gre options:remote_ip=192.0.2.77 options:key=flow", false},
		{"type=gre options:remote_ip=flow options:key=100", true},
		{"type=gre options:remote_ip=flow options:key=101", false},
		{"type=gre options:remote_ip=flow options:key=flow", true},
		{"type=gre options:remote_ip=flow options:key=flow options:local_ip=LOCAL", true},
		{"type=gre options:remote_ip=flow options:key=flow options:local_ip=192.0.2.78", false},
		{"type=gre options:remote_ip=flow options:local_ip=flow options:key=flow", false}, // refused by the switch: ours was first
		{"type=gre options:remote_ip=REMOTE options:key=flow options:packet_type=legacy_l3", false},
		{"type=vxlan options:remote_ip=flow options:key=flow", false},
	} {
		t.Run(c.options, func(t *testing.T) {
			s := s.in(t)
			name := fmt.Sprint("rival", i)
			options := strings.NewReplacer("REMOTE", h2.VTEP.String(), "LOCAL", h1.VTEP.String()).Replace(c.options)
			pass := s.lastPass()
			s.vsctl(append([]string{"add-port", "rival", name, "--", "set", "Interface", name}, strings.Fields(options)...)...)
			defer func() {
				s.vsctl("del-port", name)
				s.becomes(segmentKind, "red", active, "")
				reaches(t, guests[1], guestAddr(1))
			}()
			if c.takes {
				s.becomes(segmentKind, "red", greavev1.ResourceState_RESOURCE_STATE_DEGRADED, "CONFLICT")
				if m := message(s.object(segmentKind, "red")); !strings.Contains(m, "OVS port "+name+" on bridge rival") || !strings.Contains(m, "del-port "+name) {
					t.Errorf("the message is %q", m)
				}
				eventually(t, promise, "the port takes the packets", func() bool { return echo(t, guests[1], guestAddr(1), "-c", "2") == 0 })
				return
			}
			eventually(t, promise, "a pass was made", func() bool { return s.lastPass().After(pass) })
			if o := s.object(segmentKind, "red"); o.GetState() != active {
				t.Errorf("segment red: %v", o)
			}
			reaches(t, guests[1], guestAddr(1))
		})
	}
	t.Run("beside a tunnel", func(t *testing.T) { rivalOfTunnel(t, l) })
}

// rivalOfTunnel has somebody else's tunnel where a document wants one: the same,
// and one that names the local address too.
func rivalOfTunnel(t *testing.T, l *lab.Lab) {
	h1, h2 := l.Hosts[0], l.Hosts[1]
	s := site{h1, dial(t, h1), t}
	for _, local := range []string{"", " options:local_ip=" + h1.VTEP.String()} {
		s.vsctl(strings.Fields(fmt.Sprintf("add-port rival first -- set Interface first type=gre options:remote_ip=%s options:key=7%s", h2.VTEP, local))...)
		_, err := s.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, fmt.Sprintf(
			"bridges: [{name: br-lan, datapath: netdev}]\ntunnels: [{name: gre-7, bridge: br-lan, remote: {address: %s}, key: {fixed: {in: 7, out: 7}}}]\n", h2.VTEP)), Source: "other"})
		s.must(err)
		s.becomes(tunnelKind, "gre-7", failed, "CONFLICT")
		if m := message(s.object(tunnelKind, "gre-7")); !strings.Contains(m, "OVS port first on bridge rival, of somebody else,") || !strings.Contains(m, "del-port first") {
			t.Errorf("the message is %q", m)
		}
		if rows := s.vsctl("--no-headings", "--columns=name", "find", "Interface", "name=gre-7"); rows != "" {
			t.Errorf("it was written all the same: %s", rows)
		}
		s.vsctl("del-port", "first")
		s.becomes(tunnelKind, "gre-7", active, "")
		_, err = s.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, "allow_empty: true\n"), Source: "other"})
		s.must(err)
		s.waitPlan()
	}
}

// TestO18TwoOwners is O18: two greaved with different names on one Open vSwitch,
// an overlay bridge each, one over GRE and one over VXLAN. Both carry packets, and
// neither touches the other's rows, flows and groups: not when the other's
// document changes, not when it repairs, not when it purges. A second one over the
// same encapsulation is refused, and the refusal names the owner.
func TestO18TwoOwners(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{})
	start(t, l)
	h1, h2 := l.Hosts[0], l.Hosts[1]
	red := redGuests(t, l.Hosts, 0)
	blue := []*lab.Guest{guest(t, h1, "b1", "10.9.0.1/24", guestMAC(11), 0), guest(t, h2, "b2", "10.9.0.2/24", guestMAC(12), 0)}
	first := site{h1, dial(t, h1), t}
	second, _ := first.twin("second", "other")

	// The far host has both segments on its one overlay bridge.
	far := segmentDoc(l.Hosts, h2, "")
	far = strings.Replace(far, "segments:\n", "segments:\n- {name: blue, key: 200, encap: vxlan}\n", 1)
	far = strings.Replace(far, "segments: [red]}", "segments: [red, blue]}", 1)
	far = strings.Replace(far, "ports:\n", fmt.Sprintf("ports:\n- {name: b2, device: b2, attachments: [{segment: blue}], macs: [%q]}\n", guestMAC(12)), 1)
	apply(t, h2, far)

	first.apply(segmentDoc(l.Hosts, h1, ""))
	theirs := func(encap string) string {
		return vtepOf(h1) + fmt.Sprintf(`bridges: [{name: br-other, forwarding: overlay, datapath: netdev}]
segments: [{name: blue, key: 200, encap: %s}]
peers: [{name: h2, paths: [{remote: %s}], segments: [blue]}]
ports: [{name: b1, device: b1, attachments: [{segment: blue}], macs: [%q]}]
`, encap, h2.VTEP, guestMAC(11))
	}
	state := func(s site, doc string) *greavev1.ApplyResponse {
		r, err := s.try(&greavev1.ApplyRequest{State: parse(t, doc)})
		s.must(err)
		return r
	}
	if r := state(second, theirs("vxlan")); !r.Realised {
		t.Fatalf("the second owner: %v", r.NotRealised)
	}
	both := func(what string) {
		t.Helper()
		reaches(t, red[0], guestAddr(2))
		reaches(t, blue[0], addr("10.9.0.2"))
		for _, s := range []site{first, second} {
			s.waitPlan()
		}
		if t.Failed() {
			t.Fatal(what)
		}
	}
	both("at first")
	ours, others := first.owned("h1", "br-greave"), first.owned("other", "br-other")
	unchanged := func(what string) {
		t.Helper()
		if d := lineDiff(ours, first.owned("h1", "br-greave")); d != "" {
			t.Errorf("%s changed rows or flows of h1:\n%s", what, d)
		}
	}
	first.ofctl("br-other", "del-flows")
	eventually(t, promise, "the second repairs its own", func() bool { return first.owned("other", "br-other") == others })
	both("after a repair")
	unchanged("the repair of another")

	if r := state(second, theirs("gre")); r.Realised {
		t.Error("a second flow-based port of GRE is realised")
	}
	second.becomes(bridgeKind, "br-other", failed, "CONFLICT")
	if m := message(second.object(bridgeKind, "br-other")); !strings.Contains(m, "of the greaved named h1,") || !strings.Contains(m, "on bridge br-greave") {
		t.Errorf("the refusal says %q", m)
	}
	unchanged("the refused document of another")
	if r := state(second, theirs("vxlan")); !r.Realised {
		t.Fatalf("back to VXLAN: %v", r.NotRealised)
	}
	both("after the refusal")
	_, err := second.Purge(t.Context(), &greavev1.PurgeRequest{Confirm: true})
	second.must(err)
	if rows := first.owned("other", "br-other"); rows != "" {
		t.Errorf("left by the purge of other:\n%s", rows)
	}
	unchanged("the purge of another")
	reaches(t, red[0], guestAddr(2))
}

// owned is all of an owner's on the switch: rows, and flows and groups of its bridge.
func (s site) owned(owner, bridge string) string {
	s.t.Helper()
	var b strings.Builder
	for _, q := range [][2]string{{"Bridge", "_uuid,name,fail_mode,external_ids"}, {"Port", "_uuid,name,external_ids"}, {"Interface", "_uuid,name,type,options,ofport,external_ids"}} {
		b.WriteString(s.vsctl("--format=csv", "--no-headings", "--columns="+q[1], "find", q[0], "external_ids:greave-owner="+owner))
		b.WriteByte('\n')
	}
	return strings.TrimSpace(sortLines(b.String()) + "\n" + s.flows(bridge))
}
