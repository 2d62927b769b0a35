package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// overlayDoc has one of everything that ends up as flows, on h1.
func overlayDoc(h *lab.Host) string {
	return vtepOf(h) + fmt.Sprintf(`segments:
- {name: red, key: 100}
- {name: blue, key: 200, unknown: drop}
peers:
- {name: p2, paths: [{remote: 192.0.2.2}], segments: [red, blue]}
- {name: p3, paths: [{remote: 192.0.2.3}], segments: [red], encap: vxlan}
ports:
- {name: red-port, device: r1, attachments: [{segment: red}], macs: [%q]}
- {name: blue-port, device: b1, attachments: [{segment: blue}], macs: [%q]}
fdb:
- {segment: red, mac: %q, peer: p2}
- {segment: red, mac: %q, peer: p3}
- {segment: blue, mac: %q, peer: p2}
`, guestMAC(1), guestMAC(1), guestMAC(2), guestMAC(3), guestMAC(2))
}

func overlayHost(t *testing.T) (*lab.Lab, *lab.Host) {
	t.Helper()
	l := lab.ForTest(t, lab.Options{Hosts: 1})
	start(t, l)
	h := l.Hosts[0]
	guest(t, h, "r1", guestCIDR(1), guestMAC(1), 0)
	guest(t, h, "b1", guestCIDR(1), guestMAC(1), 0)
	apply(t, h, overlayDoc(h))
	return l, h
}

var tableOf = regexp.MustCompile(`table=(\d+), `)

// TestO4ExactDump: what the switch has of a document is this and no more, table
// by table. testdata/dump.txtar has the numbers of ports too: greave asks for them.
func TestO4ExactDump(t *testing.T) {
	t.Parallel()
	_, h := overlayHost(t)
	byTable := map[string][]string{}
	var order []string
	for _, line := range dumpLines(ofctl(t, h, "br-greave", "--no-stats", "--no-names", "dump-flows")) {
		table := "0"
		if m := tableOf.FindStringSubmatch(line); m != nil {
			table = m[1]
		}
		if byTable[table] == nil {
			order = append(order, table)
		}
		byTable[table] = append(byTable[table], line)
	}
	slices.SortFunc(order, func(a, b string) int { return len(a)*1000 - len(b)*1000 + strings.Compare(a, b) })
	var b strings.Builder
	for _, table := range order {
		fmt.Fprintf(&b, "-- table %s --\n%s\n", table, strings.Join(byTable[table], "\n"))
	}
	fmt.Fprintf(&b, "-- groups --\n%s\n", strings.Join(groupsOf(t, h, "br-greave"), "\n"))
	golden(t, "dump.txtar", b.String())
}

// TestL15Explain: each flow of the overlay bridge is explained by one object of
// the document, or by the bridge, and each object that needs flows has some.
func TestL15Explain(t *testing.T) {
	t.Parallel()
	_, h := overlayHost(t)
	flows := map[string]int{}
	for _, line := range flowsOf(t, h, "br-greave") {
		r, err := dial(t, h).Explain(t.Context(), &greavev1.ExplainRequest{Subject: &greavev1.ExplainRequest_Flow{Flow: line}})
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		byCookie, err := dial(t, h).Explain(t.Context(), &greavev1.ExplainRequest{Subject: &greavev1.ExplainRequest_Cookie{Cookie: r.Cookie}})
		if err != nil || byCookie.Kind != r.Kind || byCookie.Name != r.Name {
			t.Errorf("%s is of %s %s, its cookie of %s %s: %v", line, r.Kind, r.Name, byCookie.Kind, byCookie.Name, err)
		}
		if r.Foreign || r.Text == "" || r.Kind != greavev1.ObjectKind_OBJECT_KIND_BRIDGE && r.Source != "operator" {
			t.Errorf("%s: foreign %t, source %q, text %q", line, r.Foreign, r.Source, r.Text)
		}
		flows[strings.ToLower(strings.TrimPrefix(r.Kind.String(), "OBJECT_KIND_"))+" "+r.Name]++
	}
	// One a table that ends in a drop (7), one a step between tables (4), multicast,
	// split horizon, and one a tunnel port (2). A peer: in, out and its group. A
	// segment: a key for each encapsulation, flood from here and from a tunnel, and
	// the drop of unknown ones. A port: in, its address, out.
	want := map[string]int{
		"bridge br-greave": 15, "peer p2": 3, "peer p3": 3, "segment red": 4, "segment blue": 4,
		"port red-port": 3, "port blue-port": 3,
		"fdb red/" + guestMAC(2): 1, "fdb red/" + guestMAC(3): 1, "fdb blue/" + guestMAC(2): 1,
	}
	for name, n := range want {
		if flows[name] != n {
			t.Errorf("%s has %d flows, want %d", name, flows[name], n)
		}
		delete(flows, name)
	}
	if len(flows) > 0 {
		t.Errorf("flows of what the document does not have: %v", flows)
	}
	for _, line := range groupsOf(t, h, "br-greave") {
		r, err := dial(t, h).Explain(t.Context(), &greavev1.ExplainRequest{Subject: &greavev1.ExplainRequest_Flow{Flow: line}})
		if err != nil || r.Foreign || r.Source != "operator" || r.Group == nil || r.Text == "" {
			t.Errorf("%s is explained as %v: %v", line, r, err)
		}
	}
	explainRich(t, h)
	ofctl(t, h, "br-greave", "add-flow", "cookie=0x77,table=99,priority=7,actions=drop")
	line := flowsOf(t, h, "br-greave")
	i := slices.IndexFunc(line, func(s string) bool { return strings.Contains(s, "cookie=0x77,") })
	r, err := dial(t, h).Explain(t.Context(), &greavev1.ExplainRequest{Subject: &greavev1.ExplainRequest_Flow{Flow: line[i]}})
	if err != nil || !r.Foreign || r.Name != "" {
		t.Errorf("a foreign flow is explained as %v: %v", r, err)
	}
}

