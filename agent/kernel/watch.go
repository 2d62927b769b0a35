package kernel

import (
	"context"
	"errors"
	"maps"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
)

const (
	eventBuffer = 4 << 20                // bytes of events that wait in the kernel
	eventPause  = 50 * time.Millisecond  // between two events that are told
	listenWake  = 500 * time.Millisecond // how often the end of a watch is looked for
	resubscribe = time.Second            // pause before a lost subscription is made again
	netnsLook   = time.Second            // how often the names of namespaces are looked at
)

// interest is what the last reading was about. Before the first one everything is of interest.
type interest struct {
	netns   map[string]identity       // the zero one: it does not exist
	devices map[string]map[int32]bool // by namespace: those whose tables are read
}

func (h *Host) setInterest(r *reader) {
	in := &interest{netns: map[string]identity{}, devices: map[string]map[int32]bool{}}
	for _, name := range r.Netns {
		in.netns[name] = identity{}
	}
	for _, sp := range r.spaces {
		if sp.name != "" {
			in.netns[sp.name] = sp.id
		}
		devices := map[int32]bool{}
		for i, l := range r.links[sp.name] {
			if l.tables {
				devices[int32(i)] = true
			}
		}
		in.devices[sp.name] = devices
	}
	old := h.interest.Swap(in)
	if old == nil || !maps.Equal(old.netns, in.netns) {
		select {
		case h.changed <- struct{}{}:
		default:
		}
	}
}

// concerns tells whether the tables of a device are read.
func (in *interest) concerns(netns string, index int32) bool {
	return in == nil || in.devices[netns] == nil || in.devices[netns][index]
}

// Watch calls event when something changed that may matter, at most every 50 ms, until ctx ends.
// whole says that events were lost, so that everything must be read again. It listens in greaved's
// own namespace and in those of the last reading, and looks every second whether these are still
// the same.
func (h *Host) Watch(ctx context.Context, event func(whole bool)) {
	w := &watcher{h: h, kick: make(chan struct{}, 1), listening: map[string]listening{}}
	w.listen(ctx, "", identity{})
	defer w.wait()
	look := time.NewTicker(netnsLook)
	defer look.Stop()
	var pause <-chan time.Time // runs while no event may be told
	for {
		kick := w.kick
		if pause != nil {
			kick = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-h.changed:
			w.follow(ctx)
		case <-look.C:
			w.follow(ctx)
		case <-kick:
			event(w.take())
			pause = time.After(eventPause)
		case <-pause:
			pause = nil
		}
	}
}

// watcher is one Watch.
type watcher struct {
	h         *Host
	kick      chan struct{}
	mu        sync.Mutex
	whole     bool
	listening map[string]listening // by namespace
	running   sync.WaitGroup
}

type listening struct {
	id   identity
	stop context.CancelFunc
}

func (w *watcher) tell(whole bool) {
	w.mu.Lock()
	w.whole = w.whole || whole
	w.mu.Unlock()
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

func (w *watcher) take() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	whole := w.whole
	w.whole = false
	return whole
}

func (w *watcher) wait() {
	for _, l := range w.listening {
		l.stop()
	}
	w.running.Wait()
}

func (w *watcher) listen(ctx context.Context, name string, id identity) {
	ctx, stop := context.WithCancel(ctx)
	w.listening[name] = listening{id, stop}
	w.running.Go(func() { w.run(ctx, name) })
}

// follow listens in the namespaces of interest and in no other. A socket in a namespace that was
// deleted would keep it, and its devices, alive.
func (w *watcher) follow(ctx context.Context) {
	in := w.h.interest.Load()
	if in == nil {
		return
	}
	for name := range w.listening {
		if _, still := in.netns[name]; !still && name != "" {
			w.listening[name].stop()
			delete(w.listening, name)
		}
	}
	for name, read := range in.netns {
		id, err := identify(netnsPath(name))
		if err != nil {
			id = identity{}
		}
		l, on := w.listening[name]
		if on && l.id != id {
			l.stop()
			delete(w.listening, name)
			on = false
		}
		if !on && id != (identity{}) {
			w.listen(ctx, name, id)
		}
		if id != read {
			w.release(name, id)
			w.tell(true)
		}
	}
}

