package conformance

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
)

// mac is an Ethernet address.
type mac [6]byte

func (m mac) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

var (
	everyone   = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	multicast4 = mac{0x01, 0x00, 0x5e, 0x01, 0x02, 0x03} // RFC 1112 §6.4
	multicast6 = mac{0x33, 0x33, 0x00, 0x01, 0x02, 0x03} // RFC 2464 §7
	nobody     = mac{0x02, 0xff, 0, 0, 0, 0x99}
)

// guestMAC and guestIP are those of the guests on host i, from 0, in every segment and on every
// bridge: they are reused.
func guestMAC(i int) mac       { return mac{2, 0, 0, 0, 0, byte(i + 1)} }
func guestIP(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}) }

// guestIP6 is the same guest's where IPv6 matters.
func guestIP6(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i + 1)})
}

const (
	etherIPv4, etherARP, etherIPv6, etherLocal, etherVLAN = 0x0800, 0x0806, 0x86dd, 0x88b5, 0x8100 // 0x88b5: IEEE 802, local experimental

	icmpHeaders = 20 + 8 // IPv4 and ICMP
)

var serial atomic.Int64

// newMark is a text that no other frame has.
func newMark() []byte { return fmt.Appendf(nil, "greave-%09d", serial.Add(1)) }

// ethernet is a frame with an optional tag, vlan 0 being none.
func ethernet(to, from mac, vlan, kind uint16, payload []byte) []byte {
	f := append(append([]byte(nil), to[:]...), from[:]...)
	if vlan != 0 {
		f = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(f, etherVLAN), vlan)
	}
	return append(binary.BigEndian.AppendUint16(f, kind), payload...)
}

func tagBytes(vlan uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, etherVLAN), vlan)
}

// ping is an IPv4 packet of the given size in bytes, from headers on, with an echo request (RFC 792)
// that begins with a mark. It may not be fragmented.
func ping(from, to netip.Addr, mark []byte, size int) []byte {
	p := make([]byte, size)
	p[0], p[6], p[8], p[9] = 0x45, 0x40, 64, 1
	binary.BigEndian.PutUint16(p[2:], uint16(size))
	copy(p[12:], from.AsSlice())
	copy(p[16:], to.AsSlice())
	p[20] = 8
	copy(p[icmpHeaders:], mark)
	binary.BigEndian.PutUint16(p[10:], internetSum(p[:20]))
	binary.BigEndian.PutUint16(p[22:], internetSum(p[20:]))
	return p
}

// tooLarge says whether a frame is the answer to an IPv4 packet that cannot be sent on: ICMP
// 'fragmentation needed' (RFC 792), which some tunnels give.
func tooLarge(frame []byte) bool {
	return len(frame) > 36 && binary.BigEndian.Uint16(frame[12:]) == etherIPv4 && frame[23] == 1 && frame[34] == 3 && frame[35] == 4
}

// arp is a request or a reply of RFC 826.
func arp(op uint16, fromMAC mac, from netip.Addr, toMAC mac, to netip.Addr) []byte {
	p := []byte{0, 1, 8, 0, 6, 4, byte(op >> 8), byte(op)}
	p = append(append(p, fromMAC[:]...), from.AsSlice()...)
	return append(append(p, toMAC[:]...), to.AsSlice()...)
}

// nd is a neighbour solicitation (135) or advertisement (136) of RFC 4861 with one option that has a
// link-layer address.
func nd(kind uint8, from, to netip.Addr, flags uint32, target netip.Addr, option uint8, address mac) []byte {
	icmp := binary.BigEndian.AppendUint32([]byte{kind, 0, 0, 0}, flags)
	icmp = append(append(append(icmp, target.AsSlice()...), option, 1), address[:]...)
	ends := append(from.AsSlice(), to.AsSlice()...)
	pseudo := append(append([]byte(nil), ends...), 0, 0, 0, byte(len(icmp)), 0, 0, 0, 58) // RFC 8200 §8.1
	binary.BigEndian.PutUint16(icmp[2:], internetSum(append(pseudo, icmp...)))
	return append(append([]byte{0x60, 0, 0, 0, 0, byte(len(icmp)), 58, 255}, ends...), icmp...)
}

// internetSum is the checksum of RFC 1071.
func internetSum(b []byte) uint16 {
	sum := uint32(0)
	for i := range b {
		sum += uint32(b[i]) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
