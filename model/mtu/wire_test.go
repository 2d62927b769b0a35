package mtu

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// This file writes and reads real headers. It takes nothing from the package
// but the fields of Spec: no length below is a number that the arithmetic uses.

var be = binary.BigEndian

// espLengths is IV, block and ICV in bytes, typed from the RFCs once more.
var espLengths = map[Suite][3]int{
	AESGCM: {8, 4, 16}, AESGCM8: {8, 4, 8}, AESGCM12: {8, 4, 12}, AESGMAC: {8, 4, 16}, ChaCha20Poly1305: {8, 4, 16},
	AESCBCSHA1: {16, 16, 96 / 8}, AESCBCSHA256: {16, 16, 128 / 8}, AESCBCSHA384: {16, 16, 192 / 8},
	AESCBCSHA512: {16, 16, 256 / 8}, NullSHA256: {0, 4, 128 / 8},
}

// encode returns the whole outer Ethernet frame around an inner IP packet of
// the given size, or false when a length field cannot hold it.
func encode(s Spec, inner int) (frame []byte, ok bool) {
	defer func() {
		if r := recover(); r == errLength {
			frame, ok = nil, false
		} else if r != nil {
			panic(r)
		}
	}()
	version, etherType := byte(4), uint16(0x0800)
	if s.Encap == SIT {
		version, etherType = 6, 0x86dd
	}
	packet := ip(version, 17, make([]byte, inner-len(ip(version, 17, nil))))
	proto, payload := encapsulate(s, packet, etherType)
	switch s.UDPEncap {
	case FOU:
		proto, payload = 17, udpTo(5555, payload)
	case GUE:
		head := []byte{byte(s.GUEOptions / 4), proto, 0, 0}
		proto, payload = 17, udpTo(6080, slices.Concat(head, make([]byte, s.GUEOptions), payload))
	}
	out := byte(4)
	if s.Outer == IPv6 {
		out = 6
	}
	switch {
	case s.ESP.Suite == 0:
		proto, payload = limit(s, proto, payload)
	case s.ESP.Tunnel:
		proto, payload = limit(s, proto, payload)
		payload = ip(out, proto, payload)
		proto = map[byte]byte{4: 4, 6: 41}[out]
		proto, payload = seal(s.ESP, proto, payload)
		out = map[Family]byte{IPv4: 4, IPv6: 6}[s.ESP.Outer]
	default:
		proto, payload = seal(s.ESP, proto, payload)
		proto, payload = limit(s, proto, payload)
	}
	etherType = map[byte]uint16{4: 0x0800, 6: 0x86dd}[out]
	return ether(s.OuterVLANs, etherType, ip(out, proto, payload)), true
}

// encapsulate returns the IP protocol and payload of the tunnel itself.
func encapsulate(s Spec, packet []byte, etherType uint16) (byte, []byte) {
	frame := func() []byte { return ether(s.InnerVLANs, etherType, packet) }
	gre := func(flags, proto uint16, words ...[]byte) []byte {
		return slices.Concat(be.AppendUint16(be.AppendUint16(nil, flags), proto), slices.Concat(words...))
	}
	words, flags := [][]byte{}, uint16(0)
	if s.Checksum {
		flags, words = flags|0x8000, append(words, []byte{0xca, 0xfe, 0, 0}) // checksum, reserved1
	}
	if s.Key {
		flags, words = flags|0x2000, append(words, []byte{0, 0, 0x13, 0x88})
	}
	if s.Sequence {
		flags, words = flags|0x1000, append(words, []byte{0, 0, 0, 1})
	}
	switch s.Encap {
	case GRE:
		return 47, slices.Concat(gre(flags, etherType, words...), packet)
	case GRETAP:
		return 47, slices.Concat(gre(flags, 0x6558, words...), frame())
	case ERSPANv1:
		erspan := []byte{0x10, 0, 0, 100, 0, 0, 0, 7} // version 1, session 100; index 7
		return 47, slices.Concat(gre(0x1000, 0x88be, []byte{0, 0, 0, 1}), erspan, frame())
	case ERSPANv2:
		erspan := []byte{0x20, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0} // version 2, session 100; timestamp; SGT, flags
		return 47, slices.Concat(gre(0x1000, 0x22eb, []byte{0, 0, 0, 1}), erspan, frame())
	case VXLAN:
		return 17, udpTo(4789, slices.Concat([]byte{0x08, 0, 0, 0, 0, 0, 42, 0}, frame()))
	case VXLANGBP:
		return 17, udpTo(4789, slices.Concat([]byte{0x88, 0, 0, 9, 0, 0, 42, 0}, frame()))
	case VXLANGPE:
		if s.Layer == L3 {
			return 17, udpTo(4790, slices.Concat([]byte{0x0c, 0, 0, 1, 0, 0, 42, 0}, packet))
		}
		return 17, udpTo(4790, slices.Concat([]byte{0x0c, 0, 0, 3, 0, 0, 42, 0}, frame()))
	case Geneve:
		head := []byte{byte(s.GeneveOptions / 4), 0, 0x65, 0x58, 0, 0, 42, 0}
		inner := packet
		if s.Layer == L3 {
			be.PutUint16(head[2:], etherType)
		} else {
			inner = frame()
		}
		return 17, udpTo(6081, slices.Concat(head, geneveOptions(s.GeneveOptions), inner))
	case IPIP:
		return 4, packet
	case SIT:
		return 41, packet
	}
	panic(s.Encap)
}

