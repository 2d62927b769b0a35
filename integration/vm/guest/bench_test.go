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

// add books a figure and its ratio to the rival's.
func (b *bench) add(name string, value float64, unit, rival string, rivalValue, goal float64) {
	m := measure{Name: name, Value: value, Unit: unit, Rival: rival, RivalValue: rivalValue}
	if rivalValue != 0 {
		m.Ratio = value / rivalValue
	}
	b.book(m, goal)
}

// book books a figure; a goal of 0 is none, one below 1 is a least ratio, one above a most.
func (b *bench) book(m measure, goal float64) {
	m.Met = true
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
	b.write("bench-vm.json")
}

// write leaves the figures in a file that comes back.
func (b *bench) write(name string) {
	text, err := json.MarshalIndent(b.all, "", "  ")
	check(b.t, err)
	check(b.t, os.WriteFile(filepath.Join(os.Getenv("GREAVE_ARTIFACTS"), name), text, 0o644))
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
		b.t.Fatalf("%s: %d objects are not realised, the first: %v", name, len(r.NotRealised), r.NotRealised[0])
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
