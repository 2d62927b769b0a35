package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// option is one thing that a tunnel may state: in a document, as ovs-vsctl writes
// it, and what shows it in an outer packet.
type option struct {
	name, field, byHand string
	excludes            string // the option that sets the same
	only                string // encapsulation that has it; empty: all
	shows               func(p lab.OuterPacket) bool
}

const fixedTTL, fixedTOS = 17, 40

// pingTTL and pingTOS are those of the inner packets.
const pingTTL, pingTOS = 33, 0x48

func summed(p lab.OuterPacket) bool { return p.ChecksumHolds() }

// options are all that change a tunnel's packets besides the key, which each has.
// LOCAL and REMOTE stand for addresses.
var options = []option{
	{name: "local", field: "local: {address: 'LOCAL'}", byHand: "options:local_ip=LOCAL"},
	{name: "checksum", field: "checksum: {out: true}", byHand: "options:csum=true", shows: summed},
	{name: "sequence", field: "sequence: {out: true}", byHand: "options:seq=true", only: "gre", shows: func(p lab.OuterPacket) bool { return p.Sequence != nil }},
	{name: "ttl", field: fmt.Sprintf("ttl: {fixed: %d}", fixedTTL), byHand: fmt.Sprintf("options:ttl=%d", fixedTTL), excludes: "inherited ttl",
		shows: func(p lab.OuterPacket) bool { return p.TTL == fixedTTL }},
	{name: "inherited ttl", field: "ttl: {inherit: true}", byHand: "options:ttl=inherit", shows: func(p lab.OuterPacket) bool { return p.TTL == pingTTL }},
	{name: "tos", field: fmt.Sprintf("tos: {fixed: %d}", fixedTOS), byHand: fmt.Sprintf("options:tos=%d", fixedTOS), excludes: "inherited tos",
		shows: func(p lab.OuterPacket) bool { return p.TOS == fixedTOS }},
	{name: "inherited tos", field: "tos: {inherit: true}", byHand: "options:tos=inherit", shows: func(p lab.OuterPacket) bool { return p.TOS == pingTOS }},
	{name: "no DF", field: "df: false", byHand: "options:df_default=false", shows: func(p lab.OuterPacket) bool { return !p.DF }},
}

// shown is what an outer packet shows without an option.
func (o option) absent(p lab.OuterPacket) bool {
	switch o.name {
	case "checksum":
		return p.Checksum == nil || p.Proto == 17 && p.Src.Is6() // RFC 8200 §8.1 wants one there
	case "no DF":
		return p.DF || p.Src.Is6()
	}
	return o.shows == nil || !o.shows(p)
}

// combination is a tunnel with some options.
type combination struct {
	encap   string
	v6      bool
	flow    bool // remote and key are named by flows; made by ovs-vsctl
	options []option
	refused string // the reason, when greave refuses it

	n int // of its bridge and its networks, and its key
}

func (c combination) String() string {
	names := []string{c.encap, map[bool]string{false: "IPv4", true: "IPv6"}[c.v6]}
	if c.flow {
		names = append(names, "flow-based")
	}
	for _, o := range c.options {
		names = append(names, o.name)
	}
	return strings.Join(names, ", ")
}

func (c combination) bridge() string { return fmt.Sprintf("c%d", c.n) }

func (c combination) addr(host int) netip.Addr { return addr("10.%d.%d.%d", 1+c.n/250, c.n%250, host) }

// vtep is the outer address of a host. A flow-based port has one of its own: Open
// vSwitch tells such ports apart by nothing else.
func (c combination) vtep(h *lab.Host) netip.Addr {
	switch {
	case c.flow && c.v6:
		return addr("2001:db8:f::%d:%d", h.N, c.n)
	case c.flow:
		return addr("198.18.%d.%d", 100*h.N+c.n/250, c.n%250+1)
	case c.v6:
		return h.VTEP6
	}
	return h.VTEP
}

// keys are a different one each way where nothing else is asked, so that both are seen.
func (c combination) keys(host int) (in, out int) {
	if host == 1 {
		return 20000 + c.n, 10000 + c.n
	}
	return 10000 + c.n, 20000 + c.n
}

func (c combination) doc(self, far *lab.Host) string {
	in, out := c.keys(self.N)
	text := fmt.Sprintf("- {name: t-%s, bridge: %s, encap: %s, remote: {address: '%s'}, key: {fixed: {in: %d, out: %d}}", c.bridge(), c.bridge(), c.encap, c.vtep(far), in, out)
	for _, o := range c.options {
		text += ", " + o.field
	}
	return strings.ReplaceAll(text, "LOCAL", c.vtep(self).String()) + "}\n"
}

