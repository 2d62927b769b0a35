package openflow

import (
	"net/netip"
	"strconv"
)

// The text form is the one that `ovs-ofctl -O OpenFlow15 --no-names --no-stats`
// prints. ovs-ofctl reads the same form, so what is sent reads back unchanged.
// The Append functions write any value; call Check first for one that is to be
// sent.

// etherNames are the EtherTypes that OVS prints as a word (ovs-fields(7)).
var etherNames = map[uint16]string{
	0x0800: "ip", 0x0806: "arp", 0x8035: "rarp", 0x86dd: "ipv6", 0x8847: "mpls", 0x8848: "mplsm",
}

// Parts of the VLAN TCI. CFI is how OVS says "there is a tag".
const (
	vlanVID = 0x0fff
	vlanCFI = 0x1000
	vlanPCP = 0xe000
)

// AppendFlow appends f on one line, without a line end.
func AppendFlow(dst []byte, f Flow) []byte {
	if f.Cookie != 0 {
		dst = appendHex(append(dst, "cookie="...), uint64(f.Cookie))
		dst = append(dst, ", "...)
	}
	dst = appendKey(dst, f.Key, "")
	dst = append(dst, " actions="...)
	return AppendActions(dst, f.Actions)
}

// AppendRemoval appends the match of a strict delete: one key, and only if the
// flow there still has the cookie.
func AppendRemoval(dst []byte, r Removal) []byte {
	dst = appendHex(append(dst, "cookie="...), uint64(r.Cookie))
	dst = append(dst, "/-1, "...)
	return appendKey(dst, r.Key, r.MatchText)
}

func appendKey(dst []byte, k Key, match string) []byte {
	dst = strconv.AppendUint(append(dst, "table="...), uint64(k.Table), 10)
	dst = strconv.AppendUint(append(dst, ", priority="...), uint64(k.Priority), 10)
	switch {
	case match != "":
		dst = append(append(dst, ','), match...)
	case k.Match != Match{}:
		dst = AppendMatch(append(dst, ','), k.Match)
	}
	return dst
}

// AppendMatch appends the fields of m in the order OVS prints them; nothing for
// a match of every packet.
func AppendMatch(dst []byte, m Match) []byte {
	w := fieldWriter{dst: dst, start: len(dst)}
	named := m.etherName()
	if named != "" {
		w.key(named)
	}
	for n, r := range m.Regs {
		if r.Mask != 0 {
			w.key("reg")
			w.dst = append(strconv.AppendUint(w.dst, uint64(n), 10), '=')
			w.masked(uint64(r.Value), uint64(r.Mask), 1<<32-1)
		}
	}
	if m.TunID.Mask != 0 {
		w.key("tun_id=")
		w.masked(m.TunID.Value, m.TunID.Mask, ^uint64(0))
	}
	w.addr(m.TunSrc, true, "tun_src=")
	w.addr(m.TunDst, true, "tun_dst=")
	w.addr(m.TunSrc, false, "tun_ipv6_src=")
	w.addr(m.TunDst, false, "tun_ipv6_dst=")
	if m.InPort != 0 {
		w.key("in_port=")
		w.dst = appendPort(w.dst, m.InPort)
	}
	w.vlan(m.VlanTCI)
	w.mac("dl_src=", m.EthSrc)
	w.mac("dl_dst=", m.EthDst)
	if m.EthType != 0 && named == "" {
		w.key("dl_type=")
		w.dst = appendHex4(w.dst, m.EthType)
	}
	w.upper(m)
	return w.dst
}

// fieldWriter appends fields with commas between them.
type fieldWriter struct {
	dst   []byte
	start int
}

