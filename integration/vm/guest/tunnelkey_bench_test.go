package guest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBenchTunnelKey measures the segment of TestTunnelKey beside one with a gretap device a peer,
// in one run. Its figures go into bench-vm-tunnelkey.json; none of them fails the test.
func TestBenchTunnelKey(t *testing.T) {
	scale := 50
	if *benchFull {
		scale = 1
	}
	b := &bench{t: t}
	b.tunnelKeyCrowds(scale)
	if *benchFull {
		b.tunnelKeyThroughput()
	}
	text, err := json.MarshalIndent(b.all, "", "  ")
	check(t, err)
	check(t, os.WriteFile(filepath.Join(os.Getenv("GREAVE_ARTIFACTS"), "bench-vm-tunnelkey.json"), text, 0o644))
}

func peerOf(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, byte(18 + i/62500), byte(i / 250 % 250), byte(1 + i%250)})
}
func farMAC(i int) string { return fmt.Sprintf("02:00:01:%02x:%02x:%02x", i>>16, i>>8&255, i&255) }

// crowdEnd is a segment with peers that do not exist, behind an underlay that takes all it is given.
type crowdEnd struct {
	host
	peers, addresses int
	ear              *tap
	took, memory     float64 // s and KiB that its making took
}

func newCrowdEnd(t *testing.T) host {
	h := newHost(t)
	h.withoutIPv6()
	h.feed("ip", "link add under type dummy", "link set under up", "addr add 192.0.2.1/32 dev under", "route add 198.18.0.0/15 dev under src 192.0.2.1")
	return h
}

// byDevices makes a segment as greave does: a device a peer, and n addresses spread over them.
func byDevices(t *testing.T, peers, n int) crowdEnd {
	e := crowdEnd{host: newCrowdEnd(t), peers: peers, addresses: n}
	e.ear = e.cable()
	var links, entries []string
	for i := range peers {
		links = append(links, fmt.Sprintf("link add t%d type gretap local 192.0.2.1 remote %s key %d ttl 64", i, peerOf(i), segKey),
			fmt.Sprintf("link set t%d master br7", i), fmt.Sprintf("link set t%d type bridge_slave isolated on", i), fmt.Sprintf("link set t%d up", i))
	}
	for i := range n {
		entries = append(entries, fmt.Sprintf("fdb add %s dev t%d master static", farMAC(i), i%peers))
	}
	e.feed("ip", "link add br7 type bridge mcast_snooping 0", "link set vm master br7", "link set br7 up")
	before, began := memory(t), time.Now()
	e.feed("ip", links...)
	e.feed("bridge", entries...)
	e.took, e.memory = time.Since(began).Seconds(), before-memory(t)
	return e
}

// byFilters makes the same segment on one device, an address behind each peer. With shared the
// filters of a peer have one action, and all filters one for what is the same in all.
func byFilters(t *testing.T, n int, shared bool) crowdEnd {
	e := crowdEnd{host: newCrowdEnd(t), peers: n, addresses: n}
	e.ear = e.oneDevice("gretap")
	local := netip.MustParseAddr("192.0.2.1")
	var peers []netip.Addr
	var lines, entries []string
	for i := range n {
		peers = append(peers, peerOf(i))
		lines = append(lines, unicast(farMAC(i), toPeer(local, peerOf(i), segKey)), known(peerOf(i), segKey))
		entries = append(entries, fmt.Sprintf("fdb add %s dev seg7 master static", farMAC(i)))
	}
	lines = append(lines, flood(local, peers, segKey)...)
	if shared {
		lines = share(lines, local, peers)
	}
	before, began := memory(t), time.Now()
	if shared {
		e.feed("tc", "actions add action mirred egress redirect dev g index 900001", "actions add action mirred egress mirror dev g index 900002",
			"actions add action mirred ingress redirect dev seg7 index 900003", "actions add action tunnel_key unset index 900004")
	}
	e.feed("tc", lines...)
	e.feed("bridge", entries...)
	e.took, e.memory = time.Since(began).Seconds(), before-memory(t)
	return e
}

