package integration

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// frame is one Ethernet frame or IP packet as far as the tests look at it.
type frame struct {
	dst      string // Ethernet address; empty where the capture is not of a tunnel
	from, to netip.Addr
	echo     uint8 // ICMP type: 8 request, 0 reply; 255 is none of ICMP
	seq      uint16
}

// inner is what a captured packet carries: the frame in a tunnel, or the packet
// itself where it is in none.
func inner(p lab.OuterPacket) frame {
	if p.Proto != 47 && p.Proto != 17 {
		return packet(frame{from: p.Src, to: p.Dst}, p.Proto, p.Inner)
	}
	b := p.Inner
	if p.Proto == 17 && p.VNI == nil && len(b) >= 8 { // VXLAN on another port than its own
		b = b[8:]
	}
	switch p.GREProtocol {
	case 0x0800: // layer 3
		b = append(append(make([]byte, 12), 8, 0), b...)
	case 0x88be: // ERSPAN type II
		b = b[min(8, len(b)):]
	case 0x22eb: // ERSPAN type III
		b = b[min(12, len(b)):]
	}
	if len(b) < 14 {
		return frame{echo: 255}
	}
	f := frame{dst: net.HardwareAddr(b[:6]).String(), echo: 255}
	if binary.BigEndian.Uint16(b[12:]) != 0x0800 || len(b) < 34 {
		return f
	}
	b = b[14:]
	f.from, f.to = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	return packet(f, b[9], b[20:])
}

func packet(f frame, proto uint8, payload []byte) frame {
	f.echo = 255
	if proto == 1 && len(payload) >= 8 {
		f.echo, f.seq = payload[0], binary.BigEndian.Uint16(payload[6:])
	}
	return f
}

// echoes are the captured echo requests between two guests' addresses.
func echoes(packets []lab.OuterPacket, from, to netip.Addr) []lab.OuterPacket {
	return pick(packets, func(p lab.OuterPacket) bool {
		f := inner(p)
		return f.echo == 8 && f.from == from && f.to == to
	})
}

func pick[T any](list []T, keep func(T) bool) []T {
	var out []T
	for _, v := range list {
		if keep(v) {
			out = append(out, v)
		}
	}
	return out
}

// copies counts how often each echo request to an address is in a capture, in
// order of number.
func copies(packets []lab.OuterPacket, to netip.Addr) []int {
	bySeq := map[uint16]int{}
	last := uint16(0)
	for _, p := range packets {
		if f := inner(p); f.echo == 8 && f.to == to {
			bySeq[f.seq]++
			last = max(last, f.seq)
		}
	}
	out := make([]int, last)
	for seq, n := range bySeq {
		if seq > 0 {
			out[seq-1] = n
		}
	}
	return out
}

// each is n times the number v, for comparison with copies.
func each(n, v int) []int { return slices.Repeat([]int{v}, n) }

// capture starts a capture on a device of a host, "" for its underlay NIC; the
// function it returns ends it.
func capture(t *testing.T, h *lab.Host, dev, filter string) func() []lab.OuterPacket {
	t.Helper()
	c, err := h.Capture(t.Context(), dev, filter)
	if err != nil {
		t.Fatal(err)
	}
	return func() []lab.OuterPacket {
		t.Helper()
		packets, err := c.Stop()
		if err != nil {
			t.Fatal(err)
		}
		return packets
	}
}

var answered = regexp.MustCompile(`(\d+) received`)

