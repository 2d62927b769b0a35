package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// twoPaths is hosts joined by two underlays, with a guest on each.
func twoPaths(t *testing.T, hosts int) (l *lab.Lab, guests []*lab.Guest) {
	t.Helper()
	l = lab.ForTest(t, lab.Options{Hosts: hosts})
	check(t, l.SecondUnderlay(t.Context()))
	start(t, l)
	return l, redGuests(t, l.Hosts, 0)
}

// pathsDoc is a host's document with a path to each other host over each underlay,
// and fields of the paths such as ", weight: 3".
func pathsDoc(l *lab.Lab, h *lab.Host, encap, first, second string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vteps: [{name: one, address: %s}, {name: two, address: %s}]\nsegments: [{name: red, key: 100, encap: %s}]\n", h.VTEP, h.VTEP2(), encap)
	fmt.Fprintf(&b, "ports: [{name: g%d, device: g%d, attachments: [{segment: red}], macs: [%q]}]\npeers:\n", h.N, h.N, guestMAC(h.N))
	for _, far := range l.Hosts {
		if far != h {
			fmt.Fprintf(&b, "- {name: %s, paths: [{vtep: one, remote: %s%s}, {vtep: two, remote: %s%s}], segments: [red]}\n", far.Name, far.VTEP, first, far.VTEP2(), second)
		}
	}
	b.WriteString("fdb:\n")
	for _, far := range l.Hosts {
		if far != h {
			fmt.Fprintf(&b, "- {segment: red, mac: %q, peer: %s}\n", guestMAC(far.N), far.Name)
		}
	}
	return b.String()
}

// up waits until a host has seen its peers answer on the given addresses and uses
// them, and no others.
func up(t *testing.T, h *lab.Host, remotes ...netip.Addr) {
	t.Helper()
	eventually(t, settle, fmt.Sprintf("%s uses %v", h.Name, remotes), func() bool {
		r, err := dial(t, h).List(t.Context(), &greavev1.ListRequest{Kind: greavev1.ObjectKind_OBJECT_KIND_PEER})
		if err != nil {
			return false
		}
		var seen []string
		for _, o := range r.Objects {
			for _, p := range o.GetPeer().GetPaths() {
				if p.Up && p.Selected {
					seen = append(seen, p.Remote)
				}
			}
		}
		var want []string
		for _, a := range remotes {
			want = append(want, a.String())
		}
		slices.Sort(seen)
		slices.Sort(want)
		return slices.Equal(seen, want)
	})
}

// sentOver counts the tunnel packets of a host with UDP of the guests in them, by
// underlay.
func sentOver(t *testing.T, h *lab.Host, what func()) (first, second int) {
	t.Helper()
	var stops []func() []lab.OuterPacket
	for _, nic := range []struct{ dev, addr string }{{"eth0", h.VTEP.String()}, {"eth1", h.VTEP2().String()}} {
		stops = append(stops, capture(t, h, nic.dev, "proto gre and src host "+nic.addr))
	}
	what()
	count := func(list []lab.OuterPacket) int {
		return len(pick(list, func(p lab.OuterPacket) bool { return p.Key != nil && *p.Key == 100 && len(p.Inner) == 14+32 }))
	}
	return count(stops[0]()), count(stops[1]())
}

// TestO6Select: the flows to a peer with two paths are spread over them by their
// weights, each flow on one; a broadcast is one copy at each of two such peers.
func TestO6Select(t *testing.T) {
	t.Parallel()
	l, guests := twoPaths(t, 3)
	h1, h2, h3 := l.Hosts[0], l.Hosts[1], l.Hosts[2]
	for _, h := range l.Hosts {
		apply(t, h, pathsDoc(l, h, "gre", "", ""))
	}
	up(t, h1, h2.VTEP, h2.VTEP2(), h3.VTEP, h3.VTEP2())
	reaches(t, guests[0], guestAddr(2))
	reaches(t, guests[0], guestAddr(3))
	from := raw(t, guests[0])
	flows := func(n, each int) {
		for i := range n * each {
			send(t, from, ethernet(guestMAC(2), guestMAC(1), 0x0800, udp4(guestAddr(1), guestAddr(2), uint16(10000+i%n), 4242)))
			if i%20 == 0 {
				time.Sleep(2 * time.Millisecond)
			}
		}
	}
	const n = 1000
	for _, c := range []struct {
		name, first string
		share       int // of the first path
	}{{"equal", "", n / 2}, {"weighted", ", weight: 3", 3 * n / 4}} {
		t.Run(c.name, func(t *testing.T) {
			apply(t, h1, pathsDoc(l, h1, "gre", c.first, ""))
			first, second := sentOver(t, h1, func() { flows(n, 1) })
			t.Logf("%d and %d of %d flows", first, second, n)
			if first+second < n*95/100 || first+second > n {
				t.Errorf("%d packets of %d", first+second, n)
			}
			if first < c.share*8/10 || first > c.share*12/10 {
				t.Errorf("%d flows on the first path, want %d within a fifth", first, c.share)
			}
		})
	}
	t.Run("a flow stays", func(t *testing.T) {
		if first, second := sentOver(t, h1, func() { flows(1, 50) }); first+second != 50 || first != 0 && second != 0 {
			t.Errorf("one flow is %d packets on one path and %d on the other", first, second)
		}
	})
	t.Run("broadcast", func(t *testing.T) {
		far := []*lab.Raw{raw(t, guests[1]), raw(t, guests[2])}
		for i := range 8 {
			frame := ethernet(everyone, guestMAC(1), 0x88b5, fmt.Appendf(nil, "once %50d", i))
			send(t, from, frame)
			time.Sleep(delivery / 3)
			for j, r := range far {
				if got := count(t, r, frame); got != 1 {
					t.Errorf("%d copies of broadcast %d at %s, want 1", got, i, l.Hosts[1+j].Name)
				}
			}
		}
	})
}

