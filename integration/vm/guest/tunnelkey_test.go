package guest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// These tests are an experiment and touch no part of the product: layer 2 segments with all their
// peers on one collect-metadata device "g", chosen by tc's flower and told by its tunnel_key. A
// segment is a bridge "br7" whose port "seg7" is a dummy: what the bridge sends there is given a
// peer by the filters of seg7's egress and leaves by g; what comes out of g with a known key from a
// known peer goes on as if it had come in by seg7. docs/kernel.md has what it showed.

const (
	segKey       = 7
	filterCopies = 16 // of a frame, by one filter: it has 32 actions at most, and a copy takes two
)

// feed runs a batch of commands of ip, tc or bridge: a process costs 50 ms here.
func (h host) feed(tool string, lines ...string) {
	h.t.Helper()
	if out, err := h.tryFeed(tool, lines...); err != nil {
		h.t.Fatalf("%s -batch: %v: %s", tool, err, out)
	}
}

func (h host) tryFeed(tool string, lines ...string) (out []byte, err error) {
	h.t.Helper()
	h.in(func() {
		cmd := exec.Command(tool, "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		out, err = cmd.CombinedOutput()
	})
	return out, err
}

// toPeer is the action that gives a frame its way to a peer. tc asks for a checksum unless told not
// to.
func toPeer(local, remote netip.Addr, key int) string {
	return fmt.Sprintf("action tunnel_key set src_ip %s dst_ip %s id %d ttl 64 nocsum", local, remote, key)
}

// unicast is the filter of one address behind a peer.
func unicast(mac string, actions string) string {
	return fmt.Sprintf("filter add dev seg7 egress pref 1 protocol all flower dst_mac %s %s action mirred egress redirect dev g", mac, actions)
}

// known is the filter of what comes from a peer.
func known(remote netip.Addr, key int) string {
	return fmt.Sprintf("filter add dev g ingress pref 1 protocol all flower enc_key_id %d enc_src_ip %s action tunnel_key unset action mirred ingress redirect dev seg7", key, remote)
}

// flood is the filters that copy a frame to all peers, the rest of a filter's share by the next.
func flood(local netip.Addr, peers []netip.Addr, key int) (filters []string) {
	pref := 2
	for share := range slices.Chunk(peers, filterCopies) {
		line := fmt.Sprintf("filter add dev seg7 egress pref %d protocol all matchall", pref)
		for i, p := range share {
			line += " " + toPeer(local, p, key) + " action mirred egress mirror dev g"
			if i == len(share)-1 {
				line += " continue"
			}
		}
		filters = append(filters, line)
		pref++
	}
	return filters
}

// oneDevice makes a host's end of the segment with its workload's cable as a port.
func (h host) oneDevice(kind string, filters ...string) *tap {
	h.t.Helper()
	h.withoutIPv6()
	ear := h.cable()
	h.feed("ip", "link add g type "+kind+" external", "link add br7 type bridge mcast_snooping 0", "link add seg7 type dummy",
		"link set seg7 master br7", "link set vm master br7", "link set g up", "link set seg7 up", "link set br7 up")
	h.feed("tc", append([]string{"qdisc add dev seg7 clsact", "qdisc add dev g clsact", "filter add dev g ingress pref 9 protocol all matchall action drop"}, filters...)...)
	return ear
}

// withoutIPv6 keeps the kernel's own frames of IPv6 out of a segment.
func (h host) withoutIPv6() {
	h.t.Helper()
	h.in(func() { check(h.t, os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)) })
}

func macOf(i int) string { return fmt.Sprintf("02:00:00:00:00:%02x", i+1) }

// ethernet is a frame for an address with a mark.
func ethernet(to, from byte, mark string) []byte {
	f := []byte{2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x88, 0xb5}
	return append(append(f, mark...), make([]byte, 60)...)
}

// heard counts the frames that hold each mark, up to the one that ends them and a moment longer.
func (s *tap) heard(end string, marks ...string) map[string]int {
	s.t.Helper()
	n := map[string]int{}
	frames := s.until([]byte(end))
	for f := s.next(0); f != nil; f = s.next(unix.MSG_DONTWAIT) {
		frames = append(frames, f)
	}
	for _, f := range frames {
		for _, m := range marks {
			if bytes.Contains(f, []byte(m)) {
				n[m]++
			}
		}
	}
	return n
}

