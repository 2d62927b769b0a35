package mtu

import (
	"fmt"
	"net/netip"
	"strings"
)

// Encap is what lies between the outer IP header and the inner packet. The
// zero value is not set. The kernel's ip6gre, ip6gretap, ip6erspan and ip6tnl
// are GRE, GRETAP, ERSPAN and IPIP with Outer IPv6.
type Encap uint8

// The encapsulations that Linux and Open vSwitch send.
const (
	GRE      Encap = iota + 1 // IP in GRE, RFC 2784 and 2890
	GRETAP                    // Ethernet in GRE; also every L2 gre port of Open vSwitch
	ERSPANv1                  // ERSPAN type II, draft-foschiano-erspan-03
	ERSPANv2                  // ERSPAN type III, draft-foschiano-erspan-03, without its optional sub-header
	VXLAN                     // RFC 7348
	VXLANGBP                  // VXLAN with a group policy id in the reserved bits, draft-smith-vxlan-group-policy
	VXLANGPE                  // VXLAN that names its payload, draft-ietf-nvo3-vxlan-gpe; Layer must be set
	Geneve                    // RFC 8926
	IPIP                      // IP in IP, RFC 2003 and 2473
	SIT                       // IPv6 in IPv4 (6in4), RFC 4213
)

// encapRule is what the arithmetic needs to know about an encapsulation.
type encapRule struct {
	name    string
	header  []Part  // after the outer IP header, outermost first, without options
	layers  []Layer // the first is the default, if there is one
	words   bool    // takes the optional words of GRE
	overUDP bool
}

var udp = Part{"UDP", 8}

var encapRules = [...]encapRule{
	GRE:      {name: "gre", header: []Part{{"GRE", 4}}, layers: []Layer{L3}, words: true},
	GRETAP:   {name: "gretap", header: []Part{{"GRE", 4}}, layers: []Layer{L2}, words: true},
	ERSPANv1: {name: "erspan-v1", header: []Part{{"GRE", 4}, {"GRE sequence", 4}, {"ERSPAN type II", 8}}, layers: []Layer{L2}},
	ERSPANv2: {name: "erspan-v2", header: []Part{{"GRE", 4}, {"GRE sequence", 4}, {"ERSPAN type III", 12}}, layers: []Layer{L2}},
	VXLAN:    {name: "vxlan", header: []Part{udp, {"VXLAN", 8}}, layers: []Layer{L2}, overUDP: true},
	VXLANGBP: {name: "vxlan-gbp", header: []Part{udp, {"VXLAN", 8}}, layers: []Layer{L2}, overUDP: true},
	// Linux makes a GPE device L3, Open vSwitch and switches also send frames: nothing to guess.
	VXLANGPE: {name: "vxlan-gpe", header: []Part{udp, {"VXLAN", 8}}, layers: []Layer{0, L2, L3}, overUDP: true},
	Geneve:   {name: "geneve", header: []Part{udp, {"Geneve", 8}}, layers: []Layer{L2, L3}, overUDP: true},
	IPIP:     {name: "ipip", layers: []Layer{L3}},
	SIT:      {name: "sit", layers: []Layer{L3}},
}

// Family is the IP version of an outer header. The zero value is not set.
type Family uint8

// The two IP versions.
const (
	IPv4 Family = iota + 1
	IPv6
)

type familyRule struct {
	name   string
	header Part
	min    int // the least MTU of a link, RFC 791 §3.2 and RFC 8200 §5
	max    int // the largest packet: total length, or 40 and the payload length, in 16 bits
}

var familyRules = [...]familyRule{
	IPv4: {"ipv4", Part{"outer IPv4", 20}, MinIPv4, 65535},
	IPv6: {"ipv6", Part{"outer IPv6", 40}, MinIPv6, 65575},
}

// FamilyOf returns the outer family of a tunnel from or to addr; a mapped IPv4
// address is IPv4, an invalid one is not set.
func FamilyOf(addr netip.Addr) Family {
	switch {
	case !addr.IsValid():
		return 0
	case addr.Unmap().Is4():
		return IPv4
	}
	return IPv6
}

// Layer is what an encapsulation carries. The zero value is the default of the
// encapsulation.
type Layer uint8

// L2 carries Ethernet frames, L3 carries IP packets.
const (
	L2 Layer = iota + 1
	L3
)

var layerNames = [...]string{"default", "l2", "l3"}

// UDPEncap is the UDP wrapping of an IP protocol, foo over UDP. The zero value
// is none.
type UDPEncap uint8

// FOU is a bare UDP header. GUE adds its own header (variant 0 of
// draft-ietf-intarea-gue); variant 1 costs what FOU costs.
const (
	FOU UDPEncap = iota + 1
	GUE
)

var udpEncapNames = [...]string{"none", "fou", "gue"}

// Suite is what an ESP security association encrypts and authenticates with.
// The zero value is no ESP.
type Suite uint8

