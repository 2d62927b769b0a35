package guest

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const kept = 20 // tunnels that have things of others on them

// foreignOn puts 200 things of others' on greave's own devices: qdiscs, filters, routes and addresses
// on tunnels, rules, and what an EVPN daemon adds to a segment's devices.
func (h host) foreignOn(bridge, vxlan string) {
	h.t.Helper()
	var ip, tc, br []string
	for i := range kept {
		tc = append(tc, fmt.Sprintf("qdisc add dev t%d root handle 1: prio", i), fmt.Sprintf("qdisc add dev t%d clsact", i),
			fmt.Sprintf("filter add dev t%d ingress pref 7 protocol ip flower dst_ip 10.77.%d.1 action drop", i, i))
		ip = append(ip, fmt.Sprintf("address add 10.78.%d.1/24 dev t%d", i, i), fmt.Sprintf("route add 10.79.%d.0/24 dev t%d proto 186", i, i),
			fmt.Sprintf("rule add pref %d from 10.79.%d.0/24 lookup 500", 1000+i, i),
			fmt.Sprintf("neighbour add 10.80.0.%d lladdr 02:00:00:00:80:%02x dev %s nud noarp protocol zebra extern_learn", i+1, i, bridge))
		br = append(br, fmt.Sprintf("fdb add 02:00:00:00:81:%02x dev %s dst 198.18.9.%d self extern_learn", i, vxlan, i+1),
			fmt.Sprintf("fdb add 02:00:00:00:82:%02x dev %s dst 198.18.9.%d self static", i, vxlan, i+1),
			fmt.Sprintf("fdb add 02:00:00:00:81:%02x dev %s master extern_learn", i, vxlan))
	}
	tc = append(tc, "qdisc add dev "+vxlan+" clsact", "filter add dev "+vxlan+" egress pref 7 matchall action pass")
	h.feed("tc", tc...)
	h.feed("ip", ip...)
	h.feed("bridge", br...)
}

// foreignLines is what there is of it, a thing a line, in order.
func (h host) foreignLines(bridge, vxlan string) (lines []string) {
	h.t.Helper()
	keep := func(tool string, yes func(line string) bool, commands ...string) {
		h.in(func() {
			cmd := exec.Command(tool, "-batch", "-")
			cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
			out, err := cmd.Output()
			if err != nil {
				h.t.Fatalf("%s: %v", tool, err)
			}
			for line := range strings.Lines(string(out)) {
				if line = strings.TrimSpace(line); yes(line) {
					lines = append(lines, tool+" "+line)
				}
			}
		})
	}
	has := func(words ...string) func(string) bool {
		return func(line string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) })
		}
	}
	keep("tc", has("qdisc prio", "qdisc clsact"), "qdisc show")
	for i := range kept {
		keep("tc", has("handle", "dst_ip", "gact"), fmt.Sprintf("filter show dev t%d ingress", i))
	}
	keep("tc", has("handle", "gact"), "filter show dev "+vxlan+" egress")
	keep("ip", has("10.78."), "address show")
	keep("ip", has("10.79."), "route show table all proto 186", "rule show")
	keep("ip", has("extern_learn"), "neighbour show dev "+bridge+" nud noarp")
	keep("bridge", has("00:00:81:", "00:00:82:"), "fdb show dev "+vxlan)
	slices.Sort(lines)
	return lines
}

// TestForeignOnOurDevices: more than 200 things that others put on greave's devices stay as they are
// while greave makes, changes, mends and removes its own, and when it is killed and started.
func TestForeignOnOurDevices(t *testing.T) {
	pair := newPair(t)
	a := pair[0].withAgent("host-0")
	segment := func(n int, options string) string {
		s := strings.Replace(crowd("vxlan", n, true), "encap: vxlan}", "encap: vxlan"+options+"}", 1)
		return strings.Replace(s, "segments: [", "segments: [{name: blue, key: 200, encap: gre}, ", 1)
	}
	a.apply("%s", segment(3, "")+tunnelList(0, kept+5, ""))
	bridge, vxlan := a.one("bridge", "red"), a.one("vxlan", "red")
	a.foreignOn(bridge, vxlan)
	before := a.foreignLines(bridge, vxlan)
	if len(before) < 200 {
		t.Fatalf("only %d foreign things:\n%s", len(before), strings.Join(before, "\n"))
	}
	same := func(after string) {
		t.Helper()
		if now := a.foreignLines(bridge, vxlan); !slices.Equal(now, before) {
			t.Errorf("after %s there are %d of %d: gone %v, new %v", after, len(now), len(before), less(before, now), less(now, before))
		}
	}
	a.apply("%s", segment(6, "")+tunnelList(0, kept+10, ""))
	same("more objects")
	a.apply("%s", segment(6, ", learning: true")+tunnelList(0, kept+10, ", ttl: {fixed: 9}"))
	same("a change of all")
	l, err := a.LinkByName("t3")
	check(t, err)
	check(t, a.LinkSetMTU(l, 1000))
	a.eventually("drift is mended", func() bool { return a.plan() == "" && strings.Contains(a.log(), "drift repaired") })
	same("a repair")
	a.kill()
	a.run()
	a.apply("%s", segment(6, ", learning: true")+tunnelList(0, kept+10, ", ttl: {fixed: 10}"))
	same("kill -9 and a start")
	last := strings.Replace(segment(1, ""), "{name: blue, key: 200, encap: gre}, ", "", 1)
	a.apply("%s", last+tunnelList(0, kept, ""))
	same("the removal of others")
	t.Logf("%d foreign things", len(before))
}

// less is what of one list is not in the other.
func less(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// one is the device of a kind whose mark names a segment.
func (h host) one(kind, segment string) string {
	h.t.Helper()
	links, err := h.LinkList()
	check(h.t, err)
	for _, l := range links {
		if l.Type() == kind && strings.HasSuffix(l.Attrs().Alias, " segment/"+segment) {
			return l.Attrs().Name
		}
	}
	h.t.Fatalf("no %s device of segment %s", kind, segment)
	return ""
}
