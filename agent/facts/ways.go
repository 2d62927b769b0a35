package facts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/model"
)

// patience is the longest wait for an answer of the kernel's.
const patience = 5 * time.Second

// Ways asks the kernel how packets to underlay addresses would leave the host. What cannot be
// reached, or not from a device or namespace that is not there, is absent from the result. Each
// namespace takes one list of its devices and a question an address.
func (h *Host) Ways(ctx context.Context, asks []model.WayAsk) (map[model.WayAsk]model.Way, error) {
	byNetns := map[string][]model.WayAsk{}
	for _, a := range asks {
		byNetns[a.Netns] = append(byNetns[a.Netns], a)
	}
	out := make(map[model.WayAsk]model.Way, len(asks))
	for name, asks := range byNetns {
		if err := waysIn(ctx, name, asks, out); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("find ways to peers: %w", err)
		}
	}
	return out, nil
}

// devices are those of one namespace, by index and by name.
type devices struct {
	at    map[int]*netlink.LinkAttrs
	named map[string]int
}

func waysIn(ctx context.Context, name string, asks []model.WayAsk, out map[model.WayAsk]model.Way) error {
	ns := netns.None()
	if name != "" {
		var err error
		if ns, err = netns.GetFromName(name); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", name, err)
		}
		defer func() { _ = ns.Close() }()
	}
	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("enter network namespace %s: %w", name, err)
	}
	defer func() { _ = handle.Close() }()
	socket, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close() }()
	links, err := whole(handle.LinkList)
	if err != nil {
		return err
	}
	d := devices{make(map[int]*netlink.LinkAttrs, len(links)), make(map[string]int, len(links))}
	for _, l := range links {
		d.at[l.Attrs().Index] = l.Attrs()
		d.named[l.Attrs().Name] = l.Attrs().Index
	}
	sockets := map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
	for _, a := range asks {
		if err := ctx.Err(); err != nil {
			return err
		}
		tv := unix.NsecToTimeval(patience.Nanoseconds())
		_ = socket.SetReceiveTimeout(&tv) // only stores it
		way, ok, err := d.way(sockets, a)
		if err != nil {
			return fmt.Errorf("to %s: %w", a.Remote, err)
		}
		if ok {
			out[a] = way
		}
	}
	return nil
}

// way asks for one. A device to leave by, or a VRF's, is RTA_OIF: with the latter the kernel looks
// into the VRF's table.
func (d devices) way(sockets map[int]*nl.SocketHandle, a model.WayAsk) (way model.Way, ok bool, err error) {
	remote := a.Remote.Unmap()
	if !remote.IsValid() {
		return way, false, nil
	}
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Dst_len: uint8(remote.BitLen())}}
	if remote.Is6() {
		msg.Family = unix.AF_INET6
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
	req.Sockets = sockets
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, remote.AsSlice()))
	by := a.Device
	if by == "" {
		by = a.VRF
	}
	if by != "" {
		index, there := d.named[by]
		if !there {
			return way, false, nil
		}
		req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(index))))
	}
	answer, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
	if unreachable(err) {
		return way, false, nil
	} else if err != nil {
		return way, false, err
	}
	for _, b := range answer {
		way, ok = d.parseWay(b)
	}
	return way, ok, nil
}

// unreachable tells the answers of routes that lead nowhere: no route, unreachable, prohibit (EACCES)
// and blackhole (EINVAL).
func unreachable(err error) bool {
	for _, errno := range []unix.Errno{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL, unix.ENODEV, unix.ENETDOWN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func (d devices) parseWay(b []byte) (way model.Way, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return way, false
	}
	if typ := nl.DeserializeRtMsg(b).Type; typ != unix.RTN_UNICAST && typ != unix.RTN_LOCAL {
		return way, false
	}
	attrs, err := nl.ParseRouteAttrAsMap(b[unix.SizeofRtMsg:])
	if err != nil {
		return way, false
	}
	oif := attrs[unix.RTA_OIF].Value
	if len(oif) != 4 {
		return way, false
	}
	device := d.at[int(nl.NativeEndian().Uint32(oif))]
	if device == nil {
		return way, false
	}
	way.Device, way.MTU = device.Name, device.MTU
	way.Source, _ = netip.AddrFromSlice(attrs[unix.RTA_PREFSRC].Value)
	metrics, err := nl.ParseRouteAttrAsMap(attrs[unix.RTA_METRICS].Value)
	if mtu := metrics[unix.RTAX_MTU].Value; err == nil && len(mtu) == 4 && nl.NativeEndian().Uint32(mtu) != 0 {
		way.MTU = int(nl.NativeEndian().Uint32(mtu))
	}
	return way, true
}
