package integration

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// raw opens a packet socket in a guest.
func raw(t *testing.T, g *lab.Guest) *lab.Raw {
	t.Helper()
	r, err := g.Raw()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// count is how often a frame is in what a socket heard since the last call. The
// guests' kernels hear and speak too, of other things.
func count(t *testing.T, r *lab.Raw, frame []byte) int {
	t.Helper()
	frames, err := r.Heard()
	if err != nil {
		t.Fatal(err)
	}
	return len(pick(frames, func(f []byte) bool { return bytes.Equal(f, frame) }))
}

func send(t *testing.T, r *lab.Raw, frame []byte) {
	t.Helper()
	if err := r.Send(frame); err != nil {
		t.Fatal(err)
	}
}

// crossing waits until a broadcast gets from one guest to another: the first
// packets find the neighbours of the underlay.
func crossing(t *testing.T, from, to *lab.Raw, mac string) {
	t.Helper()
	frame := ethernet(everyone, mac, 0x88b5, make([]byte, 46)) // IEEE 802, local experimental
	eventually(t, 10*time.Second, "a broadcast crosses", func() bool {
		send(t, from, frame)
		time.Sleep(50 * time.Millisecond)
		return count(t, to, frame) > 0
	})
}

// delivery is longer than a frame needs to any guest.
const delivery = 300 * time.Millisecond

// inside counts a frame in the tunnel packets of a capture that have this source.
func inside(packets []lab.OuterPacket, from netip.Addr, frame []byte) int {
	return len(pick(packets, func(p lab.OuterPacket) bool { return p.Src == from && bytes.Equal(p.Inner, frame) }))
}

func hw(s string) []byte {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err)
	}
	return m
}

const everyone = "ff:ff:ff:ff:ff:ff"

// ethernet is a frame; tags are EtherType and TCI of each VLAN tag in turn.
func ethernet(to, from string, kind uint16, payload []byte, tags ...uint16) []byte {
	b := append(hw(to), hw(from)...)
	for _, v := range append(tags, kind) {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return append(b, payload...)
}

// arp is a packet of RFC 826.
func arp(op uint16, sha string, spa netip.Addr, tha string, tpa netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, byte(op)}
	b = append(append(b, hw(sha)...), spa.AsSlice()...)
	return append(append(b, hw(tha)...), tpa.AsSlice()...)
}

// udp4 is a UDP packet without a checksum of its own.
func udp4(from, to netip.Addr, sport, dport uint16) []byte {
	b := []byte{0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0}
	b = append(append(b, from.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], internetSum(b))
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, sport), dport)
	return append(b, 0, 12, 0, 0, 'g', 'r', 'e', 'a')
}

func udp6(from, to netip.Addr, sport, dport uint16) []byte {
	b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, sport), dport)
	return ipv6(17, 64, 6, from, to, append(b, 0, 12, 0, 0, 'g', 'r', 'e', 'a'))
}

// icmp6 is an ICMPv6 packet of a type and code 0, as neighbour discovery sends it.
func icmp6(kind uint8, from, to netip.Addr, body []byte) []byte {
	return ipv6(58, 255, 2, from, to, append([]byte{kind, 0, 0, 0}, body...))
}

// ipv6 is a packet whose payload has its checksum at an offset.
func ipv6(next, hops uint8, sum int, from, to netip.Addr, payload []byte) []byte {
	ends := append(from.AsSlice(), to.AsSlice()...)
	pseudo := binary.BigEndian.AppendUint32(bytes.Clone(ends), uint32(len(payload))) // RFC 8200 §8.1
	pseudo = append(append(pseudo, 0, 0, 0, next), payload...)
	binary.BigEndian.PutUint16(payload[sum:], internetSum(pseudo))
	b := []byte{0x60, 0, 0, 0, 0, byte(len(payload)), next, hops}
	return append(append(b, ends...), payload...)
}

// nd is the body of a solicitation or an advertisement, with an option that has
// a link-layer address; option 0 is none.
func nd(flags uint32, target netip.Addr, option uint8, mac string) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, flags), target.AsSlice()...)
	if option == 0 {
		return b
	}
	return append(append(b, option, 1), hw(mac)...)
}

// solicited is the multicast address of RFC 4291 §2.7.1, and its MAC.
func solicited(a netip.Addr) (netip.Addr, string) {
	b := a.As16()
	ip := netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
	return ip, net.HardwareAddr{0x33, 0x33, 0xff, b[13], b[14], b[15]}.String()
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
