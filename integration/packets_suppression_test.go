package integration

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// quietLab is host h1 with two guests that say nothing by themselves, and host
// h2 with one. On h1 the segment suppresses, but for the upper halves of its
// networks; on h2 it floods.
type quietLab struct {
	*lab.Lab
	asker, near, far *lab.Raw
}

const (
	askerMAC  = "02:00:00:00:00:01"
	nearMAC   = "02:00:00:00:00:0b"
	farMAC    = "02:00:00:00:00:02"
	vipMAC    = "02:00:00:00:00:03"
	movingMAC = "02:00:00:00:00:04"
	nobodyMAC = "00:00:00:00:00:00"
)

func startQuiet(t *testing.T) quietLab {
	t.Helper()
	q := quietLab{Lab: lab.ForTest(t, lab.Options{})}
	start(t, q.Lab)
	h1, h2 := q.Hosts[0], q.Hosts[1]
	q.asker = raw(t, guest(t, h1, "g1", "", askerMAC, 0))
	q.near = raw(t, guest(t, h1, "near", "", nearMAC, 0))
	q.far = raw(t, guest(t, h2, "g2", "", farMAC, 0))
	head := func(h *lab.Host, fields string) string {
		return vtepOf(h) + "segments:\n- {name: red, key: 100" + fields + "}\npeers:\n" + peersOf(q.Hosts, h, ", segments: [red]") + "ports:\n"
	}
	apply(t, h2, head(h2, "")+fmt.Sprintf("- {name: g2, device: g2, attachments: [{segment: red}], macs: [%q]}\n", farMAC))
	apply(t, h1, head(h1, `, suppression: {excluded: [10.0.0.128/25, "fd00::8000/113"]}`)+fmt.Sprintf(`- {name: g1, device: g1, attachments: [{segment: red}], macs: [%q], ips: [10.0.0.1, "fd00::1"]}
- {name: near, device: near, attachments: [{segment: red}], macs: [%q], ips: [10.0.0.11, "fd00::b", 10.0.0.4, "fd00::4"]}
fdb:
- {segment: red, mac: %q, peer: h2, ips: [10.0.0.2, "fd00::2"]}
- {segment: red, mac: %q, peer: h2, ips: [10.0.0.200, "fd00::8003"]}
- {segment: red, mac: %q, peer: h2, ips: [10.0.0.4, "fd00::4"]}
`, askerMAC, nearMAC, farMAC, vipMAC, movingMAC))
	crossing(t, q.asker, q.far, askerMAC)
	crossing(t, q.far, q.asker, farMAC)
	return q
}

// put sends one frame of the asker and counts it at the other guests and on the
// wire of h1, and an answer at the asker.
func (q quietLab) put(t *testing.T, frame, answer []byte) (near, far, wire, answers int) {
	t.Helper()
	for _, r := range []*lab.Raw{q.asker, q.near, q.far} {
		count(t, r, nil)
	}
	stop := capture(t, q.Hosts[0], "", "proto gre")
	send(t, q.asker, frame)
	time.Sleep(delivery)
	wire = inside(stop(), q.Hosts[0].VTEP, frame)
	return count(t, q.near, frame), count(t, q.far, frame), wire, count(t, q.asker, answer)
}

// answered demands one answer, byte by byte, and that nobody else hears.
func (q quietLab) answered(t *testing.T, question, answer []byte) {
	t.Helper()
	if near, far, wire, answers := q.put(t, question, answer); near+far+wire != 0 || answers != 1 {
		t.Errorf("heard %d times here and %d there, %d on the wire, want none; answered %d times, want 1", near, far, wire, answers)
	}
}

// flooded demands one copy each, and no answer.
func (q quietLab) flooded(t *testing.T, question, answer []byte) {
	t.Helper()
	if near, far, wire, answers := q.put(t, question, answer); near != 1 || far != 1 || wire != 1 || answers != 0 {
		t.Errorf("heard %d times here and %d there, %d on the wire, want 1 each; answered %d times, want none", near, far, wire, answers)
	}
}

func whoHas(to string, spa, tpa netip.Addr) []byte {
	return ethernet(to, askerMAC, 0x0806, arp(1, askerMAC, spa, nobodyMAC, tpa))
}

func isAt(mac string, ip netip.Addr) []byte {
	return ethernet(askerMAC, mac, 0x0806, arp(2, mac, ip, askerMAC, addr("10.0.0.1")))
}

func solicit(target string) []byte {
	ip, mac := solicited(addr("%s", target))
	return ethernet(mac, askerMAC, 0x86dd, icmp6(135, addr("fd00::1"), ip, nd(0, addr("%s", target), 1, askerMAC)))
}

// advert is solicited and overrides (RFC 4861 §4.4).
func advert(mac, target string) []byte {
	return ethernet(askerMAC, mac, 0x86dd, icmp6(136, addr("%s", target), addr("fd00::1"), nd(0x60000000, addr("%s", target), 2, mac)))
}