// share gives each peer's action a number and the filters that number.
func share(lines []string, local netip.Addr, peers []netip.Addr) []string {
	words := []string{"mirred egress redirect dev g", "mirred index 900001", "mirred ingress redirect dev seg7", "mirred index 900003", "tunnel_key unset", "tunnel_key index 900004"}
	var actions []string
	for i, p := range peers {
		to := toPeer(local, p, segKey)
		actions = append(actions, fmt.Sprintf("actions add %s index %d", to, i+1))
		words = append(words, to+" ", fmt.Sprintf("action tunnel_key index %d ", i+1))
	}
	// The one of a flood that hands on to the next filter is not like the others.
	words = append([]string{"mirred egress mirror dev g continue", "mirred egress mirror dev g continue", "mirred egress mirror dev g", "mirred index 900002"}, words...)
	r := strings.NewReplacer(words...)
	for _, l := range lines {
		actions = append(actions, r.Replace(l))
	}
	return actions
}

// sent is how many packets the underlay has taken.
func (e crowdEnd) sent() int {
	e.t.Helper()
	l, err := e.LinkByName("under")
	check(e.t, err)
	return int(l.Attrs().Statistics.TxPackets)
}

// flood sends a frame to all and tells how many copies left, and in what time, µs.
func (e crowdEnd) flood() (n int, took float64) {
	e.t.Helper()
	before, began := e.sent(), time.Now()
	e.ear.send(frame(0, 0x88b5, "to all"))
	for end := time.Now().Add(patience); e.sent()-before < e.peers && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	took = float64(time.Since(began).Microseconds())
	time.Sleep(50 * time.Millisecond) // for one too many
	return e.sent() - before, took
}

// perFrame is what a frame costs on its way to the underlay, µs. The addresses are taken in an
// order that has nothing to do with that of their making.
func (e crowdEnd) perFrame(frames, addresses int) float64 {
	e.t.Helper()
	before, began := e.sent(), time.Now()
	for i := range frames {
		a := i * 7919 % addresses
		f := ethernet(0, 1, "to one")
		f[2], f[3], f[4], f[5] = 1, byte(a>>16), byte(a>>8), byte(a)
		check(e.t, unix.Send(e.ear.fd, f, 0))
	}
	took := float64(time.Since(began).Microseconds()) / float64(frames)
	if n := e.sent() - before; n < frames {
		e.t.Logf("%d of %d frames left", n, frames)
	}
	return took
}

// inTurns measures two things in turns, since the machine has other work at times, and returns the
// medians.
func inTurns(a, b func() float64) (float64, float64) {
	var as, bs []float64
	for range 5 {
		as, bs = append(as, a()), append(bs, b())
	}
	slices.Sort(as)
	slices.Sort(bs)
	return as[2], bs[2]
}

func (b *bench) tunnelKeyCrowds(scale int) {
	devices, many := 512/scale, 10000/scale
	sizes, ways := []int{devices}, []bool{true}
	if *benchFull {
		sizes, ways = append(sizes, 1000, many), []bool{false, true}
	}
	newCrowdEnd(b.t).oneDevice("gretap") // the drivers are loaded
	rival := byDevices(b.t, devices, devices)
	name := fmt.Sprintf("%d gretap devices", devices)
	for _, n := range sizes {
		for _, shared := range ways {
			e := byFilters(b.t, n, shared)
			what := fmt.Sprintf("%d peers by filters", n)
			if shared {
				what += ", shared actions"
			}
			b.add(what+": a peer's making", 1e3*e.took/float64(n), "ms", name, 1e3*rival.took/float64(devices), 0)
			b.add(what+": a peer's memory", e.memory/float64(n), "KiB", name, rival.memory/float64(devices), 0)
			b.tunnelKeyFrames(what, e, name, rival, 10000/scale)
		}
	}
	if *benchFull {
		b.tunnelKeyFrames(fmt.Sprintf("%s, %d addresses", name, many), byDevices(b.t, devices, many), name, rival, 10000)
	}
}

