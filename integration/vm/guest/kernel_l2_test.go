package guest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// cable makes the device "vm" of a host, whose far end is the ear.
func (h host) cable() *tap {
	h.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "vm", 1600
	check(h.t, h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "vm-far", PeerMTU: 1600}))
	h.up("vm")
	h.up("vm-far")
	return h.listen("vm-far")
}

// send puts a frame on the ear's cable.
func (s *tap) send(frame []byte) {
	s.t.Helper()
	check(s.t, unix.Send(s.fd, frame, 0))
}

// frame is an Ethernet broadcast with a VLAN tag, where vlan is not 0, of an ethertype and with a mark.
func frame(vlan, ethertype uint16, mark string) []byte {
	f := append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 9)
	if vlan != 0 {
		f = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(f, 0x8100), vlan)
	}
	f = append(binary.BigEndian.AppendUint16(f, ethertype), mark...)
	return append(f, make([]byte, 60)...)
}

// arrives sends a frame, again and again until it is heard, and returns it as heard with the outer
// packet; nil where it must not and does not arrive.
func arrives(t *testing.T, from, to, wire *tap, f []byte, mark string, must bool) (inner, outer []byte) {
	t.Helper()
	limit := patience
	if !must {
		limit = time.Second
	}
	for end := time.Now().Add(limit); time.Now().Before(end); {
		from.send(f)
		for got := to.next(0); got != nil; got = to.next(unix.MSG_DONTWAIT) {
			if bytes.Contains(got, []byte(mark)) {
				inner = got
			}
		}
		for _, o := range wire.drain() {
			if bytes.Contains(o, []byte(mark)) {
				outer = o
			}
		}
		if inner != nil && outer != nil {
			return inner, outer
		}
	}
	if must {
		t.Errorf("%q: inner %v outer %v", mark, inner != nil, outer != nil)
	}
	return inner, outer
}

// l2Case is one layer 2 tunnel and the port or protocol that its packets have.
type l2Case struct {
	name, options string
	six           bool
	want          func(outer []byte) bool // from the outer IP header on
}

func udpPort(p []byte) uint16 { return binary.BigEndian.Uint16(p[22:]) }

var l2Cases = []l2Case{
	{"gretap", "key: {fixed: {in: 7, out: 7}}", false, func(p []byte) bool { return p[9] == 47 && binary.BigEndian.Uint16(p[22:]) == 0x6558 }},
	{"ip6gretap", "key: {fixed: {in: 7, out: 7}}", true, func(p []byte) bool { return p[6] == 47 && binary.BigEndian.Uint16(p[42:]) == 0x6558 }},
	{"erspan v1", "encap: erspan\n  key: {fixed: {in: 5, out: 5}}\n  erspan: {version: 1, index: 123}", false,
		// GRE with a sequence number, protocol 0x88be, then type II: version 1, session 5, index 123.
		func(p []byte) bool {
			e := p[28:]
			return binary.BigEndian.Uint16(p[22:]) == 0x88be && e[0]>>4 == 1 && binary.BigEndian.Uint16(e[2:])&0x3ff == 5 && binary.BigEndian.Uint32(e[4:])&0xfffff == 123
		}},
	{"erspan v2", "encap: erspan\n  key: {fixed: {in: 6, out: 6}}\n  erspan: {version: 2, hardware_id: 9, direction: ERSPAN_DIRECTION_EGRESS}", false,
		func(p []byte) bool {
			e := p[28:]
			return binary.BigEndian.Uint16(p[22:]) == 0x22eb && e[0]>>4 == 2 && binary.BigEndian.Uint16(e[2:])&0x3ff == 6
		}},
	{"vxlan", "encap: vxlan\n  key: {fixed: {in: 8, out: 8}}\n  checksum: {out: true}\n  ttl: {fixed: 9}", false,
		func(p []byte) bool {
			return p[9] == 17 && udpPort(p) == 4789 && p[8] == 9 && p[6]&0x40 != 0 && binary.BigEndian.Uint16(p[26:]) != 0 && p[34] == 8
		}},
	{"vxlan with a group policy", "encap: vxlan\n  key: {fixed: {in: 9, out: 9}}\n  gbp: true\n  udp_port: 4790", false, func(p []byte) bool { return udpPort(p) == 4790 }},
	{"vxlan over IPv6", "encap: vxlan\n  key: {fixed: {in: 10, out: 10}}\n  udp_port: 4791", true, func(p []byte) bool { return p[6] == 17 && binary.BigEndian.Uint16(p[42:]) == 4791 }},
	{"geneve", "encap: geneve\n  key: {fixed: {in: 11, out: 11}}\n  tos: {fixed: 32}\n  df: false", false,
		func(p []byte) bool { return udpPort(p) == 6081 && p[1] == 32 && p[6]&0x40 == 0 }},
	{"geneve over IPv6", "encap: geneve\n  key: {fixed: {in: 12, out: 12}}", true, func(p []byte) bool { return binary.BigEndian.Uint16(p[42:]) == 6081 }},
}