// explainRich holds every line of the switch to an object that is there, with a
// document that uses all that becomes flows or groups.
func explainRich(t *testing.T, h *lab.Host) {
	t.Helper()
	s := site{h, dial(t, h), t}
	guest(t, h, "t1", "", guestMAC(9), 0)
	s.apply(vtepOf(h) + fmt.Sprintf(`bridges:
- {name: br-greave, forwarding: overlay, datapath: netdev}
- {name: br-safe, datapath: netdev, fail_mode: secure}
- {name: br-l3, datapath: netdev}
segments:
- {name: red, key: 100}
- {name: blue, key: 200, unknown: drop}
- {name: green, key: 300, encap: geneve}
peers:
- {name: p2, paths: [{remote: 192.0.2.2}], segments: [red, blue, green]}
- {name: p3, paths: [{remote: 192.0.2.3}], segments: [red], encap: vxlan}
ports:
- {name: red-port, device: r1, attachments: [{segment: red}], macs: [%q], ips: [10.0.0.1, "2001:db8:1::1"], security: {mac: true, ip: true, arp: true, dhcp_guard: true, ra_guard: true}}
- {name: trunk, device: b1, attachments: [{segment: blue, vlan: 7}, {segment: green, vlan: 8}]}
- {name: three, device: t1, bridge: br-l3, macs: [%q]}
fdb:
- {segment: red, mac: %q, ips: [10.0.0.2, "2001:db8:1::2"], peer: p2}
- {segment: red, mac: %q, peer: p3}
tunnels:
- {name: l3, bridge: br-l3, layer: l3, remote: {address: 192.0.2.202}, key: {fixed: {in: 7, out: 7}}}
`, guestMAC(1), guestMAC(9), guestMAC(2), guestMAC(3)))
	list, err := s.List(t.Context(), &greavev1.ListRequest{})
	s.must(err)
	objects := map[string]bool{}
	for _, o := range list.Objects {
		objects[fmt.Sprint(o.Status.Kind, o.Status.Name)] = true
	}
	lines, tables, groups := 0, map[uint32]bool{}, 0
	for _, bridge := range []string{"br-greave", "br-safe", "br-l3"} {
		for line := range strings.Lines(s.flows(bridge)) {
			if strings.TrimSpace(line) == "priority=0 actions=NORMAL" { // of a standalone bridge, by the switch itself
				continue
			}
			r, err := s.Explain(t.Context(), &greavev1.ExplainRequest{Subject: &greavev1.ExplainRequest_Flow{Flow: line}})
			if err != nil || r.Foreign || !objects[fmt.Sprint(r.Kind, r.Name)] || r.Text == "" {
				t.Errorf("%s: %s is explained as %v: %v", bridge, line, r, err)
				continue
			}
			if lines++; r.Group != nil {
				groups++
			} else {
				tables[r.GetTable()] = true
			}
		}
	}
	if lines < 60 || len(tables) < 9 || groups < 5 {
		t.Errorf("%d lines, %d tables and %d groups: the document is not as rich as was meant", lines, len(tables), groups)
	}
	t.Logf("%d flows of %d tables and %d groups are explained", lines-groups, len(tables), groups)
}

// pairDoc is the document of two hosts that share red, with n entries more on
// h1, each behind the peer that is named.
func pairDoc(l *lab.Lab, h *lab.Host, fields string, more string) string {
	return strings.Replace(segmentDoc(l.Hosts, h, fields), "fdb:\n", "fdb:\n"+more, 1)
}

