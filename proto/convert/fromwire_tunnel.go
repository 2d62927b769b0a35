package convert

import (
	"cmp"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

func (r *reader) tunnel(path string, w *greavev1.Tunnel) model.Tunnel {
	t := model.Tunnel{
		Name: w.GetName(), Layer: layers[w.GetLayer()], Encap: encaps[w.GetEncap()], Backend: backends[w.GetBackend()],
		Bridge: w.GetBridge(), VLAN: r.vlan(path+".vlan", w.GetVlan()), Segment: w.GetSegment(),
		Vtep: w.GetLocal().GetVtep(), Local: r.addr(path+".local.address", w.GetLocal().GetAddress()), Device: w.GetDevice(),
		Peer: w.GetRemote().GetPeer(), Remote: r.addr(path+".remote.address", w.GetRemote().GetAddress()),
		Checksum: w.GetChecksum().GetOut(),
		Sequence: w.GetSequence().GetOut(), SequenceIn: w.GetSequence().GetIn(),
		IgnoreDF: w.GetIgnoreDf(), FwMark: w.GetFwmark(), EncapLimit: optional(w.EncapLimit),
		DstPort: r.nonzero(path+".udp_port", w.UdpPort, 1, 65535), GroupPolicy: w.GetGbp(),
		ERSPAN: r.erspan(path+".erspan", w.GetErspan()), UDP: udpFromWire(w.GetUdpEncap()),
		MTU: r.nonzero(path+".mtu", w.Mtu, 68, 65535), Multicast: optional(w.Multicast),
		Down: w.GetAdmin() == greavev1.AdminState_ADMIN_STATE_DOWN,
		VRF:  w.GetVrf(), Netns: w.GetNetns(), Adopt: w.GetAdopt(),
	}
	if in := w.GetChecksum(); in != nil {
		t.ChecksumIn = optional(in.In)
	}
	switch w.GetRemote().GetEndpoint().(type) {
	case *greavev1.TunnelRemote_Any:
		t.Far = model.FarAny
	case *greavev1.TunnelRemote_Flow:
		t.Far = model.FarFlow
	}
	t.KeyIn, t.KeyOut = r.key(path+".key", w.GetKey())
	t.KeyFlow = w.GetKey().GetFlow()
	r.header(&t, w)
	t.Addresses = each(path+".addresses", w.GetAddresses(), r.prefix)
	t.Routes = each(path+".routes", w.GetRoutes(), r.route)
	t.Neighbours = each(path+".neighbours", w.GetNeighbours(), func(path string, w *greavev1.Neighbour) model.Neighbour {
		return model.Neighbour{Overlay: r.addr(path+".overlay", w.GetOverlay()), Underlay: r.addr(path+".underlay", w.GetUnderlay())}
	})
	return t
}

// header reads the fields of the outer header. Both names of DF say the same.
func (r *reader) header(t *model.Tunnel, w *greavev1.Tunnel) {
	t.TTL.Inherit, t.TOS.Inherit = w.GetTtl().GetInherit(), w.GetTos().GetInherit()
	if ttl, ok := w.GetTtl().GetKind().(*greavev1.TunnelTtl_Fixed); ok {
		t.TTL.Fixed = model.Some(ttl.Fixed)
	}
	if tos, ok := w.GetTos().GetKind().(*greavev1.TunnelTos_Fixed); ok {
		t.TOS.Fixed = model.Some(tos.Fixed)
	}
	switch df := w.GetFragmentation().(type) {
	case *greavev1.Tunnel_Df:
		t.DF = model.Some(df.Df)
	case *greavev1.Tunnel_Pmtudisc:
		t.DF = model.Some(df.Pmtudisc)
	}
}

func (r *reader) erspan(path string, w *greavev1.Erspan) model.ERSPAN {
	if w == nil {
		return model.ERSPAN{}
	}
	return model.ERSPAN{Version: r.nonzero(path+".version", w.Version, 1, 2), Index: w.GetIndex(),
		Egress: w.GetDirection() == greavev1.ErspanDirection_ERSPAN_DIRECTION_EGRESS, HardwareID: w.GetHardwareId()}
}

// udpFromWire reads UDP around GRE, which is there when the message is.
func udpFromWire(w *greavev1.UdpEncap) model.UDPEncap {
	if w == nil {
		return model.UDPEncap{}
	}
	return model.UDPEncap{Type: cmp.Or(udpEncaps[w.GetType()], model.UDPEncapFOU), SrcPort: w.GetSrcPort(),
		DstPort: w.GetDstPort(), Checksum: w.GetChecksum()}
}

func (r *reader) route(path string, w *greavev1.Route) model.Route {
	out := model.Route{Via: r.addr(path+".via", w.GetVia()), Source: r.addr(path+".preferred_source", w.GetPreferredSource()),
		Metric: optional(w.Metric), Table: r.nonzero(path+".table", w.Table, 1, 1<<32-1)}
	if w.GetDestination() != "" { // an absent one is the model's to refuse
		out.Destination = r.prefix(path+".destination", w.GetDestination())
	}
	return out
}

func (r *reader) key(path string, w *greavev1.TunnelKey) (in, out model.Opt[uint64]) {
	fixed := w.GetFixed()
	if fixed != nil && fixed.In == nil && fixed.Out == nil {
		r.add(path+".fixed", "", model.ReasonRequired, "a fixed key needs a number", "add in, out or both, or say none: true")
	}
	if fixed == nil {
		return in, out
	}
	return opt(fixed.In), opt(fixed.Out)
}

// optional is a field whose absence the model tells from every value.
func optional[T any](v *T) model.Opt[T] {
	if v == nil {
		return model.Opt[T]{}
	}
	return model.Some(*v)
}

func opt(v *uint32) model.Opt[uint64] {
	if v == nil {
		return model.Opt[uint64]{}
	}
	return model.Some(uint64(*v))
}

// vlan is what is said of VLANs; what goes together is the model's to judge.
func (r *reader) vlan(path string, w *greavev1.Vlan) model.VLAN {
	if w == nil {
		return model.VLAN{}
	}
	return model.VLAN{Mode: vlanModes[w.GetMode()], Tag: r.nonzero(path+".tag", w.Tag, 1, 4094), Trunks: w.GetTrunks()}
}