func (c l2Case) document(i int, vlan string) string {
	under := under4
	if c.six {
		under = under6
	}
	local := fmt.Sprintf("local: {address: %q}", under[i].Addr())
	if strings.Contains(c.options, "geneve") { // the kernel's has none
		local = "mtu: 1400"
	}
	return fmt.Sprintf("bridges: [{name: br9}]\nports: [{name: vm, device: vm, bridge: br9}]\ntunnels:\n- name: tun\n  bridge: br9\n  %s\n  remote: {address: %q}\n  %s\n  %s\n",
		local, under[1-i].Addr(), c.options, vlan)
}

// TestT5LayerTwo: every kind of layer 2 tunnel as a port of a bridge: on the wire, with VLAN tags
// and ethertypes that are not IP's, and in one VLAN of the bridge.
func TestT5LayerTwo(t *testing.T) {
	pair, both := agents(t)
	ears := [2]*tap{pair[0].cable(), pair[1].cable()}
	wire := pair[1].listen("eth0")
	for _, c := range l2Cases {
		t.Run(c.name, func(t *testing.T) {
			for i, a := range both {
				a.t = t
				a.apply("%s", c.document(i, ""))
			}
			for _, s := range append(ears[:], wire) {
				s.t = t
			}
			_, outer := arrives(t, ears[0], ears[1], wire, frame(0, 0x88b5, "first "+c.name), "first "+c.name, true)
			if outer != nil && !c.want(outer[14:]) {
				t.Errorf("on the wire: %x", outer[14:80])
			}
			arrives(t, ears[1], ears[0], wire, frame(0, 0x88b5, "back "+c.name), "back "+c.name, true)
			arrives(t, ears[0], ears[1], wire, frame(7, 0x88b5, "tagged "+c.name), "tagged "+c.name, true)
		})
	}
	t.Run("one VLAN", func(t *testing.T) {
		for i, a := range both {
			a.t = t
			a.apply("%s", l2Cases[0].document(i, "vlan: {tag: 7}"))
		}
		for _, s := range append(ears[:], wire) {
			s.t = t
		}
		_, outer := arrives(t, ears[0], ears[1], wire, frame(7, 0x88b5, "in VLAN 7"), "in VLAN 7", true)
		if bytes.Contains(outer, []byte{0x81, 0x00, 0, 7}) {
			t.Error("the tag is in the tunnel of an access port")
		}
		if got, _ := arrives(t, ears[0], ears[1], wire, frame(8, 0x88b5, "in VLAN 8"), "in VLAN 8", false); got != nil {
			t.Error("a frame of another VLAN came through")
		}
	})
}

