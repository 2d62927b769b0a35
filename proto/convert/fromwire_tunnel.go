package convert

import (
	"fmt"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

func (r *reader) tunnel(path string, w *greavev1.Tunnel) model.Tunnel {
	t := model.Tunnel{
		Name: w.GetName(), Encap: encaps[w.GetEncap()], Backend: backends[w.GetBackend()],
		Bridge: w.GetBridge(), VLAN: r.vlan(path+".vlan", w.GetVlan()),
		Vtep: w.GetLocal().GetVtep(), Local: r.addr(path+".local.address", w.GetLocal().GetAddress()),
		Peer: w.GetRemote().GetPeer(), Remote: r.addr(path+".remote.address", w.GetRemote().GetAddress()),
		Checksum: w.GetChecksum().GetOut(), Sequence: w.GetSequence().GetOut(),
		DstPort: r.nonzero(path+".udp_port", w.UdpPort, 1, 65535),
		Adopt:   w.GetAdopt(),
	}
	t.KeyIn, t.KeyOut = r.key(path+".key", w.GetKey())
	t.TTL.Inherit, t.TOS.Inherit = w.GetTtl().GetInherit(), w.GetTos().GetInherit()
	if ttl, ok := w.GetTtl().GetKind().(*greavev1.TunnelTtl_Fixed); ok {
		t.TTL.Fixed = model.Some(ttl.Fixed)
	}
	if tos, ok := w.GetTos().GetKind().(*greavev1.TunnelTos_Fixed); ok {
		t.TOS.Fixed = model.Some(tos.Fixed)
	}
	if df, ok := w.GetFragmentation().(*greavev1.Tunnel_Df); ok {
		t.DF = model.Some(df.Df)
	}
	return t
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

func opt(v *uint32) model.Opt[uint64] {
	if v == nil {
		return model.Opt[uint64]{}
	}
	return model.Some(uint64(*v))
}

// vlan is the tag of an access port, 0 for a trunk of all VLANs.
func (r *reader) vlan(path string, w *greavev1.Vlan) uint32 {
	trunk := w.GetMode() == greavev1.VlanMode_VLAN_MODE_TRUNK
	switch {
	case w == nil:
	case w.Tag == nil && w.GetMode() == greavev1.VlanMode_VLAN_MODE_ACCESS:
		r.add(path+".tag", "", model.ReasonRequired, "an access port needs a VLAN", "add tag: 1-4094, or leave vlan out to carry all VLANs")
	case w.Tag != nil && trunk:
		r.add(path+".tag", fmt.Sprint(w.GetTag()), model.ReasonConflict, "is set, but a trunk has no VLAN of its own", "use mode: access, or leave tag out")
	case w.Tag != nil && (w.GetTag() < 1 || w.GetTag() > 4094):
		r.add(path+".tag", fmt.Sprint(w.GetTag()), model.ReasonOutOfRange, "is outside 1-4094", "use a value in that range")
	default:
		return w.GetTag()
	}
	return 0
}