// geneveOptions fills size bytes with real options: 4 bytes of class, type and
// length in words, and at most 31 words of data.
func geneveOptions(size int) (options []byte) {
	for size > 0 {
		data := min(size-4, 31*4)
		options = append(options, 0x01, 0x02, 0x80, byte(data/4))
		options = append(options, make([]byte, data)...)
		size -= 4 + data
	}
	return options
}

// limit puts a destination options header with a tunnel encapsulation limit
// of 4 and a PadN before payload, as ip6_tunnel.c does.
func limit(s Spec, proto byte, payload []byte) (byte, []byte) {
	if !s.EncapLimit {
		return proto, payload
	}
	return 60, slices.Concat([]byte{proto, 0, 4, 1, 4, 1, 1, 0}, payload)
}

func seal(e ESP, proto byte, payload []byte) (byte, []byte) {
	iv, block, icv := espLengths[e.Suite][0], espLengths[e.Suite][1], espLengths[e.Suite][2]
	trailer := []byte{0, proto}
	for pad := byte(1); (len(payload)+len(trailer))%block != 0; pad++ {
		trailer = slices.Insert(trailer, int(pad-1), pad)
		trailer[len(trailer)-2] = pad
	}
	spiAndSequence := []byte{0, 0, 1, 1, 0, 0, 0, 1}
	packet := slices.Concat(spiAndSequence, make([]byte, iv), payload, trailer, make([]byte, icv))
	if e.NATT {
		return 17, udpTo(4500, packet)
	}
	return 50, packet
}

func udpTo(port uint16, payload []byte) []byte {
	head := be.AppendUint16([]byte{0xc0, 0x01}, port)
	head = be.AppendUint16(head, field(len(head)+4+len(payload)))
	return slices.Concat(head, []byte{0, 0}, payload)
}

func ip(version, proto byte, payload []byte) []byte {
	if version == 6 {
		head := be.AppendUint16([]byte{0x60, 0, 0, 0}, field(len(payload)))
		head = append(head, proto, 64)
		for _, last := range []byte{1, 2} {
			head = append(head, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last)
		}
		return append(head, payload...)
	}
	head := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, proto, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}
	be.PutUint16(head[2:], field(len(head)+len(payload)))
	total := uint32(0)
	for i := 0; i < len(head); i += 2 {
		total += uint32(be.Uint16(head[i:]))
	}
	be.PutUint16(head[10:], ^uint16(total>>16+total&0xffff))
	return append(head, payload...)
}

func ether(tags int, etherType uint16, payload []byte) []byte {
	head := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	for i := range tags {
		tpid := uint16(0x88a8)
		if i == tags-1 {
			tpid = 0x8100
		}
		head = be.AppendUint16(be.AppendUint16(head, tpid), 100)
	}
	return slices.Concat(be.AppendUint16(head, etherType), payload)
}

var errLength = fmt.Errorf("length does not fit in 16 bits")

func field(n int) uint16 {
	if n > 0xffff {
		panic(errLength)
	}
	return uint16(n)
}

