package kernel

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

const patient = 10 * time.Second

// watch starts a Watch and returns its events; it has ended at the end of the test.
func (l *lab) watch() <-chan bool {
	l.t.Helper()
	events := make(chan bool, 100_000)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.host.Watch(ctx, func(whole bool) { events <- whole })
	}()
	l.t.Cleanup(func() {
		cancel()
		<-ended
	})
	// It listens once something that matters is told of.
	for deadline := time.Now().Add(patient); time.Now().Before(deadline); {
		l.dummy(l.Handle, "probe")
		probe, err := l.LinkByName("probe")
		check(l.t, err)
		check(l.t, l.LinkDel(probe))
		select {
		case <-events:
			l.quiet(events)
			return events
		case <-time.After(100 * time.Millisecond):
		}
	}
	l.t.Fatal("no event at all")
	return nil
}

// quiet waits until there are no more events.
func (l *lab) quiet(events <-chan bool) {
	for {
		select {
		case <-events:
		case <-time.After(20 * eventPause):
			return
		}
	}
}

func (l *lab) told(events <-chan bool, what string, whole bool) {
	l.t.Helper()
	after := time.After(patient)
	for {
		select {
		case got := <-events:
			if got || !whole {
				l.quiet(events)
				return
			}
		case <-after:
			l.t.Fatalf("%s: no event, whole %v", what, whole)
		}
	}
}

func (l *lab) silent(events <-chan bool, what string) {
	l.t.Helper()
	select {
	case <-events:
		l.t.Errorf("%s is told of", what)
		l.quiet(events)
	case <-time.After(10 * eventPause):
	}
}

func TestWatch(t *testing.T) {
	l := newLab(t)
	l.must(plan.Create, linkRow("br0", "bridge"))
	l.must(plan.Create, linkRow("vx0", "vxlan", "id=7", "master=br0"))
	foreign := l.dummy(l.Handle, "f0", "192.0.2.1/24")
	index, theirs := l.index("vx0"), foreign.Attrs().Index
	l.read(l.scope())
	events := l.watch()
	mac, _ := net.ParseMAC("02:00:00:00:00:05")
	ip := net.IPv4(10, 0, 0, 9)
	fdb := func(index int, state int) *netlink.Neigh {
		return &netlink.Neigh{LinkIndex: index, Family: unix.AF_BRIDGE, State: state, Flags: netlink.NTF_MASTER, HardwareAddr: mac}
	}
	neigh := func(index int, state int) *netlink.Neigh {
		return &netlink.Neigh{LinkIndex: index, State: state, IP: ip, HardwareAddr: mac}
	}
	want := row(rows.Neighbour, "br0", "10.0.0.7", "lladdr=02:00:00:00:00:03")
	static := row(rows.FDB, "vx0", "master 02:00:00:00:00:06")
	for _, c := range []struct {
		what  string
		tells bool
		f     func() error
	}{
		{"a static neighbour", true, func() error { return l.do(plan.Create, want) }},
		{"its deletion", true, func() error { return l.do(plan.Delete, want) }},
		{"a resolved neighbour", false, func() error { return l.NeighAdd(neigh(l.index("br0"), unix.NUD_STALE)) }},
		{"a static neighbour elsewhere", false, func() error { return l.NeighAdd(neigh(theirs, unix.NUD_PERMANENT)) }},
		{"a learned FDB entry", false, func() error { return l.NeighAdd(fdb(index, unix.NUD_REACHABLE)) }},
		{"a static FDB entry", true, func() error { return l.do(plan.Create, static) }},
		{"its deletion", true, func() error { return l.do(plan.Delete, static) }},
		{"a link", true, func() error { return l.LinkSetMTU(foreign, 1400) }},
		{"an address", true, func() error {
			a, _ := netlink.ParseAddr("192.0.2.7/24")
			return l.AddrAdd(foreign, a)
		}},
		{"a route", true, func() error {
			_, dst, _ := net.ParseCIDR("203.0.113.0/24")
			return l.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: theirs})
		}},
	} {
		check(t, c.f())
		if c.tells {
			l.told(events, c.what, false)
		} else {
			l.silent(events, c.what)
		}
	}
}

// TestEventsCoalesce: events in a burst are told of some twenty times a second.
func TestEventsCoalesce(t *testing.T) {
	l := newLab(t)
	foreign := l.dummy(l.Handle, "f0")
	events := l.watch()
	began, n := time.Now(), 0
	for i := 0; time.Since(began) < 500*time.Millisecond; i++ {
		check(t, l.LinkSetMTU(foreign, 1400+i%2))
	}
	took := time.Since(began)
	for quiet := false; !quiet; {
		select {
		case <-events:
			n++
		case <-time.After(4 * eventPause):
			quiet = true
		}
	}
	if most := int(took/eventPause) + 2; n == 0 || n > most {
		t.Errorf("%d events in %v, at most %d expected", n, took, most)
	}
}

// TestLostEvents: when the kernel had to drop events, everything must be read again, and later
// events come as before.
func TestLostEvents(t *testing.T) {
	l := newLab(t)
	l.host.eventBuffer = 1
	foreign := l.dummy(l.Handle, "f0")
	events := l.watch()
	for i := range 5000 {
		check(t, l.LinkSetMTU(foreign, 1400+i%2))
	}
	l.told(events, "5,000 events of a link", true)
	check(t, l.LinkSetMTU(foreign, 1300))
	l.told(events, "an event behind them", false)
}

