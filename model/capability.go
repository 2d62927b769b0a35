package model

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// Dataplane is what carries packets on a host.
type Dataplane uint8

// Dataplanes.
const (
	OVSUserspace Dataplane = iota + 1 // Open vSwitch, datapath netdev
	OVSKernel                         // Open vSwitch, datapath system
	LinuxKernel                       // without Open vSwitch
)

func (d Dataplane) String() string {
	switch d {
	case OVSUserspace:
		return "ovs-userspace"
	case OVSKernel:
		return "ovs-kernel"
	case LinuxKernel:
		return "kernel"
	}
	return "unspecified"
}

// Dataplanes lists all in order.
func Dataplanes() []Dataplane { return []Dataplane{OVSUserspace, OVSKernel, LinuxKernel} }

// Capability is whether each dataplane carries a kind of tunnel with an option.
type Capability struct {
	Segment  bool // of a segment; else an explicit tunnel
	Encap    Encap
	Layer    Layer
	IPv6     bool   // the underlay's family
	Option   string // as a document says it; empty: none
	Verdicts []Verdict
}

// Verdict is what Validate says of a tunnel on one dataplane. Reason is empty when
// it is carried.
type Verdict struct {
	Dataplane       Dataplane
	Reason, Message string
}

// tunnelOption is one thing that a tunnel may state.
type tunnelOption struct {
	name string
	set  func(t *Tunnel)
}

// tunnelOptions are those by which dataplanes differ, alone and where two of them
// exclude one another.
var tunnelOptions = []tunnelOption{
	{"key: {none: true}", func(t *Tunnel) { t.KeyIn, t.KeyOut = Opt[uint64]{}, Opt[uint64]{} }},
	{"key: {fixed: {in: A, out: B}}", func(t *Tunnel) { t.KeyOut = Some[uint64](8) }},
	{"local", func(t *Tunnel) {
		if t.Local = netip.AddrFrom4([4]byte{192, 0, 2, 1}); t.Remote.Is6() {
			t.Local = netip.MustParseAddr("2001:db8::1")
		}
	}},
	{"checksum.out", func(t *Tunnel) { t.Checksum = true }},
	{"checksum.in", func(t *Tunnel) { t.ChecksumIn = Some(true) }},
	{"sequence.out", func(t *Tunnel) { t.Sequence = true }},
	{"sequence.in", func(t *Tunnel) { t.SequenceIn = true }},
	{"checksum.out, sequence.out", func(t *Tunnel) { t.Checksum, t.Sequence = true, true }},
	{"ttl: {fixed: N}", func(t *Tunnel) { t.TTL.Fixed = Some[uint32](17) }},
	{"ttl: {inherit: true}", func(t *Tunnel) { t.TTL.Inherit = true }},
	{"tos: {fixed: N}", func(t *Tunnel) { t.TOS.Fixed = Some[uint32](40) }},
	{"tos: {inherit: true}", func(t *Tunnel) { t.TOS.Inherit = true }},
	{"df: false", func(t *Tunnel) { t.DF = Some(false) }},
	{"df: false, ttl: {inherit: true}", func(t *Tunnel) { t.DF, t.TTL.Inherit = Some(false), true }},
	{"ignore_df", func(t *Tunnel) { t.DF, t.TTL.Inherit, t.IgnoreDF = Some(false), true, true }},
	{"device", func(t *Tunnel) { t.Device = "eth0" }},
	{"fwmark", func(t *Tunnel) { t.FwMark = 1 }},
	{"encap_limit", func(t *Tunnel) { t.EncapLimit = Some[uint32](4) }},
	{"udp_encap", func(t *Tunnel) { t.UDP = UDPEncap{Type: UDPEncapFOU, DstPort: 5555} }},
	{"udp_port", func(t *Tunnel) { t.DstPort = 8472 }},
	{"gbp", func(t *Tunnel) { t.GroupPolicy = true }},
	{"erspan: {version: 2}", func(t *Tunnel) { t.ERSPAN.Version = 2 }},
	{"mtu", func(t *Tunnel) { t.MTU = 1400 }},
	{"admin: down", func(t *Tunnel) { t.Down = true }},
}