func (w *fieldWriter) key(k string) {
	if len(w.dst) > w.start {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(w.dst, k...)
}

func (w *fieldWriter) masked(v, mask, all uint64) {
	w.dst = appendHex(w.dst, v)
	if mask != all {
		w.dst = appendHex(append(w.dst, '/'), mask)
	}
}

func (w *fieldWriter) addr(a netip.Addr, v4 bool, key string) {
	if a.IsValid() && a.Is4() == v4 {
		w.key(key)
		w.dst = a.AppendTo(w.dst)
	}
}

func (w *fieldWriter) mac(key string, m MaskedMAC) {
	if m.Mask == (MAC{}) {
		return
	}
	w.key(key)
	w.dst = appendMAC(w.dst, m.Value)
	if m.Mask != macOnes {
		w.dst = appendMAC(append(w.dst, '/'), m.Mask)
	}
}

// vlan writes what OVS makes of a TCI: the tag's number and priority by name
// when they are matched whole, the raw TCI otherwise.
func (w *fieldWriter) vlan(m Masked16) {
	vid := m.Mask & (vlanVID | vlanCFI)
	tagged := m.Value&vlanCFI != 0
	switch {
	case m.Mask == 0:
	case tagged && (vid == vlanVID|vlanCFI || vid == vlanCFI && m.Mask&vlanPCP == vlanPCP):
		if vid&vlanVID != 0 {
			w.key("dl_vlan=")
			w.dst = strconv.AppendUint(w.dst, uint64(m.Value&vlanVID), 10)
		}
		if m.Mask&vlanPCP != 0 {
			w.key("dl_vlan_pcp=")
			w.dst = strconv.AppendUint(w.dst, uint64(m.Value>>13), 10)
		}
	default:
		w.key("vlan_tci=")
		w.dst = appendHex4(w.dst, m.Value)
		w.dst = appendHex4(append(w.dst, '/'), m.Mask)
	}
}

// AppendActions appends an action list; an empty one is "drop".
func AppendActions(dst []byte, as []Action) []byte {
	if len(as) == 0 {
		return append(dst, "drop"...)
	}
	for i, a := range as {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendAction(dst, a)
	}
	return dst
}

func appendAction(dst []byte, a Action) []byte {
	switch a := a.(type) {
	case SetField:
		return appendSet(dst, a)
	case Resubmit:
		dst = strconv.AppendUint(append(dst, "resubmit(,"...), uint64(a.Table), 10)
		return append(dst, ')')
	case ToGroup:
		return strconv.AppendUint(append(dst, "group:"...), uint64(a.Group), 10)
	case Output:
		if a.Port != PortLocal && a.Port != PortInPort {
			dst = append(dst, "output:"...)
		}
		return appendPort(dst, a.Port)
	case Move:
		return appendMove(dst, a)
	case Learn:
		return appendLearn(dst, a)
	case LearnActive:
		return append(dst, a.text()...)
	case LearnMoved:
		return append(dst, a.text()...)
	case Normal:
		return append(dst, "NORMAL"...)
	case PushVLAN:
		return append(dst, pushVLANText...)
	case PopVLAN:
		return append(dst, popVLANText...)
	case Opaque:
		return append(dst, a.Text...)
	}
	return dst
}

var fieldNames = [...]string{
	FieldReg0: "reg0", FieldReg1: "reg1", FieldReg2: "reg2", FieldReg3: "reg3", FieldReg4: "reg4", FieldReg5: "reg5", FieldReg6: "reg6",
	FieldTunID: "tun_id", FieldTunSrc: "tun_src", FieldTunDst: "tun_dst",
	FieldTunIPv6Src: "tun_ipv6_src", FieldTunIPv6Dst: "tun_ipv6_dst",
	FieldEthSrc: "eth_src", FieldInPort: "in_port", FieldARPOp: "arp_op", FieldICMPv6Type: "icmpv6_type",
	FieldNDReserved: "nd_reserved", FieldNDOptionsType: "nd_options_type", FieldEthDst: "eth_dst",
	FieldVLANVID: "vlan_vid",
}

// String is the name OVS gives the field.
func (f Field) String() string {
	if int(f) < len(fieldNames) {
		return fieldNames[f]
	}
	return "field " + strconv.Itoa(int(f))
}

func appendSet(dst []byte, s SetField) []byte {
	dst = append(dst, "set_field:"...)
	switch {
	case s.Addr.IsValid():
		dst = s.Addr.AppendTo(dst)
	case s.Field.ofMAC():
		dst = appendMAC(dst, macOf(s.Value))
	case s.Field > FieldEthSrc:
		dst = strconv.AppendUint(dst, s.Value, 10)
	default:
		dst = appendHex(dst, s.Value)
	}
	return append(append(dst, "->"...), s.Field.String()...)
}

var groupTypeNames = [...]string{
	GroupAll: "all", GroupIndirect: "indirect", GroupSelect: "select", GroupFastFailover: "ff",
}

// String is the name OVS gives the type.
func (t GroupType) String() string {
	if t != 0 && int(t) < len(groupTypeNames) {
		return groupTypeNames[t]
	}
	return "group type " + strconv.Itoa(int(t))
}

const byFlow = ",selection_method=dp_hash"

// AppendGroup appends g on one line, without a line end.
func AppendGroup(dst []byte, g Group) []byte {
	dst = strconv.AppendUint(append(dst, "group_id="...), uint64(g.ID), 10)
	dst = append(append(dst, ",type="...), g.Type.String()...)
	if g.ByFlow {
		dst = append(dst, byFlow...)
	}
	for _, b := range g.Buckets {
		dst = strconv.AppendUint(append(dst, ",bucket=bucket_id:"...), uint64(b.ID), 10)
		// OVS leaves out the weight 1.
		if g.Type == GroupSelect && b.Weight != 1 {
			dst = strconv.AppendUint(append(dst, ",weight:"...), uint64(b.Weight), 10)
		}
		if b.Watch != 0 {
			dst = strconv.AppendUint(append(dst, ",watch_port:"...), uint64(b.Watch), 10)
		}
		if b.WatchGroup != 0 {
			dst = strconv.AppendUint(append(dst, ",watch_group:"...), uint64(b.WatchGroup), 10)
		}
		dst = append(dst, ",actions="...)
		for _, s := range b.Sets {
			dst = append(appendSet(dst, s), ',')
		}
		dst = appendAction(dst, b.Then)
	}
	return dst
}

// appendHex writes zero as OVS does: without 0x.
func appendHex(dst []byte, v uint64) []byte {
	if v != 0 {
		dst = append(dst, "0x"...)
	}
	return strconv.AppendUint(dst, v, 16)
}

const hexDigits = "0123456789abcdef"

func appendHex4(dst []byte, v uint16) []byte {
	return append(dst, '0', 'x', hexDigits[v>>12], hexDigits[v>>8&15], hexDigits[v>>4&15], hexDigits[v&15])
}

var macOnes = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func appendMAC(dst []byte, m MAC) []byte {
	for i, b := range m {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

// ofMAC tells whether the field holds an Ethernet address.
func (f Field) ofMAC() bool { return f == FieldEthSrc || f == FieldEthDst }

// macOf and macBits are a MAC as the 48 bits of a number, and back.
func macOf(v uint64) (m MAC) {
	for i := range m {
		m[i] = byte(v >> (40 - 8*i))
	}
	return m
}

func macBits(m MAC) (v uint64) {
	for _, b := range m {
		v = v<<8 | uint64(b)
	}
	return v
}

func appendPort(dst []byte, p Port) []byte {
	switch p {
	case PortLocal:
		return append(dst, "LOCAL"...)
	case PortInPort:
		return append(dst, "IN_PORT"...)
	}
	return strconv.AppendUint(dst, uint64(p), 10)
}

// String is the match as OVS prints it.
func (m Match) String() string { return string(AppendMatch(nil, m)) }

// String is the flow as OVS prints it.
func (f Flow) String() string { return string(AppendFlow(nil, f)) }

// String is the group as OVS prints it.
func (g Group) String() string { return string(AppendGroup(nil, g)) }
