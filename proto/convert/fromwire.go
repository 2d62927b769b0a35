package convert

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

// FromWire reads a state into the model, as stated: no default is filled in.
// It returns all that is wrong with its form, by field path: what is not built
// (UNIMPLEMENTED), malformed addresses, and values that would be taken for
// absent ones. The state is of use only when there is none. Names, references
// and ranges are checked by model.Validate.
func FromWire(w *greavev1.HostState) (model.HostState, model.FieldErrors) {
	r := &reader{errs: check(w.ProtoReflect())}
	s := model.HostState{
		Host: w.GetHost(), AllowEmpty: w.GetAllowEmpty(), AllowMassRemoval: w.GetAllowMassRemoval(),
		Vteps:    each("vteps", w.GetVteps(), r.vtep),
		Peers:    each("peers", w.GetPeers(), r.peer),
		Segments: each("segments", w.GetSegments(), r.segment),
		Bridges:  each("bridges", w.GetBridges(), r.bridge),
		Ports:    each("ports", w.GetPorts(), r.port),
		Fdb:      each("fdb", w.GetFdb(), r.fdb),
		Tunnels:  each("tunnels", w.GetTunnels(), r.tunnel),
		Mirrors:  each("mirrors", w.GetMirrors(), r.mirror),
		Samplers: each("samplers", w.GetSamplers(), r.sampler),
	}
	return s, r.errs
}

// each converts a list; an empty one is nil.
func each[W, M any](path string, list []W, read func(string, W) M) []M {
	var out []M
	for i, w := range list {
		out = append(out, read(fmt.Sprintf("%s[%d]", path, i), w))
	}
	return out
}

type reader struct{ errs model.FieldErrors }

func (r *reader) add(path, value, reason, message, remedy string) {
	r.errs = append(r.errs, model.FieldError{Path: path, Value: value, Reason: reason, Message: message, Remedy: remedy})
}

func (r *reader) vtep(path string, w *greavev1.Vtep) model.Vtep {
	return model.Vtep{Name: w.GetName(), Addr: r.addr(path+".address", w.GetAddress()), Device: w.GetDevice(),
		Routed: w.GetRouteToPeer(), VRF: w.GetVrf(), Netns: w.GetNetns()}
}

func (r *reader) peer(path string, w *greavev1.Peer) model.Peer {
	return model.Peer{Name: w.GetName(), Encap: encaps[w.GetEncap()], Segments: w.GetSegments(),
		Paths: each(path+".paths", w.GetPaths(), func(path string, w *greavev1.PeerPath) model.Path {
			p := model.Path{Vtep: w.GetVtep(), Remote: r.addr(path+".remote", w.GetRemote()), Role: pathRoles[w.GetRole()],
				Weight: r.nonzero(path+".weight", w.Weight, 1, 65535)}
			if w.Priority != nil {
				p.Priority = model.Some(w.GetPriority())
			}
			return p
		})}
}

func (r *reader) segment(path string, w *greavev1.Segment) model.Segment {
	if w.Key == nil {
		r.add(path+".key", "", model.ReasonRequired, "a segment needs a tunnel key", "add key: NUMBER")
	}
	g := model.Segment{Name: w.GetName(), Key: uint64(w.GetKey()), Encap: encaps[w.GetEncap()],
		Bridge: w.GetBridge(), Members: w.GetMembers(), Unknown: unknowns[w.GetUnknown()],
		Learning: w.GetLearning(), MTU: r.nonzero(path+".mtu", w.Mtu, 68, 65535)}
	if p := w.GetSuppression(); p != nil {
		g.Suppression = model.Suppression{Enabled: p.Enabled == nil || p.GetEnabled(), // by its presence
			Excluded: each(path+".suppression.excluded", p.GetExcluded(), r.prefix)}
	}
	if p := w.GetReplication(); p != nil {
		g.Replication = model.Replication{Mode: replications[p.GetMode()], Replicators: p.GetReplicators()}
	}
	return g
}

func (r *reader) bridge(path string, w *greavev1.Bridge) model.Bridge {
	b := model.Bridge{
		Name: w.GetName(), Foreign: w.GetMode() == greavev1.BridgeMode_BRIDGE_MODE_FOREIGN, Backend: backends[w.GetBackend()], Datapath: datapaths[w.GetDatapath()],
		Forwarding: forwardings[w.GetForwarding()], FailMode: failModes[w.GetFailMode()],
		Protocols: w.GetProtocols(), Adopt: w.GetAdopt(), SweepOrphans: w.GetSweepOrphans(),
		MTU:       r.nonzero(path+".mtu", w.Mtu, 68, 65535),
		Addresses: each(path+".addresses", w.GetAddresses(), r.prefix),
	}
	if w.Hwaddr != nil {
		b.HWAddr = r.mac(path+".hwaddr", w.GetHwaddr())
	}
	if w.DatapathId != nil {
		b.DatapathID = r.datapathID(path+".datapath_id", w.GetDatapathId())
	}
	return b
}