// spoil makes a socket fail under its user, who keeps the number.
func spoil(t *testing.T, fd int) {
	t.Helper()
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	check(t, err)
	check(t, unix.Dup3(null, fd, unix.O_CLOEXEC))
	check(t, unix.Close(null))
}

// TestLostSocket: a socket that fails is replaced; what happened without one is told of by a full
// reading, and later events come as before.
func TestLostSocket(t *testing.T) {
	l := newLab(t)
	sockets := make(chan int, 10)
	l.host.subscribed = func(fd int) { sockets <- fd }
	foreign := l.dummy(l.Handle, "f0")
	events := l.watch()
	for range 3 {
		spoil(t, <-sockets)
		l.told(events, "a new subscription", true)
		check(t, l.LinkSetMTU(foreign, 1400))
		l.told(events, "an event behind it", false)
		check(t, l.LinkSetMTU(foreign, 1300))
		l.told(events, "another", false)
	}
}

// TestLostEventsKick: a backend looks again after lost events and after a lost subscription, as after
// any other event; its pass reads every table anew each time.
func TestLostEventsKick(t *testing.T) {
	l := newLab(t)
	l.host.eventBuffer = 1
	sockets := make(chan int, 10)
	l.host.subscribed = func(fd int) { sockets <- fd }
	b := New(Config{Owner: owner, Tables: l.host, Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = b.Run(ctx)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	subscription := <-sockets
	kicked := func(what string) {
		t.Helper()
		select {
		case <-b.Changes():
		case <-time.After(patient):
			t.Fatalf("%s: no kick", what)
		}
		for quiet := false; !quiet; {
			select {
			case <-b.Changes():
			case <-time.After(20 * eventPause):
				quiet = true
			}
		}
	}
	want := linkRow("br0", "bridge")
	pass := func() { // the bridge goes in the middle of the flood, and is seen to be gone
		t.Helper()
		if _, there := l.read(l.scope())[want.Key]; there {
			t.Error("a reading shows what is gone")
		}
	}
	foreign := l.dummy(l.Handle, "f0")
	l.must(plan.Create, want)
	kicked("a device")
	for i := range 5000 {
		check(t, l.LinkSetMTU(foreign, 1400+i%2))
		if i == 2500 {
			l.must(plan.Delete, want)
		}
	}
	kicked("a flood of events")
	pass()
	spoil(t, subscription)
	kicked("a lost subscription")
	pass()
}

// TestWatchNamespaces: one that comes is listened to, and one that goes is let go of.
func TestWatchNamespaces(t *testing.T) {
	l := newLab(t)
	name := fmt.Sprintf("greave-test-%d-late", names.Add(1))
	s := l.scope()
	s.Netns = []string{name}
	l.read(s)
	events := l.watch()
	ns := newNetns(t, name)
	defer netns.DeleteNamed(name)
	l.told(events, "a namespace that comes", true)
	l.read(s)
	handle, err := netlink.NewHandleAt(ns)
	check(t, err)
	link := l.dummy(handle, "f0")
	l.told(events, "a device in it", false)
	check(t, handle.LinkSetMTU(link, 1400))
	l.told(events, "a change in it", false)
	handle.Close()
	check(t, ns.Close())
	check(t, netns.DeleteNamed(name))
	l.told(events, "a namespace that goes", true)
	l.host.mu.Lock()
	defer l.host.mu.Unlock()
	if l.host.spaces[name] != nil {
		t.Error("a socket keeps the namespace alive")
	}
}

func TestWatchEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := NewHost()
	defer h.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	h.Watch(ctx, func(bool) {})
}

func TestMatters(t *testing.T) {
	routeMessage := func(proto, typ, table uint8, flags uint32) message {
		var m message
		m.header(rtmsg{family: unix.AF_INET, protocol: proto, typ: typ, table: table})
		binary.NativeEndian.PutUint32(m[8:], flags)
		return m
	}
	for _, c := range []struct {
		what string
		typ  uint16
		m    message
		want bool
	}{
		{"own route in any table", unix.RTM_DELROUTE, routeMessage(rows.Protocol, unix.RTN_UNICAST, 0, 0), true},
		{"unicast route", unix.RTM_NEWROUTE, routeMessage(unix.RTPROT_BOOT, unix.RTN_UNICAST, unix.RT_TABLE_MAIN, 0), true},
		{"local route", unix.RTM_NEWROUTE, routeMessage(unix.RTPROT_KERNEL, unix.RTN_LOCAL, unix.RT_TABLE_LOCAL, 0), false},
		{"multicast route", unix.RTM_NEWROUTE, routeMessage(unix.RTPROT_KERNEL, unix.RTN_MULTICAST, unix.RT_TABLE_MAIN, 0), false},
		{"cached route", unix.RTM_NEWROUTE, routeMessage(unix.RTPROT_KERNEL, unix.RTN_UNICAST, unix.RT_TABLE_MAIN, unix.RTM_F_CLONED), false},
		{"rule", unix.RTM_NEWRULE, nil, false},
	} {
		if got := matters(nil, "", c.typ, c.m); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}
