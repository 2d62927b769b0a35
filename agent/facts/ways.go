package facts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/model"
)

// Ways looks up the kernel's routes to underlay addresses. One that there is
// not is absent.
func (h *Host) Ways(ctx context.Context, asks []model.WayAsk) (map[model.WayAsk]model.Way, error) {
	if len(asks) == 0 {
		return nil, nil
	}
	handles := map[string]*netlink.Handle{}
	defer func() {
		for _, handle := range handles {
			handle.Close()
		}
	}()
	devices := map[string]map[int]netlink.Link{}
	out := make(map[model.WayAsk]model.Way, len(asks))
	for _, ask := range asks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, open := handles[ask.Netns]; !open {
			handle, err := handleAt(ask.Netns)
			if err != nil {
				continue // no such namespace: nothing in it has a way
			}
			handles[ask.Netns] = handle
			links, err := whole(handle.LinkList)
			if err != nil {
				return nil, fmt.Errorf("list devices: %w", err)
			}
			devices[ask.Netns] = byIndex(links)
		}
		way, ok, err := lookUp(handles[ask.Netns], ask, devices[ask.Netns])
		if err != nil {
			return nil, fmt.Errorf("look up route to %s: %w", ask.Remote, err)
		}
		if ok {
			out[ask] = way
		}
	}
	return out, nil
}

func handleAt(name string) (*netlink.Handle, error) {
	if name == "" {
		return netlink.NewHandle(unix.NETLINK_ROUTE)
	}
	ns, err := netns.GetFromName(name)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
}

func byIndex(links []netlink.Link) map[int]netlink.Link {
	out := make(map[int]netlink.Link, len(links))
	for _, l := range links {
		out[l.Attrs().Index] = l
	}
	return out
}

func lookUp(h *netlink.Handle, ask model.WayAsk, devices map[int]netlink.Link) (model.Way, bool, error) {
	routes, err := h.RouteGetWithOptions(ask.Remote.AsSlice(), &netlink.RouteGetOptions{VrfName: ask.VRF, Oif: ask.Device})
	var missing netlink.LinkNotFoundError
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL), errors.As(err, &missing):
		return model.Way{}, false, nil
	case err != nil:
		return model.Way{}, false, err
	case len(routes) == 0:
		return model.Way{}, false, nil
	}
	r := routes[0]
	w := model.Way{MTU: r.MTU}
	if src, ok := netip.AddrFromSlice(r.Src); ok {
		w.Source = src.Unmap()
	}
	if l := devices[r.LinkIndex]; l != nil {
		w.Device = l.Attrs().Name
		if w.MTU == 0 {
			w.MTU = l.Attrs().MTU
		}
	}
	return w, true, nil
}