// byHand is the same for ovs-vsctl.
func (c combination) byHand(self, far *lab.Host) []string {
	in, out := c.keys(self.N)
	options := []string{fmt.Sprintf("options:remote_ip=%q", c.vtep(far)), fmt.Sprintf("options:in_key=%d", in), fmt.Sprintf("options:out_key=%d", out)}
	if c.flow {
		options = []string{"options:remote_ip=flow", "options:key=flow", fmt.Sprintf("options:local_ip=%q", c.vtep(self))}
	}
	for _, o := range c.options {
		options = append(options, strings.ReplaceAll(o.byHand, "LOCAL", fmt.Sprintf("%q", c.vtep(self))))
	}
	return append([]string{"--", "add-br", c.bridge(), "--", "set", "Bridge", c.bridge(), "datapath_type=netdev", "--", "add-port", c.bridge(), "t-" + c.bridge(),
		"--", "set", "Interface", "t-" + c.bridge(), "type=" + c.encap}, options...)
}

// flowTo is the flow by which a flow-based port knows where to send.
func (c combination) flowTo(self, far *lab.Host) string {
	field := "tun_dst"
	if c.v6 {
		field = "tun_ipv6_dst"
	}
	_, key := c.keys(self.N)
	return fmt.Sprintf("priority=9,in_port=LOCAL,actions=set_field:%s->%s,set_field:%d->tun_id,output:t-%s", c.vtep(far), field, key, c.bridge())
}

// combinations are each option alone and every pair.
func combinations(encap string, v6, flow bool) []combination {
	out := []combination{{encap: encap, v6: v6, flow: flow}}
	for i, a := range options {
		if a.only != "" && a.only != encap || flow && a.name == "local" {
			continue
		}
		out = append(out, combination{encap: encap, v6: v6, flow: flow, options: []option{a}})
		for _, b := range options[i+1:] {
			if a.excludes != b.name && (b.only == "" || b.only == encap) {
				out = append(out, combination{encap: encap, v6: v6, flow: flow, options: []option{a, b}})
			}
		}
	}
	return out
}

// TestTunnelOptions: every option alone and every pair, over each encapsulation
// and family, with a fixed remote and key and with flows that name both, all made
// in one transaction. What greave accepts carries packets,
// and each outer header says what was asked and no more; what it refuses, made by
// hand, carries none, or nothing of the option shows.
func TestTunnelOptions(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{IPv6: true})
	start(t, l)
	var all []combination
	for _, k := range []struct {
		encap    string
		v6, flow bool
	}{{"gre", false, false}, {"gre", true, false}, {"vxlan", false, false}, {"vxlan", true, false}, {"geneve", false, false}, {"geneve", true, false}, {"gre", false, true}, {"gre", true, true}, {"vxlan", false, true}, {"geneve", false, true}} {
		all = append(all, combinations(k.encap, k.v6, k.flow)...)
	}
	for i := range all {
		all[i].n = i
	}
	judge(t, l.Hosts[0], l.Hosts[1], all)
	makeCombinations(t, l, all)
	stop := capture(t, l.Hosts[0], "", "ip proto 47 or ip6 proto 47 or udp port 4789 or udp port 6081")
	answered := pingAll(t, l.Hosts[0], all)
	packets := stop()
	sent := map[netip.Addr][]lab.OuterPacket{}
	for _, p := range packets {
		if f := inner(p); f.echo == 8 {
			sent[f.to] = append(sent[f.to], p)
		}
	}
	refused := 0
	for i, c := range all {
		t.Run(c.String(), func(t *testing.T) { c.holds(t, l, answered[i], sent[c.addr(2)]) })
		if c.refused != "" {
			refused++
		}
	}
	t.Logf("%d combinations, %d of them refused", len(all), refused)
}

// judge asks greave about each combination. A flow-based one is judged as the
// plain one, for the shared ports have the same header.
func judge(t *testing.T, self, far *lab.Host, all []combination) {
	t.Helper()
	c := dial(t, self)
	for i := range all {
		doc := fmt.Sprintf("bridges: [{name: %s, datapath: netdev}]\ntunnels:\n%s", all[i].bridge(), all[i].doc(self, far))
		_, err := c.Validate(t.Context(), &greavev1.ValidateRequest{State: parse(t, doc)})
		if err != nil && status.Code(err) != codes.InvalidArgument {
			t.Fatal(err)
		}
		if err != nil {
			all[i].refused = err.Error()
		}
	}
}

