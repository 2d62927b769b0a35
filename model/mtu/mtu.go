// Package mtu owns the arithmetic of encapsulation: how many bytes a packet
// grows by, the largest inner packet for an underlay, and the underlay that an
// inner packet needs. It is pure: it imports only the standard library, and of
// that neither os nor net. Every length comes from the RFC named beside it.
package mtu

import "slices"

// The least MTU, in bytes, of a link that carries the family: RFC 791 §3.2 and
// RFC 8200 §5. Linux turns IPv6 off on a device whose MTU is below MinIPv6.
const (
	MinIPv4 = 68
	MinIPv6 = 1280
)

const (
	ethernet    = 14 // two addresses and a type; no FCS, which no MTU counts
	vlanTag     = 4  // IEEE 802.1Q
	greWord     = 4  // RFC 2784 §2.5-2.6 (checksum with reserved1), RFC 2890 §2
	encapLimit  = 8  // destination options header with one option, RFC 2473 §4.1.1
	gueHeader   = 4  // draft-ietf-intarea-gue-09, variant 0
	espHeader   = 8  // SPI and sequence number, RFC 4303 §2
	espTrailer  = 2  // pad length and next header, RFC 4303 §2
	maxVLANs    = 8  // more is a mistake: Open vSwitch reads two
	maxGeneve   = 252
	maxGUE      = 124
	optionAlign = 4
)

// Spec is everything about an encapsulation that costs bytes. It is a value
// and may be compared and used as a map key.
type Spec struct {
	Encap Encap
	Outer Family // of the header that the encapsulation writes
	Layer Layer  // L3 makes Geneve and VXLAN-GPE carry bare IP packets

	// Words of the GRE header, for GRE and GRETAP. The VNI of VXLAN and Geneve
	// and the session id of ERSPAN have their place already.
	Key, Checksum, Sequence bool

	GeneveOptions int // bytes, a multiple of 4 from 0 to 252 (RFC 8926 §3.4)

	// EncapLimit is the option that the kernel's ip6gre, ip6gretap, ip6erspan
	// and ip6tnl devices send unless made with 'encaplimit none'. Flow-based
	// devices and Open vSwitch send none.
	EncapLimit bool

	UDPEncap   UDPEncap // around anything that is not UDP itself
	GUEOptions int      // bytes, a multiple of 4 from 0 to 124; 8 for remote checksum offload

	InnerVLANs int // tags that inner frames carry, 0 to 8

	// OuterVLANs is how many tags, 0 to 8, the underlay MTU has to pay for. It
	// is 0 when that MTU is what an IP device says: Linux and switches add a
	// tag beside the MTU. It is the tag depth when the number is the largest
	// Ethernet payload, tags included, that the line takes.
	OuterVLANs int

	ESP ESP
}

// ESP is an IPsec layer around the encapsulation, RFC 4303. The zero value is
// none. Traffic flow confidentiality padding is not counted.
type ESP struct {
	Suite  Suite
	Tunnel bool   // tunnel mode adds an IP header; else transport mode
	Outer  Family // of the header that tunnel mode adds; not set in transport mode
	NATT   bool   // in UDP, RFC 3948
}

// Part is a run of bytes that the encapsulation adds.
type Part struct {
	Name  string
	Bytes int
}

// Breakdown lists what is added to an inner IP packet of the given size in
// bytes, outermost first, the trailer of ESP last. Without ESP the size does
// not matter. The Spec must be valid.
func (s Spec) Breakdown(inner int) []Part {
	open, sealed := s.headers()
	parts := append(open, sealed...)
	if s.ESP.Suite != 0 {
		c := suiteRules[s.ESP.Suite]
		pad := c.block - 1 - (sum(sealed)+inner+espTrailer-1)%c.block
		parts = append(parts, Part{"ESP padding", pad}, Part{"ESP trailer", espTrailer}, Part{"ESP ICV", c.icv})
	}
	return slices.DeleteFunc(parts, func(p Part) bool { return p.Bytes == 0 })
}

// Overhead returns the bytes that an inner IP packet of the given size grows
// by: the sum of Breakdown. Without ESP it is the same for every size.
func (s Spec) Overhead(inner int) int { return sum(s.Breakdown(inner)) }