// tunnelKeyFrames compares what a frame costs in two segments.
func (b *bench) tunnelKeyFrames(what string, e crowdEnd, name string, rival crowdEnd, frames int) {
	copies := map[int]int{} // by peers
	each := func(e crowdEnd) func() float64 {
		return func() float64 {
			n, took := e.flood()
			copies[e.peers] = n
			return took / float64(e.peers)
		}
	}
	mine, theirs := inTurns(each(e), each(rival))
	b.add(fmt.Sprintf("%s: each of %d copies to all", what, copies[e.peers]), mine, "µs", name, theirs, 0)
	mine, theirs = inTurns(func() float64 { return e.perFrame(frames, e.addresses) }, func() float64 { return rival.perFrame(frames, rival.addresses) })
	b.add(what+": a frame to one", mine, "µs", name, theirs, 0)
	mine, theirs = inTurns(func() float64 { return e.perFrame(frames, 1) }, func() float64 { return rival.perFrame(frames, 1) })
	b.add(what+": a frame, always to the same", mine, "µs", name, theirs, 0)
}

// tunnelKeyThroughput compares TCP through one device and filters with TCP through a gretap device
// in a bridge, in turns.
func (b *bench) tunnelKeyThroughput() {
	ours, hands := newPair(b.t), newPair(b.t)
	for i, h := range ours {
		local, remote := under4[i].Addr(), under4[1-i].Addr()
		h.oneDevice("gretap", append(flood(local, []netip.Addr{remote}, segKey), known(remote, segKey))...)
		h.feed("ip", "link set seg7 mtu 1458")
	}
	for i, h := range hands {
		h.feed("ip", fmt.Sprintf("link add tun type gretap local %s remote %s key %d ttl 64", under4[i].Addr(), under4[1-i].Addr(), segKey),
			"link add br7 type bridge mcast_snooping 0", "link set tun master br7", "link set tun up", "link set br7 up")
	}
	for _, pair := range [][2]host{ours, hands} {
		for i, h := range pair {
			h.feed("ip", fmt.Sprintf("addr add %s dev br7", inner4[i]), "link set br7 mtu 1458")
		}
	}
	for i, h := range ours { // to the other's bridge, so that nothing is flooded
		br, err := ours[1-i].LinkByName("br7")
		check(b.t, err)
		h.feed("tc", unicast(br.Attrs().HardwareAddr.String(), toPeer(under4[i].Addr(), under4[1-i].Addr(), segKey)))
	}
	mine, theirs := inTurns(func() float64 { return tcpRate(ours, inner4[1].Addr()) }, func() float64 { return tcpRate(hands, inner4[1].Addr()) })
	b.add("TCP through one device and filters", mine, "Mbit/s", "a gretap device in a bridge", theirs, 0)
}

// tcpRate is the throughput of two seconds of TCP, in Mbit/s.
func tcpRate(pair [2]host, to netip.Addr) float64 {
	t := pair[0].t
	t.Helper()
	var server net.Listener
	var from net.Conn
	var err error
	pair[1].in(func() { server, err = net.Listen("tcp", netip.AddrPortFrom(to, 0).String()) })
	check(t, err)
	defer server.Close()
	pair[0].in(func() { from, err = net.Dial("tcp", server.Addr().String()) })
	check(t, err)
	arrived := make(chan int)
	go func() {
		total, buffer := 0, make([]byte, 1<<18)
		defer func() { arrived <- total }()
		at, err := server.Accept()
		if err != nil {
			return
		}
		defer at.Close()
		for n := 1; n > 0; total += n {
			n, _ = at.Read(buffer)
		}
	}()
	began, buffer := time.Now(), make([]byte, 1<<18)
	for time.Since(began) < 2*time.Second {
		_, err := from.Write(buffer)
		check(t, err)
	}
	check(t, from.Close())
	return float64(<-arrived) * 8 / 1e6 / time.Since(began).Seconds()
}