// lossless runs an event three times under a stream of a packet a millisecond,
// each time beside as long a stream without it, and compares the medians.
func lossless(t *testing.T, from, to *lab.Guest, event func(round int)) {
	t.Helper()
	under := func(what func()) lab.FloodResult {
		f, err := lab.StartFlood(t.Context(), from, to, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Stop()
		what()
		time.Sleep(200 * time.Millisecond)
		return f.Stop()
	}
	var with, without, sent []int
	for round := range 3 {
		began := time.Now()
		w := under(func() { event(round) })
		took := time.Since(began)
		c := under(func() { time.Sleep(took) })
		with, without, sent = append(with, w.Lost), append(without, c.Lost), append(sent, w.Sent)
	}
	t.Logf("lost %v of %v packets, %v without the event", with, sent, without)
	slices.Sort(with)
	slices.Sort(without)
	if with[1] > without[1] {
		t.Errorf("the median loss is %d packets, %d without the event", with[1], without[1])
	}
}

// sampler reads a bridge's flows over and over.
type sampler struct {
	stop func()
	seen map[string]int // how often each set of flows was seen
	err  error
}

func sample(t *testing.T, h *lab.Host, of string) *sampler {
	ctx, cancel := context.WithCancel(t.Context())
	s := &sampler{seen: map[string]int{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			text, err := h.Ofctl(ctx, "br-greave", "--no-stats", "--no-names", "dump-flows", of)
			if err != nil {
				if ctx.Err() == nil {
					s.err = err
				}
				return
			}
			s.seen[strings.Join(dumpLines(text), "\n")]++
		}
	})
	s.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(s.stop)
	return s
}

// only demands that nothing but these sets of flows was ever seen.
func (s *sampler) only(t *testing.T, sets ...[]string) {
	t.Helper()
	s.stop()
	if s.err != nil {
		t.Error(s.err)
	}
	looks := 0
	for set, n := range s.seen {
		looks += n
		if !slices.ContainsFunc(sets, func(want []string) bool { return strings.Join(want, "\n") == set }) {
			t.Errorf("seen %d times: a mixture of %d flows", n, strings.Count(set, "\n")+1)
		}
	}
	t.Logf("%d looks at the flows, %d different", looks, len(s.seen))
}

// TestO4RestartWithChangedIntent: greaved is stopped, its document changed, and
// it is started again. The way of the traffic, a group and the policy for
// unknown addresses change; at no moment are there other flows than the old or
// the new ones, and no packet is lost.
func TestO4RestartWithChangedIntent(t *testing.T) {
	l := lab.ForTest(t, lab.Options{})
	h1, h2 := l.Hosts[0], l.Hosts[1]
	guests := redGuests(t, l.Hosts, 0)
	if err := h2.StartGreaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, h2, segmentDoc(l.Hosts, h2, ""))
	more := entries(200, func(int) string { return "h2" })
	old := pairDoc(l, h1, ", unknown: drop", more)
	changed := strings.Replace(segmentDoc(l.Hosts, h1, ""), "peers:\n", "peers:\n- {name: h9, paths: [{remote: 192.0.2.9}], segments: [red]}\n", 1)
	changed = changed[:strings.Index(changed, "fdb:\n")] + "allow_mass_removal: true\n" // the far guest is reached by flooding
	dir := filepath.Join(h1.RunDir(), "documents")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	restart := func(doc string, flows int) {
		if h1.GreavedPid() != 0 {
			if err := h1.StopGreaved(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "host.yaml"), []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := h1.StartGreaved(t.Context(), "--file", dir); err != nil {
			t.Fatal(err)
		}
		eventually(t, settle, "the file is realised", func() bool {
			out, err := h1.Ofctl(t.Context(), "br-greave", "--no-stats", "--no-names", "dump-flows")
			return err == nil && len(dumpLines(out)) == flows
		})
	}
	const few = 14 + 4 + 3 + 3 // bridge; segment; peer; port
	sets := [][]string{}
	for _, v := range []struct {
		doc   string
		flows int
	}{{changed, few - 1 + 3}, {old, few + 1 + 200}} { // a drop flow less and a peer more; the entries
		restart(v.doc, v.flows)
		sets = append(sets, flowsOf(t, h1, "br-greave"))
	}
	reaches(t, guests[0], guestAddr(2))
	s := sample(t, h1, "")
	lossless(t, guests[0], guests[1], func(round int) {
		if round%2 == 0 {
			restart(changed, len(sets[0]))
		} else {
			restart(old, len(sets[1]))
		}
	})
	s.only(t, sets...)
}