// TestT15FlippedByte: a byte that changes on the path is found by the checksum; without one it is
// delivered. The kernel counts a wrong checksum nowhere that a device shows (gre_rcv drops it before
// it knows the device), so there is no number to look at.
func TestT15FlippedByte(t *testing.T) {
	pair, both := agents(t)
	pair[0].in(func() { // else the card would have to write it
		if out, err := exec.Command("ethtool", "-K", "eth0", "tx", "off").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	for _, checksum := range []bool{true, false} {
		for i, a := range both {
			a.apply("%s", l3Case{options: fmt.Sprintf("checksum: {out: %v}", checksum)}.document(i))
		}
		if !pings(t, pair[0], pair[1], inner4[0].Addr(), inner4[1].Addr(), patience) {
			t.Fatal("nothing crosses")
		}
		wire := pair[1].listen("eth0")
		to := pair[1]
		l := line{t: t, header: 28}
		to.in(func() { l.to = listen(t, inner4[1].Addr()) })
		pair[0].in(func() { l.from = connect(t, inner4[0].Addr(), inner4[1].Addr()) })
		raw, err := l.from.SyscallConn()
		check(t, err)
		check(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })) // GRE's alone is to find it
		check(t, err)
		check(t, l.send("a packet to flip", 200))
		frames := wire.until([]byte("a packet to flip"))
		if l.receive(patience) == nil {
			t.Fatal("the packet itself did not arrive")
		}
		again := frames[len(frames)-1]
		relay := pair[0].listen("eth0")
		relay.send(again)
		if l.receive(patience) == nil {
			t.Fatal("a copy of it did not arrive")
		}
		again[bytes.Index(again, []byte("a packet to flip"))]++
		relay.send(again)
		got := l.receive(2 * time.Second)
		if checksum != (got == nil) {
			t.Errorf("with checksum %v %q arrived", checksum, got)
		}
		l.from.Close()
		l.to.Close()
	}
}

// TestT19UnderlayMTU: a tunnel's MTU follows that of the underlay.
func TestT19UnderlayMTU(t *testing.T) {
	pair, both := agents(t)
	both[0].apply("%s", l3Case{options: "key: {fixed: {in: 3, out: 3}}"}.document(0))
	eth0, err := pair[0].LinkByName("eth0")
	check(t, err)
	for _, m := range []int{1400, 1500} {
		check(t, pair[0].LinkSetMTU(eth0, m))
		both[0].eventually(fmt.Sprintf("the MTU is that of an underlay of %d", m), func() bool {
			l, err := pair[0].LinkByName("tun")
			check(t, err)
			return l.Attrs().MTU == m-28
		})
	}
	t.Run("segments", func(t *testing.T) { followsUnderlay(t, both[0], eth0) })
}

// underlaySegments is a segment of each encapsulation with the other host in it, an address behind
// that, and a tunnel.
func underlaySegments(endpoint string) string {
	return fmt.Sprintf("vteps: [{name: v, %s}]\nsegments: [{name: g, key: 7}, {name: x, key: 8, encap: vxlan}, {name: n, key: 9, encap: geneve}]\n"+
		"peers: [{name: other, paths: [{remote: 192.0.2.2}], segments: [g, x, n]}]\n"+
		"fdb: [{segment: g, mac: \"02:00:00:00:00:07\", peer: other}, {segment: x, mac: \"02:00:00:00:00:07\", peer: other}]\n"+
		"tunnels: [{name: tun, local: {vtep: v}, remote: {address: 192.0.2.2}, key: {fixed: {in: 3, out: 3}}}]", endpoint)
}

// noDrift fails the test where greave has taken for somebody's doing what followed from the underlay.
func (a *agent) noDrift() {
	a.t.Helper()
	if log := a.log(); strings.Contains(log, "drift repaired") || strings.Contains(log, "flaps") {
		a.t.Error("greave tells of drift that was none")
	}
}

// followsUnderlay changes the MTU of the underlay more often than an object may be repaired.
func followsUnderlay(t *testing.T, a *agent, eth0 netlink.Link) {
	a.t = t
	a.apply("%s", underlaySegments("address: 192.0.2.1"))
	for i := range 13 {
		m := underlay - 10*(i+1)
		check(t, a.LinkSetMTU(eth0, m))
		a.eventually(fmt.Sprintf("the MTU of all is that of an underlay of %d", m), func() bool {
			links, err := a.LinkList()
			check(t, err)
			got := map[string]int{}
			for _, l := range links {
				if !strings.HasSuffix(l.Attrs().Name, "0") {
					got[l.Type()] = l.Attrs().MTU
				}
			}
			return got["gre"] == m-28 && got["gretap"] == m-42 && got["vxlan"] == m-50 && got["geneve"] == m-50 && a.plan() == ""
		})
	}
	a.noDrift()
	a.becomes("tun", active, "")
}
