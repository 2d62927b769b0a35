package guest

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// crowd is a segment with n peers and, with fdb, an address behind each.
func crowd(encap string, n int, fdb bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vteps: [{name: v, address: 192.0.2.1}]\nsegments: [{name: red, key: 100, encap: %s}]\npeers:\n", encap)
	for i := range n {
		fmt.Fprintf(&b, "- {name: p%d, paths: [{remote: 198.18.%d.%d}], segments: [red]}\n", i, i/250, 1+i%250)
	}
	if fdb {
		b.WriteString("fdb:\n")
		for i := range n {
			fmt.Fprintf(&b, "- {segment: red, mac: \"02:00:00:%02x:%02x:%02x\", peer: p%d}\n", i>>16, i>>8&255, i&255, i)
		}
	}
	return b.String()
}

// fdbOf counts the static entries of the devices of a kind.
func (h host) fdbOf(kind string) (n int) {
	h.t.Helper()
	links, err := h.LinkList()
	check(h.t, err)
	for _, l := range links {
		if l.Type() != kind {
			continue
		}
		list, err := h.NeighList(l.Attrs().Index, unix.AF_BRIDGE)
		check(h.t, err)
		for _, e := range list {
			if e.State&netlink.NUD_NOARP != 0 && e.IP != nil {
				n++
			}
		}
	}
	return n
}

// TestF1Crowds: 512 GRE peers of a segment, and one more refused with the way out; more VXLAN peers
// on one device. (TestF1TenThousandPeers has 10,000, on a faster kernel.)
func TestF1Crowds(t *testing.T) {
	pair := newPair(t)
	a := pair[0].withAgent("host-0")
	began := time.Now()
	a.apply("%s", crowd("gre", 512, false))
	t.Logf("512 GRE peers in %v", time.Since(began))
	if n := len(a.links("gs-")); n != 513 {
		t.Errorf("%d devices, want 512 and a bridge", n)
	}
	if why := a.refused(crowd("gre", 513, false)); !strings.Contains(why, "vxlan") {
		t.Errorf("513 peers: %s", why)
	}
	a.apply("allow_empty: true")

	const many = 1000
	began = time.Now()
	a.apply("%s", crowd("vxlan", many, true))
	t.Logf("%d VXLAN peers and as many FDB entries in %v", many, time.Since(began))
	if n := a.fdbOf("vxlan"); n != 2*many {
		t.Errorf("%d entries of the device, want %d for floods and as many for addresses", n, many)
	}
	if n := len(a.links("gs-")); n != 2 {
		t.Errorf("%d devices, want one and a bridge", n)
	}
	began = time.Now()
	state := parse(t, crowd("vxlan", many-1, true))
	if p := a.planOf(state); strings.Count(p, "\n") != 2 {
		t.Errorf("a peer less is planned as\n%s", p)
	}
	t.Logf("a plan in %v", time.Since(began))
}

// TestF2Crowd: 10,000 far ends of one collect-metadata device.
func TestF2Crowd(t *testing.T) {
	pair := newPair(t)
	a := pair[0].withAgent("host-0")
	const many = 10000
	var b strings.Builder
	b.WriteString("tunnels:\n- name: many\n  remote: {flow: true}\n  key: {fixed: {out: 7}}\n  neighbours:\n")
	for i := range many {
		fmt.Fprintf(&b, "  - {overlay: 10.%d.%d.%d, underlay: 198.18.%d.%d}\n", 128+i/62500, i/250%250, 1+i%250, i/250, 1+i%250)
	}
	began := time.Now()
	a.apply("%s", b.String())
	t.Logf("%d far ends in %v", many, time.Since(began))
	routes, err := a.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: 103}, netlink.RT_FILTER_PROTOCOL)
	check(t, err)
	if len(routes) != many {
		t.Errorf("%d routes", len(routes))
	}
}