// TestP1FailOver: the switch leaves a path that swallows everything for the next
// one by itself, while greaved is dead, and comes back when it carries again. With
// one path alone nothing gets through.
func TestP1FailOver(t *testing.T) {
	t.Parallel()
	l, guests := twoPaths(t, 2)
	h1, h2 := l.Hosts[0], l.Hosts[1]
	loss := func(cut bool, long time.Duration) lab.FloodResult {
		f, err := lab.StartFlood(t.Context(), guests[0], guests[1], 2*time.Millisecond)
		check(t, err)
		defer f.Stop()
		time.Sleep(200 * time.Millisecond)
		if cut {
			check(t, h2.Unplug(t.Context(), "u"))
		}
		time.Sleep(long)
		return f.Stop()
	}
	for i, h := range l.Hosts {
		far := l.Hosts[1-i]
		apply(t, h, strings.Replace(pathsDoc(l, h, "vxlan", "", ""), fmt.Sprintf(", {vtep: two, remote: %s}", far.VTEP2()), "", 1))
	}
	reaches(t, guests[0], guestAddr(2))
	if alone := loss(true, time.Second); alone.Received > alone.Sent/2 {
		t.Errorf("%d of %d came through without a path", alone.Received, alone.Sent)
	}
	check(t, h2.Plug(t.Context(), "u"))
	for _, h := range l.Hosts {
		apply(t, h, pathsDoc(l, h, "vxlan", "", ", role: backup"))
	}
	up(t, h1, h2.VTEP)
	up(t, h2, h1.VTEP)
	reaches(t, guests[0], guestAddr(2))
	for _, h := range l.Hosts {
		h.KillGreaved()
	}
	control, with := loss(false, time.Second), loss(true, 5*time.Second)
	t.Logf("longest gap %v without an event, %v when a path swallows everything: %d of %d lost", control.LongestGap, with.LongestGap, with.Lost, with.Sent)
	if with.LongestGap > control.LongestGap+3*time.Second { // ten times three probes
		t.Errorf("%d of %d packets came through, longest gap %v", with.Received, with.Sent, with.LongestGap)
	}
	for _, h := range l.Hosts {
		check(t, h.StartGreaved(t.Context()))
	}
	up(t, h1, h2.VTEP2())
	check(t, h2.Plug(t.Context(), "u"))
	up(t, h1, h2.VTEP)
	up(t, h2, h1.VTEP)
	if n := echo(t, guests[0], guestAddr(2)); n != 5 {
		t.Errorf("%d of 5 pings after the return", n)
	}
}

// TestP1FarEndWithoutProbes: a peer that answers no probes is reached by the path
// that goes first all the same.
func TestP1FarEndWithoutProbes(t *testing.T) {
	t.Parallel()
	l, guests := twoPaths(t, 2)
	h1, h2 := l.Hosts[0], l.Hosts[1]
	apply(t, h2, strings.Replace(pathsDoc(l, h2, "geneve", "", ""), fmt.Sprintf(", {vtep: two, remote: %s}", h1.VTEP2()), "", 1))
	for _, second := range []string{", role: backup", ", priority: 200"} {
		apply(t, h1, pathsDoc(l, h1, "geneve", "", second))
		up(t, h1)
		reaches(t, guests[0], guestAddr(2))
	}
}