// TestL6ARPSuppression: a request for an address that an FDB entry or a port
// states is answered, to the byte, and neither another guest nor the wire hears
// it. All that is no such request goes where it went without suppression.
func TestL6ARPSuppression(t *testing.T) {
	t.Parallel()
	q := startQuiet(t)
	own, farIP, nearIP := addr("10.0.0.1"), addr("10.0.0.2"), addr("10.0.0.11")
	t.Run("behind a peer", func(t *testing.T) { q.answered(t, whoHas(everyone, own, farIP), isAt(farMAC, farIP)) })
	t.Run("of a local port", func(t *testing.T) { q.answered(t, whoHas(everyone, own, nearIP), isAt(nearMAC, nearIP)) })
	t.Run("unknown", func(t *testing.T) { q.flooded(t, whoHas(everyone, own, addr("10.0.0.9")), nil) })
	t.Run("stated twice", func(t *testing.T) { q.flooded(t, whoHas(everyone, own, addr("10.0.0.4")), nil) })
	t.Run("probe", func(t *testing.T) {
		q.flooded(t, whoHas(everyone, addr("0.0.0.0"), farIP), ethernet(askerMAC, farMAC, 0x0806, arp(2, farMAC, farIP, askerMAC, addr("0.0.0.0"))))
	})
	t.Run("gratuitous", func(t *testing.T) {
		q.flooded(t, whoHas(everyone, farIP, farIP), ethernet(askerMAC, farMAC, 0x0806, arp(2, farMAC, farIP, askerMAC, farIP)))
	})
	t.Run("in a VLAN", func(t *testing.T) {
		in := ethernet(everyone, askerMAC, 0x0806, arp(1, askerMAC, own, nobodyMAC, farIP), 0x8100, 100)
		stop := capture(t, q.Hosts[0], "", "proto gre")
		send(t, q.asker, in)
		time.Sleep(delivery)
		if n := inside(stop(), q.Hosts[0].VTEP, in); n != 1 {
			t.Errorf("%d on the wire, want 1", n)
		}
		if n := count(t, q.asker, isAt(farMAC, farIP)); n != 0 {
			t.Errorf("%d answers, want none", n)
		}
	})
	t.Run("to one guest", func(t *testing.T) { // it asks whether that one is alive
		request := whoHas(farMAC, own, farIP)
		if near, far, wire, answers := q.put(t, request, isAt(farMAC, farIP)); near != 0 || far != 1 || wire != 1 || answers != 0 {
			t.Errorf("heard %d times here and %d there, %d on the wire, answered %d times", near, far, wire, answers)
		}
	})
	t.Run("from a tunnel", func(t *testing.T) {
		request := ethernet(everyone, farMAC, 0x0806, arp(1, farMAC, farIP, nobodyMAC, nearIP))
		q.fromTunnel(t, request, ethernet(farMAC, nearMAC, 0x0806, arp(2, nearMAC, nearIP, farMAC, farIP)))
	})
}

// fromTunnel demands that a question from h2 is heard on h1 and not answered by it.
func (q quietLab) fromTunnel(t *testing.T, question, answer []byte) {
	t.Helper()
	count(t, q.near, nil)
	count(t, q.far, nil)
	send(t, q.far, question)
	time.Sleep(delivery)
	if near, answers := count(t, q.near, question), count(t, q.far, answer); near != 1 || answers != 0 {
		t.Errorf("heard %d times, want 1; answered %d times, want none", near, answers)
	}
}

// TestL7NDSuppression: the same of neighbour solicitations, by flows alone: no
// flow hands a packet to a controller.
func TestL7NDSuppression(t *testing.T) {
	t.Parallel()
	q := startQuiet(t)
	t.Run("behind a peer", func(t *testing.T) { q.answered(t, solicit("fd00::2"), advert(farMAC, "fd00::2")) })
	t.Run("of a local port", func(t *testing.T) { q.answered(t, solicit("fd00::b"), advert(nearMAC, "fd00::b")) })
	t.Run("unknown", func(t *testing.T) { q.flooded(t, solicit("fd00::9"), nil) })
	t.Run("stated twice", func(t *testing.T) { q.flooded(t, solicit("fd00::4"), nil) })
	t.Run("duplicate address detection", func(t *testing.T) {
		ip, mac := solicited(addr("fd00::2"))
		q.flooded(t, ethernet(mac, askerMAC, 0x86dd, icmp6(135, addr("::"), ip, nd(0, addr("fd00::2"), 0, ""))), nil)
	})
	t.Run("without an option", func(t *testing.T) {
		ip, mac := solicited(addr("fd00::2"))
		q.flooded(t, ethernet(mac, askerMAC, 0x86dd, icmp6(135, addr("fd00::1"), ip, nd(0, addr("fd00::2"), 0, ""))), nil)
	})
	t.Run("unsolicited advertisement", func(t *testing.T) {
		q.flooded(t, ethernet("33:33:00:00:00:01", askerMAC, 0x86dd, icmp6(136, addr("fd00::2"), addr("ff02::1"), nd(0x20000000, addr("fd00::2"), 2, askerMAC))), nil)
	})
	t.Run("to one guest", func(t *testing.T) {
		request := ethernet(farMAC, askerMAC, 0x86dd, icmp6(135, addr("fd00::1"), addr("fd00::2"), nd(0, addr("fd00::2"), 1, askerMAC)))
		if near, far, wire, answers := q.put(t, request, advert(farMAC, "fd00::2")); near != 0 || far != 1 || wire != 1 || answers != 0 {
			t.Errorf("heard %d times here and %d there, %d on the wire, answered %d times", near, far, wire, answers)
		}
	})
	t.Run("from a tunnel", func(t *testing.T) {
		ip, mac := solicited(addr("fd00::b"))
		request := ethernet(mac, farMAC, 0x86dd, icmp6(135, addr("fd00::2"), ip, nd(0, addr("fd00::b"), 1, farMAC)))
		q.fromTunnel(t, request, ethernet(farMAC, nearMAC, 0x86dd, icmp6(136, addr("fd00::b"), addr("fd00::2"), nd(0x60000000, addr("fd00::b"), 2, nearMAC))))
	})
	for _, f := range flowsOf(t, q.Hosts[0], "br-greave") {
		if strings.Contains(f, "CONTROLLER") {
			t.Errorf("a flow asks a controller: %s", f)
		}
	}
}

