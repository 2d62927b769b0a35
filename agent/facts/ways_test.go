package facts

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/greave-sdn/greave/model"
)

// TestWays asks in a namespace with two devices and routes of all sorts.
func TestWays(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("greave-ways-%d", os.Getpid())
	runtime.LockOSThread()
	home, err := netns.Get()
	check(err)
	ns, err := netns.NewNamed(name)
	check(err)
	defer netns.DeleteNamed(name)
	check(netns.Set(home))
	runtime.UnlockOSThread()
	h, err := netlink.NewHandleAt(ns)
	check(err)
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "a", 1400
	check(h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "b", PeerMTU: 1300}))
	for dev, addrs := range map[string][]string{"a": {"192.0.2.1/24", "2001:db8::1/64"}, "b": {"198.51.100.1/24"}} {
		l, err := h.LinkByName(dev)
		check(err)
		for _, s := range addrs {
			addr, err := netlink.ParseAddr(s)
			check(err)
			addr.Flags = 2 // IFA_F_NODAD
			check(h.AddrAdd(l, addr))
		}
		check(h.LinkSetUp(l))
	}
	a, err := h.LinkByName("a")
	check(err)
	_, far, _ := net.ParseCIDR("203.0.113.0/24")
	check(h.RouteAdd(&netlink.Route{Dst: far, Gw: net.IPv4(192, 0, 2, 254), LinkIndex: a.Attrs().Index, MTU: 1200}))
	_, hole, _ := net.ParseCIDR("203.0.113.128/25")
	check(h.RouteAdd(&netlink.Route{Dst: hole, Type: 6})) // RTN_BLACKHOLE

	ip := netip.MustParseAddr
	want := map[model.WayAsk]model.Way{
		{Remote: ip("192.0.2.9"), Netns: name}:                 {Source: ip("192.0.2.1"), Device: "a", MTU: 1400},
		{Remote: ip("203.0.113.9"), Netns: name}:               {Source: ip("192.0.2.1"), Device: "a", MTU: 1200},
		{Remote: ip("198.51.100.9"), Netns: name}:              {Source: ip("198.51.100.1"), Device: "b", MTU: 1300},
		{Remote: ip("198.51.100.9"), Netns: name, Device: "b"}: {Source: ip("198.51.100.1"), Device: "b", MTU: 1300},
		{Remote: ip("2001:db8::9"), Netns: name}:               {Source: ip("2001:db8::1"), Device: "a", MTU: 1400},
		{Remote: ip("203.0.113.200"), Netns: name}:             {},
		{Remote: ip("100.64.0.1"), Netns: name}:                {},
		{Remote: ip("2001:db8:9::9"), Netns: name}:             {},
		{Remote: ip("192.0.2.9"), Netns: name, Device: "none"}: {},
		{Remote: ip("192.0.2.9"), Netns: name + "-none"}:       {},
	}
	var asks []model.WayAsk
	for a := range want {
		asks = append(asks, a)
	}
	got, err := New().Ways(t.Context(), asks)
	check(err)
	for a, w := range want {
		if got[a] != w {
			t.Errorf("%+v: %+v, want %+v", a, got[a], w)
		}
	}
}