// TestTunnelKey: hosts of which each has all others as peers on one device.
func TestTunnelKey(t *testing.T) {
	for kind, n := range map[string]int{"gretap": 3, "geneve": 2} {
		t.Run(kind, func(t *testing.T) {
			hosts := star(t, n)
			var ears, wires []*tap
			for i, h := range hosts {
				wires = append(wires, h.listen("eth0"))
				var peers []netip.Addr
				var lines []string
				for j := range hosts {
					if j != i {
						peers = append(peers, star4(j))
						lines = append(lines, unicast(macOf(j), toPeer(star4(i), star4(j), segKey)), known(star4(j), segKey))
					}
				}
				ears = append(ears, h.oneDevice(kind, append(lines, flood(star4(i), peers, segKey)...)...))
			}
			_, outer := arrives(t, ears[0], ears[1], wires[1], ethernet(2, 1, "there"), "there", true)
			if outer == nil || kind == "gretap" && (outer[14+9] != 47 || binary.BigEndian.Uint32(outer[38:]) != segKey) || kind == "geneve" && udpPort(outer[14:]) != 6081 {
				t.Errorf("on the wire: %x", outer)
			}
			arrives(t, ears[1], ears[0], wires[0], ethernet(1, 2, "back"), "back", true)
			if n > 2 {
				arrives(t, ears[0], ears[2], wires[2], ethernet(3, 1, "other"), "other", true)
			}
			tunnelKeyFloods(t, ears, wires)
			tunnelKeyStrangers(t, kind, hosts, ears)
		})
	}
}

// tunnelKeyFloods: what is for all, or for an address that no filter names, goes to each peer once,
// and what came from a peer to none.
func tunnelKeyFloods(t *testing.T, ears, wires []*tap) {
	ears[1].send(ethernet(1, 0x19, "I am 19")) // host 0's bridge has heard then that 19 is behind seg7, not behind whom
	ears[0].until([]byte("I am 19"))
	wires[0].drain()
	marks := []string{"to all", "in a VLAN", "to unlisted"}
	ears[0].send(frame(0, 0x88b5, "to all"))
	ears[0].send(frame(9, 0x88b5, "in a VLAN"))
	ears[0].send(ethernet(0x19, 1, "to unlisted"))
	ears[0].send(frame(0, 0x88b5, "the end"))
	for i, ear := range ears[1:] {
		n := ear.heard("the end", marks...)
		for _, m := range marks {
			if n[m] != 1 {
				t.Errorf("%q: host %d heard it %d times", m, 1+i, n[m])
			}
		}
	}
	n := wires[0].heard("the end", marks...)
	for _, m := range marks {
		if n[m] != len(ears)-1 {
			t.Errorf("%q: %d copies on host 0's wire, want one for each peer", m, n[m])
		}
	}
	for _, f := range ears[0].drain() {
		t.Errorf("host 0 got its own back: %x", f)
	}
}

// tunnelKeyStrangers: another key, or another source, is not taken; nor a GRE checksum, which is
// tc's default.
func tunnelKeyStrangers(t *testing.T, kind string, hosts []host, ears []*tap) {
	hosts[0].up("eth0", netip.MustParsePrefix("192.0.2.99/24"))
	ours := toPeer(star4(0), star4(1), segKey)
	hosts[0].feed("tc",
		unicast("02:00:00:00:00:a1", toPeer(star4(0), star4(1), segKey+1)),
		unicast("02:00:00:00:00:a2", toPeer(netip.MustParseAddr("192.0.2.99"), star4(1), segKey)),
		unicast("02:00:00:00:00:a3", strings.Replace(ours, " nocsum", "", 1)),
		unicast("02:00:00:00:00:a4", ours))
	wants := map[string]int{"other key": 0, "other source": 0, "with checksum": 0, "control": 1}
	if kind == "geneve" {
		wants["with checksum"] = 1
	}
	marks := []string{"other key", "other source", "with checksum", "control"}
	for i, m := range marks {
		ears[0].send(ethernet(0xa1+byte(i), 1, m))
	}
	n := ears[1].heard("control", marks...)
	for _, m := range marks {
		if n[m] != wants[m] {
			t.Errorf("%s: heard %d times, want %d", m, n[m], wants[m])
		}
	}
}

