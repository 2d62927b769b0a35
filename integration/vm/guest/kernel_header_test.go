package guest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// outerKind is one kind of tunnel of the truth table.
type outerKind struct {
	name, encap string
	six, flat   bool // over IPv6; layer 3
}

var outerKinds = []outerKind{
	{"gre", "gre", false, true}, {"ip6gre", "gre", true, true}, {"gretap", "gre", false, false}, {"ip6gretap", "gre", true, false},
	{"vxlan", "vxlan", false, false}, {"vxlan6", "vxlan", true, false}, {"geneve", "geneve", false, false}, {"geneve6", "geneve", true, false},
}

// The inner packet's own, which "inherit" copies.
const (
	innerTTL = 33
	innerTOS = 0x28
)

// outerOption is one row of the truth table: what is written, what the outer header has then, and,
// by kind, the word of the refusal where the kernel cannot do it. Where a kind has no bit for what is
// asked, nothing is looked at.
type outerOption struct {
	name    string
	options func(k outerKind) string
	want    func(k outerKind, h header) bool
	refused func(k outerKind) string
}

func never(outerKind) string { return "" }

func stated(s string) func(outerKind) string { return func(outerKind) string { return s } }

func isGRE(k outerKind) bool { return k.encap == "gre" }

var outerOptions = []outerOption{
	{"defaults", stated(""), func(k outerKind, h header) bool { return h.ttl == 64 && h.tos == 0 && (k.six || h.df) }, never},
	{"ttl fixed", stated("ttl: {fixed: 9}"), func(_ outerKind, h header) bool { return h.ttl == 9 }, never},
	{"ttl inherit", func(k outerKind) string {
		if isGRE(k) && !k.six { // a fixed one is what DF takes
			return "ttl: {inherit: true}\n  pmtudisc: false"
		}
		return "ttl: {inherit: true}"
	}, func(_ outerKind, h header) bool { return h.ttl == innerTTL }, func(k outerKind) string {
		if isGRE(k) && k.six {
			return ".ttl.inherit"
		}
		return ""
	}},
	{"tos fixed", stated("tos: {fixed: 64}"), func(_ outerKind, h header) bool { return h.tos == 64 }, never},
	{"tos inherit", stated("tos: {inherit: true}"), func(_ outerKind, h header) bool { return h.tos == innerTOS }, never},
	{"df set", stated("df: true"), func(k outerKind, h header) bool { return k.six || h.df }, never},
	{"df unset", func(k outerKind) string {
		if isGRE(k) && !k.six {
			return "df: false\n  ttl: {inherit: true}"
		}
		return "df: false"
	}, func(k outerKind, h header) bool { return k.six || !h.df }, func(k outerKind) string {
		if isGRE(k) && k.six {
			return ".df"
		}
		return ""
	}},
	{"df unset beside a fixed ttl", stated("df: false\n  ttl: {fixed: 9}"), func(k outerKind, h header) bool { return h.ttl == 9 && (k.six || !h.df) },
		func(k outerKind) string {
			if isGRE(k) {
				return ".df"
			}
			return ""
		}},
	{"checksum on", stated("checksum: {out: true}"), func(_ outerKind, h header) bool { return h.csum }, never},
	// The kernel's receiver drops Geneve over IPv6 without one.
	{"checksum off", stated("checksum: {out: false}"), func(k outerKind, h header) bool { return h.csum == (k.name == "geneve6") }, never},
}

