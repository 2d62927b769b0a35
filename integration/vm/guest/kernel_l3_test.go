package guest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

const (
	active   = greavev1.ResourceState_RESOURCE_STATE_ACTIVE
	pending  = greavev1.ResourceState_RESOURCE_STATE_PENDING
	failed   = greavev1.ResourceState_RESOURCE_STATE_FAILED
	retrying = greavev1.ResourceState_RESOURCE_STATE_RETRYING

	tunnelKind  = greavev1.ObjectKind_OBJECT_KIND_TUNNEL
	segmentKind = greavev1.ObjectKind_OBJECT_KIND_SEGMENT
	portKind    = greavev1.ObjectKind_OBJECT_KIND_PORT
)

// agents are the two hosts of a pair, each with a greaved.
func agents(t *testing.T) (pair [2]host, both [2]*agent) {
	t.Helper()
	pair = newPair(t)
	for i, h := range pair {
		both[i] = h.withAgent(fmt.Sprintf("host-%d", i))
	}
	return pair, both
}

// header is what the tests look at of an outer packet.
type header struct {
	six, df, csum, key, seq bool
	ttl, tos                byte
	proto                   byte   // of the outer IP header
	word                    uint32 // the key
	udp                     uint16 // destination port
	inner                   uint16 // GRE's protocol type
}

// read takes an outer packet apart: IP, perhaps destination options, perhaps UDP, GRE.
func read(t *testing.T, frame []byte) (h header) {
	t.Helper()
	p := frame[14:]
	var next byte
	var rest []byte
	if p[0]>>4 == 6 {
		h.six, h.ttl, h.tos, next = true, p[7], byte(binary.BigEndian.Uint16(p)>>4), p[6]
		rest = p[40:]
	} else {
		h.ttl, h.tos, h.df, next = p[8], p[1], p[6]&0x40 != 0, p[9]
		rest = p[20:]
	}
	h.proto = next
	for next == unix.IPPROTO_DSTOPTS {
		next, rest = rest[0], rest[8+8*int(rest[1]):]
	}
	if next == unix.IPPROTO_UDP {
		h.udp = binary.BigEndian.Uint16(rest[2:])
		rest = rest[8:]
		if rest[0]&0xe0 == 0 && rest[1] == unix.IPPROTO_GRE { // GUE, variant 0
			rest = rest[4:]
		}
	}
	flags := binary.BigEndian.Uint16(rest)
	h.csum, h.key, h.seq = flags&0x8000 != 0, flags&0x2000 != 0, flags&0x1000 != 0
	h.inner = binary.BigEndian.Uint16(rest[2:])
	if at := 4; h.key {
		if h.csum {
			at += 4
		}
		h.word = binary.BigEndian.Uint32(rest[at:])
	}
	return h
}

// l3Case is one way to write a layer 3 tunnel, and what its packets look like.
type l3Case struct {
	name    string
	options string // IN and OUT are this host's keys
	six     bool   // IPv6 underlay
	want    func(h header) bool
}