// TestFDBDrift: entries and neighbours that are taken away come back, those of others stay, and a
// kill between writes leaves nothing that nobody states.
func TestFDBDrift(t *testing.T) {
	pair := newPair(t)
	a := pair[0].withAgent("host-0")
	doc := crowd("vxlan", 3, true)
	a.apply("%s", strings.Replace(doc, "encap: vxlan}", "encap: vxlan, suppression: {enabled: true}}", 1)+
		"- {segment: red, mac: \"02:00:00:99:00:01\", peer: p0, ips: [10.0.0.9]}\n")
	links, err := a.LinkList()
	check(t, err)
	vxlan := links[slices.IndexFunc(links, func(l netlink.Link) bool { return l.Type() == "vxlan" })]
	bridge := links[slices.IndexFunc(links, func(l netlink.Link) bool { return l.Type() == "bridge" })]
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	self := &netlink.Neigh{LinkIndex: vxlan.Attrs().Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, State: netlink.NUD_PERMANENT | netlink.NUD_NOARP,
		HardwareAddr: mac, IP: net.IPv4(198, 18, 0, 2).To4()}
	master := &netlink.Neigh{LinkIndex: vxlan.Attrs().Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER, State: netlink.NUD_NOARP, HardwareAddr: mac}
	neighbour := &netlink.Neigh{LinkIndex: bridge.Attrs().Index, Family: unix.AF_INET, IP: net.IPv4(10, 0, 0, 9).To4()}
	theirs := &netlink.Neigh{LinkIndex: vxlan.Attrs().Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF, State: netlink.NUD_PERMANENT | netlink.NUD_NOARP,
		HardwareAddr: net.HardwareAddr{2, 9, 9, 9, 9, 9}, IP: net.IPv4(203, 0, 113, 9).To4()}
	check(t, a.NeighAppend(theirs))
	for what, n := range map[string]*netlink.Neigh{"self": self, "master": master, "neighbour": neighbour} {
		told := strings.Count(a.log(), "drift repaired")
		check(t, a.NeighDel(n))
		a.eventually("the "+what+" entry is mended and told of", func() bool { return a.plan() == "" && strings.Count(a.log(), "drift repaired") > told })
	}
	for round := range 4 {
		_, err := a.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, crowd("vxlan", 60+round, true)), Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE, AllowMassRemoval: true})
		check(t, err)
		time.Sleep(time.Duration(15*round) * time.Millisecond)
		a.kill()
		a.run()
		a.apply("%s", crowd("vxlan", 1, false))
		if n := a.fdbOf("vxlan"); n != 2 { // the flood entry, and theirs
			t.Errorf("round %d: %d entries are left, want theirs and one", round, n)
		}
	}
}

// TestF1VLANs: one device takes part in two segments, with a VLAN each and with its untagged frames.
func TestF1VLANs(t *testing.T) {
	hosts := star(t, 2)
	for i, h := range hosts {
		a := h.withAgent(fmt.Sprintf("host-%d", i))
		h.cable()
		a.apply(`
vteps: [{name: v, device: eth0}]
segments: [{name: red, key: 100}, {name: blue, key: 200, encap: vxlan}]
peers: [{name: other, paths: [{remote: %s}], segments: [red, blue]}]
ports: [{name: vm, device: vm, attachments: [{segment: red, vlan: 10}, {segment: blue}]}]
`, star4(1-i))
	}
	ears := []*tap{hosts[0].listen("vm-far"), hosts[1].listen("vm-far")}
	wire := hosts[1].listen("eth0")
	_, outer := arrives(t, ears[0], ears[1], wire, frame(10, 0x88b5, "in red"), "in red", true)
	if outer == nil || outer[14+9] != 47 {
		t.Errorf("red went out as %x", outer)
	}
	_, outer = arrives(t, ears[0], ears[1], wire, frame(0, 0x88b5, "in blue"), "in blue", true)
	if outer == nil || outer[14+9] != 17 {
		t.Errorf("blue went out as %x", outer)
	}
}
