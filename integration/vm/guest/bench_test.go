package guest

import (
	"encoding/json"
	flags "flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// benchFull is set by make bench-vm; without it the bench is a smoke at 1/50 of its size.
var benchFull = flags.Bool("bench-full", false, "run TestBench at full size")

// measure is one figure beside its rival of the same run.
type measure struct {
	Name       string  `json:"name"`
	Value      float64 `json:"value"`
	Unit       string  `json:"unit"`
	Rival      string  `json:"rival"`
	RivalValue float64 `json:"rival_value"`
	Ratio      float64 `json:"ratio"`
	Goal       string  `json:"goal"`
	Met        bool    `json:"met"`
}

type bench struct {
	t   *testing.T
	all []measure
}

// add books a figure; a goal of 0 is none, one below 1 is a least ratio, one above a most.
func (b *bench) add(name string, value float64, unit, rival string, rivalValue, goal float64) {
	m := measure{Name: name, Value: value, Unit: unit, Rival: rival, RivalValue: rivalValue, Met: true}
	if rivalValue != 0 {
		m.Ratio = value / rivalValue
	}
	switch {
	case goal >= 1:
		m.Goal, m.Met = fmt.Sprintf("≤ %.2f", goal), m.Ratio <= goal
	case goal > 0:
		m.Goal, m.Met = fmt.Sprintf("≥ %.2f", goal), m.Ratio >= goal
	}
	b.all = append(b.all, m)
	b.t.Logf("%-52s %9.3f %-6s %-34s %9.3f  ratio %6.2f  %-7s %v", m.Name, m.Value, m.Unit, m.Rival, m.RivalValue, m.Ratio, m.Goal, m.Met)
}

// memory is what the kernel and all programs have left, in KiB.
func memory(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	check(t, err)
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); words[0] == "MemAvailable:" {
			n, err := strconv.ParseFloat(words[1], 64)
			check(t, err)
			return n
		}
	}
	t.Fatal("no MemAvailable")
	return 0
}

// batch is what ip -batch makes of the same tunnels as tunnelList.
func batch(n int) (lines []string) {
	for i := range n {
		lines = append(lines,
			fmt.Sprintf("link add t%d type gre local 192.0.2.1 remote 192.0.2.2 key %d ttl 64", i, i+101),
			fmt.Sprintf("addr add 10.100.%d.%d/30 dev t%d", i/60, 4*(i%60)+1, i), fmt.Sprintf("link set t%d up", i))
	}
	return lines
}