func (r *reader) port(path string, w *greavev1.Port) model.Port {
	p := model.Port{
		Activation: activation(w.GetActivation()), MovingTo: r.peerName(path+".moving_to", w.MovingTo),
		Name: w.GetName(), Device: w.GetDevice(), IfaceID: w.GetIfaceId(), Bridge: w.GetBridge(), Adopt: w.GetAdopt(),
		Attachments: each(path+".attachments", w.GetAttachments(), func(_ string, w *greavev1.Attachment) model.Attachment {
			return model.Attachment{Segment: w.GetSegment(), VLAN: w.GetVlan()}
		}),
		MACs: each(path+".macs", w.GetMacs(), r.mac),
		IPs:  each(path+".ips", w.GetIps(), r.addr),
		VLAN: r.vlan(path+".vlan", w.GetVlan()), MTU: r.nonzero(path+".mtu", w.Mtu, 68, 65535),
		Security: model.PortSecurity{MAC: w.GetSecurity().GetMac(), IP: w.GetSecurity().GetIp(), ARP: w.GetSecurity().GetArp(),
			DHCPGuard: w.GetSecurity().GetDhcpGuard(), RAGuard: w.GetSecurity().GetRaGuard()},
	}
	r.created(path, w, &p)
	return p
}

// created reads what greave makes of a port.
func (r *reader) created(path string, w *greavev1.Port, p *model.Port) {
	if i := w.GetInternal(); i != nil {
		if p.Internal = true; i.Mac != nil {
			p.HWAddr = r.mac(path+".internal.mac", i.GetMac())
		}
	}
	if patch := w.GetPatch(); patch != nil {
		p.Patch = model.Patch{Bridge: patch.GetBridge(), Far: patch.GetFarPort()}
		if p.Patch.Bridge == "" {
			r.add(path+".patch.bridge", "", model.ReasonRequired, "a patch needs the bridge of its far end", "add bridge: NAME")
		}
	}
}

func (r *reader) fdb(path string, w *greavev1.FdbEntry) model.FdbEntry {
	e := model.FdbEntry{Segment: w.GetSegment(), Peer: w.GetPeer(), MovingTo: r.peerName(path+".moving_to", w.MovingTo), IPs: each(path+".ips", w.GetIps(), r.addr)}
	if w.GetMac() != "" { // an absent one is the model's to refuse
		e.MAC = r.mac(path+".mac", w.GetMac())
	}
	return e
}

// nonzero is an optional number whose absence the model writes as zero.
func (r *reader) nonzero(path string, v *uint32, low, high uint32) uint32 {
	if v != nil && *v == 0 {
		r.add(path, "0", model.ReasonOutOfRange, fmt.Sprintf("is outside %d-%d", low, high), "use a value in that range, or leave it out")
		return 0
	}
	if v == nil {
		return 0
	}
	return *v
}

// addr reads an address. An absent one is the model's to refuse.
func (r *reader) addr(path, s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		r.add(path, s, model.ReasonInvalid, "has a prefix length", "write the address alone: "+p.Addr().String())
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		r.add(path, s, model.ReasonInvalid, "is not an IP address", "write one such as 192.0.2.1")
	case a.Zone() != "":
		r.add(path, s, model.ReasonInvalid, "has a zone, the part from '%' on, which no packet carries", "use an address that needs none")
	case a.Is4In6():
		r.add(path, s, model.ReasonInvalid, "is an IPv4 address written as IPv6", "write it as "+a.Unmap().String())
	default:
		return a
	}
	return netip.Addr{}
}

// prefix reads a prefix with its length. Host bits are the model's to judge.
func (r *reader) prefix(path, s string) netip.Prefix {
	p, err := netip.ParsePrefix(s)
	if a, bare := netip.ParseAddr(s); err != nil && bare == nil && a.Zone() == "" {
		r.add(path, s, model.ReasonInvalid, "has no prefix length", fmt.Sprintf("write it with one, as %s/%d", a, a.BitLen()))
		return netip.Prefix{}
	}
	switch {
	case err != nil:
		r.add(path, s, model.ReasonInvalid, "is not an IP prefix", "write one such as 192.0.2.0/24")
	case p.Addr().Is4In6():
		r.add(path, s, model.ReasonInvalid, "is an IPv4 prefix written as IPv6", "write it as IPv4, such as 192.0.2.0/24")
	default:
		return p
	}
	return netip.Prefix{}
}

func (r *reader) mac(path, s string) model.MAC {
	m, err := model.ParseMAC(s)
	if err != nil {
		r.add(path, s, model.ReasonInvalid, "is not a MAC address", "write six pairs of hexadecimal digits, as 02:00:00:00:00:01")
	} else if m.IsZero() {
		r.add(path, s, model.ReasonInvalid, "is all zeros, which no device has", "use a unicast address, as 02:00:00:00:00:01")
	}
	return m
}

var datapathID = regexp.MustCompile(`^[0-9a-fA-F]{16}$`)

func (r *reader) datapathID(path, s string) model.Opt[uint64] {
	if !datapathID.MatchString(s) {
		r.add(path, s, model.ReasonInvalid, "is not a datapath id", "write 16 hexadecimal digits, as 0000020000000001")
		return model.Opt[uint64]{}
	}
	id, _ := strconv.ParseUint(s, 16, 64) // 16 digits fit
	if id == 0 {
		r.add(path, s, model.ReasonInvalid, "is all zeros, which Open vSwitch ignores", "set one digit at least, or leave it out")
	}
	return model.Some(id)
}
