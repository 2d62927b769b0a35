package ofctltest

import (
	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/openflow"
)

// upper generates what a match of an EtherType may say above Ethernet.
func upper(t *rapid.T, etherType uint16) openflow.Upper {
	var u openflow.Upper
	v4 := etherType != openflow.EtherIPv6
	if etherType != openflow.EtherIPv4 && etherType != openflow.EtherARP && v4 {
		return u
	}
	if coin(t, "has source") {
		u.Src = address(t, v4)
	}
	if coin(t, "has destination") {
		u.Dst = address(t, v4)
	}
	u.Proto = rapid.SampledFrom([]uint8{0, 1, 2, openflow.ProtoTCP, openflow.ProtoUDP, 47, openflow.ProtoICMPv6, 132, 255}).Draw(t, "proto")
	if etherType == openflow.EtherARP {
		u.HW = hardware(t)
		return u
	}
	switch u.Proto {
	case openflow.ProtoTCP, openflow.ProtoUDP, 132:
		u.TPSrc, u.TPDst = rapid.Uint16().Draw(t, "tp_src"), rapid.Uint16().Draw(t, "tp_dst")
	case openflow.ProtoICMP:
		if v4 {
			u.ICMPType = rapid.Uint8().Draw(t, "icmp_type")
		}
	case openflow.ProtoICMPv6:
		if !v4 {
			icmpv6(t, &u)
		}
	}
	return u
}

func icmpv6(t *rapid.T, u *openflow.Upper) {
	u.ICMPType = rapid.SampledFrom([]uint8{0, 1, 128, openflow.NDRouterAdvert, openflow.NDSolicit, openflow.NDAdvert}).Draw(t, "icmp_type")
	if u.ICMPType != openflow.NDSolicit && u.ICMPType != openflow.NDAdvert {
		return
	}
	if coin(t, "has target") {
		u.NDTarget = address(t, false)
	}
	u.HW = hardware(t)
}

func hardware(t *rapid.T) openflow.Hardware {
	if !coin(t, "has hardware address") {
		return openflow.Hardware{}
	}
	return openflow.Exactly(rapid.SampledFrom([]openflow.MAC{{}, {2, 0, 0, 0, 0, 1}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}).Draw(t, "hardware address"))
}

// fieldMask are the values that the fields above the tunnel's may have.
var fieldMask = map[openflow.Field]uint64{
	openflow.FieldEthSrc: 1<<48 - 1, openflow.FieldEthDst: 1<<48 - 1, openflow.FieldInPort: 0, openflow.FieldARPOp: 1<<8 - 1,
	openflow.FieldICMPv6Type: 255, openflow.FieldNDReserved: 1<<32 - 1, openflow.FieldNDOptionsType: 255,
	openflow.FieldVLANVID: 0xfff,
}

// fieldsOf are the fields that a flow of match m may set.
func fieldsOf(m openflow.Match) []openflow.Field {
	var out []openflow.Field
	for f := range openflow.FieldVLANVID + 1 {
		set := openflow.SetField{Field: f}
		if f == openflow.FieldVLANVID {
			set.Value = openflow.VLANPresent
		}
		if (openflow.Flow{Key: openflow.Key{Match: m}, Actions: []openflow.Action{set}}).Check() == nil || f <= openflow.FieldTunIPv6Dst {
			out = append(out, f)
		}
	}
	return out
}

// movesOf are the moves that a flow of match m may make.
func movesOf(m openflow.Match) []openflow.Action {
	var out []openflow.Action
	for from := range openflow.PartPeer + 1 {
		for to := range openflow.PartPeer + 1 {
			move := openflow.Move{From: from, To: to}
			if (openflow.Flow{Key: openflow.Key{Match: m}, Actions: []openflow.Action{move}}).Check() == nil {
				out = append(out, move)
			}
		}
	}
	return out
}
