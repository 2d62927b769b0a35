package kernel

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
)

const (
	// gather is the least time between two events: what comes in between is one.
	gather = 50 * time.Millisecond
	// gatherForeign is the same for changes of other people's routes, which matter only to the ways
	// to peers: a host with a full table of routes has some all the time.
	gatherForeign = time.Second
	watchBuffer   = 4 << 20 // bytes
	watchWake     = 500 * time.Millisecond
)

// watchedGroups are the multicast groups of rtnetlink that say what changed.
var watchedGroups = []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE}

// watch says which namespaces are to be watched.
func (h *Host) watch(list []string) {
	if old := h.watched.Load(); old != nil && slices.Equal(*old, list) {
		return
	}
	h.watched.Store(&list)
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// Watch calls event when something may have changed that matters, with whole set when events were
// lost and all must be read again. It returns when ctx ends.
func (h *Host) Watch(ctx context.Context, event func(whole bool)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := map[string]context.CancelFunc{}
	for {
		want := []string{""}
		if list := h.watched.Load(); list != nil {
			want = *list
		}
		for _, name := range want {
			if stop[name] == nil {
				var one context.Context
				one, stop[name] = context.WithCancel(ctx)
				wg.Go(func() { h.watchSpace(one, name, event) })
			}
		}
		for name, cancel := range stop {
			if !slices.Contains(want, name) {
				cancel()
				delete(stop, name)
			}
		}
		select {
		case <-ctx.Done():
			for _, cancel := range stop {
				cancel()
			}
			return
		case <-h.changed:
		}
	}
}

// watchSpace watches one namespace, again when its socket is lost.
func (h *Host) watchSpace(ctx context.Context, name string, event func(bool)) {
	for ctx.Err() == nil {
		var socket *nl.NetlinkSocket
		err := h.inside(name, func() (err error) {
			socket, err = nl.SubscribeAt(netns.None(), netns.None(), unix.NETLINK_ROUTE, watchedGroups...)
			return err
		})
		if err == nil {
			event(true) // what happened before it listened
			h.listen(ctx, socket, event)
			socket.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchWake):
		}
	}
}

func (h *Host) listen(ctx context.Context, socket *nl.NetlinkSocket, event func(bool)) {
	if err := socket.SetReceiveBufferSize(watchBuffer, true); err != nil {
		_ = socket.SetReceiveBufferSize(watchBuffer, false) // without the capability, as much as is allowed
	}
	wake := unix.NsecToTimeval(watchWake.Nanoseconds())
	_ = socket.SetReceiveTimeout(&wake)
	var last, lastForeign time.Time
	due, dueForeign := false, false
	for ctx.Err() == nil {
		messages, _, err := socket.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			event(true)
			continue
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case err != nil:
			return
		}
		for _, m := range messages {
			mine, foreign := matters(m.Header.Type, m.Data)
			due, dueForeign = due || mine, dueForeign || foreign
		}
		now := time.Now()
		if due && now.Sub(last) >= gather || dueForeign && now.Sub(lastForeign) >= gatherForeign {
			event(false)
			last, lastForeign, due, dueForeign = now, now, false, false
		}
		wait := watchWake
		if due {
			wait = gather - now.Sub(last)
		} else if dueForeign {
			wait = min(watchWake, gatherForeign-now.Sub(lastForeign))
		}
		wake := unix.NsecToTimeval(max(wait, time.Millisecond).Nanoseconds())
		_ = socket.SetReceiveTimeout(&wake)
	}
}

// matters tells of one event whether it may be about something of greave's, or about a route of
// somebody else's. Neighbours and FDB entries that traffic makes are neither.
func matters(typ uint16, b []byte) (mine, foreignRoute bool) {
	switch typ {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		n := parseNdmsg(b)
		return n.state&(nudPermanent|nudNoARP) != 0 && n.flags&ntfExtLearned == 0, false
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		ours := len(b) > 5 && b[5] == rows.Protocol
		return ours, !ours
	}
	return true, false
}