// dissect reads a frame by what its headers say, as a receiver does, and
// returns the size of the inner IP packet. Every length field must agree with
// the bytes that are there.
func dissect(s Spec, frame []byte) (int, error) {
	etherType, packet := readEther(frame)
	proto, payload, err := readIP(etherType, packet)
	sealed := s.ESP.Suite == 0
	for err == nil {
		switch {
		case proto == 60:
			proto, payload = payload[0], payload[(int(payload[1])+1)*8:]
		case proto == 50 || !sealed && proto == 17 && be.Uint16(payload[2:]) == 4500:
			if proto == 17 {
				payload, err = readUDP(payload)
			}
			body := payload[8+espLengths[s.ESP.Suite][0] : len(payload)-espLengths[s.ESP.Suite][2]]
			proto, payload = body[len(body)-1], body[:len(body)-2-int(body[len(body)-2])]
			if sealed = true; s.ESP.Tunnel && err == nil {
				proto, payload, err = readIP(map[byte]uint16{4: 0x0800, 41: 0x86dd}[proto], payload)
			}
		case proto == 47:
			return readGRE(payload)
		case proto == 4:
			return len(payload), checkIP(0x0800, payload)
		case proto == 41:
			return len(payload), checkIP(0x86dd, payload)
		case proto == 17:
			port := be.Uint16(payload[2:])
			if payload, err = readUDP(payload); err != nil {
				return 0, err
			}
			switch port {
			case 5555: // the receiver's port says what FOU carries
				proto = map[Encap]byte{IPIP: 4, SIT: 41}[s.Encap]
				if proto == 0 {
					proto = 47
				}
			case 6080:
				proto, payload = payload[1], payload[4+4*int(payload[0]&0x1f):]
			default:
				return readVNI(port, payload)
			}
		default:
			return 0, fmt.Errorf("protocol %d", proto)
		}
	}
	return 0, err
}

func readVNI(port uint16, b []byte) (int, error) {
	switch {
	case port == 4789:
		return readFrame(b[8:])
	case port == 4790 && b[3] == 1:
		return len(b) - 8, checkIP(0x0800, b[8:])
	case port == 4790:
		return readFrame(b[8:])
	case be.Uint16(b[2:]) == 0x6558:
		return readFrame(b[8+4*int(b[0]&0x3f):])
	}
	inner := b[8+4*int(b[0]&0x3f):]
	return len(inner), checkIP(be.Uint16(b[2:]), inner)
}

func readGRE(b []byte) (int, error) {
	flags, proto, rest := be.Uint16(b), be.Uint16(b[2:]), b[4:]
	for _, bit := range []uint16{0x8000, 0x2000, 0x1000} {
		if flags&bit != 0 {
			rest = rest[4:]
		}
	}
	switch proto {
	case 0x6558:
		return readFrame(rest)
	case 0x88be:
		return readFrame(rest[8:])
	case 0x22eb:
		return readFrame(rest[12:])
	}
	return len(rest), checkIP(proto, rest)
}

func readFrame(b []byte) (int, error) {
	etherType, packet := readEther(b)
	return len(packet), checkIP(etherType, packet)
}

func readEther(b []byte) (uint16, []byte) {
	b = b[12:]
	for be.Uint16(b) == 0x8100 || be.Uint16(b) == 0x88a8 {
		b = b[4:]
	}
	return be.Uint16(b), b[2:]
}

func readUDP(b []byte) ([]byte, error) {
	if int(be.Uint16(b[4:])) != len(b) {
		return nil, fmt.Errorf("udp length %d of %d bytes", be.Uint16(b[4:]), len(b))
	}
	return b[8:], nil
}

func checkIP(etherType uint16, b []byte) error {
	_, _, err := readIP(etherType, b)
	return err
}

func readIP(etherType uint16, b []byte) (byte, []byte, error) {
	switch {
	case etherType == 0x0800 && b[0] == 0x45 && int(be.Uint16(b[2:])) == len(b):
		return b[9], b[20:], nil
	case etherType == 0x86dd && b[0]>>4 == 6 && int(be.Uint16(b[4:])) == len(b)-40:
		return b[6], b[40:], nil
	}
	return 0, nil, fmt.Errorf("no IP packet of %d bytes under type %#x: % x", len(b), etherType, b[:min(len(b), 8)])
}