// InnerMTU returns the largest inner IP packet, in bytes, that an underlay of
// the given MTU carries unfragmented. That is the MTU to give the inner
// device. The error is a *FieldError for an underlay that is below the minimum
// of its family or leaves less than MinIPv4, or what Validate returns.
func (s Spec) InnerMTU(underlay int) (int, error) {
	if err := s.Validate(); err != nil {
		return 0, err
	}
	tags, ip := vlanTag*s.OuterVLANs, familyRules[s.outermost()]
	if underlay < ip.min+tags {
		return 0, tooSmall("underlay_mtu", underlay, ip.min+tags)
	}
	open, sealed := s.headers()
	room := min(underlay, ip.max+tags) - sum(open)
	if s.ESP.Suite != 0 {
		c := suiteRules[s.ESP.Suite]
		room = (room-c.icv)/c.block*c.block - espTrailer
	}
	inner := room - sum(sealed)
	if inner < MinIPv4 {
		return 0, tooSmall("underlay_mtu", underlay, MinIPv4+s.Overhead(MinIPv4))
	}
	return inner, nil
}

// UnderlayMTU returns the least underlay MTU, in bytes, that carries an inner
// IP packet of the given size unfragmented, and at least what the family asks
// of every link. The error is a *FieldError when inner is below MinIPv4 or the
// outer packet would be longer than IP can say, or what Validate returns.
func (s Spec) UnderlayMTU(inner int) (int, error) {
	if err := s.Validate(); err != nil {
		return 0, err
	}
	tags, ip := vlanTag*s.OuterVLANs, familyRules[s.outermost()]
	if inner < MinIPv4 {
		return 0, tooSmall("inner_mtu", inner, MinIPv4)
	}
	if most, err := s.InnerMTU(ip.max + tags); err != nil {
		return 0, err
	} else if inner > most {
		return 0, tooLarge("inner_mtu", inner, most)
	}
	return max(inner+s.Overhead(inner), ip.min+tags), nil
}

// outermost returns the family of the first IP header on the wire.
func (s Spec) outermost() Family {
	if s.ESP.Tunnel {
		return s.ESP.Outer
	}
	return s.Outer
}

// headers returns what precedes the inner packet: what travels open, and what
// an ESP layer seals and therefore pads. Without ESP the division means
// nothing.
func (s Spec) headers() (open, sealed []Part) {
	open = []Part{{"underlay VLAN tags", vlanTag * s.OuterVLANs}}
	outer, tunnel := s.outerHeaders(), s.tunnelHeaders()
	switch {
	case s.ESP.Suite == 0:
		return append(open, outer...), tunnel
	case s.ESP.Tunnel:
		open = append(open, Part{"ESP " + familyRules[s.ESP.Outer].header.Name, familyRules[s.ESP.Outer].header.Bytes})
		sealed = append(outer, tunnel...)
	default:
		// Linux leaves destination options before ESP (ip6_find_1stfragopt);
		// RFC 4303 §3.1.1 allows either place.
		open, sealed = append(open, outer...), tunnel
	}
	if s.ESP.NATT {
		open = append(open, Part{"ESP UDP", udp.Bytes})
	}
	return append(open, Part{"ESP", espHeader}, Part{"ESP IV", suiteRules[s.ESP.Suite].iv}), sealed
}

// outerHeaders returns the IP header of the encapsulation and its extension.
func (s Spec) outerHeaders() []Part {
	return append([]Part{familyRules[s.Outer].header}, when(s.EncapLimit, "encapsulation limit", encapLimit)...)
}

// tunnelHeaders returns what lies between the outer IP header and the inner packet.
func (s Spec) tunnelHeaders() []Part {
	rule := encapRules[s.Encap]
	parts := when(s.UDPEncap != 0, "UDP", udp.Bytes)
	parts = append(parts, when(s.UDPEncap == GUE, "GUE", gueHeader)...)
	parts = append(parts, Part{"GUE options", s.GUEOptions})
	parts = append(parts, rule.header...)
	parts = append(parts, when(s.Checksum, "GRE checksum", greWord)...)
	parts = append(parts, when(s.Key, "GRE key", greWord)...)
	parts = append(parts, when(s.Sequence, "GRE sequence", greWord)...)
	parts = append(parts, Part{"Geneve options", s.GeneveOptions})
	parts = append(parts, when(s.layer() == L2, "inner Ethernet", ethernet)...)
	return append(parts, Part{"inner VLAN tags", vlanTag * s.InnerVLANs})
}

// layer returns Layer with the default of the encapsulation filled in.
func (s Spec) layer() Layer {
	if s.Layer == 0 {
		return encapRules[s.Encap].layers[0]
	}
	return s.Layer
}

func when(yes bool, name string, bytes int) []Part {
	if !yes {
		return nil
	}
	return []Part{{name, bytes}}
}

func sum(parts []Part) int {
	total := 0
	for _, p := range parts {
		total += p.Bytes
	}
	return total
}
