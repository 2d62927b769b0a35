package openflow

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// Numbers of the headers above Ethernet (IANA).
const (
	EtherIPv4 = 0x0800
	EtherARP  = 0x0806
	EtherIPv6 = 0x86dd

	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
	protoSCTP   = 132

	ARPRequest = 1
	ARPReply   = 2

	NDRouterSolicit = 133 // RFC 4861 §4
	NDRouterAdvert  = 134
	NDSolicit       = 135
	NDAdvert        = 136
	NDRedirect      = 137
	MLDv1Report     = 131 // RFC 2710
	MLDv2Report     = 143 // RFC 3810
)

// Upper is what a match says above Ethernet. EthType must say of which protocol;
// in each field zero means not matched, so the ICMP type 0 and the port 0, which
// greave never writes, are fields it does not know.
type Upper struct {
	Src, Dst     netip.Addr // nw_src and nw_dst, ipv6_src and ipv6_dst, arp_spa and arp_tpa
	Proto        uint8      // of IP; arp_op of ARP
	TPSrc, TPDst uint16     // ports of TCP, UDP and SCTP
	ICMPType     uint8
	NDTarget     netip.Addr // of a neighbour solicitation or advertisement
	HW           Hardware   // arp_sha; nd_sll of a solicitation, nd_tll of an advertisement
}

// Hardware is an address in ARP or ND. All zeros is a value, that of an option
// which is not there.
type Hardware struct {
	Set bool
	MAC MAC
}

// Exactly matches one hardware address.
func Exactly(m MAC) Hardware { return Hardware{true, m} }

// protoNames are the pairs of EtherType and protocol that OVS prints as a word.
var protoNames = map[[2]uint16]string{
	{EtherIPv4, ProtoICMP}: "icmp", {EtherIPv4, ProtoTCP}: "tcp", {EtherIPv4, ProtoUDP}: "udp", {EtherIPv4, protoSCTP}: "sctp",
	{EtherIPv6, ProtoICMPv6}: "icmp6", {EtherIPv6, ProtoTCP}: "tcp6", {EtherIPv6, ProtoUDP}: "udp6", {EtherIPv6, protoSCTP}: "sctp6",
}

var protosByName = func() map[string][2]uint16 {
	m := make(map[string][2]uint16, len(protoNames))
	for pair, name := range protoNames {
		m[name] = pair
	}
	return m
}()

// etherName is the word for a match's protocols, if OVS has one.
func (m Match) etherName() string {
	if name := protoNames[[2]uint16{m.EthType, uint16(m.Upper.Proto)}]; name != "" {
		return name
	}
	return etherNames[m.EthType]
}

// upperNames are the keys, with their "=", that depend on the protocol.
type upperNames struct{ src, dst, proto, hw string }

func (m Match) upperNames() upperNames {
	switch {
	case m.EthType == EtherARP:
		return upperNames{"arp_spa=", "arp_tpa=", "arp_op=", "arp_sha="}
	case m.EthType != EtherIPv6:
		return upperNames{src: "nw_src=", dst: "nw_dst=", proto: "nw_proto="}
	case m.Upper.ICMPType == NDAdvert:
		return upperNames{"ipv6_src=", "ipv6_dst=", "nw_proto=", "nd_tll="}
	}
	return upperNames{"ipv6_src=", "ipv6_dst=", "nw_proto=", "nd_sll="}
}

// upper appends the fields above Ethernet in the order OVS prints them.
func (w *fieldWriter) upper(m Match) {
	u, names := m.Upper, m.upperNames()
	w.addr(u.Src, u.Src.Is4(), names.src)
	w.addr(u.Dst, u.Dst.Is4(), names.dst)
	if protoNames[[2]uint16{m.EthType, uint16(u.Proto)}] == "" {
		w.number(names.proto, uint64(u.Proto))
	}
	w.number("tp_src=", uint64(u.TPSrc))
	w.number("tp_dst=", uint64(u.TPDst))
	w.number("icmp_type=", uint64(u.ICMPType))
	w.addr(u.NDTarget, u.NDTarget.Is4(), "nd_target=")
	if u.HW.Set {
		w.mac(names.hw, MaskedMAC{u.HW.MAC, macOnes})
	}
}

func (w *fieldWriter) number(key string, v uint64) {
	if v != 0 {
		w.key(key)
		w.dst = strconv.AppendUint(w.dst, v, 10)
	}
}

