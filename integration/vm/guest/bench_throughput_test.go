package guest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// carrier is a kind of tunnel that TCP goes through: as a document for greave, and as commands that
// make the same. In both %[1]s is the local and %[2]s the remote address.
type carrier struct {
	name   string
	doc    string
	byHand string // lines of ip, or with ovs arguments of ovs-vsctl
	device string // what gets the inner address
	ovs    int    // 0, or the MTU of Open vSwitch's bridge, bytes, which nothing sets by itself
}

const (
	keyed    = "key: {fixed: {in: 7, out: 7}}"
	onBridge = "bridges: [{name: br9}]\ntunnels: [{name: tun, bridge: br9, local: {address: %[1]s}, remote: {address: %[2]s}, " + keyed + ", encap: "
	onSwitch = "bridges: [{name: br9, datapath: system}]\ntunnels: [{name: tun, bridge: br9, local: {address: %[1]s}, remote: {address: %[2]s}, " + keyed + ", encap: "
	enslaved = "\nlink add br9 type bridge\nlink set tun master br9\nlink set tun up"
	added    = "add-br br9 -- set Bridge br9 datapath_type=system -- add-port br9 tun -- set Interface tun options:key=7 options:local_ip=%[1]s options:remote_ip=%[2]s type="
)

var carriers = []carrier{
	{"kernel gre", "tunnels: [{name: tun, local: {address: %[1]s}, remote: {address: %[2]s}, " + keyed + "}]",
		"link add tun type gre local %[1]s remote %[2]s key 7 ttl 64", "tun", 0},
	{"kernel gretap", onBridge + "gre}]", "link add tun type gretap local %[1]s remote %[2]s key 7 ttl 64" + enslaved, "br9", 0},
	{"kernel vxlan", onBridge + "vxlan}]", "link add tun type vxlan id 7 local %[1]s remote %[2]s dstport 4789 ttl 64 df set noudpcsum" + enslaved, "br9", 0},
	// A Geneve device has no local address.
	{"kernel geneve", strings.Replace(onBridge, "local: {address: %[1]s}, ", "", 1) + "geneve}]",
		"link add tun type geneve id 7 remote %[2]s ttl 64 df set noudpcsum" + enslaved, "br9", 0},
	{"OVS gre", onSwitch + "gre}]", added + "gre", "br9", 1458},
	{"OVS vxlan", onSwitch + "vxlan}]", added + "vxlan", "br9", 1450},
	{"OVS geneve", onSwitch + "geneve}]", added + "geneve", "br9", 1450},
}

// pipe is a way for TCP between two hosts.
type pipe struct {
	hosts [2]host
	to    netip.Addr
}

// TestBenchThroughput compares TCP through greave's tunnels with TCP through the same ones made by
// hand, and with TCP without a tunnel, in bench-vm-throughput.json. Each ratio is the median of pairs
// of runs, one straight after the other.
func TestBenchThroughput(t *testing.T) {
	rounds := 1
	if *benchFull {
		rounds = 7
	}
	b := &bench{}
	for _, c := range carriers {
		if !*benchFull && c.name != "kernel gre" && c.name != "OVS gre" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			b.t = t
			pipes := [3]pipe{c.agents(t), c.hands(t), {newPair(t), under4[1].Addr()}}
			var rate [3][]float64
			var toHand, toPlain []float64
			for range rounds {
				for i, p := range pipes {
					rate[i] = append(rate[i], p.iperf())
				}
				n := len(rate[0]) - 1
				toHand, toPlain = append(toHand, rate[0][n]/rate[1][n]), append(toPlain, rate[0][n]/rate[2][n])
			}
			t.Logf("to the one made by hand %.2f, to no tunnel %.2f", toHand, toPlain)
			// The median of paired ratios, not the ratio of medians: load comes and goes.
			b.book(measure{Name: "TCP through greave's " + c.name, Value: median(rate[0]), Unit: "Mbit/s",
				Rival: "the same made by hand", RivalValue: median(rate[1]), Ratio: median(toHand)}, 0.95)
			b.book(measure{Name: "TCP through " + c.name, Value: median(rate[0]), Unit: "Mbit/s",
				Rival: "no tunnel", RivalValue: median(rate[2]), Ratio: median(toPlain)}, 0)
		})
	}
	b.t = t
	b.write("bench-vm-throughput.json")
}

// agents makes the tunnel by greave on two hosts.
func (c carrier) agents(t *testing.T) pipe {
	return c.pipe(t, func(h host, i int) {
		name := strings.ReplaceAll(c.name, " ", "-") + strconv.Itoa(i)
		var a *agent
		if c.ovs > 0 {
			a = newOVS(h).withAgent(name)
		} else {
			a = h.withAgent(name)
		}
		a.apply(c.doc, under4[i].Addr(), under4[1-i].Addr())
	})
}

// hands makes the same by ip or ovs-vsctl.
func (c carrier) hands(t *testing.T) pipe {
	return c.pipe(t, func(h host, i int) {
		text := fmt.Sprintf(c.byHand, under4[i].Addr(), under4[1-i].Addr())
		if c.ovs > 0 {
			newOVS(h).run("ovs-vsctl", append([]string{"--timeout=60"}, strings.Fields(text)...)...)
		} else {
			h.ip(text+"\n", "-batch", "-")
		}
	})
}

// pipe makes a tunnel on two hosts, and gives each end its address.
func (c carrier) pipe(t *testing.T, tunnel func(h host, i int)) pipe {
	pair := newPair(t)
	for i, h := range pair {
		tunnel(h, i)
		link := h.up(c.device, inner4[i])
		if c.ovs > 0 {
			check(t, h.LinkSetMTU(link, c.ovs))
		}
	}
	return pipe{pair, inner4[1].Addr()}
}

// iperf is the throughput of a second of TCP, in Mbit/s.
func (p pipe) iperf() float64 {
	t := p.hosts[0].t
	t.Helper()
	server := exec.Command("iperf3", "-s", "-1")
	p.hosts[1].in(func() { check(t, server.Start()) })
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
		p.hosts[0].in(func() { out, err = exec.Command("iperf3", "-c", p.to.String(), "-t", "1", "-J").Output() })
		if err == nil && json.Unmarshal(out, &report) == nil && report.End.Received.Bits > 0 {
			return report.End.Received.Bits / 1e6
		}
		last = string(out)
	}
	t.Fatalf("iperf3 to %s does not run: %s", p.to, last)
	return 0
}
