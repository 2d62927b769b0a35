package model

import (
	"fmt"
	"net/netip"
)

// Inheritable is an outer header field that is fixed or copied from the inner
// packet. The zero value leaves the switch's default.
type Inheritable struct {
	Inherit bool
	Fixed   Opt[uint32]
}

func (i Inheritable) String() string {
	switch {
	case i.Inherit:
		return "inherit"
	case i.Fixed.Set:
		return fmt.Sprint(i.Fixed.V)
	}
	return ""
}

// Layer is what a tunnel carries.
type Layer uint8

// Layers.
const (
	LayerL2 Layer = iota + 1 // Ethernet frames
	LayerL3                  // IP packets
)

func (l Layer) String() string {
	switch l {
	case LayerL2:
		return "l2"
	case LayerL3:
		return "l3"
	}
	return "unspecified"
}

// Far is how the far end of a tunnel is known.
type Far uint8

// Kinds of far ends.
const (
	FarFixed Far = iota // one address
	FarAny              // the neighbours, by what the kernel's neighbour table says (NBMA)
	FarFlow             // the neighbours, by a route for each (collect-metadata)
)

// Tunnel is an explicit tunnel: a port of a bridge or a device of its own.
type Tunnel struct {
	Name    string // the name of the device or OVS port
	Layer   Layer
	Encap   Encap
	Backend Backend
	Bridge  string
	VLAN    uint32 // access VLAN on the bridge, 1-4094; 0: all
	Segment string // that an L2 tunnel is a member of, instead of a bridge

	Vtep   string // local endpoint by name …
	Local  netip.Addr
	Device string // device that outer packets leave by; empty: by the route
	Peer   string // remote endpoint by name …
	Remote netip.Addr
	Far    Far

	KeyIn       Opt[uint64] // absent: packets without a key; VXLAN and Geneve: KeyOut
	KeyOut      Opt[uint64]
	Checksum    bool // of outgoing packets: GRE checksum (RFC 2784), UDP checksum
	ChecksumIn  bool // incoming packets must have one (GRE)
	Sequence    bool // of outgoing packets: GRE sequence numbers (RFC 2890)
	SequenceIn  bool // incoming packets must have one, in order
	TTL         Inheritable
	TOS         Inheritable
	DF          Opt[bool]   // don't-fragment bit of the outer header
	IgnoreDF    bool        // fragment packets with DF all the same
	FwMark      uint32      // firewall mark of outer packets
	EncapLimit  Opt[uint32] // tunnel encapsulation limit of GRE over IPv6 (RFC 2473 §4.1.1), 0-255; absent: no such option
	UDP         UDPEncap
	DstPort     uint32 // UDP port (VXLAN, Geneve), 1-65535
	GroupPolicy bool   // VXLAN group policy extension
	ERSPAN      ERSPAN

	Addresses  []netip.Prefix // L3
	Routes     []Route        // L3
	Neighbours []Neighbour    // L3
	MTU        uint32         // of the device, 68-65535; 0: what fits the underlay
	Multicast  Opt[bool]      // the device's MULTICAST flag
	Down       bool
	VRF        string // VRF device that the tunnel's own traffic is routed in
	Netns      string // name under /run/netns of the namespace the device is in; empty: greaved's own
	Adopt      bool
}

// UDPEncap puts UDP around GRE.
type UDPEncap struct {
	Type     UDPEncapType // 0: none
	SrcPort  uint32       // 0: by a hash of the inner flow
	DstPort  uint32
	Checksum bool
}

// UDPEncapType is a format of GRE in UDP.
type UDPEncapType uint8

// Formats of GRE in UDP.
const (
	UDPEncapFOU UDPEncapType = iota + 1 // no header of its own
	UDPEncapGUE                         // 4 bytes of header
)

// ERSPAN is what a mirror's packets carry besides the session, the key.
type ERSPAN struct {
	Version    uint32 // 1 or 2
	Index      uint32 // of the port, version 1, 20 bits
	Egress     bool   // direction, version 2
	HardwareID uint32 // of the engine, version 2, 6 bits
}

// Route is a route into an L3 tunnel.
type Route struct {
	Destination netip.Prefix
	Via         netip.Addr // overlay next hop; not valid: on-link
	Source      netip.Addr // preferred source
	Metric      Opt[uint32]
	Table       uint32 // 0: main, or that of the tunnel's VRF
}

// Neighbour says at which underlay address an overlay address is.
type Neighbour struct {
	Overlay, Underlay netip.Addr
}