// TestOuterHeaders: each kind of tunnel with each option, alone: the bytes of the outer header, or a
// refusal that names the field. All that a kind takes is in one document, told apart by keys.
func TestOuterHeaders(t *testing.T) {
	pair := newPair(t)
	a := pair[0].withAgent("host-0")
	wire := pair[1].listen("eth0")
	for _, k := range outerKinds {
		t.Run(k.name, func(t *testing.T) {
			a.t, pair[0].t, wire.t = t, t, t
			var doc strings.Builder
			doc.WriteString("tunnels:\n")
			for i, o := range outerOptions {
				one := k.document(i, o.options(k))
				word := o.refused(k)
				if word == "" {
					doc.WriteString(one)
				} else if why := a.refused("tunnels:\n" + one); !strings.Contains(why, word) {
					t.Errorf("%s: refused without naming %s: %s", o.name, word, why)
				}
			}
			a.apply("%s", doc.String())
			seen := 0
			for i, o := range outerOptions {
				if o.refused(k) != "" {
					continue
				}
				mark := fmt.Sprintf("%s with %s.", k.name, o.name)
				frame := k.crosses(pair[0], wire, i, mark)
				if frame == nil {
					t.Errorf("%s: no packet on the wire", o.name)
				} else if h := readOuter(t, k, frame); !o.want(k, h) {
					t.Errorf("%s: on the wire: %+v", o.name, h)
				} else {
					seen++
				}
			}
			t.Logf("%d options as they should be on the wire, %d refused", seen, len(outerOptions)-seen)
		})
	}
}

func (k outerKind) document(i int, options string) string {
	under := under4
	if k.six {
		under = under6
	}
	layer, local := "l2", fmt.Sprintf("local: {address: %q}", under[0].Addr())
	if k.flat {
		layer = "l3"
	}
	if k.encap == "geneve" { // the kernel's has none
		local = "mtu: 1400"
	}
	return fmt.Sprintf("- name: o%d\n  encap: %s\n  layer: %s\n  %s\n  remote: {address: %q}\n  key: {fixed: {in: %d, out: %d}}\n  %s\n",
		i, k.encap, layer, local, under[1].Addr(), 100+i, 100+i, options)
}

// crosses sends an inner packet through the i-th tunnel until it is heard on the wire.
func (k outerKind) crosses(h host, wire *tap, i int, mark string) []byte {
	packet := innerPacket(mark)
	if !k.flat {
		packet = append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 0}, packet...)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		h.inject(fmt.Sprintf("o%d", i), packet)
		for f := wire.next(0); f != nil; f = wire.next(unix.MSG_DONTWAIT) {
			if bytes.Contains(f, []byte(mark)) {
				return f
			}
		}
	}
	return nil
}

// innerPacket is an IPv4 packet without DF.
func innerPacket(mark string) []byte {
	p := make([]byte, 28, 28+len(mark))
	p[0], p[1], p[8], p[9] = 0x45, innerTOS, innerTTL, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(p[2:], uint16(cap(p)))
	copy(p[12:], []byte{10, 9, 0, 1, 10, 9, 0, 2})
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(p[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(p[20:], 4000)
	binary.BigEndian.PutUint16(p[22:], 4000)
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(mark)))
	return append(p, mark...)
}

// inject sends by a device what the device's layer takes: frames, or IPv4 packets.
func (h host) inject(device string, b []byte) {
	h.t.Helper()
	link, err := h.LinkByName(device)
	check(h.t, err)
	h.in(func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		check(h.t, err)
		defer unix.Close(fd)
		ip := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_IP))
		check(h.t, unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Protocol: ip, Ifindex: link.Attrs().Index}))
	})
}

// readOuter takes an outer header apart; csum is GRE's flag, or a UDP checksum that is not zero.
func readOuter(t *testing.T, k outerKind, frame []byte) header {
	t.Helper()
	if isGRE(k) {
		return read(t, frame)
	}
	h, p := header{}, frame[14:]
	udp := p[20:]
	if k.six {
		h.six, h.ttl, h.tos = true, p[7], byte(binary.BigEndian.Uint16(p)>>4)
		udp = p[40:]
	} else {
		h.ttl, h.tos, h.df = p[8], p[1], p[6]&0x40 != 0
	}
	h.udp, h.csum = binary.BigEndian.Uint16(udp[2:]), binary.BigEndian.Uint16(udp[6:]) != 0
	return h
}