var l3Cases = []l3Case{
	{"plain", "", false, func(h header) bool {
		return h.proto == 47 && h.df && h.ttl == 64 && h.tos == 0 && !h.key && !h.csum && !h.seq
	}},
	{"keys in and out", "key: {fixed: {in: IN, out: OUT}}", false, func(h header) bool { return h.key && h.word == 11 }},
	{"key out only", "key: {fixed: {out: 5}}\n  ONE", false, func(h header) bool { return h.key && h.word == 5 }},
	{"checksum", "checksum: {in: true, out: true}", false, func(h header) bool { return h.csum && !h.key }},
	{"sequence", "sequence: {in: true, out: true}", false, func(h header) bool { return h.seq }},
	{"all words", "key: {fixed: {in: IN, out: OUT}}\n  checksum: {in: true, out: true}\n  sequence: {out: true}", false,
		func(h header) bool { return h.key && h.csum && h.seq && h.word == 11 }},
	{"ttl", "ttl: {fixed: 9}", false, func(h header) bool { return h.ttl == 9 }},
	{"tos", "tos: {fixed: 32}", false, func(h header) bool { return h.tos == 32 }},
	// The test's IPv4 packets have DF themselves, which is copied unless it is ignored.
	{"ttl inherit, no df", "ttl: {inherit: true}\n  pmtudisc: false", false, func(h header) bool { return h.df == (h.inner == 0x0800) }},
	{"ignore df", "ttl: {inherit: true}\n  pmtudisc: false\n  ignore_df: true", false, func(h header) bool { return !h.df }},
	{"device", "device: eth0", false, func(h header) bool { return h.proto == 47 }},
	{"fou", "udp_encap: {type: UDP_ENCAP_TYPE_FOU, dst_port: 5555}", false, func(h header) bool { return h.proto == 17 && h.udp == 5555 }},
	{"gue", "udp_encap: {type: UDP_ENCAP_TYPE_GUE, dst_port: 5556}\n  key: {fixed: {in: IN, out: OUT}}", false,
		func(h header) bool { return h.proto == 17 && h.udp == 5556 && h.word == 11 }},
	{"ip6gre", "key: {fixed: {in: IN, out: OUT}}", true, func(h header) bool { return h.six && h.proto == 47 && h.ttl == 64 && h.word == 11 }},
	{"ip6gre with limit", "encap_limit: 4\n  ttl: {fixed: 7}\n  tos: {fixed: 64}", true,
		func(h header) bool { return h.six && h.proto == unix.IPPROTO_DSTOPTS && h.ttl == 7 && h.tos == 64 }},
	{"ip6gre checksum", "checksum: {in: true, out: true}", true, func(h header) bool { return h.six && h.csum }},
}

func (c l3Case) document(i int) string {
	under := under4
	if c.six {
		under = under6
	}
	in, out := 10, 11
	if i == 1 {
		in, out = out, in
	}
	options := strings.NewReplacer("IN", fmt.Sprint(in), "OUT", fmt.Sprint(out)).Replace(c.options)
	if strings.Contains(options, "ONE") { // packets without a key one way, with one the other
		options = "key: {fixed: {out: 5}}"
		if i == 1 {
			options = "key: {fixed: {in: 5}}"
		}
	}
	return fmt.Sprintf(`
tunnels:
- name: tun
  local: {address: %q}
  remote: {address: %q}
  addresses: [%q, %q]
  %s
`, under[i].Addr(), under[1-i].Addr(), inner4[i], inner6[i], options)
}

// TestT4LayerThree: every option of a layer 3 tunnel, IPv4 and IPv6 across it, on the wire.
func TestT4LayerThree(t *testing.T) {
	pair, both := agents(t)
	for _, c := range l3Cases {
		t.Run(c.name, func(t *testing.T) {
			for i, a := range both {
				a.t = t
				a.apply("%s", c.document(i))
			}
			pair[0].t, pair[1].t = t, t
			ears := pair[1].listen("eth0")
			for _, inner := range [][2]netip.Prefix{inner4, inner6} {
				l := newLine(t, pair, inner[0].Addr(), inner[1].Addr())
				check(t, l.send("look at me", 200))
				frames := ears.until([]byte("look at me"))
				if h := read(t, frames[len(frames)-1]); !c.want(h) {
					t.Errorf("on the wire: %+v", h)
				}
				if l.receive(patience) == nil {
					t.Error("it did not arrive")
				}
				l.from.Close()
				l.to.Close()
			}
		})
	}
	for _, a := range both {
		a.t = t
		a.apply("allow_empty: true")
		if _, err := a.LinkByName("tun"); err == nil {
			t.Error("the device is left")
		}
	}
}