// TestTunnelKeyBounds: what one filter, one namespace and one frame can have.
func TestTunnelKeyBounds(t *testing.T) {
	pair := newPair(t)
	h := pair[0]
	ear, wire := h.oneDevice("gretap"), pair[1].listen("eth0")
	h.feed("ip", "route add 198.18.0.0/15 via "+under4[1].Addr().String())
	var peers []netip.Addr
	for i := range 3*filterCopies + 1 {
		peers = append(peers, netip.AddrFrom4([4]byte{198, 18, 0, byte(i + 1)}))
	}
	got := func(mark string) map[netip.Addr]int {
		ear.send(frame(0, 0x88b5, mark))
		n := map[netip.Addr]int{}
		frames := wire.until([]byte(mark))
		for f := wire.next(0); f != nil; f = wire.next(unix.MSG_DONTWAIT) {
			frames = append(frames, f)
		}
		for _, f := range frames {
			if bytes.Contains(f, []byte(mark)) {
				n[netip.AddrFrom4([4]byte(f[30:34]))]++
			}
		}
		return n
	}
	t.Run("one filter", func(t *testing.T) {
		h.t, ear.t, wire.t = t, t, t
		whole := flood(under4[0].Addr(), peers[:filterCopies], segKey)[0]
		more := strings.Replace(flood(under4[0].Addr(), peers[filterCopies:filterCopies+1], segKey)[0], "filter add dev seg7 egress pref 2 protocol all matchall", "", 1)
		if out, err := h.tryFeed("tc", strings.Replace(whole, "continue", "pipe", 1)+more); err != nil {
			t.Skipf("this kernel refuses what 6.1 leaves out in silence: %s", out)
		}
		got("warm")
		if n := got("seventeen"); len(n) != filterCopies || n[peers[filterCopies]] != 0 {
			t.Errorf("a filter for %d peers made copies for %d", filterCopies+1, len(n))
		}
		h.feed("tc", "filter del dev seg7 egress")
	})
	t.Run("many filters", func(t *testing.T) {
		h.t, ear.t, wire.t = t, t, t
		h.feed("tc", flood(under4[0].Addr(), peers, segKey)...)
		n := got("copied")
		for _, p := range peers {
			if n[p] != 1 {
				t.Errorf("%v got %d copies", p, n[p])
			}
		}
	})
	t.Run("one action for a peer", func(t *testing.T) {
		h.t, ear.t, wire.t = t, t, t
		h.feed("tc", "actions add "+toPeer(under4[0].Addr(), peers[0], segKey)+" index 1000 cookie 67726561",
			unicast(macOf(1), "action tunnel_key index 1000"), unicast(macOf(2), "action tunnel_key index 1000"),
			"actions change "+toPeer(under4[0].Addr(), peers[1], segKey)+" index 1000")
		for i := range 2 {
			mark := fmt.Sprintf("moved %d", i)
			ear.send(ethernet(byte(i+2), 9, mark))
			frames := wire.until([]byte(mark))
			if to := netip.AddrFrom4([4]byte(frames[len(frames)-1][30:34])); to != peers[1] {
				t.Errorf("%s went to %v, want %v", mark, to, peers[1])
			}
		}
		if out, err := h.tryFeed("tc", "actions get action tunnel_key index 1000"); err != nil || !bytes.Contains(out, []byte("cookie 67726561")) {
			t.Errorf("the action has lost its owner's mark: %v %s", err, out)
		}
	})
	t.Run("no DF", func(t *testing.T) {
		h.t, ear.t, wire.t = t, t, t
		h.feed("tc", unicast(macOf(3), toPeer(under4[0].Addr(), under4[1].Addr(), segKey)))
		ear.send(append(ethernet(4, 9, "too long"), make([]byte, underlay-100)...))
		frames := wire.until([]byte("too long"))
		if last := frames[len(frames)-1]; !parseOuter(t, last).fragment || last[20]&0x40 != 0 {
			t.Errorf("a frame of the underlay's MTU left as %x", last[14:34])
		}
	})
	t.Run("others", func(t *testing.T) {
		h.t = t
		h.feed("ip", "link add n type geneve external")
		for _, line := range []string{"link add g2 type gretap external", "link add n2 type geneve id 8 remote 192.0.2.2"} {
			if _, err := h.tryFeed("ip", line); err == nil {
				t.Errorf("%s: it is taken beside the other", line)
			}
		}
	})
}

// TestTunnelKeyVLANs: the other way to have many segments on one device. It is a port of one bridge
// that tells VLANs apart; the bridge gives a VLAN its key and back, and filters add the peer.
func TestTunnelKeyVLANs(t *testing.T) {
	hosts := star(t, 2)
	var ears []*tap
	for i, h := range hosts {
		ears = append(ears, h.cable())
		h.feed("ip", "link add g type gretap external", "link add br7 type bridge vlan_filtering 1 mcast_snooping 0",
			"link set g master br7", "link set vm master br7", "link set g type bridge_slave vlan_tunnel on", "link set g up", "link set br7 up")
		h.feed("bridge", "vlan add dev vm vid 10", "vlan add dev vm vid 20", "vlan add dev g vid 10", "vlan add dev g vid 20",
			"vlan add dev g vid 10 tunnel_info id 100", "vlan add dev g vid 20 tunnel_info id 200")
		lines := []string{"qdisc add dev g clsact"}
		for _, key := range []int{100, 200} {
			lines = append(lines, fmt.Sprintf("filter add dev g egress pref 1 protocol all flower enc_key_id %d %s action ok", key, toPeer(star4(i), star4(1-i), key)))
		}
		h.feed("tc", lines...)
	}
	wire := hosts[1].listen("eth0")
	for vlan, key := range map[uint16]uint32{10: 100, 20: 200} {
		mark := fmt.Sprintf("in VLAN %d", vlan)
		_, outer := arrives(t, ears[0], ears[1], wire, frame(vlan, 0x88b5, mark), mark, true)
		if outer != nil && binary.BigEndian.Uint32(outer[38:]) != key {
			t.Errorf("%s left as %x", mark, outer)
		}
	}
}