// makeCombinations makes what is accepted by one document a host, and the rest and
// what is flow-based by one ovs-vsctl.
func makeCombinations(t *testing.T, l *lab.Lab, all []combination) {
	t.Helper()
	for i, h := range l.Hosts[:2] {
		far := l.Hosts[1-i]
		var bridges, tunnels, links strings.Builder
		hand := []string{"ovs-vsctl", "--timeout=60"}
		for _, c := range all {
			if c.flow || c.refused != "" {
				hand = append(hand, c.byHand(h, far)...)
			} else {
				fmt.Fprintf(&bridges, "- {name: %s, datapath: netdev}\n", c.bridge())
				tunnels.WriteString(c.doc(h, far))
			}
			fmt.Fprintf(&links, "addr add %s/24 dev %s\nlink set %s up\n", c.addr(h.N), c.bridge(), c.bridge())
			if c.flow {
				fmt.Fprintf(&links, "addr add %s/%d dev br-phy%s\n", c.vtep(h), map[bool]int{false: 15, true: 64}[c.v6], map[bool]string{true: " nodad"}[c.v6])
			}
		}
		if _, stderr, err := h.Exec(t.Context(), hand...); err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		apply(t, h, "bridges:\n"+bridges.String()+"tunnels:\n"+tunnels.String())
		path, err := h.WriteFile("links", links.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, stderr, err := h.Exec(t.Context(), "ip", "-batch", path); err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		for _, c := range all {
			if !c.flow {
				continue
			}
			ofctl(t, h, c.bridge(), "add-flow", c.flowTo(h, far))
		}
	}
}

// pingAll pings through all of them at once and says how many of three were
// answered. What should be and was not is tried again: the first packets find
// neighbours, and the machine may have other things to do.
func pingAll(t *testing.T, h *lab.Host, all []combination) []int {
	t.Helper()
	out := make([]int, len(all))
	left := make([]int, len(all))
	for i := range left {
		left[i] = i
	}
	for end := time.Now().Add(3 * settle); len(left) > 0 && time.Now().Before(end); {
		work := make(chan int)
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				for i := range work {
					text, _, _ := h.Exec(t.Context(), "ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", "-t", fmt.Sprint(pingTTL), "-Q", fmt.Sprint(pingTOS), all[i].addr(2).String())
					if m := answered.FindStringSubmatch(text); m != nil {
						out[i], _ = strconv.Atoi(m[1])
					}
				}
			})
		}
		for _, i := range left {
			work <- i
		}
		close(work)
		wg.Wait()
		left = slices.DeleteFunc(left, func(i int) bool { return out[i] == 3 || all[i].refused != "" })
	}
	return out
}

// holds compares a combination with its packets.
func (c combination) holds(t *testing.T, l *lab.Lab, answered int, sent []lab.OuterPacket) {
	if c.refused != "" {
		shows := len(sent) > 0 && answered > 0
		for _, o := range c.options {
			if o.shows != nil && shows {
				shows = !o.absent(sent[len(sent)-1])
			}
		}
		if shows {
			t.Errorf("carries what is asked, and greave refuses it: %s", c.refused)
		}
		return
	}
	if answered != 3 || len(sent) < 3 {
		t.Fatalf("%d of 3 answered, %d requests on the wire", answered, len(sent))
	}
	p := sent[len(sent)-1]
	src := c.vtep(l.Hosts[0])
	if c.v6 && c.flow {
		src = p.Src // over IPv6 the userspace datapath (3.1) asks the route, not local_ip, for the source
	}
	if p.Src != src || p.Dst != c.vtep(l.Hosts[1]) {
		t.Errorf("outer addresses %s > %s", p.Src, p.Dst)
	}
	key, _ := c.keys(2)
	if got := p.Key; c.encap == "gre" && (got == nil || int(*got) != key) {
		t.Errorf("key %v, want %d", got, key)
	}
	if got := p.VNI; c.encap != "gre" && (got == nil || int(*got) != key) {
		t.Errorf("VNI %v, want %d", got, key)
	}
	stated := map[string]bool{}
	for _, o := range c.options {
		stated[o.name] = true
		if o.shows != nil && !o.shows(p) && !(o.name == "no DF" && c.v6) {
			t.Errorf("%s does not show: %+v", o.name, p)
		}
	}
	for _, o := range options {
		if !stated[o.name] && !o.absent(p) {
			t.Errorf("%s shows, and nobody asked for it: %+v", o.name, p)
		}
	}
}
