package openflow

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/greave-sdn/greave/model"
)

// Announcements are the frames by which a guest says where it is: for each of the
// port's attachments and MACs a RARP packet as QEMU sends it, and, where the port
// has one MAC, gratuitous ARP or an unsolicited neighbour advertisement for each of
// its IPs.
func Announcements(p model.ResolvedPort) [][]byte {
	var out [][]byte
	for _, a := range p.Attachments {
		for _, mac := range distinct(p.MACs) {
			out = append(out, inVLAN(rarp(mac), a.VLAN))
		}
		mac := soleMAC(p.MACs)
		for _, ip := range distinct(p.IPs) {
			switch {
			case mac.IsZero():
			case ip.Is4():
				out = append(out, inVLAN(gratuitous(mac, ip), a.VLAN))
			case plainIPv6(ip):
				out = append(out, inVLAN(unsolicited(mac, ip), a.VLAN))
			}
		}
	}
	return out
}

// frameMin is the shortest Ethernet frame without its checksum.
const frameMin = 60

func ethernet(dst, src MAC, etherType uint16, payload ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(slices.Concat(dst[:], src[:]), etherType)
	b = append(b, slices.Concat(payload...)...)
	return append(b, make([]byte, max(0, frameMin-len(b)))...)
}

// inVLAN puts a tag (IEEE 802.1Q) around a frame; 0 is none.
func inVLAN(frame []byte, vlan uint32) []byte {
	if vlan == 0 {
		return frame
	}
	tag := binary.BigEndian.AppendUint16([]byte{0x81, 0}, uint16(vlan))
	return slices.Insert(frame, 12, tag...)
}

// arpHead is of Ethernet and IPv4 (RFC 826), up to the operation.
func arpHead(op byte) []byte { return []byte{0, 1, 8, 0, 6, 4, 0, op} }

// rarp is a request reverse (RFC 903), as QEMU's announce_self makes it.
func rarp(mac MAC) []byte {
	none := make([]byte, 4)
	return ethernet(macOnes, mac, EtherRARP, arpHead(3), mac[:], none, mac[:], none)
}

// gratuitous is a request for the sender's own address (RFC 5227 §3).
func gratuitous(mac MAC, ip netip.Addr) []byte {
	return ethernet(macOnes, mac, EtherARP, arpHead(ARPRequest), mac[:], ip.AsSlice(), make([]byte, 6), ip.AsSlice())
}

// unsolicited is an advertisement to all nodes that overrides (RFC 4861 §7.2.6).
func unsolicited(mac MAC, ip netip.Addr) []byte {
	src, dst := ip.As16(), netip.IPv6LinkLocalAllNodes().As16()
	body := slices.Concat([]byte{NDAdvert, 0, 0, 0, 0x20, 0, 0, 0}, src[:], []byte{ndTargetOption, 1}, mac[:])
	pseudo := slices.Concat(src[:], dst[:], binary.BigEndian.AppendUint32(nil, uint32(len(body))), []byte{0, 0, 0, ProtoICMPv6})
	binary.BigEndian.PutUint16(body[2:], ^checksum(pseudo, body))
	head := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(body)))
	head = append(head, ProtoICMPv6, 255)
	return ethernet(MAC{0x33, 0x33, 0, 0, 0, 1}, mac, EtherIPv6, head, src[:], dst[:], body)
}

// checksum is the sum of RFC 1071 over parts of even length.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, p := range parts {
		for i := 0; i+1 < len(p); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(p[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
