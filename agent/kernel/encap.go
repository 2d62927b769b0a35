package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Lightweight tunnels (linux/lwtunnel.h). The attributes of both families have the same numbers.
const (
	encapIP, encapIP6 = 2, 4 // LWTUNNEL_ENCAP_*

	lwtID, lwtDst, lwtSrc, lwtTTL, lwtTOS, lwtFlags = 1, 2, 3, 4, 5, 6

	// Flags are those of struct ip_tunnel_key, in network order. Without the one for the key, the id is
	// not sent.
	lwtCsum, lwtKey, lwtSeq = 0x1, 0x4, 0x8
)

var encapNames = map[uint16]string{encapIP: "ip", encapIP6: "ip6"}

// encap is what a route adds to a packet that leaves by a collect-metadata device.
type encap struct {
	typ      uint16
	id       uint64
	src, dst netip.Addr
	ttl, tos uint8
	flags    uint16
}

// String is as in FieldEncap: "ip id 100 src 192.0.2.1 dst 192.0.2.2 ttl 64 tos 16 key csum seq",
// id and ttl always, all else only where it is there.
func (e encap) String() string {
	text := fmt.Sprintf("%s id %d", encapNames[e.typ], e.id)
	if e.src.IsValid() {
		text += " src " + e.src.String()
	}
	if e.dst.IsValid() {
		text += " dst " + e.dst.String()
	}
	text += fmt.Sprintf(" ttl %d", e.ttl)
	if e.tos != 0 {
		text += fmt.Sprintf(" tos %d", e.tos)
	}
	for _, f := range []struct {
		bit  uint16
		name string
	}{{lwtKey, " key"}, {lwtCsum, " csum"}, {lwtSeq, " seq"}} {
		if e.flags&f.bit != 0 {
			text += f.name
		}
	}
	return text
}

func parseEncap(text string) (encap, error) {
	words := strings.Fields(text)
	var e encap
	for typ, name := range encapNames {
		if len(words) > 0 && words[0] == name {
			e.typ = typ
		}
	}
	if e.typ == 0 {
		return e, fmt.Errorf("encap %q is neither ip nor ip6", text)
	}
	flags := map[string]uint16{"key": lwtKey, "csum": lwtCsum, "seq": lwtSeq}
	for words = words[1:]; len(words) > 0; {
		if bit, ok := flags[words[0]]; ok {
			e.flags |= bit
			words = words[1:]
			continue
		}
		if len(words) == 1 {
			return e, fmt.Errorf("encap %q: %s lacks a value", text, words[0])
		}
		if err := e.set(words[0], words[1]); err != nil {
			return e, fmt.Errorf("encap %q: %s %s: %w", text, words[0], words[1], err)
		}
		words = words[2:]
	}
	return e, nil
}

func (e *encap) set(name, value string) (err error) {
	var small uint64
	switch name {
	case "id":
		e.id, err = strconv.ParseUint(value, 10, 64)
	case "src":
		e.src, err = netip.ParseAddr(value)
	case "dst":
		e.dst, err = netip.ParseAddr(value)
	case "ttl":
		small, err = strconv.ParseUint(value, 10, 8)
		e.ttl = uint8(small)
	case "tos":
		small, err = strconv.ParseUint(value, 10, 8)
		e.tos = uint8(small)
	default:
		err = fmt.Errorf("unknown")
	}
	return err
}

func (e encap) put(m *message) {
	m.put(lwtID, binary.BigEndian.AppendUint64(nil, e.id))
	if e.dst.IsValid() {
		m.put(lwtDst, e.dst.AsSlice())
	}
	if e.src.IsValid() {
		m.put(lwtSrc, e.src.AsSlice())
	}
	m.u8(lwtTTL, e.ttl)
	m.u8(lwtTOS, e.tos)
	m.put(lwtFlags, binary.BigEndian.AppendUint16(nil, e.flags))
}

// decodeEncap spells the lightweight tunnel of a route; of a type that greave does not write, its number.
func decodeEncap(typ uint64, b []byte) string {
	if typ == 0 {
		return ""
	}
	if _, known := encapNames[uint16(typ)]; !known {
		return "type " + decimal(typ)
	}
	e := encap{typ: uint16(typ)}
	for id, v := range attributes(b) {
		switch id {
		case lwtID:
			e.id = bigEndian(v)
		case lwtDst, lwtSrc:
			a, ok := netip.AddrFromSlice(v)
			if !ok || a.IsUnspecified() {
				continue
			}
			if id == lwtDst {
				e.dst = a
			} else {
				e.src = a
			}
		case lwtTTL:
			e.ttl = uint8(number(v))
		case lwtTOS:
			e.tos = uint8(number(v))
		case lwtFlags:
			e.flags = uint16(bigEndian(v))
		}
	}
	return e.String()
}
