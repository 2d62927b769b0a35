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

func (f Far) String() string {
	switch f {
	case FarFixed:
		return "fixed"
	case FarAny:
		return "any"
	case FarFlow:
		return "flow"
	}
	return "unspecified"
}

// Tunnel is an explicit tunnel: a port of a bridge or a device of its own.
type Tunnel struct {
	Name    string // the name of the device or OVS port
	Layer   Layer
	Encap   Encap
	Backend Backend
	Bridge  string
	VLAN    VLAN   // of the port on Bridge
	Segment string // that an L2 tunnel is a member of, instead of a bridge

	Vtep   string // local endpoint by name …
	Local  netip.Addr
	Device string // device that outer packets leave by; empty: by the route
	Peer   string // remote endpoint by name …
	Remote netip.Addr
	Far    Far

	KeyIn       Opt[uint64] // absent: packets without a key; VXLAN and Geneve: KeyOut
	KeyOut      Opt[uint64]
	KeyFlow     bool      // what names each packet's remote names its key too (Far is FarFlow)
	Checksum    bool      // of outgoing packets: GRE checksum (RFC 2784), UDP checksum
	ChecksumIn  Opt[bool] // incoming packets must have one (GRE); in the kernel absent is as Checksum, and false: must have none
	Sequence    bool      // of outgoing packets: GRE sequence numbers (RFC 2890)
	SequenceIn  bool      // incoming packets must have one, in order
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

	OfMirror bool // the tunnel of the mirror of that name, to its collector
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

func (u UDPEncapType) String() string {
	switch u {
	case UDPEncapFOU:
		return "fou"
	case UDPEncapGUE:
		return "gue"
	}
	return "unspecified"
}

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
func (t Tunnel) Ref() Ref {
	if t.OfMirror {
		return Ref{KindMirror, t.Name}
	}
	return Ref{KindTunnel, t.Name}
}

func (t Tunnel) check(c *checker, path string) {
	c.createdName(path+".name", t.Name)
	t.checkPlace(c, path)
	t.checkEndpoints(c, path)
	t.checkKeys(c, path)
	t.checkRanges(c, path)
	t.checkEncap(c, path)
	if t.Layer == LayerL3 {
		t.checkLayer3(c, path)
	} else {
		t.checkLayer2(c, path)
	}
	if backend, _ := c.caps.Choice.Tunnel(t, c.bridges, c.segments); backend == BackendKernel {
		t.checkKernel(c, path)
	} else {
		t.checkOVS(c, path)
		if t.Layer == LayerL3 {
			t.checkOVSLayer3(c, path)
		}
	}
}

// checkPlace checks where the tunnel is: on a bridge, in a segment, or alone.
func (t Tunnel) checkPlace(c *checker, path string) {
	backend, why := c.caps.Choice.Tunnel(t, c.bridges, c.segments)
	if t.Bridge != "" {
		c.ref(path+".bridge", Ref{KindBridge, t.Bridge})
	} else if t.Segment == "" && backend == BackendOVS {
		c.ref(path+".bridge", Ref{Kind: KindBridge})
	}
	c.notOnForeign(path, t.Bridge, "use a bridge that greave makes")
	if c.isOverlay(t.Bridge) {
		c.add(path+".bridge", t.Bridge, ReasonConflict, "is the overlay bridge, which forwards between segments and has no place for an explicit tunnel", "use a bridge with forwarding: normal")
	}
	if t.Segment != "" {
		c.ref(path+".segment", Ref{KindSegment, t.Segment})
	}
	if t.Segment != "" && t.Bridge != "" {
		c.add(path+".segment", t.Segment, ReasonConflict, "stands beside a bridge, and a tunnel is in one of the two", "keep one")
	}
	if t.Backend != 0 && t.Backend != BackendAuto && t.Backend != backend {
		c.add(path+".backend", t.Backend.String(), ReasonConflict, fmt.Sprintf("does not fit: the tunnel is for %s (%s)", backend, why), "leave it out, or state the backend of the bridge")
	}
	c.netns(path+".netns", t.Netns)
	if t.Netns != "" && (t.Bridge != "" || t.Segment != "") {
		c.add(path+".netns", t.Netns, ReasonConflict, "takes the device away from its bridge, which is in greaved's own namespace", "leave out netns, or the bridge")
	}
	if t.VLAN.Stated() && t.Bridge == "" {
		c.add(path+".vlan", t.VLAN.Normal().Mode.String(), ReasonConflict, "is of a bridge, and the tunnel names none", "leave it out, or name a bridge")
	}
}

func (t Tunnel) checkEndpoints(c *checker, path string) {
	switch {
	case t.Far != FarFixed:
	case t.Peer != "":
		c.ref(path+".remote.peer", Ref{KindPeer, t.Peer})
		if n := len(c.peers[t.Peer].Paths); n > 1 {
			c.add(path+".remote.peer", t.Peer, ReasonUnimplemented, fmt.Sprintf("has %d paths, and a tunnel to such a peer is not supported yet", n), "state the address of one of them")
		}
	case !t.group(c):
		c.underlayAddr(path+".remote.address", t.Remote)
	}
	if t.Vtep != "" {
		c.ref(path+".local.vtep", Ref{KindVtep, t.Vtep})
	} else if t.Local.IsValid() {
		c.underlayAddr(path+".local.address", t.Local)
	}
	if t.Device != "" {
		c.deviceName(path+".device", t.Device)
	}
	if local, remote := t.Ends(c.vteps, c.peers); t.Peer == "" || t.Local.IsValid() || t.Vtep != "" {
		c.sameFamily(path+".remote."+t.remoteField(), local, remote)
	}
}

func (t Tunnel) remoteField() string {
	if t.Peer != "" {
		return "peer"
	}
	return "address"
}

// sameFamily refuses two ends of which one packet cannot have the addresses.
func (c *checker) sameFamily(path string, local, remote netip.Addr) {
	if local.IsValid() && remote.IsValid() && local.Is4() != remote.Is4() {
		c.add(path, remote.String(), ReasonConflict, fmt.Sprintf("is of another family than the local address %s", local), "use two addresses of one family")
	}
}

// group tells whether the far end is a multicast group that the kernel's GRE
// device can send to.
func (t Tunnel) group(c *checker) bool {
	backend, _ := c.caps.Choice.Tunnel(t, c.bridges, c.segments)
	return backend == BackendKernel && t.Encap == EncapGRE && t.Layer == LayerL3 && t.Remote.IsMulticast()
}

func (t Tunnel) checkKeys(c *checker, path string) {
	need := map[Encap]string{EncapVXLAN: "a VXLAN tunnel needs a VNI", EncapGeneve: "a Geneve tunnel needs a VNI", EncapERSPAN: "an ERSPAN tunnel needs a session"}
	if why := need[t.Encap]; why != "" && !t.KeyFlow && (!t.KeyIn.Set || !t.KeyOut.Set) { // OVS would take 0 for what is missing
		word := "VNI"
		if t.Encap == EncapERSPAN {
			word = "SESSION"
		}
		c.add(path+".key", "", ReasonRequired, why, fmt.Sprintf("add key: {fixed: {in: %s, out: %s}}", word, word))
	}
	for _, k := range []struct {
		field string
		key   Opt[uint64]
	}{{".key.fixed.in", t.KeyIn}, {".key.fixed.out", t.KeyOut}} {
		if k.key.Set {
			c.tunnelKey(path+k.field, k.key.V, t.Encap)
		}
	}
	if t.KeyFlow && t.Far != FarFlow {
		c.add(path+".key.flow", "true", ReasonUnsupported, "needs something that names the key of each packet, which is there only with remote: {flow: true}", "use fixed or none")
	}
}

func (t Tunnel) checkRanges(c *checker, path string) {
	backend, _ := c.caps.Choice.Tunnel(t, c.bridges, c.segments)
	t.VLAN.check(c, path+".vlan", backend == BackendKernel)
	if t.TTL.Fixed.Set && (t.TTL.Fixed.V < 1 || t.TTL.Fixed.V > 255) {
		c.outOfRange(path+".ttl.fixed", uint64(t.TTL.Fixed.V), 1, 255)
	}
	if v := t.TOS.Fixed.V; v > 252 {
		c.outOfRange(path+".tos.fixed", uint64(v), 0, 252)
	} else if v&3 != 0 { // OVS ignores the whole value, with a line in its log
		c.add(path+".tos.fixed", fmt.Sprint(v), ReasonInvalid, "sets the ECN bits, which belong to the network", "use a multiple of 4: DSCP times 4")
	}
	if t.EncapLimit.V > 255 {
		c.outOfRange(path+".encap_limit", uint64(t.EncapLimit.V), 0, 255)
	}
	if t.DstPort > 65535 {
		c.outOfRange(path+".udp_port", uint64(t.DstPort), 1, 65535)
	}
	c.mtu(path+".mtu", t.MTU)
}

// title is how a sentence names an encapsulation.
var title = map[Encap]string{EncapGRE: "GRE", EncapVXLAN: "VXLAN", EncapGeneve: "Geneve", EncapERSPAN: "ERSPAN"}

func (t Tunnel) checkEncap(c *checker, path string) {
	name := title[t.Encap]
	udp := t.Encap.UDPPort() != 0
	refuse := func(stated bool, field, value, message, remedy string) {
		if stated {
			c.add(path+field, value, ReasonUnsupported, "does not apply: "+message, remedy)
		}
	}
	refuse(t.DstPort != 0 && !udp, ".udp_port", fmt.Sprint(t.DstPort), name+" runs over IP, not UDP", "leave it out, or use encap: vxlan")
	refuse(t.Sequence && udp, ".sequence.out", "true", name+" has no sequence numbers", "leave it out, or use encap: gre")
	refuse(t.SequenceIn && udp, ".sequence.in", "true", name+" has no sequence numbers", "leave it out, or use encap: gre")
	refuse(t.ChecksumIn.V && udp, ".checksum.in", "true", name+" packets are accepted with and without a checksum", "leave it out, or use encap: gre")
	refuse(t.GroupPolicy && t.Encap != EncapVXLAN, ".gbp", "true", "it is an extension of VXLAN", "leave it out, or use encap: vxlan")
	refuse(t.UDP.Type != 0 && t.Encap != EncapGRE, ".udp_encap", t.UDP.Type.String(), "it is for GRE alone", "leave it out, or use encap: gre")
	refuse(t.ERSPAN != (ERSPAN{}) && t.Encap != EncapERSPAN, ".erspan", "", "the tunnel is no mirror", "leave it out, or use encap: erspan")
	refuse(t.Checksum && t.Encap == EncapERSPAN, ".checksum.out", "true", "ERSPAN has a key and a sequence number and no checksum", "leave it out")
	refuse(t.ChecksumIn.V && t.Encap == EncapERSPAN, ".checksum.in", "true", "ERSPAN has a key and a sequence number and no checksum", "leave it out")
	flow := t.Far == FarFlow && t.Bridge != "" && !c.onKernel(t.Bridge) // Open vSwitch's own, only not built
	refuse(t.Far != FarFixed && !flow && (t.Encap != EncapGRE || t.Layer != LayerL3), ".remote."+t.Far.String(), "true", "it is for GRE at layer 3", "state the address, or use a segment with peers")
	if t.Encap == EncapERSPAN {
		t.ERSPAN.check(c, path+".erspan")
	}
	if t.UDP.Type != 0 {
		t.UDP.check(c, path+".udp_encap")
	}
}

func (e ERSPAN) check(c *checker, path string) {
	if e.Version > 2 {
		c.outOfRange(path+".version", uint64(e.Version), 1, 2)
		return
	}
	if e.Index > 1<<20-1 {
		c.outOfRange(path+".index", uint64(e.Index), 0, 1<<20-1)
	}
	if e.HardwareID > 63 {
		c.outOfRange(path+".hardware_id", uint64(e.HardwareID), 0, 63)
	}
	if e.Version == 2 && e.Index != 0 {
		c.add(path+".index", fmt.Sprint(e.Index), ReasonConflict, "is of version 1, and this is version 2", "leave it out, or say version: 1")
	}
	if e.Version != 2 && e.HardwareID != 0 {
		c.add(path+".hardware_id", fmt.Sprint(e.HardwareID), ReasonConflict, "is of version 2, and this is version 1", "leave it out, or say version: 2")
	}
	if e.Version != 2 && e.Egress {
		c.add(path+".direction", "egress", ReasonConflict, "is of version 2, and this is version 1", "leave it out, or say version: 2")
	}
}

func (u UDPEncap) check(c *checker, path string) {
	if u.DstPort == 0 {
		c.add(path+".dst_port", "", ReasonRequired, "UDP around GRE needs a port, which no standard names", "add dst_port: the port that the far end listens on")
	} else if u.DstPort > 65535 {
		c.outOfRange(path+".dst_port", uint64(u.DstPort), 1, 65535)
	}
	if u.SrcPort > 65535 {
		c.outOfRange(path+".src_port", uint64(u.SrcPort), 0, 65535)
	}
}

// checkOVS refuses what Open vSwitch cannot do, or what is not built there.
func (t Tunnel) checkOVS(c *checker, path string) {
	const noMTU = "set the MTU of the guests; greave mtu computes it"
	_, built := ovsKinds[t.Encap]
	c.unbuilt(path, []unbuilt{
		{!built, ".encap", t.Encap.String(), "use gre, vxlan or geneve", "", ""},
		{t.Segment != "", ".segment", t.Segment, "use bridge, or make the far end a peer", "", ""},
		{t.Far == FarFlow, ".remote.flow", "true", "state the address, or use a segment with peers", "", ""},
		{t.Device != "", ".device", t.Device, "leave it out", "", ""},
		{t.ChecksumIn.V, ".checksum.in", "true", "leave it out; out sends checksums", ReasonUnsupported, "cannot be: Open vSwitch accepts packets with and without a checksum, it cannot insist on one"},
		{t.SequenceIn, ".sequence.in", "true", "leave it out; out sends sequence numbers", ReasonUnsupported, "cannot be: Open vSwitch accepts packets with and without a sequence number, it cannot insist on one"},
		{t.IgnoreDF, ".ignore_df", "true", "leave it out", "", ""},
		{t.FwMark != 0, ".fwmark", fmt.Sprint(t.FwMark), "leave it out", "", ""},
		{t.EncapLimit.Set, ".encap_limit", fmt.Sprint(t.EncapLimit.V), "leave it out", "", ""},
		{t.UDP.Type != 0, ".udp_encap", t.UDP.Type.String(), "use encap: vxlan, which runs over UDP", ReasonUnsupported, "cannot be: Open vSwitch has no GRE in UDP"},
		{t.GroupPolicy, ".gbp", "true", "leave it out", "", ""},
		{t.MTU != 0, ".mtu", fmt.Sprint(t.MTU), noMTU, "", ""},
		{t.Multicast.Set && !t.Multicast.V, ".multicast", "false", "leave it out", "", ""},
		{t.Down, ".admin", "down", "leave the tunnel out", "", ""},
		{t.VRF != "", ".vrf", t.VRF, "leave it out", "", ""},
		{t.Netns != "", ".netns", t.Netns, "leave it out", "", ""},
	})
	for _, e := range t.beyond(c.datapath(t.Bridge), t.outer(c)) {
		c.add(path+e.Path, e.Value, e.Reason, e.Message, e.Remedy)
	}
}