// Ref implements Object.
func (t Tunnel) Ref() Ref { return Ref{KindTunnel, t.Name} }

func (t Tunnel) check(c *checker, path string) {
	c.createdName(path+".name", t.Name)
	c.ref(path+".bridge", Ref{KindBridge, t.Bridge})
	if c.isOverlay(t.Bridge) {
		c.add(path+".bridge", t.Bridge, ReasonConflict, "is the overlay bridge, which forwards between segments and has no place for an explicit tunnel", "use a bridge with forwarding: normal")
	}
	t.checkEndpoints(c, path)
	t.checkKeys(c, path)
	if t.VLAN > 4094 {
		c.outOfRange(path+".vlan", uint64(t.VLAN), 1, 4094)
	}
	if t.TTL.Fixed.Set && (t.TTL.Fixed.V < 1 || t.TTL.Fixed.V > 255) {
		c.outOfRange(path+".ttl.fixed", uint64(t.TTL.Fixed.V), 1, 255)
	}
	if v := t.TOS.Fixed.V; v > 252 {
		c.outOfRange(path+".tos.fixed", uint64(v), 0, 252)
	} else if v&3 != 0 { // OVS ignores the whole value, with a line in its log
		c.add(path+".tos.fixed", fmt.Sprint(v), ReasonInvalid, "sets the ECN bits, which belong to the network", "use a multiple of 4: DSCP times 4")
	}
	t.checkEncap(c, path)
}

func (t Tunnel) checkEndpoints(c *checker, path string) {
	if t.Peer != "" {
		c.ref(path+".remote.peer", Ref{KindPeer, t.Peer})
	} else {
		c.underlayAddr(path+".remote.address", t.Remote)
	}
	if t.Vtep != "" {
		c.ref(path+".local.vtep", Ref{KindVtep, t.Vtep})
	} else if t.Local.IsValid() {
		c.underlayAddr(path+".local.address", t.Local)
	}
}

func (t Tunnel) checkKeys(c *checker, path string) {
	if t.Encap == EncapVXLAN && (!t.KeyIn.Set || !t.KeyOut.Set) { // OVS would take 0 for what is missing
		c.add(path+".key", "", ReasonRequired, "a VXLAN tunnel needs a VNI", "add key: {fixed: {in: VNI, out: VNI}}")
	}
	for _, k := range []struct {
		field string
		key   Opt[uint64]
	}{{".key.fixed.in", t.KeyIn}, {".key.fixed.out", t.KeyOut}} {
		if k.key.Set {
			c.tunnelKey(path+k.field, k.key.V, t.Encap)
		}
	}
}

func (t Tunnel) checkEncap(c *checker, path string) {
	switch t.Encap {
	case EncapGRE:
		if t.DstPort != 0 {
			c.add(path+".udp_port", fmt.Sprint(t.DstPort), ReasonUnsupported, "does not apply: GRE runs over IP, not UDP", "leave it out, or use encap: vxlan")
		}
		for _, e := range t.beyond(c.datapath(t.Bridge)) {
			c.add(path+e.Path, e.Value, e.Reason, e.Message, e.Remedy)
		}
	case EncapVXLAN:
		if t.Sequence {
			c.add(path+".sequence.out", "true", ReasonUnsupported, "does not apply: VXLAN has no sequence numbers", "leave it out, or use encap: gre")
		}
		if t.DstPort > 65535 {
			c.outOfRange(path+".udp_port", uint64(t.DstPort), 1, 65535)
		}
	}
}

// beyond lists the options of a GRE tunnel that a datapath cannot carry. Paths
// start at the tunnel. A datapath that is not known refuses nothing.
func (t Tunnel) beyond(d Datapath) []FieldError {
	var out []FieldError
	add := func(path, message, remedy string) {
		out = append(out, FieldError{path, "true", ReasonUnsupported, message, remedy})
	}
	if t.Encap != EncapGRE {
		return nil
	}
	if t.Checksum && t.Sequence && d == DatapathNetdev {
		add(".sequence.out", "loses all traffic beside checksum.out on the userspace datapath: OVS computes the checksum before it writes the number", "keep one of them")
	}
	if t.Checksum && d == DatapathSystem {
		add(".checksum.out", "loses all traffic on the kernel datapath: Linux drops GRE packets with a checksum there", "leave it out, or use a netdev bridge")
	}
	if t.Sequence && d == DatapathSystem {
		add(".sequence.out", "has no effect on the kernel datapath, which sends no sequence numbers", "leave it out, or use a netdev bridge")
	}
	return out
}
