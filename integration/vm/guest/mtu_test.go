package guest

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/model/mtu"
)

// Attributes and flags that the library does not name: include/uapi/linux/if_tunnel.h, ip6_tunnel.h.
const (
	greERSPANIndex = 21
	greERSPANVer   = 22
	greERSPANDir   = 23
	greERSPANHwid  = 24
	noEncapLimit   = 1
	greCsum        = 0x8000
	greKey         = 0x2000
	greSeq         = 0x1000
)

var be = binary.BigEndian

func u8(id int, v uint8) attr      { return attr{id, []byte{v}} }
func u16(id int, v uint16) attr    { return attr{id, binary.NativeEndian.AppendUint16(nil, v)} }
func u32(id int, v uint32) attr    { return attr{id, binary.NativeEndian.AppendUint32(nil, v)} }
func be16(id int, v uint16) attr   { return attr{id, be.AppendUint16(nil, v)} }
func be32(id int, v uint32) attr   { return attr{id, be.AppendUint32(nil, v)} }
func flag(id int) attr             { return attr{id, nil} }
func ip(id int, a netip.Addr) attr { return attr{id, a.AsSlice()} }

// ends is where a tunnel begins and leads to.
type ends struct {
	local, remote netip.Addr
	device        int // index of the underlay's
}

// build returns the kind of the device and its attributes for what a Spec says.
func build(s mtu.Spec, e ends) (kind string, attrs []attr) {
	six := s.Outer == mtu.IPv6
	pick := func(four, other string) string {
		if six {
			return other
		}
		return four
	}
	switch s.Encap {
	case mtu.GRE:
		return pick("gre", "ip6gre"), greAttrs(s, e)
	case mtu.GRETAP:
		return pick("gretap", "ip6gretap"), greAttrs(s, e)
	case mtu.ERSPANv1:
		return pick("erspan", "ip6erspan"), append(greAttrs(s, e), u8(greERSPANVer, 1), u32(greERSPANIndex, 5))
	case mtu.ERSPANv2:
		return pick("erspan", "ip6erspan"), append(greAttrs(s, e), u8(greERSPANVer, 2), u8(greERSPANDir, 0), u16(greERSPANHwid, 5))
	case mtu.VXLAN, mtu.VXLANGBP:
		return "vxlan", vxlanAttrs(s, e, six)
	case mtu.Geneve:
		remote := nl.IFLA_GENEVE_REMOTE
		if six {
			remote = nl.IFLA_GENEVE_REMOTE6
		}
		return "geneve", []attr{u32(nl.IFLA_GENEVE_ID, 7), ip(remote, e.remote), be16(nl.IFLA_GENEVE_PORT, 6081)}
	case mtu.SIT:
		return "sit", iptunAttrs(s, e, unix.IPPROTO_IPV6)
	default:
		return pick("ipip", "ip6tnl"), iptunAttrs(s, e, unix.IPPROTO_IPIP)
	}
}

func greAttrs(s mtu.Spec, e ends) []attr {
	var flags uint16
	erspan := s.Encap == mtu.ERSPANv1 || s.Encap == mtu.ERSPANv2 // asks for both, and sends the sequence number only
	for bit, on := range map[uint16]bool{greKey: s.Key || erspan, greCsum: s.Checksum, greSeq: s.Sequence || erspan} {
		if on {
			flags |= bit
		}
	}
	attrs := []attr{ip(nl.IFLA_GRE_LOCAL, e.local), ip(nl.IFLA_GRE_REMOTE, e.remote),
		be16(nl.IFLA_GRE_IFLAGS, flags), be16(nl.IFLA_GRE_OFLAGS, flags), u8(nl.IFLA_GRE_TTL, 64)}
	if flags&greKey != 0 { // the kernel matches a key even where the flag is off
		attrs = append(attrs, be32(nl.IFLA_GRE_IKEY, 7), be32(nl.IFLA_GRE_OKEY, 7))
	}
	if s.Outer == mtu.IPv6 {
		attrs = append(attrs, limit(s, nl.IFLA_GRE_ENCAP_LIMIT, nl.IFLA_GRE_FLAGS)...)
	}
	return append(attrs, udpEncap(s, nl.IFLA_GRE_ENCAP_TYPE)...)
}

func iptunAttrs(s mtu.Spec, e ends, proto uint8) []attr {
	attrs := []attr{ip(nl.IFLA_IPTUN_LOCAL, e.local), ip(nl.IFLA_IPTUN_REMOTE, e.remote), u8(nl.IFLA_IPTUN_PROTO, proto), u8(nl.IFLA_IPTUN_TTL, 64)}
	if s.Outer == mtu.IPv6 {
		attrs = append(attrs, limit(s, nl.IFLA_IPTUN_ENCAP_LIMIT, nl.IFLA_IPTUN_FLAGS)...)
	}
	return append(attrs, udpEncap(s, nl.IFLA_IPTUN_ENCAP_TYPE)...)
}

func limit(s mtu.Spec, value, flags int) []attr {
	if s.EncapLimit {
		return []attr{u8(value, 4)}
	}
	return []attr{u32(flags, noEncapLimit)}
}