// TestO5BundleIsAtomic: flows change all at once or not at all.
func TestO5BundleIsAtomic(t *testing.T) {
	const n = 2000
	l := lab.ForTest(t, lab.Options{Hosts: 3})
	start(t, l)
	h1 := l.Hosts[0]
	guests := redGuests(t, l.Hosts, 0)
	for _, h := range l.Hosts[1:] {
		apply(t, h, segmentDoc(l.Hosts, h, ""))
	}
	docs := []string{
		pairDoc(l, h1, "", entries(n, spread)),
		pairDoc(l, h1, "", entries(n, func(i int) string { return spread(i + 1) })),
	}
	var sets [][]string
	for _, doc := range docs {
		apply(t, h1, doc)
		sets = append(sets, dumpLines(ofctl(t, h1, "br-greave", "--no-stats", "--no-names", "dump-flows", "table=50")))
	}
	reaches(t, guests[0], guestAddr(2))
	t.Run("replaced", func(t *testing.T) {
		s := sample(t, h1, "table=50")
		lossless(t, guests[0], guests[1], func(round int) { apply(t, h1, docs[round%2]) })
		s.only(t, sets...)
	})
	t.Run("refused", func(t *testing.T) { refusedFlows(t, l, guests, docs[0]) })
	t.Run("conflict", func(t *testing.T) { foreignFlow(t, l, guests) })
}

// refusedFlows lets the switch refuse a part of a change: a table has room for two
// flows more, and the document for four.
func refusedFlows(t *testing.T, l *lab.Lab, guests []*lab.Guest, doc string) {
	h1 := l.Hosts[0]
	apply(t, h1, doc)
	before := flowsOf(t, h1, "br-greave")
	size := len(dumpLines(ofctl(t, h1, "br-greave", "--no-stats", "dump-flows", "table=50")))
	vsctl(t, h1, fmt.Sprintf("-- --id=@full create Flow_Table flow_limit=%d overflow_policy=refuse -- set Bridge br-greave flow_tables:50=@full", size+2))
	var more strings.Builder
	for i := range 4 {
		fmt.Fprintf(&more, "- {segment: red, mac: %q, peer: h2}\n", unknownMAC(i))
	}
	larger := strings.Replace(doc, "fdb:\n", "fdb:\n"+more.String(), 1)
	r, err := dial(t, h1).Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, larger), Wait: durationpb.New(2 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Realised || len(r.NotRealised) == 0 {
		t.Errorf("realised %t, not realised %d objects; the switch has room for 2 of 4", r.Realised, len(r.NotRealised))
	}
	for _, o := range r.NotRealised {
		if !strings.HasPrefix(o.Name, "red/02:ff:") {
			t.Errorf("%s %s is held responsible", o.Kind, o.Name)
		}
	}
	now := flowsOf(t, h1, "br-greave")
	for _, f := range before {
		if _, ok := slices.BinarySearch(now, f); !ok {
			t.Fatalf("gone with the refused change: %s", f)
		}
	}
	if got := echo(t, guests[0], guestAddr(2)); got != 5 {
		t.Errorf("%d of 5 pings answered after the refusal", got)
	}
	vsctl(t, h1, "clear Bridge br-greave flow_tables")
	eventually(t, settle, "all entries are there once the table has room", func() bool { return len(flowsOf(t, h1, "br-greave")) == len(before)+4 })
}

// foreignFlow has somebody else's flow where greave wants its own.
func foreignFlow(t *testing.T, l *lab.Lab, guests []*lab.Guest) {
	h1 := l.Hosts[0]
	doc := segmentDoc(l.Hosts, h1, "")
	apply(t, h1, doc)
	before := flowsOf(t, h1, "br-greave")
	reg := regexp.MustCompile(`reg1=(0x\w+),dl_dst=` + guestMAC(2)).FindStringSubmatch(strings.Join(before, "\n"))
	if reg == nil {
		t.Fatal("no flow for the far guest")
	}
	foreign := fmt.Sprintf("cookie=0xbad, table=50, priority=100,reg1=%s,dl_dst=%s actions=drop", reg[1], unknownMAC(1))
	ofctl(t, h1, "br-greave", "add-flow", strings.Replace(foreign, " actions", ",actions", 1))
	larger := doc + fmt.Sprintf("- {segment: red, mac: %q, peer: h2}\n- {segment: red, mac: %q, peer: h3}\n", unknownMAC(1), unknownMAC(2))
	r, err := dial(t, h1).Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, larger), Wait: durationpb.New(2 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.NotRealised) != 1 || r.NotRealised[0].Name != "red/"+unknownMAC(1) {
		t.Errorf("not realised: %v, want the one entry whose place is taken", r.NotRealised)
	}
	now := flowsOf(t, h1, "br-greave")
	for _, f := range append(before, foreign) {
		if _, ok := slices.BinarySearch(now, f); !ok {
			t.Errorf("gone: %s", f)
		}
	}
	if len(now) != len(before)+2 { // the foreign one and that without a conflict
		t.Errorf("%d flows, want %d", len(now), len(before)+2)
	}
	if got := echo(t, guests[0], guestAddr(2)); got != 5 {
		t.Errorf("%d of 5 pings answered", got)
	}
}
