package model

import (
	"maps"
	"slices"
	"testing"
)

// TestOrphans: only the row of a guest's plain device that is gone is one.
func TestOrphans(t *testing.T) {
	guest := map[string]string{IDIface: "vm-1", IDAttachedMAC: "02:00:00:00:00:01", "vm-id": "1"}
	port := func(name string, f func(*OVSPort)) OVSPort {
		p := OVSPort{Name: name, Bridge: "br0", ExternalIDs: guest, Ofport: 7, Members: 1}
		if f != nil {
			f(&p)
		}
		return p
	}
	ports := map[string]OVSPort{}
	for _, p := range []OVSPort{
		port("gone", nil),
		port("gone-system", func(p *OVSPort) { p.Type, p.Ofport, p.Error = "system", -1, "No such device" }),
		port("here", nil),
		port("uplink", func(p *OVSPort) { p.ExternalIDs = nil }),
		port("bond", func(p *OVSPort) { p.Members = 2 }),
		port("patch", func(p *OVSPort) { p.Type = "patch" }),
		port("tunnel", func(p *OVSPort) { p.Type = "gre" }),
		port("container", func(p *OVSPort) { p.Type = "internal" }),
		port("vhost", func(p *OVSPort) { p.Type = "dpdkvhostuserclient" }),
		port("br0", nil),
		port("ours", func(p *OVSPort) { p.ExternalIDs = map[string]string{IDIface: "x", MarkOwner: "h1"} }),
		port("elsewhere", func(p *OVSPort) { p.Bridge = "br-of-another-namespace" }),
	} {
		ports[p.Name] = p
	}
	f := Facts{OVS: &OVSHost{Ports: ports}, Devices: map[string]Device{"br0": {}, "here": {}}}
	if got, want := slices.Sorted(maps.Keys(orphans(f))), []string{"gone", "gone-system"}; !slices.Equal(got, want) {
		t.Errorf("orphans %v, want %v", got, want)
	}
	if got := orphans(Facts{}); len(got) > 0 {
		t.Errorf("orphans of a host that does not answer: %v", got)
	}
}