// udpEncap is four attributes in a row: type, flags, source and destination port.
func udpEncap(s mtu.Spec, first int) []attr {
	if s.UDPEncap == 0 {
		return nil
	}
	return []attr{u16(first, fouType[s.UDPEncap]), u16(first+1, 0), be16(first+2, 0), be16(first+3, fouPort)}
}

const fouPort = 5555

var fouType = map[mtu.UDPEncap]uint16{mtu.FOU: netlink.FOU_ENCAP_DIRECT, mtu.GUE: netlink.FOU_ENCAP_GUE}

func vxlanAttrs(s mtu.Spec, e ends, six bool) []attr {
	local, group := nl.IFLA_VXLAN_LOCAL, nl.IFLA_VXLAN_GROUP
	if six {
		local, group = nl.IFLA_VXLAN_LOCAL6, nl.IFLA_VXLAN_GROUP6
	}
	attrs := []attr{u32(nl.IFLA_VXLAN_ID, 7), ip(local, e.local), ip(group, e.remote), u32(nl.IFLA_VXLAN_LINK, uint32(e.device)),
		be16(nl.IFLA_VXLAN_PORT, 4789), u8(nl.IFLA_VXLAN_LEARNING, 0)}
	if s.Encap == mtu.VXLANGBP {
		attrs = append(attrs, flag(nl.IFLA_VXLAN_GBP))
	}
	return attrs
}

// mtuCases are the encapsulations that the kernel itself sends. auto is the MTU that the kernel
// gives the device by itself where that is not what package mtu says, with the reason.
var mtuCases = []struct {
	name string
	spec mtu.Spec
	auto int
	why  string
}{
	{name: "gre", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4}},
	{name: "gre-key", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4, Key: true}},
	{name: "gre-csum", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4, Checksum: true}},
	{name: "gre-seq", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4, Sequence: true}},
	{name: "gre-key-csum", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4, Key: true, Checksum: true}},
	{name: "gre-key-csum-seq", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4, Key: true, Checksum: true, Sequence: true}},
	{name: "gre-fou", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4, UDPEncap: mtu.FOU}},
	{name: "gre-key-gue", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv4, Key: true, UDPEncap: mtu.GUE}},
	{name: "ip6gre", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv6}},
	{name: "ip6gre-limit", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv6, EncapLimit: true}},
	{name: "ip6gre-key-limit", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv6, Key: true, EncapLimit: true}},
	{name: "ip6gre-key-csum-seq", spec: mtu.Spec{Encap: mtu.GRE, Outer: mtu.IPv6, Key: true, Checksum: true, Sequence: true}},
	{name: "gretap", spec: mtu.Spec{Encap: mtu.GRETAP, Outer: mtu.IPv4}},
	{name: "gretap-key", spec: mtu.Spec{Encap: mtu.GRETAP, Outer: mtu.IPv4, Key: true}},
	{name: "gretap-key-csum", spec: mtu.Spec{Encap: mtu.GRETAP, Outer: mtu.IPv4, Key: true, Checksum: true}},
	{name: "gretap-gue", spec: mtu.Spec{Encap: mtu.GRETAP, Outer: mtu.IPv4, UDPEncap: mtu.GUE}},
	{name: "gretap-key-vlan", spec: mtu.Spec{Encap: mtu.GRETAP, Outer: mtu.IPv4, Key: true, InnerVLANs: 1},
		auto: 1458, why: "a device's MTU does not count tags"},
	{name: "ip6gretap-key", spec: mtu.Spec{Encap: mtu.GRETAP, Outer: mtu.IPv6, Key: true}},
	{name: "ip6gretap-key-limit", spec: mtu.Spec{Encap: mtu.GRETAP, Outer: mtu.IPv6, Key: true, EncapLimit: true}},
	{name: "erspan-v1", spec: mtu.Spec{Encap: mtu.ERSPANv1, Outer: mtu.IPv4}},
	{name: "erspan-v2", spec: mtu.Spec{Encap: mtu.ERSPANv2, Outer: mtu.IPv4}},
	{name: "ip6erspan-v1", spec: mtu.Spec{Encap: mtu.ERSPANv1, Outer: mtu.IPv6}},
	{name: "ip6erspan-v2-limit", spec: mtu.Spec{Encap: mtu.ERSPANv2, Outer: mtu.IPv6, EncapLimit: true}},
	{name: "vxlan", spec: mtu.Spec{Encap: mtu.VXLAN, Outer: mtu.IPv4}},
	{name: "vxlan-ipv6", spec: mtu.Spec{Encap: mtu.VXLAN, Outer: mtu.IPv6}},
	{name: "vxlan-gbp", spec: mtu.Spec{Encap: mtu.VXLANGBP, Outer: mtu.IPv4}},
	{name: "geneve", spec: mtu.Spec{Encap: mtu.Geneve, Outer: mtu.IPv4}},
	{name: "geneve-ipv6", spec: mtu.Spec{Encap: mtu.Geneve, Outer: mtu.IPv6}},
	{name: "ipip", spec: mtu.Spec{Encap: mtu.IPIP, Outer: mtu.IPv4}},
	{name: "ipip-fou", spec: mtu.Spec{Encap: mtu.IPIP, Outer: mtu.IPv4, UDPEncap: mtu.FOU}},
	{name: "ip6tnl", spec: mtu.Spec{Encap: mtu.IPIP, Outer: mtu.IPv6}},
	{name: "ip6tnl-limit", spec: mtu.Spec{Encap: mtu.IPIP, Outer: mtu.IPv6, EncapLimit: true}},
	{name: "sit", spec: mtu.Spec{Encap: mtu.SIT, Outer: mtu.IPv4}},
}