// parseUpper takes one field above Ethernet, and tells whether greave knows it
// in a match of the protocols that were read so far: OVS prints them first.
func (m *Match) parseUpper(key, val string) bool {
	u, names := &m.Upper, m.upperNames()
	switch key + "=" {
	case names.src:
		return parseUpperAddr(&u.Src, val)
	case names.dst:
		return parseUpperAddr(&u.Dst, val)
	case names.proto:
		return parseNumber(&u.Proto, val, 8)
	case names.hw:
		u.HW.Set = parseMAC(&u.HW.MAC, val)
		return u.HW.Set
	}
	switch key {
	case "nd_target":
		return parseUpperAddr(&u.NDTarget, val)
	case "icmp_type":
		return parseNumber(&u.ICMPType, val, 8)
	case "tp_src":
		return parseNumber(&u.TPSrc, val, 16)
	case "tp_dst":
		return parseNumber(&u.TPDst, val, 16)
	}
	return false
}

func parseUpperAddr(a *netip.Addr, val string) (ok bool) {
	*a, ok = address(val)
	return ok
}

func parseNumber[T uint8 | uint16](v *T, val string, bits int) bool {
	n, ok := number(val, bits)
	*v = T(n)
	return ok && n != 0
}

// check tells why OVS would not match on u as it stands: it drops a field whose
// protocol is not stated, and then the flow matches what it must not.
func (u Upper) check(etherType uint16) error {
	if u == (Upper{}) {
		return nil
	}
	v4 := etherType == EtherIPv4 || etherType == EtherARP
	if !v4 && etherType != EtherIPv6 {
		return fmt.Errorf("dl_type %#x has no fields above it", etherType)
	}
	for _, a := range []netip.Addr{u.Src, u.Dst} {
		if a.IsValid() && (v4 != a.Is4() || !v4 && !plainIPv6(a)) {
			return fmt.Errorf("address %s is not of dl_type %#x", a, etherType)
		}
	}
	ip := etherType != EtherARP
	ports := ip && (u.Proto == ProtoTCP || u.Proto == ProtoUDP || u.Proto == protoSCTP)
	icmp := etherType == EtherIPv4 && u.Proto == ProtoICMP || etherType == EtherIPv6 && u.Proto == ProtoICMPv6
	nd := etherType == EtherIPv6 && icmp && (u.ICMPType == NDSolicit || u.ICMPType == NDAdvert)
	switch {
	case (u.TPSrc != 0 || u.TPDst != 0) && !ports:
		return errors.New("ports without TCP, UDP or SCTP")
	case u.ICMPType != 0 && !icmp:
		return errors.New("icmp_type without ICMP")
	case u.NDTarget.IsValid() && (!nd || !plainIPv6(u.NDTarget)):
		return errors.New("nd_target is not one of neighbour discovery")
	case u.HW.Set && !nd && ip:
		return errors.New("hardware address without ARP or neighbour discovery")
	case !u.HW.Set && !u.HW.MAC.IsZero():
		return errors.New("hardware address that is not matched")
	}
	return nil
}

// need is what a flow must match on before an action of its may touch a field:
// the switch refuses it otherwise, for it looks at the match alone.
type need uint8

const (
	needsNothing need = iota
	needsARP
	needsIPv6
	needsICMPv6
	needsND     // a solicitation or an advertisement
	needsAdvert // an advertisement alone
	needsTag
)

func (n need) met(m Match) bool {
	icmp := m.EthType == EtherIPv6 && m.Upper.Proto == ProtoICMPv6
	switch n {
	case needsARP:
		return m.EthType == EtherARP
	case needsIPv6:
		return m.EthType == EtherIPv6
	case needsICMPv6:
		return icmp
	case needsND:
		return icmp && (m.Upper.ICMPType == NDSolicit || m.Upper.ICMPType == NDAdvert)
	case needsAdvert:
		return icmp && m.Upper.ICMPType == NDAdvert
	case needsTag:
		return m.VlanTCI.Mask&m.VlanTCI.Value&vlanCFI != 0
	}
	return true
}

func (f Field) need() need {
	switch f {
	case FieldARPOp:
		return needsARP
	case FieldICMPv6Type:
		return needsICMPv6
	case FieldNDReserved, FieldNDOptionsType:
		return needsND
	case FieldVLANVID:
		return needsTag
	}
	return needsNothing
}

func (p Part) need() need {
	switch p {
	case PartARPSHA, PartARPTHA, PartARPSPA, PartARPTPA:
		return needsARP
	case PartIPv6Src, PartIPv6Dst:
		return needsIPv6
	case PartNDTarget:
		return needsND
	case PartNDTLL:
		return needsAdvert
	}
	return needsNothing
}

// checkNeeds tells why a flow of match m may not do a.
func checkNeeds(a Action, m Match) error {
	ok := true
	switch a := a.(type) {
	case SetField:
		ok = a.Field.need().met(m)
	case Move:
		ok = a.From.need().met(m) && a.To.need().met(m)
	case PopVLAN:
		ok = needsTag.met(m)
	}
	if !ok {
		return fmt.Errorf("%s is of a protocol that the match does not state", appendAction(nil, a))
	}
	return nil
}