// The suites in use, with the RFC of each length. Null and GMAC authenticate only.
const (
	AESGCM           Suite = iota + 1 // AES-GCM with a 16-byte ICV, RFC 4106
	AESGCM8                           // AES-GCM with an 8-byte ICV, RFC 4106
	AESGCM12                          // AES-GCM with a 12-byte ICV, RFC 4106
	AESGMAC                           // RFC 4543
	ChaCha20Poly1305                  // RFC 7634
	AESCBCSHA1                        // AES-CBC, RFC 3602; HMAC-SHA1-96, RFC 2404
	AESCBCSHA256                      // AES-CBC; HMAC-SHA-256-128, RFC 4868
	AESCBCSHA384                      // AES-CBC; HMAC-SHA-384-192, RFC 4868
	AESCBCSHA512                      // AES-CBC; HMAC-SHA-512-256, RFC 4868
	NullSHA256                        // NULL, RFC 2410; HMAC-SHA-256-128
)

// suiteRule has block as the multiple that RFC 4303 §2.4 pads to: that of the
// cipher, and never less than 4.
type suiteRule struct {
	name           string
	iv, block, icv int
}

var suiteRules = [...]suiteRule{
	0:                {name: "none", block: 1},
	AESGCM:           {"aes-gcm", 8, 4, 16},
	AESGCM8:          {"aes-gcm-8", 8, 4, 8},
	AESGCM12:         {"aes-gcm-12", 8, 4, 12},
	AESGMAC:          {"aes-gmac", 8, 4, 16},
	ChaCha20Poly1305: {"chacha20-poly1305", 8, 4, 16},
	AESCBCSHA1:       {"aes-cbc-sha1", 16, 16, 12},
	AESCBCSHA256:     {"aes-cbc-sha256", 16, 16, 16},
	AESCBCSHA384:     {"aes-cbc-sha384", 16, 16, 24},
	AESCBCSHA512:     {"aes-cbc-sha512", 16, 16, 32},
	NullSHA256:       {"null-sha256", 0, 4, 16},
}

func (e Encap) known() bool    { return e > 0 && int(e) < len(encapRules) }
func (f Family) known() bool   { return f > 0 && int(f) < len(familyRules) }
func (u UDPEncap) known() bool { return int(u) < len(udpEncapNames) }
func (s Suite) known() bool    { return int(s) < len(suiteRules) }

// String returns the name that ParseEncap reads, or "encap(N)".
func (e Encap) String() string { return nameOf("encap", e, encapNames()) }

// String returns "ipv4", "ipv6" or "family(N)".
func (f Family) String() string { return nameOf("family", f, familyNames()) }

// String returns "default", "l2", "l3" or "layer(N)".
func (l Layer) String() string { return nameOf("layer", l, layerNames[:]) }

// String returns "none", "fou", "gue" or "udp_encap(N)".
func (u UDPEncap) String() string { return nameOf("udp_encap", u, udpEncapNames[:]) }

// String returns the name that ParseSuite reads, or "esp.suite(N)".
func (s Suite) String() string { return nameOf("esp.suite", s, suiteNames()) }

// elsewhere says how names of devices and ports are written here.
var elsewhere = map[string]string{
	"ip6gre":    "gre with outer ipv6",
	"ip6gretap": "gretap with outer ipv6",
	"erspan":    "erspan-v1 or erspan-v2",
	"ip6erspan": "erspan-v1 or erspan-v2 with outer ipv6",
	"ip6tnl":    "ipip with outer ipv6",
	"6in4":      "sit",
}

// ParseEncap reads what Encap.String writes, or returns a *FieldError.
func ParseEncap(name string) (Encap, error) {
	if say := elsewhere[name]; say != "" {
		return 0, &FieldError{"encap", name, "the name of a device", "say " + say}
	}
	return parse[Encap]("encap", name, encapNames())
}

// ParseFamily reads "ipv4" or "ipv6", or returns a *FieldError.
func ParseFamily(name string) (Family, error) { return parse[Family]("outer", name, familyNames()) }

// ParseLayer reads "default", "l2" or "l3", or returns a *FieldError.
func ParseLayer(name string) (Layer, error) { return parse[Layer]("layer", name, layerNames[:]) }

// ParseUDPEncap reads "none", "fou" or "gue", or returns a *FieldError.
func ParseUDPEncap(name string) (UDPEncap, error) {
	return parse[UDPEncap]("udp_encap", name, udpEncapNames[:])
}

// ParseSuite reads what Suite.String writes, or returns a *FieldError.
func ParseSuite(name string) (Suite, error) { return parse[Suite]("esp.suite", name, suiteNames()) }

func encapNames() []string {
	return names(encapRules[:], func(r encapRule) string { return r.name })
}

func familyNames() []string {
	return names(familyRules[:], func(r familyRule) string { return r.name })
}

func suiteNames() []string {
	return names(suiteRules[:], func(r suiteRule) string { return r.name })
}

func names[R any](rules []R, name func(R) string) []string {
	all := make([]string, len(rules))
	for i, r := range rules {
		all[i] = name(r)
	}
	return all
}

func nameOf[T ~uint8](kind string, v T, names []string) string {
	if int(v) < len(names) && names[v] != "" {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", kind, uint8(v))
}

func parse[T ~uint8](field, name string, names []string) (T, error) {
	for i, n := range names {
		if n == name && n != "" {
			return T(i), nil
		}
	}
	say := strings.TrimPrefix(strings.Join(names, ", "), ", ")
	return 0, &FieldError{field, fmt.Sprintf("%q", name), "not known", "say one of " + say}
}