// echo pings with further arguments of ping(8), 5 times unless args have -c,
// and returns how many were answered. ping(8) waits for the last answer no
// longer than an interval, or twice the longest round trip, once it had one.
func echo(t *testing.T, g *lab.Guest, to netip.Addr, args ...string) int {
	t.Helper()
	argv := append([]string{"ping", "-n", "-q", "-W", "1", "-i", "0.1", "-c", "5"}, args...)
	out, _, err := g.Exec(t.Context(), append(argv, to.String())...)
	m := answered.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("ping %s from %s: %v: %q", to, g.Name, err, out)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// reaches waits until a guest's ping is answered: the first packets find the
// neighbours of guests and underlay.
func reaches(t *testing.T, g *lab.Guest, to netip.Addr) {
	t.Helper()
	eventually(t, 10*time.Second, fmt.Sprintf("%s reaches %s", g.Name, to), func() bool { return echo(t, g, to, "-c", "1", "-W", "0.3") == 1 })
}

// unreachable fails the test when any of 5 pings is answered.
func unreachable(t *testing.T, g *lab.Guest, to netip.Addr) {
	t.Helper()
	if n := echo(t, g, to, "-W", "0.5"); n != 0 {
		t.Errorf("%s reaches %s: %d answers", g.Name, to, n)
	}
}

// guest adds a guest that hears nothing but what the test sends: without IPv6
// at either end of its cable, which is talkative.
func guest(t *testing.T, h *lab.Host, name, cidr, mac string, mtu int) *lab.Guest {
	t.Helper()
	g, err := h.AddGuest(t.Context(), name, cidr, mac, mtu)
	if err != nil {
		t.Fatal(err)
	}
	quiet := "echo 1 > /proc/sys/net/ipv6/conf/%s/disable_ipv6"
	inGuest(t, g, "sh", "-c", fmt.Sprintf(quiet, "eth0"))
	if _, _, err := h.Exec(t.Context(), "sh", "-c", fmt.Sprintf(quiet, g.Dev)); err != nil {
		t.Fatal(err)
	}
	return g
}

func inGuest(t *testing.T, g *lab.Guest, argv ...string) string {
	t.Helper()
	out, stderr, err := g.Exec(t.Context(), argv...)
	if err != nil {
		t.Fatalf("%s in %s: %v: %s", strings.Join(argv, " "), g.Name, err, stderr)
	}
	return out
}

// heard is the number of frames that a guest has received since it exists.
func heard(t *testing.T, g *lab.Guest) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(inGuest(t, g, "cat", "/sys/class/net/eth0/statistics/rx_packets")))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// vsctl runs ovs-vsctl on a host as its operator would.
func vsctl(t *testing.T, h *lab.Host, args string) string {
	t.Helper()
	out, err := h.Vsctl(t.Context(), strings.Fields(args)...)
	if err != nil {
		t.Fatalf("ovs-vsctl %s: %v", args, err)
	}
	return out
}

func ofctl(t *testing.T, h *lab.Host, bridge string, args ...string) string {
	t.Helper()
	out, err := h.Ofctl(t.Context(), bridge, args...)
	if err != nil {
		t.Fatalf("ovs-ofctl %v %s: %v", args, bridge, err)
	}
	return out
}

// flowsOf is a bridge's flows without counters, sorted.
func flowsOf(t *testing.T, h *lab.Host, bridge string) []string {
	t.Helper()
	return dumpLines(ofctl(t, h, bridge, "--no-stats", "--no-names", "dump-flows"))
}

func groupsOf(t *testing.T, h *lab.Host, bridge string) []string {
	t.Helper()
	return dumpLines(ofctl(t, h, bridge, "--no-names", "dump-groups"))
}

// dumpLines leaves out the head of the reply, which has a random number.
func dumpLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, "(xid=") {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// peersOf are the other hosts as peers of one host, as lines of a document;
// rest follows the paths of each, such as ", segments: [red]".
func peersOf(hosts []*lab.Host, self *lab.Host, rest string) string {
	var b strings.Builder
	for _, h := range hosts {
		if h != self {
			fmt.Fprintf(&b, "- {name: %s, paths: [{remote: %s}]%s}\n", h.Name, h.VTEP, rest)
		}
	}
	return b.String()
}

func vtepOf(h *lab.Host) string { return fmt.Sprintf("vteps: [{name: v, address: %s}]\n", h.VTEP) }

func addr(format string, args ...any) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf(format, args...))
}

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares a text with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}