// TestL8Excluded: requests for an address of an excluded prefix are flooded
// though an FDB entry states it, and those for its neighbours are not.
func TestL8Excluded(t *testing.T) {
	t.Parallel()
	q := startQuiet(t)
	own := addr("10.0.0.1")
	t.Run("ARP", func(t *testing.T) {
		q.flooded(t, whoHas(everyone, own, addr("10.0.0.200")), isAt(vipMAC, addr("10.0.0.200")))
		q.answered(t, whoHas(everyone, own, addr("10.0.0.2")), isAt(farMAC, addr("10.0.0.2")))
	})
	t.Run("ND", func(t *testing.T) {
		q.flooded(t, solicit("fd00::8003"), advert(vipMAC, "fd00::8003"))
		q.answered(t, solicit("fd00::2"), advert(farMAC, "fd00::2"))
	})
}

// TestL7GuestKernelResolves: the kernel of a guest takes the answers for what
// they are. It resolves a neighbour on another host, reaches it and holds it
// confirmed, while the wire carries no multicast solicitation for it and no
// broadcast request.
func TestL7GuestKernelResolves(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{})
	start(t, l)
	guests := redGuests(t, l.Hosts, 0)
	for i, h := range l.Hosts {
		g, other := guests[i], l.Hosts[1-i]
		inGuest(t, g, "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6")
		inGuest(t, g, "ip", "addr", "add", fmt.Sprintf("fd00::%d/64", h.N), "dev", "eth0", "nodad")
		doc := segmentDoc(l.Hosts, h, ", suppression: {}")
		apply(t, h, strings.ReplaceAll(doc, fmt.Sprintf("mac: %q", guestMAC(other.N)), fmt.Sprintf("ips: [%s, %q], mac: %q", guestAddr(other.N), fmt.Sprint("fd00::", other.N), guestMAC(other.N))))
	}
	stop := capture(t, l.Hosts[0], "", "proto gre")
	for _, to := range []netip.Addr{addr("fd00::2"), guestAddr(2)} {
		eventually(t, 10*time.Second, fmt.Sprintf("g1 reaches %s", to), func() bool { return echo(t, guests[0], to, "-c", "1", "-W", "0.3") == 1 })
		if n := echo(t, guests[0], to); n != 5 {
			t.Errorf("%s: %d of 5", to, n)
		}
		neigh := inGuest(t, guests[0], "ip", "neigh", "show", "to", to.String(), "dev", "eth0")
		if !strings.Contains(neigh, guestMAC(2)) || !strings.Contains(neigh, "REACHABLE") {
			t.Errorf("the guest holds %s as %q", to, neigh)
		}
	}
	target := addr("fd00::2")
	_, group := solicited(target)
	packets := stop()
	carried := 0
	for _, p := range packets {
		if len(p.Inner) < 78 {
			continue
		}
		to, kind := p.Inner[:6], uint16(p.Inner[12])<<8|uint16(p.Inner[13])
		if bytes.Equal(to, hw(group)) && kind == 0x86dd && p.Inner[54] == 135 && bytes.Equal(p.Inner[62:78], target.AsSlice()) {
			t.Errorf("a solicitation on the wire: %x", p.Inner)
		}
		if kind == 0x86dd && p.Inner[54] == 128 {
			carried++
		}
	}
	if carried < 5 {
		t.Errorf("%d IPv6 echo requests on the wire, want 5 at least", carried)
	}
	for _, p := range packets {
		if len(p.Inner) >= 14 && bytes.Equal(p.Inner[:6], hw(everyone)) && p.Inner[12] == 8 && p.Inner[13] == 6 {
			t.Errorf("a broadcast request on the wire: %x", p.Inner)
		}
	}
}
