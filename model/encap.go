package model

// Encap is the encapsulation of a tunnel or segment.
type Encap uint8

// Encapsulations. L2 GRE is transparent Ethernet bridging (protocol 0x6558).
const (
	EncapGRE    Encap = iota + 1 // RFC 2784, 2890
	EncapVXLAN                   // RFC 7348
	EncapGeneve                  // RFC 8926
	EncapERSPAN                  // mirrored frames in GRE; versions 1 and 2
)

func (e Encap) String() string {
	switch e {
	case EncapGRE:
		return "gre"
	case EncapVXLAN:
		return "vxlan"
	case EncapGeneve:
		return "geneve"
	case EncapERSPAN:
		return "erspan"
	}
	return "unspecified"
}

// KeyMax is the largest tunnel key: 32 bits in GRE (RFC 2890 §2.1), 24 bits in
// VXLAN (RFC 7348 §5) and Geneve (RFC 8926 §3.4), 10 bits as ERSPAN's session.
func (e Encap) KeyMax() uint64 {
	switch e {
	case EncapGRE:
		return 1<<32 - 1
	case EncapERSPAN:
		return 1<<10 - 1
	}
	return 1<<24 - 1
}

// UDPPort is the port that IANA assigned to an encapsulation, 0 for one that
// does not run over UDP.
func (e Encap) UDPPort() uint32 {
	switch e {
	case EncapVXLAN:
		return VXLANPort
	case EncapGeneve:
		return GenevePort
	}
	return 0
}

// Tunnel keys that greave keeps for probes and OAM, on every encapsulation.
const (
	ReservedKeyMin = 0xFFFF00
	ReservedKeyMax = 0xFFFFFF
)

// VXLANPort is the UDP port that IANA assigned to VXLAN.
const VXLANPort = 4789

// GenevePort is the UDP port that IANA assigned to Geneve.
const GenevePort = 6081

// Opt is a value that may be absent.
type Opt[T any] struct {
	V   T
	Set bool
}

// Some is a present value.
func Some[T any](v T) Opt[T] { return Opt[T]{V: v, Set: true} }

// Backend says which part of the host builds an object.
type Backend uint8

// Backends.
const (
	BackendAuto Backend = iota + 1
	BackendOVS
	BackendKernel
)

func (b Backend) String() string {
	switch b {
	case BackendAuto:
		return "auto"
	case BackendOVS:
		return "ovs"
	case BackendKernel:
		return "kernel"
	}
	return "unspecified"
}
