package guest

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

func listen(t *testing.T, at netip.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 4000)))
	check(t, err)
	return c
}

func connect(t *testing.T, from, to netip.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 4000)))
	check(t, err)
	return c
}

func (h host) addr(f func(netlink.Link, *netlink.Addr) error, device string, p string) {
	h.t.Helper()
	l, err := h.LinkByName(device)
	check(h.t, err)
	a, err := netlink.ParseAddr(p)
	check(h.t, err)
	check(h.t, f(l, a))
}

// crossed fails the test unless a packet crosses the tunnel of a pair.
func crossed(t *testing.T, pair [2]host) {
	t.Helper()
	if !pings(t, pair[0], pair[1], inner4[0].Addr(), inner4[1].Addr(), patience) {
		t.Fatal("nothing crosses the tunnel")
	}
}

// TestT21LocalFollows: a local endpoint by device and one by route follow the underlay's address,
// and its loss is told.
func TestT21LocalFollows(t *testing.T) {
	for _, endpoint := range []string{"device: eth0", "route_to_peer: true"} {
		t.Run(endpoint, func(t *testing.T) {
			pair, both := agents(t)
			both[0].apply("vteps: [{name: v, %s}]\ntunnels: [{name: tun, local: {vtep: v}, remote: {address: 192.0.2.2}, addresses: [%s]}]", endpoint, inner4[0])
			both[1].apply("%s", l3Case{}.document(1))
			crossed(t, pair)
			pair[0].addr(pair[0].AddrDel, "eth0", "192.0.2.1/24") // first: a second one of a subnet goes with it
			pair[0].addr(pair[0].AddrAdd, "eth0", "192.0.2.50/24")
			both[1].apply("%s", strings.ReplaceAll(l3Case{}.document(1), "192.0.2.1", "192.0.2.50"))
			both[0].eventually("the tunnel follows", func() bool {
				l, err := both[0].LinkByName("tun")
				check(t, err)
				g, ok := l.(*netlink.Gretun)
				return ok && g.Local.String() == "192.0.2.50"
			})
			crossed(t, pair)
			pair[0].addr(pair[0].AddrDel, "eth0", "192.0.2.50/24")
			both[0].becomes("tun", pending, "")
			pair[0].addr(pair[0].AddrAdd, "eth0", "192.0.2.50/24")
			both[0].becomes("tun", active, "")
			crossed(t, pair)
			segmentsFollow(t, both[0], endpoint)
		})
	}
}

// segmentsFollow moves the address of the underlay more often than an object may be repaired.
func segmentsFollow(t *testing.T, a *agent, endpoint string) {
	a.apply("%s", underlaySegments(endpoint))
	old := "192.0.2.50"
	for i := range 12 {
		now := fmt.Sprintf("192.0.2.%d", 60+i)
		a.addr(a.AddrDel, "eth0", old+"/24")
		a.addr(a.AddrAdd, "eth0", now+"/24")
		old = now
		a.eventually("the devices of segments go by "+now, func() bool {
			links, err := a.LinkList()
			check(t, err)
			followed := 0
			for _, l := range links {
				switch l := l.(type) {
				case *netlink.Gretap:
					if l.Local.String() == now {
						followed++
					}
				case *netlink.Vxlan:
					if l.SrcAddr.String() == now {
						followed++
					}
				}
			}
			return followed == 2 && a.plan() == ""
		})
	}
	a.noDrift()
}

