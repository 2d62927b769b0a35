package model

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// DeviceTunnel is by what a tunnel device of the kernel takes packets from the
// underlay.
type DeviceTunnel struct {
	Encap         Encap
	Layer         Layer
	Local, Remote netip.Addr // not valid: any
	Key           uint64     // incoming; 0: none, or VNI 0
	Port          uint32     // UDP
	External      bool       // takes every packet of its kind that no other device takes (collect-metadata)
}

// ofOVS are the devices that the kernel datapath makes for its own ports.
var ofOVS = []string{"gre_sys", "ip6gre_sys", "erspan_sys", "ip6erspan_sys", "vxlan_sys_", "genev_sys_"}

// rivals are the tunnel devices of others that take packets before the kernel
// datapath sees them, or keep it from having a port for them.
type rivals struct {
	fixed    map[netip.Addr][]Device // by remote; those without one under the zero address
	external []Device
	ports    map[uint32]Device // by UDP port
}

func rivalsIn(f Facts) rivals {
	r := rivals{fixed: map[netip.Addr][]Device{}, ports: map[uint32]Device{}}
	for _, name := range slices.Sorted(maps.Keys(f.Devices)) {
		d := f.Devices[name]
		own := slices.ContainsFunc(ofOVS, func(p string) bool { return strings.HasPrefix(name, p) })
		switch t := d.Tunnel; {
		case t.Encap == 0 || own || d.Marked:
		case t.Port != 0 && !d.Up: // it has no socket
		case t.Port != 0:
			r.ports[t.Port] = d
		case t.External:
			r.external = append(r.external, d)
		default:
			r.fixed[t.Remote] = append(r.fixed[t.Remote], d)
		}
	}
	return r
}

// of finds the device that gets the packets of a tunnel, or has its place.
func (r rivals) of(e tunnelEnd) (Device, string) {
	if e.port != 0 {
		d, taken := r.ports[e.port]
		if !taken {
			return Device{}, ""
		}
		return d, fmt.Sprintf("listens on UDP port %d, and the kernel gives a port to one of them", e.port)
	}
	for _, remote := range []netip.Addr{e.remote, {}} {
		for _, d := range r.fixed[remote] {
			t := d.Tunnel
			if t.Encap == e.encap && t.Layer == e.layer && t.Key == e.key && (!t.Local.IsValid() || !e.local.IsValid() || t.Local == e.local) &&
				(remote.IsValid() || !t.Local.IsValid() || t.Local.Is4() == e.remote.Is4()) {
				return d, "has the same endpoints and incoming key, and the kernel gives it the packets"
			}
		}
	}
	for _, d := range r.external {
		if t := d.Tunnel; t.Encap == e.encap && t.Layer == LayerL2 && strings.HasPrefix(d.Kind, "ip6") == e.remote.Is6() {
			return d, "takes the packets of all remotes, and Linux has one such device in a namespace"
		}
	}
	return Device{}, ""
}

func rivalMessage(d Device, why string) string {
	return fmt.Sprintf("kernel device %s (%s) of somebody else %s: remove it with ip link del %s, or change the one or the other", d.Name, d.Kind, why, d.Name)
}

// stolen blocks tunnels on bridges of the kernel datapath whose packets a device of
// the kernel would take, and warns of segments with such peers: Open vSwitch says
// that all is well and gets nothing.
func (r *Resolved) stolen(f Facts) {
	system := map[string]bool{}
	for _, b := range r.Bridges {
		system[b.Name] = b.Backend == BackendOVS && b.Datapath == DatapathSystem
	}
	rivals := rivalsIn(f)
	r.Tunnels = slices.DeleteFunc(r.Tunnels, func(t ResolvedTunnel) bool {
		if t.Bridge == "" || !system[t.Bridge] {
			return false
		}
		d, why := rivals.of(tunnelEnd{encap: t.Encap, layer: t.Layer, port: t.DstPort, local: t.LocalAddr, remote: t.RemoteAddr, key: t.KeyIn.V})
		if why != "" {
			r.Blocked[t.Ref()] = Notice{Reason: NoticeConflict, Message: rivalMessage(d, why)}
		}
		return why != ""
	})
	for _, s := range r.Segments {
		if !system[s.Bridge] {
			continue
		}
		for _, h := range s.Users {
			for _, p := range r.Hops[h] {
				d, why := rivals.of(tunnelEnd{encap: h.Encap, layer: LayerL2, port: h.Encap.UDPPort(), local: p.Local, remote: p.Remote, key: s.Key})
				if why != "" {
					r.Warnings[s.Ref()] = Notice{Reason: NoticeConflict, Message: rivalMessage(d, why), On: []Ref{{KindPeer, h.Peer}}}
				}
			}
		}
	}
}