// release lets go of a namespace that has gone, and notes what is there now, to tell of it once.
func (w *watcher) release(name string, id identity) {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	if s := w.h.spaces[name]; s != nil && s.id != id {
		w.h.forget(name)
	}
	if in := w.h.interest.Load(); in != nil {
		next := &interest{netns: maps.Clone(in.netns), devices: maps.Clone(in.devices)}
		next.netns[name] = id
		delete(next.devices, name)
		w.h.interest.Store(next)
	}
}

// run listens in one namespace. It tells of a lost subscription when it is made again, as nobody
// can say what happened in between.
func (w *watcher) run(ctx context.Context, name string) {
	for first := true; ctx.Err() == nil; first = false {
		if !first {
			select {
			case <-ctx.Done():
				return
			case <-time.After(resubscribe):
			}
		}
		socket, err := w.h.subscribe(name)
		if noNamespace(err) {
			return
		} else if err != nil {
			continue
		}
		if !first {
			w.tell(true)
		}
		w.receive(ctx, name, socket)
		socket.close()
	}
}

// groups of rtnetlink that are listened to.
var groups = []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEIGH}

func (h *Host) subscribe(name string) (s *socket, err error) {
	err = h.inside(name, func() error {
		s, err = openSocket(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			s.close()
			return nil, os.NewSyscallError("subscribe to rtnetlink", err)
		}
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, h.buffer()) != nil { // needs CAP_NET_ADMIN
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, h.buffer())
	}
	if h.subscribed != nil {
		h.subscribed(s.fd)
	}
	return s, nil
}

func (h *Host) buffer() int {
	if h.eventBuffer != 0 {
		return h.eventBuffer
	}
	return eventBuffer
}

// receive tells of events until the socket fails. When the kernel had to drop events it says ENOBUFS
// once, and the socket goes on. Events are taken in heaps, a pause apart: greave's own writes bring
// several each, and to wake up for every one costs as much as to write.
func (w *watcher) receive(ctx context.Context, name string, socket *socket) {
	for ctx.Err() == nil {
		b, err := socket.receive(time.Now().Add(listenWake))
		switch {
		case errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ENOBUFS):
			w.tell(true)
		case err != nil:
			return
		default:
			w.sort(name, b)
		}
		if !w.drain(name, socket) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(eventPause):
		}
	}
}

// drain takes the events that wait, and says whether the socket is good.
func (w *watcher) drain(name string, socket *socket) bool {
	for {
		b, err := socket.receive(time.Time{})
		switch {
		case errors.Is(err, unix.EAGAIN):
			return true
		case errors.Is(err, unix.ENOBUFS):
			w.tell(true)
		case err != nil:
			return false
		default:
			w.sort(name, b)
		}
	}
}

// sort tells of what matters among the messages in b.
func (w *watcher) sort(name string, b []byte) {
	in := w.h.interest.Load()
	for {
		m, rest, ok := next(b)
		if !ok {
			return
		}
		if b = rest; matters(in, name, m.typ, m.payload) {
			w.tell(false)
			return
		}
	}
}

// matters tells whether an event may concern greave. Devices and addresses always do: facts are made
// of them. So do routes, by which peers are reached, except what the kernel caches and its local
// ones, which come with addresses. Neighbours and FDB entries matter on devices that are read, if they
// are static or greave's: on a host with traffic, the others change all the time.
func matters(in *interest, netns string, typ uint16, b []byte) bool {
	switch typ {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if len(b) < unix.SizeofRtMsg {
			return true
		}
		cloned := number(b[8:12])&unix.RTM_F_CLONED != 0
		return b[5] == rows.Protocol || b[7] == unix.RTN_UNICAST && b[4] != unix.RT_TABLE_LOCAL && !cloned
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		n := parseNdmsg(b)
		if !in.concerns(netns, n.index) {
			return false
		}
		if n.family == unix.AF_BRIDGE {
			return staticEntry(n)
		}
		for id, v := range attributes(b[min(len(b), unix.SizeofNdMsg):]) {
			if id == ndaProtocol && number(v) == rows.Protocol {
				return true // in any state: a deleted one is told of as FAILED first
			}
		}
		return n.state&unix.NUD_PERMANENT != 0
	}
	return false
}