func (h host) ip(stdin string, args ...string) {
	h.t.Helper()
	h.in(func() {
		cmd := exec.Command("ip", args...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			h.t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	})
}

// TestBench measures greave beside what people do by hand, in one run. Its figures go into
// bench-vm.json; none of them fails the test.
func TestBench(t *testing.T) {
	n := 20
	if *benchFull {
		n = 1000
	}
	b := &bench{t: t}
	b.devices(n)
	if *benchFull {
		b.throughput()
	}
	text, err := json.MarshalIndent(b.all, "", "  ")
	check(t, err)
	check(t, os.WriteFile(filepath.Join(os.Getenv("GREAVE_ARTIFACTS"), "bench-vm.json"), text, 0o644))
}

// byBatch is how long one ip -batch takes to make the tunnels, in a namespace of its own.
func (b *bench) byBatch(n int) float64 {
	h := b.warm()
	text := strings.Join(batch(n), "\n") + "\n"
	began := time.Now()
	h.ip(text, "-batch", "-")
	return time.Since(began).Seconds()
}

// byAgent is how long a running greaved takes from Apply to all tunnels up, each read back and found
// as it was stated. It is the daemon's first document. Nothing of another round runs beside it.
func (b *bench) byAgent(name string, n int) (a *agent, took, memoryEach float64) {
	a = b.warm().withAgent(name)
	state := parse(b.t, tunnelList(0, n, ""))
	before := memory(b.t)
	began := time.Now()
	r := a.submit(state)
	took = time.Since(began).Seconds()
	if !r.Realised {
		b.t.Fatalf("%s: not realised: %v", name, r.NotRealised)
	}
	return a, took, (before - memory(b.t)) / float64(n)
}

// warm is a host in which the driver has made a device, as both sides of a comparison find it.
func (b *bench) warm() host {
	h := newPair(b.t)[0]
	h.ip("", "link", "add", "warm", "type", "gre", "local", "192.0.2.1", "remote", "192.0.2.9")
	return h
}

// median of an odd number of figures.
func median(figures []float64) float64 {
	slices.Sort(figures)
	return figures[len(figures)/2]
}

func (b *bench) devices(n int) {
	t := b.t
	var byBatch, byAgent, perDevice []float64
	var a *agent
	for round := range 3 { // who is first alternates
		if round%2 == 0 {
			byBatch = append(byBatch, b.byBatch(n))
		}
		if a != nil {
			a.kill()
		}
		var took, each float64
		a, took, each = b.byAgent(fmt.Sprintf("bench-%d", round), n)
		byAgent, perDevice = append(byAgent, took), append(perDevice, each)
		if round%2 == 1 {
			byBatch = append(byBatch, b.byBatch(n))
		}
		t.Logf("round %d: greave %.2f s, ip -batch %.2f s", round+1, byAgent[round], byBatch[round])
	}
	took := median(byAgent)
	alone := b.warm()
	few := max(1, n/50)
	began := time.Now()
	for _, line := range batch(few) {
		alone.ip("", strings.Fields(line)...)
	}
	one := time.Since(began).Seconds() * float64(n) / float64(few)
	what := fmt.Sprintf("%d gre devices, Apply to all up and read back", n)
	b.add(what, took, "s", "ip -batch, median of 3 each", median(byBatch), 1.2)
	b.add(what, took, "s", fmt.Sprintf("ip, a process a line (%d scaled up)", few), one, 1)
	began = time.Now()
	if p := a.plan(); p != "" {
		t.Fatalf("a second plan:\n%s", p)
	}
	b.add(fmt.Sprintf("an empty second plan at %d devices", n), time.Since(began).Seconds(), "s", "", 0, 0)
	b.add(fmt.Sprintf("writes of a restart at %d devices", n), float64(writes(a)), "", "", 0, 0)

	f := newPair(t)[0].withAgent("flow")
	var doc strings.Builder
	doc.WriteString("tunnels:\n- name: many\n  remote: {flow: true}\n  key: {fixed: {out: 7}}\n  neighbours:\n")
	for i := range n {
		fmt.Fprintf(&doc, "  - {overlay: 10.128.%d.%d, underlay: 198.18.%d.%d}\n", i/250, 1+i%250, i/250, 1+i%250)
	}
	state := parse(t, doc.String())
	before := memory(t)
	began = time.Now()
	if r := f.submit(state); !r.Realised {
		t.Fatalf("not realised: %v", r.NotRealised)
	}
	b.add(fmt.Sprintf("%d far ends of one collect-metadata device", n), time.Since(began).Seconds(), "s", "a device each", took, 1)
	b.add("memory a far end, agent included", (before-memory(t))/float64(n), "KiB", "a device each", median(perDevice), 1)
	if p := f.plan(); p != "" {
		t.Fatalf("a second plan:\n%s", p)
	}
}

// writes counts what changes in the kernel's tables while greaved starts again and makes its first pass.
func writes(a *agent) (n int) {
	a.t.Helper()
	links, done := make(chan netlink.LinkUpdate, 1000), make(chan struct{})
	check(a.t, netlink.LinkSubscribeAt(a.ns, links, done))
	routes := make(chan netlink.RouteUpdate, 1000)
	check(a.t, netlink.RouteSubscribeAt(a.ns, routes, done))
	addrs := make(chan netlink.AddrUpdate, 1000)
	check(a.t, netlink.AddrSubscribeAt(a.ns, addrs, done))
	a.kill()
	a.run()
	a.eventually("the plan is empty", func() bool { return a.plan() == "" })
	for end := time.After(2 * time.Second); ; {
		select {
		case <-links:
		case <-routes:
		case <-addrs:
		case <-end:
			close(done)
			return n
		}
		n++
	}
}

// throughput compares TCP through greave's tunnels with TCP through the same ones made by hand.
func (b *bench) throughput() {
	t := b.t
	pair := newPair(t)
	plain := iperf(pair, under4[1].Addr().String())
	key := "key: {fixed: {in: 7, out: 7}}"
	for _, c := range []struct{ name, hand, doc string }{
		{"gre", "type gre local %s remote %s key 7 ttl 64", "tunnels: [{name: tun, local: {address: %s}, remote: {address: %s}, " + key + ", addresses: [%s]}]"},
		{"gretap", "type gretap local %s remote %s key 7 ttl 64", "tunnels: [{name: tun, bridge: br9, local: {address: %s}, remote: {address: %s}, " + key + "}]\nbridges: [{name: br9, addresses: [%s]}]"},
		{"vxlan", "type vxlan id 7 local %s remote %s dstport 4789 ttl 64 df set noudpcsum", "tunnels: [{name: tun, bridge: br9, encap: vxlan, local: {address: %s}, remote: {address: %s}, " + key + "}]\nbridges: [{name: br9, addresses: [%s]}]"},
	} {
		ours, hands := newPair(t), newPair(t)
		for i, h := range ours {
			h.withAgent(fmt.Sprintf("%s-%d", c.name, i)).apply(c.doc, under4[i].Addr(), under4[1-i].Addr(), inner4[i])
		}
		for i, h := range hands {
			h.ip("", append([]string{"link", "add", "tun"}, strings.Fields(fmt.Sprintf(c.hand, under4[i].Addr(), under4[1-i].Addr()))...)...)
			top := "tun"
			if c.name != "gre" {
				top = "br9"
				h.ip("link add br9 type bridge\nlink set tun master br9\nlink set tun up\nlink set br9 up\n", "-batch", "-")
			}
			h.ip(fmt.Sprintf("link set %s up\naddr add %s dev %s\n", top, inner4[i], top), "-batch", "-")
		}
		var mine, theirs []float64
		for range 3 {
			mine = append(mine, iperf(ours, inner4[1].Addr().String()))
			theirs = append(theirs, iperf(hands, inner4[1].Addr().String()))
		}
		slices.Sort(mine)
		slices.Sort(theirs)
		b.add("TCP through greave's "+c.name, mine[1], "Mbit/s", "the same made by hand", theirs[1], 0.95)
		b.add("TCP through "+c.name, mine[1], "Mbit/s", "no tunnel", plain, 0)
	}
}

// iperf is the throughput of two seconds of TCP, in Mbit/s.
func iperf(pair [2]host, to string) float64 {
	t := pair[0].t
	t.Helper()
	server := exec.Command("iperf3", "-s", "-1")
	pair[1].in(func() { check(t, server.Start()) })
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	var report struct {
		End struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	last := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var out []byte
		var err error
		pair[0].in(func() { out, err = exec.Command("iperf3", "-c", to, "-t", "2", "-J").Output() })
		if err == nil && json.Unmarshal(out, &report) == nil && report.End.Received.Bits > 0 {
			return report.End.Received.Bits / 1e6
		}
		last = string(out)
	}
	t.Fatalf("iperf3 to %s does not run: %s", to, last)
	return 0
}