// TestT23Underlay: outer packets go by the table that a mark chooses, and by that of a VRF.
func TestT23Underlay(t *testing.T) {
	t.Run("fwmark", func(t *testing.T) {
		pair, both := agents(t)
		h := pair[0]
		// The far end's address is reached through the marked table only.
		pair[1].up("lo", netip.MustParsePrefix("198.51.100.2/32"))
		eth0, err := h.LinkByName("eth0")
		check(t, err)
		_, all, err := net.ParseCIDR("198.51.100.0/24")
		check(t, err)
		check(t, h.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: all, Gw: net.IPv4(192, 0, 2, 2), Table: 100}))
		rule := netlink.NewRule()
		rule.Mark, rule.Table, rule.Priority = 7, 100, 100
		check(t, h.RuleAdd(rule))
		both[0].apply("tunnels: [{name: tun, local: {address: 192.0.2.1}, remote: {address: 198.51.100.2}, fwmark: 7, addresses: [%s]}]", inner4[0])
		both[1].apply("tunnels: [{name: tun, local: {address: 198.51.100.2}, remote: {address: 192.0.2.1}, addresses: [%s]}]", inner4[1])
		newLine(t, pair, inner4[0].Addr(), inner4[1].Addr())
	})
	t.Run("vrf", func(t *testing.T) {
		pair, both := agents(t)
		for i, h := range pair { // one VRF has the underlay, another the tunnel
			for n, name := range []string{"under", "over"} {
				attrs := netlink.NewLinkAttrs()
				attrs.Name = name
				check(t, h.LinkAdd(&netlink.Vrf{LinkAttrs: attrs, Table: uint32(100 + n)}))
				h.up(name)
			}
			eth0, err := h.LinkByName("eth0")
			check(t, err)
			vrf, err := h.LinkByName("under")
			check(t, err)
			check(t, h.LinkSetMaster(eth0, vrf))
			both[i].apply("vteps: [{name: v, address: %s, vrf: under}]\ntunnels: [{name: tun, local: {vtep: v}, remote: {address: %s}, vrf: over, addresses: [%s], routes: [{destination: 10.78.0.0/16}]}]",
				under4[i].Addr(), under4[1-i].Addr(), inner4[i])
			routes, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: 101, Protocol: 103}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
			check(t, err)
			if len(routes) != 1 {
				t.Errorf("routes in the VRF's table: %v", routes)
			}
		}
		var l line
		l.t, l.header = t, 28
		config := net.ListenConfig{Control: bindTo("over")}
		pair[1].in(func() {
			c, err := config.ListenPacket(t.Context(), "udp", inner4[1].Addr().String()+":4000")
			check(t, err)
			l.to = c.(*net.UDPConn)
		})
		dialer := net.Dialer{Control: bindTo("over")}
		pair[0].in(func() {
			c, err := dialer.DialContext(t.Context(), "udp", inner4[1].Addr().String()+":4000")
			check(t, err)
			l.from = c.(*net.UDPConn)
		})
		defer l.to.Close()
		defer l.from.Close()
		for end := time.Now().Add(patience); ; {
			_, _ = l.from.Write([]byte("hello"))
			if l.receive(100*time.Millisecond) != nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal("nothing crosses from VRF to VRF")
			}
		}
	})
}

// TestF8Namespaces: the tunnel in one namespace, its underlay in another.
func TestF8Namespaces(t *testing.T) {
	pair, both := agents(t)
	name := fmt.Sprintf("inner-%d", time.Now().UnixNano())
	space := newHost(t)
	check(t, bindNetns(name, space.ns))
	t.Cleanup(func() { check(t, netns.DeleteNamed(name)) })
	both[0].apply("tunnels: [{name: tun, netns: %s, local: {address: 192.0.2.1}, remote: {address: 192.0.2.2}, addresses: [%s]}]", name, inner4[0])
	both[1].apply("%s", l3Case{}.document(1))
	if here := pair[0].links("tun"); len(here) > 1 { // tunl0 may be there
		t.Errorf("left in the underlay's namespace: %v", here)
	}
	if !pings(t, space, pair[1], inner4[0].Addr(), inner4[1].Addr(), patience) {
		t.Error("nothing crosses")
	}
	l, err := space.LinkByName("tun")
	check(t, err)
	check(t, space.LinkDel(l))
	both[0].eventually("it is made again", func() bool { return both[0].plan() == "" && len(space.links("tun")) > 0 })
	both[0].apply("allow_empty: true")
	if _, err := space.LinkByName("tun"); err == nil {
		t.Error("left in its namespace")
	}
}

// TestP5Recursion: a tunnel whose far end is reached through itself is refused, and one that a
// route made so is taken down.
func TestP5Recursion(t *testing.T) {
	_, both := agents(t)
	a := both[0]
	if why := a.refused(l3Case{}.document(0) + "  routes: [{destination: 192.0.2.0/28}]\n"); !strings.Contains(why, "recursive") {
		t.Errorf("a route to its own far end: %s", why)
	}
	a.apply("%s", l3Case{}.document(0))
	l, err := a.LinkByName("tun")
	check(t, err)
	_, dst, err := net.ParseCIDR("192.0.2.2/32")
	check(t, err)
	check(t, a.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Protocol: 186}))
	a.becomes("tun", failed, "RECURSIVE_ROUTING")
	l, err = a.LinkByName("tun")
	check(t, err)
	if l.Attrs().Flags&net.FlagUp != 0 {
		t.Error("it is up still")
	}
}
