package guest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// star is hosts on one underlay bridge, each with "eth0" at 192.0.2.N, N from 1.
func star(t *testing.T, n int) []host {
	t.Helper()
	middle := newHost(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br"
	check(t, middle.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	bridge := middle.up("br")
	var hosts []host
	for i := range n {
		h := newHost(t)
		port := netlink.NewLinkAttrs()
		port.Name, port.MTU, port.MasterIndex = fmt.Sprintf("p%d", i+1), underlay, bridge.Attrs().Index
		check(t, middle.LinkAdd(&netlink.Veth{LinkAttrs: port, PeerName: "eth0", PeerMTU: underlay, PeerNamespace: netlink.NsFd(h.ns)}))
		middle.up(port.Name)
		h.up("eth0", netip.PrefixFrom(star4(i), 24))
		hosts = append(hosts, h)
	}
	return hosts
}

func star4(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}) }
func inner(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}) }
func lan(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 60, byte(i + 1), 0}), 24)
}
func home(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 60, byte(i + 1), 1}), 24)
}

// pings tells whether a packet crosses between two hosts within a moment.
func pings(t *testing.T, from, to host, src, dst netip.Addr, wait time.Duration) bool {
	t.Helper()
	l := line{t: t, header: 28}
	to.in(func() { l.to, l.from = listen(t, dst), nil })
	from.in(func() { l.from = connect(t, src, dst) })
	defer l.to.Close()
	defer l.from.Close()
	for end := time.Now().Add(wait); time.Now().Before(end); {
		_, _ = l.from.Write([]byte("hello"))
		if l.receive(100*time.Millisecond) != nil {
			return true
		}
	}
	return false
}

// TestT7Hub: one device and a neighbour for each far end; hub and spokes, spoke to spoke, and one
// neighbour less.
func TestT7Hub(t *testing.T) {
	hosts := star(t, 4)
	var all []*agent
	for i, h := range hosts {
		all = append(all, h.withAgent(fmt.Sprintf("spoke-%d", i)))
	}
	document := func(i, but int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "tunnels:\n- name: hub\n  local: {address: %s}\n  remote: {any: true}\n  key: {fixed: {in: 5, out: 5}}\n  addresses: [%s/24]\n  neighbours:\n", star4(i), inner(i))
		for j := range hosts {
			if j != i && j != but {
				fmt.Fprintf(&b, "  - {overlay: %s, underlay: %s}\n", inner(j), star4(j))
			}
		}
		return b.String()
	}
	for i, a := range all {
		a.apply("%s", document(i, -1))
	}
	for i := range hosts {
		for j := range hosts {
			if i != j && !pings(t, hosts[i], hosts[j], inner(i), inner(j), patience) {
				t.Errorf("%d does not reach %d", i, j)
			}
		}
	}
	all[0].apply("%s", document(0, 2))
	for j, want := range []bool{false, true, false, true} {
		wait := patience
		if !want {
			wait = time.Second
		}
		if j > 0 && pings(t, hosts[0], hosts[j], inner(0), inner(j), wait) != want {
			t.Errorf("0 reaches %d: %v, want %v", j, !want, want)
		}
	}
	if why := all[0].refused(document(0, -1) + "  multicast: true\n"); !strings.Contains(why, "multicast") {
		t.Errorf("multicast on a hub: %s", why)
	}
}

// TestF2OneDevice: one collect-metadata device, a route with its own encapsulation for each far
// end and for the networks behind it.
func TestF2OneDevice(t *testing.T) {
	hosts := star(t, 3)
	var all []*agent
	for i, h := range hosts {
		a := h.withAgent(fmt.Sprintf("host-%d", i))
		h.up("lo", home(i))
		var b strings.Builder
		fmt.Fprintf(&b, "tunnels:\n- name: many\n  remote: {flow: true}\n  key: {fixed: {out: 77}}\n  addresses: [%s/32]\n  neighbours:\n", inner(i))
		routes := "  routes:\n"
		for j := range hosts {
			if j != i {
				fmt.Fprintf(&b, "  - {overlay: %s, underlay: %s}\n", inner(j), star4(j))
				routes += fmt.Sprintf("  - {destination: %s, via: %s}\n", lan(j), inner(j))
			}
		}
		a.apply("%s", b.String()+routes)
		all = append(all, a)
	}
	ears := hosts[1].listen("eth0")
	for i := range hosts {
		for j := range hosts {
			if i == j {
				continue
			}
			if !pings(t, hosts[i], hosts[j], inner(i), inner(j), patience) {
				t.Errorf("%d does not reach %d", i, j)
			}
			if !pings(t, hosts[i], hosts[j], inner(i), home(j).Addr(), patience) {
				t.Errorf("%d does not reach what is behind %d", i, j)
			}
		}
	}
	seen := false
	for _, f := range ears.drain() {
		if f[12] == 8 && f[13] == 0 && f[14+9] == unix.IPPROTO_GRE {
			seen = true
			if h := read(t, f); h.word != 77 || h.ttl != 64 {
				t.Errorf("on the wire: %+v", h)
			}
		}
	}
	if !seen {
		t.Error("no GRE on the wire")
	}
	if n := len(all[0].links("many")); n != 1 {
		t.Errorf("%d devices", n)
	}
}
