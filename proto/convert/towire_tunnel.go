package convert

import (
	"net/netip"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

func tunnelToWire(t model.Tunnel) *greavev1.Tunnel {
	w := &greavev1.Tunnel{Name: t.Name, Layer: layers.wire(t.Layer), Encap: encaps.wire(t.Encap), Backend: backends.wire(t.Backend),
		Bridge: t.Bridge, Vlan: vlanToWire(t.VLAN), Segment: t.Segment, Device: t.Device, Key: keyOf(t),
		Ttl: ttlToWire(t.TTL), Tos: tosToWire(t.TOS), IgnoreDf: unlessZero(t.IgnoreDF), Fwmark: unlessZero(t.FwMark),
		EncapLimit: present(t.EncapLimit), UdpEncap: udpToWire(t.UDP), UdpPort: unlessZero(t.DstPort), Gbp: unlessZero(t.GroupPolicy),
		Erspan: erspanToWire(t.ERSPAN), Addresses: wireList(t.Addresses, netip.Prefix.String), Routes: wireList(t.Routes, routeToWire),
		Neighbours: wireList(t.Neighbours, func(n model.Neighbour) *greavev1.Neighbour {
			return &greavev1.Neighbour{Overlay: addrText(n.Overlay), Underlay: addrText(n.Underlay)}
		}),
		Mtu: unlessZero(t.MTU), Multicast: present(t.Multicast), Vrf: t.VRF, Netns: t.Netns, Adopt: unlessZero(t.Adopt)}
	endsToWire(w, t)
	if t.Checksum || t.ChecksumIn.Set {
		w.Checksum = &greavev1.TunnelChecksum{Out: unlessZero(t.Checksum)}
		if t.ChecksumIn.Set {
			w.Checksum.In = &t.ChecksumIn.V
		}
	}
	if t.Sequence || t.SequenceIn {
		w.Sequence = &greavev1.TunnelSequence{In: unlessZero(t.SequenceIn), Out: unlessZero(t.Sequence)}
	}
	if t.DF.Set {
		w.Fragmentation = &greavev1.Tunnel_Df{Df: t.DF.V}
	}
	if t.Down {
		w.Admin = greavev1.AdminState_ADMIN_STATE_DOWN
	}
	return w
}

func endsToWire(w *greavev1.Tunnel, t model.Tunnel) {
	switch {
	case t.Vtep != "":
		w.Local = &greavev1.TunnelLocal{Endpoint: &greavev1.TunnelLocal_Vtep{Vtep: t.Vtep}}
	case t.Local.IsValid():
		w.Local = &greavev1.TunnelLocal{Endpoint: &greavev1.TunnelLocal_Address{Address: t.Local.String()}}
	}
	switch {
	case t.Far == model.FarAny:
		w.Remote = &greavev1.TunnelRemote{Endpoint: &greavev1.TunnelRemote_Any{Any: true}}
	case t.Far == model.FarFlow:
		w.Remote = &greavev1.TunnelRemote{Endpoint: &greavev1.TunnelRemote_Flow{Flow: true}}
	case t.Peer != "":
		w.Remote = &greavev1.TunnelRemote{Endpoint: &greavev1.TunnelRemote_Peer{Peer: t.Peer}}
	case t.Remote.IsValid():
		w.Remote = &greavev1.TunnelRemote{Endpoint: &greavev1.TunnelRemote_Address{Address: t.Remote.String()}}
	}
}

func keyOf(t model.Tunnel) *greavev1.TunnelKey {
	switch {
	case t.KeyFlow:
		return &greavev1.TunnelKey{Kind: &greavev1.TunnelKey_Flow{Flow: true}}
	case t.KeyIn.Set || t.KeyOut.Set:
		return &greavev1.TunnelKey{Kind: &greavev1.TunnelKey_Fixed{Fixed: &greavev1.FixedKey{In: keyToWire(t.KeyIn), Out: keyToWire(t.KeyOut)}}}
	}
	return nil
}

func routeToWire(r model.Route) *greavev1.Route {
	w := &greavev1.Route{Via: addrText(r.Via), PreferredSource: addrText(r.Source), Metric: present(r.Metric), Table: unlessZero(r.Table)}
	if r.Destination.IsValid() {
		w.Destination = r.Destination.String()
	}
	return w
}

func udpToWire(u model.UDPEncap) *greavev1.UdpEncap {
	if u.Type == 0 {
		return nil
	}
	return &greavev1.UdpEncap{Type: udpEncaps.wire(u.Type), SrcPort: unlessZero(u.SrcPort), DstPort: unlessZero(u.DstPort), Checksum: unlessZero(u.Checksum)}
}

func erspanToWire(e model.ERSPAN) *greavev1.Erspan {
	if e == (model.ERSPAN{}) {
		return nil
	}
	w := &greavev1.Erspan{Version: unlessZero(e.Version), Index: unlessZero(e.Index), HardwareId: unlessZero(e.HardwareID)}
	if e.Egress {
		w.Direction = greavev1.ErspanDirection_ERSPAN_DIRECTION_EGRESS
	}
	return w
}

func vlanToWire(v model.VLAN) *greavev1.Vlan {
	if !v.Stated() {
		return nil
	}
	return &greavev1.Vlan{Mode: vlanModes.wire(v.Mode), Tag: unlessZero(v.Tag), Trunks: v.Trunks}
}

// present is an optional field whose absence the model tells from every value.
func present[T any](v model.Opt[T]) *T {
	if !v.Set {
		return nil
	}
	return &v.V
}