// CapabilityTable lists what each dataplane carries: every kind of tunnel and of
// segment, and every option of a tunnel. Its verdicts are those of Validate on a
// document with just that, so it says beforehand what a document will be told.
func CapabilityTable() []Capability {
	var out []Capability
	for _, e := range []Encap{EncapGRE, EncapVXLAN, EncapGeneve, EncapERSPAN} {
		for _, v6 := range []bool{false, true} {
			out = append(out, verdicts(Capability{Segment: true, Encap: e, Layer: LayerL2, IPv6: v6}, nil))
		}
		for _, layer := range []Layer{LayerL2, LayerL3} {
			for _, v6 := range []bool{false, true} {
				plain := verdicts(Capability{Encap: e, Layer: layer, IPv6: v6}, nil)
				out = append(out, plain)
				if !slices.ContainsFunc(plain.Verdicts, func(v Verdict) bool { return v.Reason == "" }) {
					continue // with options it is no better
				}
				for _, o := range tunnelOptions {
					out = append(out, verdicts(Capability{Encap: e, Layer: layer, IPv6: v6, Option: o.name}, o.set))
				}
			}
		}
	}
	return out
}

func verdicts(c Capability, set func(*Tunnel)) Capability {
	for _, d := range Dataplanes() {
		s := tunnelOn(d, c, set)
		if c.Segment {
			s = segmentOn(d, c)
		}
		v := Verdict{Dataplane: d}
		var errs FieldErrors
		all := Capabilities{OVS: true, SystemDatapath: true, Choice: Choice{Auto: BackendOVS}}
		if errors.As(Validate(Normalize(s, HostState{}), nil, "", all), &errs) {
			v.Reason, v.Message = errs[0].Reason, errs[0].Message
			if errs[0].Path != "tunnels[0]" && !strings.Contains(c.Option, ":") {
				_, field, _ := strings.Cut(errs[0].Path, "].")
				v.Message = field + " " + v.Message
			}
			if errs[0].Remedy != "" {
				v.Message += "; " + errs[0].Remedy
			}
		}
		c.Verdicts = append(c.Verdicts, v)
	}
	return c
}

// bridgeOn is a bridge of a dataplane.
func bridgeOn(d Dataplane, name string, f Forwarding) Bridge {
	b := Bridge{Name: name, Backend: BackendOVS, Forwarding: f}
	switch d {
	case OVSUserspace:
		b.Datapath = DatapathNetdev
	case OVSKernel:
		b.Datapath = DatapathSystem
	default:
		b.Backend = BackendKernel
	}
	return b
}

// remoteOf is the far end of a kind, from the ranges for documentation.
func (c Capability) remoteOf() netip.Addr {
	if c.IPv6 {
		return netip.MustParseAddr("2001:db8::2")
	}
	return netip.AddrFrom4([4]byte{192, 0, 2, 2})
}

// tunnelOn is a document of one tunnel.
func tunnelOn(d Dataplane, c Capability, set func(*Tunnel)) HostState {
	t := Tunnel{Name: "t", Layer: c.Layer, Encap: c.Encap, Remote: c.remoteOf(), KeyIn: Some[uint64](7), KeyOut: Some[uint64](7)}
	var s HostState
	if d != LinuxKernel || c.Layer == LayerL2 {
		t.Bridge = "b"
		s.Bridges = []Bridge{bridgeOn(d, "b", ForwardNormal)}
	}
	if c.Layer == LayerL3 && t.Bridge != "" {
		s.Ports = []Port{{Name: "p", Device: "p", Bridge: "b", MACs: []MAC{{2}}}}
	}
	if set != nil {
		set(&t)
	}
	s.Tunnels = []Tunnel{t}
	return s
}

// segmentOn is a document of one segment with one peer.
func segmentOn(d Dataplane, c Capability) HostState {
	local := netip.AddrFrom4([4]byte{192, 0, 2, 1})
	if c.IPv6 {
		local = netip.MustParseAddr("2001:db8::1")
	}
	return HostState{
		Bridges:  []Bridge{bridgeOn(d, "b", ForwardOverlay)},
		Vteps:    []Vtep{{Name: "v", Addr: local}},
		Segments: []Segment{{Name: "s", Key: 7, Encap: c.Encap, Bridge: "b"}},
		Peers:    []Peer{{Name: "p", Paths: []Path{{Vtep: "v", Remote: c.remoteOf()}}, Segments: []string{"s"}}},
	}
}
