package integration

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// orphanWait is more than two resyncs.
const orphanWait = 2 * time.Minute

// TestK2Orphans: the flows of a guest go when its device goes. What another made
// for a guest and left behind is removed from the bridge that asks for it, at the
// second full observation, told once and planned before; on another bridge it is
// only named. Nothing else of others goes, nor what comes back in time.
func TestK2Orphans(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	document := func(ports string) string {
		return strings.Replace(ordinary(s, ports), "bridges: [", "bridges: [{name: br-greave, sweep_orphans: true}, ", 1)
	}
	s.apply(document(""))
	without := s.flows("br-greave")
	_, err := s.AddBoundGuest(t.Context(), "br-greave", "vm-1", "vnet1", "", "02:00:00:00:00:11", 0)
	s.must(err)
	s.apply(document(`ports: [{name: vm1, iface_id: vm-1, attachments: [{segment: red}], macs: ["02:00:00:00:00:11"]}]`))
	_, err = s.AddBoundGuest(t.Context(), "br-greave", "vm-2", "vnet2", "", "02:00:00:00:00:12", 0)
	s.must(err)
	_, err = s.AddBoundGuest(t.Context(), "br-lan", "vm-3", "vnet3", "", "02:00:00:00:00:13", 0)
	s.must(err)
	s.others("br-greave")

	for _, dev := range []string{"vnet1", "vnet2", "vnet3", "nic0"} {
		s.exec("ip", "link", "del", dev)
	}
	s.becomes(portKind, "vm1", pending, "DEVICE_ABSENT")
	if got := s.flows("br-greave"); got != without {
		t.Errorf("flows of a port whose device is gone:\n%s", lineDiff(without, got))
	}
	s.must(s.StopGreaved())
	s.run() // a full observation
	eventually(t, promise, "the left-over ports are named", func() bool {
		return strings.Contains(message(s.object(bridgeKind, "br-greave")), "vnet1, vnet2; they go if that stays so") &&
			strings.Contains(message(s.object(bridgeKind, "br-lan")), "vnet3; sweep_orphans: true would remove them")
	})
	s.exec("ip", "link", "add", "vnet2", "type", "veth", "peer", "name", "vnet2p") // before a second one
	before := s.ports("br-greave")
	if !slices.Contains(before, "vnet1") {
		t.Errorf("vnet1 is gone after one observation: %v", before)
	}

	planned := false
	eventually(t, orphanWait, "vnet1 is removed", func() bool {
		if p, err := s.Plan(t.Context(), &greavev1.PlanRequest{}); err == nil && strings.Contains(planText(p.Plan), "sweep    port vnet1 (bridge br-greave): iface-id vm-1→none, reason=its device is gone since ") {
			planned = true
		}
		time.Sleep(200 * time.Millisecond)
		return !slices.Contains(s.ports("br-greave"), "vnet1")
	})
	if !planned {
		t.Error("the plan did not say so before")
	}
	s.waitPlan()
	want := slices.DeleteFunc(before, func(p string) bool { return p == "vnet1" })
	if got := s.ports("br-greave"); !slices.Equal(got, want) {
		t.Errorf("ports %v, want %v", got, want)
	}
	if got := s.ports("br-lan"); !slices.Contains(got, "vnet3") {
		t.Errorf("vnet3 was taken from a bridge that did not ask for it: %v", got)
	}
	s.becomes(bridgeKind, "br-greave", active, "ORPHANS_REMOVED")
	s.becomes(portKind, "vm1", pending, "PORT_ABSENT")
	if n := strings.Count(s.GreavedLog(), "orphaned port removed"); n != 1 {
		t.Errorf("told %d times in the log, want once", n)
	}
}

// others puts ports on a bridge that are no orphans, most of them with an
// iface-id and none with a device of its own: an uplink that will lose its device,
// a bond, a patch port, a tunnel, an internal port.
func (s site) others(bridge string) {
	s.t.Helper()
	for _, dev := range []string{"nic0", "nic1", "nic2"} {
		s.exec("ip", "link", "add", dev, "type", "veth", "peer", "name", dev+"p")
	}
	s.vsctl("add-port", bridge, "nic0",
		"--", "add-bond", bridge, "bond0", "nic1", "nic2", "--", "set", "Port", "bond0", "external_ids:iface-id=vm-4",
		"--", "add-port", bridge, "patch0", "--", "set", "Interface", "patch0", "type=patch", "options:peer=nobody", "external_ids:iface-id=vm-5",
		"--", "add-port", bridge, "gre0x", "--", "set", "Interface", "gre0x", "type=gre", "options:remote_ip=192.0.2.250", "options:key=5", "external_ids:iface-id=vm-6",
		"--", "add-port", bridge, "int0", "--", "set", "Interface", "int0", "type=internal", "external_ids:iface-id=vm-7")
}

func (s site) ports(bridge string) []string {
	s.t.Helper()
	out, err := s.Vsctl(context.WithoutCancel(s.t.Context()), "list-ports", bridge)
	s.must(err)
	return strings.Fields(out)
}
