package openflow

import (
	"net/netip"

	"github.com/greave-sdn/greave/model"
)

// Port is an OpenFlow port number. 0 means "not set"; 1-65279 are real ports.
type Port uint32

// Reserved port numbers (OpenFlow 1.5 §7.2.1).
const (
	PortInPort Port = 0xfffffff8
	PortLocal  Port = 0xfffffffe
)

// Masked32, Masked64 and Masked16 are a value under a mask; a zero mask means
// that the field is not matched. Bits outside the mask must be zero, so that
// equal matches are equal values.
type (
	Masked32 struct{ Value, Mask uint32 }
	Masked64 struct{ Value, Mask uint64 }
	Masked16 struct{ Value, Mask uint16 }
)

// Exact32 and Exact64 match one value exactly.
func Exact32(v uint32) Masked32 { return Masked32{v, ^uint32(0)} }

// Exact64 matches one 64-bit value exactly.
func Exact64(v uint64) Masked64 { return Masked64{v, ^uint64(0)} }

// MAC is an Ethernet address.
type MAC = model.MAC

// MaskedMAC is an Ethernet address under a mask; a zero mask means not matched.
type MaskedMAC struct{ Value, Mask MAC }

// Registers of the pipeline; docs/pipeline.md says what each carries.
const (
	RegFlags   = 0 // the flags below
	RegSegment = 1 // segment id
	RegFrom    = 2 // peer id of the sender, when the packet came from a tunnel
	RegPeer    = 3 // peer id: one per (peer, encapsulation)
	RegPath    = 4 // path id
	RegOut     = 5 // OpenFlow port of exit
	RegStaged  = 6 // OpenFlow port whose activation is asked for
	NumRegs    = 7
)

// Flags are bits of RegFlags.
const (
	FlagFromTunnel = 1 << iota // the packet came from a tunnel
	FlagLearns                 // its segment learns
	FlagRelays                 // this host replicates for its segment
)

// Match is the set of fields a flow matches on. The zero value matches every
// packet. It is comparable: two equal matches are the same map key.
type Match struct {
	InPort         Port
	Regs           [NumRegs]Masked32
	TunID          Masked64
	TunSrc, TunDst netip.Addr // IPv4 is tun_src/tun_dst, IPv6 tun_ipv6_src/tun_ipv6_dst
	EthSrc, EthDst MaskedMAC
	EthType        uint16
	VlanTCI        Masked16
	Upper          Upper
}

// Key identifies a flow in a switch: two flows with one key cannot coexist.
type Key struct {
	Table    Table
	Priority uint16
	Match    Match
}

// Flow is one OpenFlow flow. Priority is always written; 32768, which OVS does
// not print, is refused by the encoder. No action means drop.
type Flow struct {
	Key
	Cookie  Cookie
	Actions []Action
}

// Action is one element of a flow's action list. The set of implementations is
// closed: this package's. All are comparable.
type Action interface{ action() }

// Field names a packet or register field that SetField writes.
type Field uint8

// Fields that the pipeline writes.
const (
	FieldReg0 Field = iota // FieldReg0 + n is register n
	FieldReg1
	FieldReg2
	FieldReg3
	FieldReg4
	FieldReg5
	FieldReg6
	FieldTunID
	FieldTunSrc
	FieldTunDst
	FieldTunIPv6Src
	FieldTunIPv6Dst
	FieldEthSrc // Value is the 48 bits of a MAC
	FieldInPort // 0 only: then a packet may leave by its port of entry
	FieldARPOp
	FieldICMPv6Type
	FieldNDReserved    // R, S and O of an advertisement, from the top bit on (RFC 4861 §4.4)
	FieldNDOptionsType // 1: source, 2: target link-layer address
	FieldEthDst        // Value is the 48 bits of a MAC
	FieldVLANVID       // Value is VLANPresent and the VLAN id, of the outer tag
)

type (
	// SetField writes Value (a number) or Addr (an address field) to Field.
	SetField struct {
		Field Field
		Value uint64
		Addr  netip.Addr
	}
	// Resubmit continues in Table and comes back.
	Resubmit struct{ Table Table }
	// ToGroup hands the packet to a group.
	ToGroup struct{ Group GroupID }
	// Output sends the packet out of Port.
	Output struct{ Port Port }
	// Normal switches the packet as an ordinary learning switch would.
	Normal struct{}
	// Opaque is an action that greave read but does not write; its text is kept
	// as the switch printed it.
	Opaque struct{ Text string }
)

func (SetField) action() {}
func (Resubmit) action() {}
func (ToGroup) action()  {}
func (Output) action()   {}
func (Normal) action()   {}
func (Opaque) action()   {}

// SetEth writes a MAC to FieldEthSrc or FieldEthDst.
func SetEth(f Field, m MAC) SetField { return SetField{Field: f, Value: macBits(m)} }

// SetReg writes v to register n.
func SetReg(n int, v uint32) SetField { return SetField{Field: FieldReg0 + Field(n), Value: uint64(v)} }

// Seen is a flow as a switch printed it. Parsed is false when its match holds
// a field that greave does not know: then Match is meaningless and only
// MatchText (the switch's own text) identifies it.
type Seen struct {
	Flow
	Parsed    bool
	MatchText string
	Packets   uint64
	Bytes     uint64
}
