// Package facts owns what only the host knows and Open vSwitch does not say:
// network devices with their addresses and MTUs, and whether the kernel has an
// openvswitch datapath. It reads over netlink and writes nothing.
package facts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/model"
)

// resubscribe is the pause before a lost subscription is made again.
const resubscribe = time.Second

// ovsFamily is the generic netlink family of the kernel's openvswitch module
// (linux/openvswitch.h, OVS_DATAPATH_FAMILY).
const ovsFamily = "ovs_datapath"

// Host reads the facts of the network namespace that greaved runs in. No call
// needs a capability.
type Host struct {
	changes chan struct{}
}

// New returns a host that is not listened to yet; Run does that.
func New() *Host { return &Host{changes: make(chan struct{}, 1)} }

// Changes kicks when a device or an address may have changed.
func (h *Host) Changes() <-chan struct{} { return h.changes }

// Run listens for changes of devices and addresses until ctx ends. Events that
// were lost (ENOBUFS) count as a change, and so does a lost subscription.
func (h *Host) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		h.listen(ctx)
		h.kick()
		select {
		case <-ctx.Done():
		case <-time.After(resubscribe):
		}
	}
	return nil
}

const (
	gather = 50 * time.Millisecond  // what comes within is one change
	wake   = 500 * time.Millisecond // how often the end of ctx is looked for
)

// listen waits for events and does not look at them: to take 1,000 new devices
// apart, with all that is said of each, is more work than to make them.
func (h *Host) listen(ctx context.Context) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(fd) }()
	groups := uint32(1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1))
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return
	}
	timeout := unix.NsecToTimeval(wake.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return
	}
	buffer := make([]byte, 1<<16)
	for ctx.Err() == nil {
		_, _, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		h.kick()
		select {
		case <-ctx.Done():
		case <-time.After(gather):
		}
		for err = nil; err == nil; { // those that have come meanwhile are the next change
			_, _, err = unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT)
			if err == nil || errors.Is(err, unix.ENOBUFS) {
				h.kick()
			}
		}
	}
}

func (h *Host) kick() {
	select {
	case h.changes <- struct{}{}:
	default:
	}
}

// Devices lists the network devices with their addresses: two dumps, however
// many there are.
func (h *Host) Devices(context.Context) (map[string]model.Device, error) {
	links, err := whole(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	addrs, err := whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	byIndex, global := make(map[int][]string, len(addrs)), map[int][]netip.Addr{}
	for _, a := range addrs {
		byIndex[a.LinkIndex] = append(byIndex[a.LinkIndex], a.IP.String())
		if ip, ok := netip.AddrFromSlice(a.IP); ok && a.Scope == unix.RT_SCOPE_UNIVERSE && a.Flags&(unix.IFA_F_DEPRECATED|unix.IFA_F_TENTATIVE) == 0 {
			global[a.LinkIndex] = append(global[a.LinkIndex], ip.Unmap())
		}
	}
	names := make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	out := make(map[string]model.Device, len(links))
	for _, l := range links {
		at := l.Attrs()
		d := model.Device{Name: at.Name, Index: at.Index, Master: names[at.MasterIndex], Up: at.Flags&net.FlagUp != 0,
			MTU: at.MTU, Addrs: byIndex[at.Index], Global: global[at.Index]}
		if d.Kind = l.Type(); d.Kind == "device" {
			d.Kind = ""
		}
		d.Tunnel, d.Marked = tunnelOf(l), strings.HasPrefix(at.Alias, aliasMark)
		if vrf, ok := l.(*netlink.Vrf); ok {
			d.Table = int(vrf.Table)
		}
		out[at.Name] = d
	}
	return out, nil
}

// dumps is how often a list is asked for while it changes under the kernel's
// hands: on a host that makes devices all the time, one in thirty is torn.
const dumps = 10

// whole repeats a dump that the kernel says was interrupted (NLM_F_DUMP_INTR):
// what is missing from it may be there.
func whole[T any](dump func() ([]T, error)) (list []T, err error) {
	for range dumps {
		if list, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return nil, err
}

// KernelDatapath tells whether the kernel's openvswitch module answers.
func (h *Host) KernelDatapath(context.Context) bool {
	_, err := netlink.GenlFamilyGet(ovsFamily)
	return err == nil
}
