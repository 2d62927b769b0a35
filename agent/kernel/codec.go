package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
)

// message is the payload of a netlink message: a fixed header and attributes.
type message []byte

func (m *message) header(h interface{ bytes() []byte }) { *m = append(*m, h.bytes()...) }

func (m *message) put(id int, data []byte) {
	size := unix.SizeofRtAttr + len(data)
	*m = binary.NativeEndian.AppendUint16(*m, uint16(size))
	*m = binary.NativeEndian.AppendUint16(*m, uint16(id))
	*m = append(*m, data...)
	m.pad()
}

func (m *message) pad() {
	for len(*m)%unix.RTA_ALIGNTO != 0 {
		*m = append(*m, 0)
	}
}

func (m *message) u8(id int, v uint8) { m.put(id, []byte{v}) }
func (m *message) u16(id int, v uint16) {
	m.put(id, binary.NativeEndian.AppendUint16(nil, v))
}
func (m *message) u32(id int, v uint32) {
	m.put(id, binary.NativeEndian.AppendUint32(nil, v))
}
func (m *message) text(id int, s string) { m.put(id, append([]byte(s), 0)) }

// nest puts an attribute that holds those that fill puts.
func (m *message) nest(id int, fill func(*message)) {
	var inner message
	fill(&inner)
	m.put(id|unix.NLA_F_NESTED, inner)
}

// attributes are those in b, without the flags in their numbers. What is cut short is left out.
func attributes(b []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			id := int(binary.NativeEndian.Uint16(b[2:])) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(id, b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(len(b), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
		}
	}
}

// byID collects the attributes in b.
func byID(b []byte) map[int][]byte {
	out := map[int][]byte{}
	for id, v := range attributes(b) {
		out[id] = v
	}
	return out
}

// number reads an unsigned number in host order, of whatever size.
func number(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.NativeEndian.Uint16(b))
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	case 8:
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

// bigEndian reads an unsigned number in network order, of whatever size.
func bigEndian(b []byte) (v uint64) {
	if len(b) > 8 {
		return 0
	}
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v
}

