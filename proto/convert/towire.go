package convert

import (
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/proto"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

// ToWire writes a state as the API does. FromWire gives the same state back.
func ToWire(s model.HostState) *greavev1.HostState {
	return &greavev1.HostState{
		Host: s.Host, AllowEmpty: s.AllowEmpty, AllowMassRemoval: s.AllowMassRemoval,
		Vteps:    wireList(s.Vteps, vtepToWire),
		Peers:    wireList(s.Peers, peerToWire),
		Segments: wireList(s.Segments, segmentToWire),
		Bridges:  wireList(s.Bridges, bridgeToWire),
		Ports:    wireList(s.Ports, portToWire),
		Fdb: wireList(s.Fdb, func(e model.FdbEntry) *greavev1.FdbEntry {
			return &greavev1.FdbEntry{Segment: e.Segment, Mac: macText(e.MAC), Peer: e.Peer, MovingTo: textUnlessEmpty(e.MovingTo), Ips: wireList(e.IPs, addrText)}
		}),
		Tunnels:  wireList(s.Tunnels, tunnelToWire),
		Mirrors:  wireList(s.Mirrors, mirrorToWire),
		Samplers: wireList(s.Samplers, samplerToWire),
	}
}

func wireList[M, W any](list []M, write func(M) W) []W {
	var out []W
	for _, m := range list {
		out = append(out, write(m))
	}
	return out
}

func vtepToWire(v model.Vtep) *greavev1.Vtep {
	w := &greavev1.Vtep{Name: v.Name, Vrf: v.VRF, Netns: v.Netns}
	switch {
	case v.Addr.IsValid():
		w.Endpoint = &greavev1.Vtep_Address{Address: v.Addr.String()}
	case v.Device != "":
		w.Endpoint = &greavev1.Vtep_Device{Device: v.Device}
	case v.Routed:
		w.Endpoint = &greavev1.Vtep_RouteToPeer{RouteToPeer: true}
	}
	return w
}

func peerToWire(p model.Peer) *greavev1.Peer {
	return &greavev1.Peer{Name: p.Name, Encap: encaps.wire(p.Encap), Segments: p.Segments,
		Paths: wireList(p.Paths, func(w model.Path) *greavev1.PeerPath {
			p := &greavev1.PeerPath{Vtep: w.Vtep, Remote: addrText(w.Remote), Role: pathRoles.wire(w.Role), Weight: unlessZero(w.Weight)}
			if w.Priority.Set {
				p.Priority = proto.Uint32(w.Priority.V)
			}
			return p
		})}
}

func segmentToWire(g model.Segment) *greavev1.Segment {
	w := &greavev1.Segment{Name: g.Name, Key: proto.Uint32(uint32(g.Key)), Encap: encaps.wire(g.Encap),
		Bridge: g.Bridge, Members: g.Members, Unknown: unknowns.wire(g.Unknown), Learning: unlessZero(g.Learning), Mtu: unlessZero(g.MTU)}
	if p := g.Replication; p.Mode != 0 || len(p.Replicators) > 0 {
		w.Replication = &greavev1.Replication{Mode: replications.wire(p.Mode), Replicators: p.Replicators}
	}
	if p := g.Suppression; p.Enabled || len(p.Excluded) > 0 {
		w.Suppression = &greavev1.Suppression{Enabled: proto.Bool(p.Enabled), Excluded: wireList(p.Excluded, netip.Prefix.String)}
	}
	return w
}

func bridgeToWire(b model.Bridge) *greavev1.Bridge {
	w := &greavev1.Bridge{Name: b.Name, Backend: backends.wire(b.Backend), Datapath: datapaths.wire(b.Datapath),
		Forwarding: forwardings.wire(b.Forwarding), FailMode: failModes.wire(b.FailMode), Protocols: b.Protocols,
		Mtu: unlessZero(b.MTU), Adopt: unlessZero(b.Adopt), SweepOrphans: unlessZero(b.SweepOrphans), Hwaddr: unlessZero(macText(b.HWAddr)),
		Addresses: wireList(b.Addresses, netip.Prefix.String)}
	if b.Foreign {
		w.Mode = greavev1.BridgeMode_BRIDGE_MODE_FOREIGN
	}
	if b.DatapathID.Set {
		w.DatapathId = proto.String(fmt.Sprintf("%016x", b.DatapathID.V))
	}
	return w
}

func portToWire(p model.Port) *greavev1.Port {
	w := &greavev1.Port{Activation: activationToWire(p.Activation), MovingTo: textUnlessEmpty(p.MovingTo), Name: p.Name, Bridge: p.Bridge, Macs: wireList(p.MACs, macText), Adopt: unlessZero(p.Adopt),
		Ips: wireList(p.IPs, addrText), Vlan: vlanToWire(p.VLAN), Mtu: unlessZero(p.MTU), Security: securityToWire(p.Security),
		Attachments: wireList(p.Attachments, func(a model.Attachment) *greavev1.Attachment {
			return &greavev1.Attachment{Segment: a.Segment, Vlan: unlessZero(a.VLAN)}
		})}
	switch {
	case p.Device != "":
		w.Binding = &greavev1.Port_Device{Device: p.Device}
	case p.IfaceID != "":
		w.Binding = &greavev1.Port_IfaceId{IfaceId: p.IfaceID}
	case p.Internal:
		w.Binding = &greavev1.Port_Internal{Internal: &greavev1.InternalPort{Mac: unlessZero(macText(p.HWAddr))}}
	case p.Patch.Bridge != "":
		w.Binding = &greavev1.Port_Patch{Patch: &greavev1.PatchPort{Bridge: p.Patch.Bridge, FarPort: p.Patch.Far}}
	}
	return w
}

func securityToWire(s model.PortSecurity) *greavev1.PortSecurity {
	if !s.Any() {
		return nil
	}
	return &greavev1.PortSecurity{Mac: unlessZero(s.MAC), Ip: unlessZero(s.IP), Arp: unlessZero(s.ARP),
		DhcpGuard: unlessZero(s.DHCPGuard), RaGuard: unlessZero(s.RAGuard)}
}

func ttlToWire(i model.Inheritable) *greavev1.TunnelTtl {
	switch {
	case i.Inherit:
		return &greavev1.TunnelTtl{Kind: &greavev1.TunnelTtl_Inherit{Inherit: true}}
	case i.Fixed.Set:
		return &greavev1.TunnelTtl{Kind: &greavev1.TunnelTtl_Fixed{Fixed: i.Fixed.V}}
	}
	return nil
}

func tosToWire(i model.Inheritable) *greavev1.TunnelTos {
	switch {
	case i.Inherit:
		return &greavev1.TunnelTos{Kind: &greavev1.TunnelTos_Inherit{Inherit: true}}
	case i.Fixed.Set:
		return &greavev1.TunnelTos{Kind: &greavev1.TunnelTos_Fixed{Fixed: i.Fixed.V}}
	}
	return nil
}

func keyToWire(k model.Opt[uint64]) *uint32 {
	if !k.Set {
		return nil
	}
	return proto.Uint32(uint32(k.V))
}

// unlessZero is an optional field of what the model writes as zero when absent.
func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func macText(m model.MAC) string {
	if m.IsZero() {
		return ""
	}
	return m.String()
}