// links lists the devices whose names begin so.
func (h host) links(prefix string) (names []string) {
	h.t.Helper()
	all, err := h.LinkList()
	check(h.t, err)
	for _, l := range all {
		if strings.HasPrefix(l.Attrs().Name, prefix) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names
}

// TestT14KeyMismatch: packets with another key than the far end's arrive nowhere.
func TestT14KeyMismatch(t *testing.T) {
	pair, both := agents(t)
	for i, a := range both {
		a.apply("%s", l3Case{options: "key: {fixed: {in: IN, out: OUT}}"}.document(i))
	}
	l := newLine(t, pair, inner4[0].Addr(), inner4[1].Addr())
	both[0].apply("%s", l3Case{options: "key: {fixed: {in: IN, out: 99}}"}.document(0))
	check(t, l.send("lost", 100))
	if got := l.receive(time.Second); got != nil {
		t.Errorf("%q arrived in spite of its key", got)
	}
	both[0].apply("%s", l3Case{options: "key: {fixed: {in: IN, out: OUT}}"}.document(0))
	check(t, l.send("found", 100))
	if l.receive(patience) == nil {
		t.Error("nothing arrives with the key put right")
	}
}

// TestF5ChangeInPlace: a ttl changes without a new device; what cannot be changed is made anew and
// called disruptive.
func TestF5ChangeInPlace(t *testing.T) {
	_, both := agents(t)
	a := both[0]
	index := func() int {
		l, err := a.LinkByName("tun")
		check(t, err)
		return l.Attrs().Index
	}
	a.apply("%s", l3Case{}.document(0))
	was := index()
	for _, change := range []struct {
		options, word string
		same          bool
	}{
		{"ttl: {fixed: 9}", "[none]", true},
		{"ttl: {fixed: 9}\n  tos: {fixed: 32}", "[none]", true},
		{"key: {fixed: {in: 3, out: 3}}", "[brief]", true},
		{"encap: vxlan\n  bridge: br9\n  key: {fixed: {in: 3, out: 3}}", "[disruptive]", false},
	} {
		doc := l3Case{options: change.options}.document(0)
		if strings.Contains(change.options, "bridge") {
			doc = "bridges: [{name: br9}]\n" + strings.ReplaceAll(doc, fmt.Sprintf("addresses: [%q, %q]", inner4[0], inner6[0]), "")
		}
		if p := a.planOf(parse(t, doc)); !strings.Contains(p, change.word) {
			t.Errorf("%s: planned as\n%s", change.options, p)
		}
		a.apply("%s", doc)
		if now := index(); (now == was) != change.same {
			t.Errorf("%s: device %d is %d now", change.options, was, now)
		}
		was = index()
	}
}

// TestF6Drift: what is taken away or changed by hand comes back, and is told once.
func TestF6Drift(t *testing.T) {
	pair, both := agents(t)
	a := both[0]
	doc := l3Case{}.document(0) + "  routes: [{destination: 10.77.0.0/16}]\n"
	a.apply("%s", doc)
	both[1].apply("%s", l3Case{}.document(1))
	for _, hand := range []struct {
		what string
		do   func(l netlink.Link)
	}{
		{"device", func(l netlink.Link) { check(t, a.LinkDel(l)) }},
		{"down", func(l netlink.Link) { check(t, a.LinkSetDown(l)) }},
		{"mtu", func(l netlink.Link) { check(t, a.LinkSetMTU(l, 1000)) }},
		{"address", func(l netlink.Link) {
			addr, err := netlink.ParseAddr(inner4[0].String())
			check(t, err)
			check(t, a.AddrDel(l, addr))
		}},
		{"route", func(l netlink.Link) {
			_, dst, err := netParse("10.77.0.0/16")
			check(t, err)
			check(t, a.RouteDel(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}))
		}},
	} {
		l, err := a.LinkByName("tun")
		check(t, err)
		told := strings.Count(a.log(), "drift repaired")
		hand.do(l)
		a.eventually("the "+hand.what+" is mended and told of", func() bool {
			return strings.Count(a.log(), "drift repaired") > told && a.plan() == ""
		})
		crossed(t, pair)
	}
}

// TestD13ForeignOnOurs: what others put on greave's device stays.
func TestD13ForeignOnOurs(t *testing.T) {
	_, both := agents(t)
	a := both[0]
	a.apply("%s", l3Case{}.document(0))
	l, err := a.LinkByName("tun")
	check(t, err)
	addr, err := netlink.ParseAddr("10.88.0.1/24")
	check(t, err)
	check(t, a.AddrAdd(l, addr))
	_, dst, err := netParse("10.99.0.0/16")
	check(t, err)
	check(t, a.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Protocol: 186})) // a routing daemon's
	a.apply("%s", l3Case{options: "ttl: {fixed: 8}"}.document(0))
	addrs, err := a.AddrList(l, netlink.FAMILY_V4)
	check(t, err)
	routes, err := a.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: 186}, netlink.RT_FILTER_PROTOCOL)
	check(t, err)
	if len(addrs) != 2 || len(routes) != 1 {
		t.Errorf("addresses %v and routes %v are left", addrs, routes)
	}
}