func cString(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// gre6Flags is the one word of flags that is 32 bits in host order (IFLA_GRE_FLAGS); IFLAGS and
// OFLAGS are 16 in network order.
const gre6Flags = 13

func flagsWord(id int, b []byte) uint64 {
	if id == gre6Flags {
		return number(b)
	}
	return bigEndian(b)
}

// decodeKind turns the attributes of a device (IFLA_INFO_DATA) into fields; an absent one is zero.
func decodeKind(k rows.Kind, data map[int][]byte, device func(index int) string) map[string]string {
	out := make(map[string]string, len(k.Attrs)+8)
	for _, a := range k.Attrs {
		out[a.Name] = decode(a, data, device)
	}
	if out["ttl inherit"] == "true" {
		out["ttl"] = "0" // the kernel may remember another one, which counts no more
	}
	return out
}

func decode(a rows.Attr, data map[int][]byte, device func(int) string) string {
	b, there := data[a.ID]
	switch a.Form {
	case rows.BE16, rows.BE32:
		return strconv.FormatUint(bigEndian(b), 10)
	case rows.Bool, rows.Flag: // a flag is an attribute without value, or reads back as a byte
		return strconv.FormatBool(there && (len(b) == 0 || b[0] != 0))
	case rows.Bit:
		return strconv.FormatBool(flagsWord(a.Of, data[a.Of])&uint64(a.Bit) != 0)
	case rows.KeyBE32:
		if flagsWord(a.Of, data[a.Of])&uint64(a.Bit) == 0 {
			return ""
		}
		return strconv.FormatUint(bigEndian(b), 10)
	case rows.IP4, rows.IP6:
		addr, ok := netip.AddrFromSlice(b)
		if !ok || addr.IsUnspecified() {
			return ""
		}
		return addr.String()
	case rows.Device:
		if i := number(b); i != 0 {
			return device(int(i))
		}
		return ""
	case rows.TTL:
		if number(b) == 0 {
			return "inherit"
		}
	case rows.TOS:
		if number(b) == 1 {
			return "inherit"
		}
	}
	return strconv.FormatUint(number(b), 10)
}

// encodeKind puts the attributes of IFLA_INFO_DATA for which only says yes. Where fresh is set,
// what is empty is left out, which makes it zero; else it is written as zero. Words of flags are
// always written: only kinds whose changes are whole have any.
func encodeKind(m *message, k rows.Kind, fields map[string]string, fresh bool, only func(string) bool, device func(string) (int, error)) error {
	words, touched := map[int]uint64{}, []int{}
	for _, a := range k.Attrs {
		value, stated := fields[a.Name]
		if a.Of != 0 {
			if _, known := words[a.Of]; !known {
				touched = append(touched, a.Of)
			}
			words[a.Of] |= flagOf(a, value)
		}
		if !stated || !only(a.Name) || a.Form == rows.Bit || a.ID == 0 {
			continue
		}
		if leftOut(k, a, fields, fresh) {
			continue
		}
		b, err := encode(a, value, fresh, device)
		if err != nil {
			return fmt.Errorf("%s %q: %w", a.Name, value, err)
		}
		if b != nil {
			m.put(a.ID, b)
		}
	}
	for _, id := range touched {
		if id == gre6Flags {
			m.u32(id, uint32(words[id]))
		} else {
			m.put(id, binary.BigEndian.AppendUint16(nil, uint16(words[id])))
		}
	}
	return nil
}

func flagOf(a rows.Attr, value string) uint64 {
	if a.Form == rows.Bit && value == "true" || a.Form == rows.KeyBE32 && value != "" {
		return uint64(a.Bit)
	}
	return 0
}

// leftOut tells of attributes that are not written with the value that they have:
//
//   - one of the two of a TTL: geneve_nl2info looks at IFLA_GENEVE_TTL only where there is no
//     IFLA_GENEVE_TTL_INHERIT, whatever that says, and takes a TTL as an end of inheriting;
//   - no VLAN filtering on a new bridge, as a kernel that is built without refuses that too.
func leftOut(k rows.Kind, a rows.Attr, fields map[string]string, fresh bool) bool {
	switch k.Name + " " + a.Name {
	case "geneve ttl inherit":
		return fields["ttl inherit"] != "true"
	case "geneve ttl":
		return fields["ttl inherit"] == "true"
	case "bridge vlan_filtering":
		return fresh && fields[a.Name] == "0"
	}
	return false
}

// encode returns the value of an attribute; nil: it is left out.
func encode(a rows.Attr, value string, fresh bool, device func(string) (int, error)) ([]byte, error) {
	switch a.Form {
	case rows.Flag:
		if value == "true" {
			return []byte{}, nil
		}
		return nil, nil
	case rows.Bool:
		if value == "true" {
			return []byte{1}, nil
		}
		return []byte{0}, nil
	case rows.IP4, rows.IP6:
		return encodeIP(a.Form, value, fresh)
	case rows.Device:
		if value == "" && fresh {
			return nil, nil
		}
		index := 0
		if value != "" {
			var err error
			if index, err = device(value); err != nil {
				return nil, err
			}
		}
		return binary.NativeEndian.AppendUint32(nil, uint32(index)), nil
	case rows.TTL:
		if value == "inherit" {
			return []byte{0}, nil
		}
	case rows.TOS:
		if value == "inherit" {
			return []byte{1}, nil
		}
	case rows.KeyBE32:
		if value == "" {
			return nil, nil
		}
	}
	return encodeNumber(a.Form, value)
}

func encodeIP(form rows.Form, value string, fresh bool) ([]byte, error) {
	size := net.IPv4len
	if form == rows.IP6 {
		size = net.IPv6len
	}
	if value == "" {
		if fresh {
			return nil, nil
		}
		return make([]byte, size), nil
	}
	addr, err := netip.ParseAddr(value)
	if err != nil {
		return nil, err
	}
	if addr.BitLen() != size*8 {
		return nil, fmt.Errorf("is not of the family")
	}
	return addr.AsSlice(), nil
}

func encodeNumber(form rows.Form, value string) ([]byte, error) {
	bits := map[rows.Form]int{rows.U8: 8, rows.TTL: 8, rows.TOS: 8, rows.U16: 16, rows.BE16: 16, rows.U32: 32, rows.BE32: 32, rows.KeyBE32: 32}[form]
	v, err := strconv.ParseUint(value, 10, bits)
	if err != nil {
		return nil, err
	}
	switch form {
	case rows.U8, rows.TTL, rows.TOS:
		return []byte{uint8(v)}, nil
	case rows.U16:
		return binary.NativeEndian.AppendUint16(nil, uint16(v)), nil
	case rows.U32:
		return binary.NativeEndian.AppendUint32(nil, uint32(v)), nil
	case rows.BE16:
		return binary.BigEndian.AppendUint16(nil, uint16(v)), nil
	case rows.BE32, rows.KeyBE32:
		return binary.BigEndian.AppendUint32(nil, uint32(v)), nil
	}
	return nil, fmt.Errorf("form %d is no number", form)
}

// ifinfo is struct ifinfomsg.
type ifinfo struct {
	family        uint8
	typ           uint16
	index         int32
	flags, change uint32
}

func (i ifinfo) bytes() []byte {
	b := []byte{i.family, 0}
	b = binary.NativeEndian.AppendUint16(b, i.typ)
	b = binary.NativeEndian.AppendUint32(b, uint32(i.index))
	b = binary.NativeEndian.AppendUint32(b, i.flags)
	return binary.NativeEndian.AppendUint32(b, i.change)
}

// parseIfinfo reads a header; of one that is too short it returns zeros.
func parseIfinfo(b []byte) ifinfo {
	if len(b) < unix.SizeofIfInfomsg {
		return ifinfo{}
	}
	return ifinfo{b[0], binary.NativeEndian.Uint16(b[2:]), int32(binary.NativeEndian.Uint32(b[4:])),
		binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[12:])}
}

// ndmsg is struct ndmsg.
type ndmsg struct {
	family uint8
	index  int32
	state  uint16
	flags  uint8
	typ    uint8
}

func (n ndmsg) bytes() []byte {
	b := []byte{n.family, 0, 0, 0}
	b = binary.NativeEndian.AppendUint32(b, uint32(n.index))
	b = binary.NativeEndian.AppendUint16(b, n.state)
	return append(b, n.flags, n.typ)
}

func parseNdmsg(b []byte) ndmsg {
	if len(b) < unix.SizeofNdMsg {
		return ndmsg{}
	}
	return ndmsg{b[0], int32(binary.NativeEndian.Uint32(b[4:])), binary.NativeEndian.Uint16(b[8:]), b[10], b[11]}
}

// raw is a header that is spelled out.
type raw []byte

func (r raw) bytes() []byte { return r }

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
