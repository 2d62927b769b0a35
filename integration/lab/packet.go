package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// OuterPacket is one captured frame as the underlay sees it. The pointers are nil where the header
// has no such field.
type OuterPacket struct {
	Time             time.Time
	Src, Dst         netip.Addr
	Proto            uint8 // IP protocol: 17 UDP, 47 GRE
	TTL, TOS         uint8
	DF               bool   // IPv4 'do not fragment'
	Fragment         bool   // part of a fragmented packet; a later part has no tunnel fields
	SrcPort, DstPort uint16 // UDP

	GREFlags    uint16  // first 16 bits, RFC 2784 and 2890: 0x8000 checksum, 0x2000 key, 0x1000 sequence
	GREProtocol uint16  // 0x6558 for Ethernet
	Checksum    *uint16 // of GRE or UDP; see ChecksumHolds
	Key         *uint32
	Sequence    *uint32

	VNI   *uint32 // of VXLAN (UDP port 4789) and Geneve (6081)
	Inner []byte  // what is behind the tunnel header, or behind the IP header when there is none

	payload []byte // of the outer IP packet
}

var errShort = errors.New("frame is cut short")

const (
	etherIPv4, etherIPv6, etherVLAN = 0x0800, 0x86dd, 0x8100
	protoUDP, protoGRE, protoDstOpt = 17, 47, 60
	portVXLAN, portGeneve           = 4789, 6081
)

// decodePcap reads a capture file (host byte order of a little-endian machine, link type Ethernet).
// Frames that are not IP are left out.
func decodePcap(file []byte) ([]OuterPacket, error) {
	if len(file) < 24 || binary.LittleEndian.Uint32(file) != 0xa1b2c3d4 || file[20] != 1 {
		return nil, errors.New("decode capture: not a little-endian Ethernet pcap file")
	}
	var packets []OuterPacket
	for rest := file[24:]; len(rest) >= 16; {
		sec, usec := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint32(rest[4:])
		size := int(binary.LittleEndian.Uint32(rest[8:]))
		if rest = rest[16:]; size > len(rest) {
			break // the writer was stopped within a record
		}
		p, err := DecodeFrame(rest[:size])
		if err != nil {
			return packets, fmt.Errorf("decode frame %d: %w", len(packets), err)
		}
		if p.Src.IsValid() {
			p.Time = time.Unix(int64(sec), int64(usec)*1000)
			packets = append(packets, p)
		}
		rest = rest[size:]
	}
	return packets, nil
}

// DecodeFrame reads one Ethernet frame. One that is not IP has no Src.
func DecodeFrame(b []byte) (p OuterPacket, err error) {
	if len(b) < 14 {
		return p, errShort
	}
	kind, b := binary.BigEndian.Uint16(b[12:]), b[14:]
	for kind == etherVLAN && len(b) >= 4 {
		kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	switch kind {
	case etherIPv4:
		b, err = p.ipv4(b)
	case etherIPv6:
		b, err = p.ipv6(b)
	default:
		return p, nil
	}
	if err != nil {
		return p, err
	}
	p.Inner, p.payload = b, b
	switch {
	case p.Inner == nil: // a later fragment
		return p, nil
	case p.Proto == protoGRE:
		return p, p.gre(b)
	case p.Proto == protoUDP:
		return p, p.udp(b)
	}
	return p, nil
}

func (p *OuterPacket) ipv4(b []byte) ([]byte, error) {
	if len(b) < 20 {
		return nil, errShort
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header > total || total > len(b) {
		return nil, errShort
	}
	p.Src, p.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.TOS, p.TTL, p.Proto = b[1], b[8], b[9]
	fragment := binary.BigEndian.Uint16(b[6:])
	p.DF, p.Fragment = fragment&0x4000 != 0, fragment&0x3fff != 0
	if fragment&0x1fff != 0 {
		return nil, nil
	}
	return b[header:total], nil // without Ethernet padding
}

func (p *OuterPacket) ipv6(b []byte) ([]byte, error) {
	if len(b) < 40 || len(b) < 40+int(binary.BigEndian.Uint16(b[4:])) {
		return nil, errShort
	}
	p.Src, p.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	p.TOS, p.TTL, p.Proto = uint8(binary.BigEndian.Uint16(b)>>4), b[7], b[6]
	b = b[40 : 40+int(binary.BigEndian.Uint16(b[4:]))]
	if p.Proto == protoDstOpt { // the encapsulation limit of RFC 2473 that ip6gre devices add
		if len(b) < 8 || len(b) < 8+int(b[1])*8 {
			return nil, errShort
		}
		p.Proto, b = b[0], b[8+int(b[1])*8:]
	}
	return b, nil
}

func (p *OuterPacket) gre(b []byte) error {
	if len(b) < 4 {
		return errShort
	}
	p.GREFlags, p.GREProtocol = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	b = b[4:]
	word := func(flag uint16) *uint32 {
		if p.GREFlags&flag == 0 || len(b) < 4 {
			return nil
		}
		w := binary.BigEndian.Uint32(b)
		b = b[4:]
		return &w
	}
	if sum := word(0x8000); sum != nil {
		high := uint16(*sum >> 16)
		p.Checksum = &high
	}
	p.Key, p.Sequence = word(0x2000), word(0x1000)
	p.Inner = b
	return nil
}

func (p *OuterPacket) udp(b []byte) error {
	if len(b) < 8 {
		return errShort
	}
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if sum := binary.BigEndian.Uint16(b[6:]); sum != 0 { // RFC 768: 0 is none
		p.Checksum = &sum
	}
	p.Inner = b[8:]
	if (p.DstPort == portVXLAN || p.DstPort == portGeneve) && len(b) >= 16 {
		vni, header := binary.BigEndian.Uint32(b[12:])>>8, 16
		if p.DstPort == portGeneve {
			header += int(b[8]&0x3f) * 4
		}
		p.VNI, p.Inner = &vni, b[min(header, len(b)):]
	}
	return nil
}

// ChecksumHolds says whether the packet has a checksum of GRE (RFC 2784 §2.3) or UDP (RFC 768) and
// it is right. One of a local sender whose device computes checksums is not there yet.
func (p OuterPacket) ChecksumHolds() bool {
	if p.Checksum == nil {
		return false
	}
	b := slices.Clone(p.payload)
	if p.Proto == protoUDP {
		src, dst := p.Src.AsSlice(), p.Dst.AsSlice()
		b = slices.Concat(b, make([]byte, len(b)%2), src, dst, []byte{0, protoUDP}, binary.BigEndian.AppendUint16(nil, uint16(len(b))))
	}
	b = append(b, make([]byte, len(b)%2)...)
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum == 0xffff
}