// TestMTU holds package mtu to the kernel: the MTU that a new device has, the size of what it puts
// on the wire, the largest packet that crosses whole, and that one byte more does not.
func TestMTU(t *testing.T) {
	for _, c := range mtuCases {
		t.Run(c.name, func(t *testing.T) {
			most, err := c.spec.InnerMTU(underlay)
			check(t, err)
			auto := most
			if c.auto != 0 {
				auto = c.auto
			}
			pair := newPair(t)
			for i, h := range pair {
				if got := tunnel(h, i, c.spec); got != auto {
					t.Errorf("the kernel gives the device %d, want %d", got, auto)
				}
			}
			inner := inner4
			if c.spec.Encap == mtu.SIT {
				inner = inner6
			}
			device := "tun"
			if c.spec.InnerVLANs > 0 {
				device = "tag"
			}
			for i, h := range pair {
				link := h.up(device, inner[i])
				if err := h.LinkSetMTU(link, most+1); err != nil {
					t.Logf("the kernel allows no MTU of %d: %v", most+1, err)
					check(t, h.LinkSetMTU(link, most))
				}
			}
			ears := pair[1].listen("eth0")
			l := newLine(t, pair, inner[0].Addr(), inner[1].Addr())
			for _, size := range []int{most - 333, most} {
				crosses(t, l, ears, c.spec, size)
			}
			tooLarge(t, l, ears, most+1)
		})
	}
}

// tunnel makes the device "tun", of the kind that the Spec says, and returns its MTU.
func tunnel(h host, i int, s mtu.Spec) int {
	h.t.Helper()
	eth0, err := h.LinkByName("eth0")
	check(h.t, err)
	e := ends{under4[i].Addr(), under4[1-i].Addr(), eth0.Attrs().Index}
	family := unix.AF_INET
	if s.Outer == mtu.IPv6 {
		e.local, e.remote, family = under6[i].Addr(), under6[1-i].Addr(), unix.AF_INET6
	}
	if s.UDPEncap != 0 {
		proto := unix.IPPROTO_GRE
		if s.Encap == mtu.IPIP {
			proto = unix.IPPROTO_IPIP
		}
		h.in(func() {
			check(h.t, netlink.FouAdd(netlink.Fou{Family: family, Port: fouPort, Protocol: proto, EncapType: int(fouType[s.UDPEncap])}))
		})
	}
	kind, attrs := build(s, e)
	h.add("tun", kind, attrs...)
	link := h.up("tun")
	if s.InnerVLANs > 0 {
		tag := netlink.NewLinkAttrs()
		tag.Name, tag.ParentIndex = "tag", link.Attrs().Index
		check(h.t, h.LinkAdd(&netlink.Vlan{LinkAttrs: tag, VlanId: 100}))
	}
	return link.Attrs().MTU
}

// crosses sends one packet of the given size and looks at it on the wire and at the far end.
func crosses(t *testing.T, l line, ears *tap, s mtu.Spec, size int) {
	t.Helper()
	mark := "a packet that fits"
	if err := l.send(mark, size); err != nil {
		t.Errorf("send %d bytes: %v", size, err)
		return
	}
	frames := ears.until([]byte(mark))
	got := parseOuter(t, frames[len(frames)-1])
	if want := (outer{length: size + s.Overhead(size)}); got != want {
		t.Errorf("%d bytes become %+v on the wire, want %+v: %v", size, got, want, s.Breakdown(size))
	}
	if n := len(l.receive(patience)); n != size-l.header {
		t.Errorf("%d bytes of %d arrived", n+l.header, size)
	}
}

// tooLarge sends one packet that no single packet of the underlay can carry: it is refused, lost or
// cut into pieces. The small one behind it shows that the line has carried all that it will.
func tooLarge(t *testing.T, l line, ears *tap, size int) {
	t.Helper()
	mark, behind := "a packet that is too large", "a small one behind"
	refused := l.send(mark, size)
	if err := l.send(behind, 100); err != nil {
		check(t, l.send(behind, 100)) // the first write hands over the ICMP error that the large packet met
	}
	pieces := 0
	for _, f := range ears.until([]byte(behind)) {
		if !bytes.Contains(f, []byte(mark)) {
			continue
		}
		if o := parseOuter(t, f); !o.fragment {
			t.Errorf("a packet of %d bytes crosses in one of %d", size, o.length)
		}
		pieces++
	}
	t.Logf("%d bytes: send says %v, %d first fragments on the wire", size, refused, pieces)
}
