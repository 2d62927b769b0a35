package integration

import (
	"strings"
	"testing"
)

// TestDeviceMoves: a device that is renamed, or taken into another namespace, is waited for; when it is
// back, so is its traffic.
func TestDeviceMoves(t *testing.T) {
	sites, guests := pair(t)
	for i, s := range sites {
		s.apply(half(sites, i, ""))
	}
	s := sites[1]
	pingsOnce(t, guests)
	elsewhere := guests[1].NS
	for _, c := range []struct{ name, away, back string }{
		{"renamed", "ip link set tap0 down; ip link set tap0 name was0; ip link set was0 up", "ip link set was0 down; ip link set was0 name tap0; ip link set tap0 up"},
		{"in another namespace", "ip link set tap0 netns " + elsewhere, "ip -n " + elsewhere + " link set tap0 netns " + s.NS + "; ip link set tap0 up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			s.exec("sh", "-ec", c.away)
			s.becomes(portKind, "guest", pending, "")
			s.becomes(tunnelKind, "gre-7", active, "") // nobody else feels it
			s.exec("sh", "-ec", c.back)
			s.becomes(portKind, "guest", active, "")
			pingsOnce(t, guests)
			s.waitPlan()
		})
	}
}

// TestBridgeMadeAnew: a bridge that somebody deletes and makes again is theirs: a CONFLICT, and left as
// it is. When it is gone, greave's own comes back.
func TestBridgeMadeAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.apply(ordinary(s, ""))
	before := s.rowsNow()
	s.vsctl("del-br", "br-lan", "--", "add-br", "br-lan", "--", "set", "Bridge", "br-lan", "datapath_type=netdev", "external_ids:whose=somebodys")
	s.becomes(bridgeKind, "br-lan", failed, "CONFLICT")
	theirs := s.vsctl("--format=csv", "--no-headings", "--columns=_uuid,ports,external_ids,fail_mode", "list", "Bridge", "br-lan")
	s.vsctl("set", "Open_vSwitch", ".", "external_ids:kick=1") // one more pass
	s.becomes(tunnelKind, "gre-7", pending, "")
	if now := s.vsctl("--format=csv", "--no-headings", "--columns=_uuid,ports,external_ids,fail_mode", "list", "Bridge", "br-lan"); now != theirs || !strings.Contains(now, "somebodys") {
		t.Errorf("somebody's bridge was %s, is %s", theirs, now)
	}
	s.vsctl("del-br", "br-lan", "--", "remove", "Open_vSwitch", ".", "external_ids", "kick")
	s.becomes(tunnelKind, "gre-7", active, "")
	s.waitPlan()
	if d := lineDiff(before, s.rowsNow()); d != "" {
		t.Errorf("the host is not what it was:\n%s", d)
	}
}
