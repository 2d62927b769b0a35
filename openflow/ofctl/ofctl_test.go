package ofctl_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/openflow/ofctl/ofctltest"
	"github.com/greave-sdn/greave/ovsdb/ovsdbtest"
)

const bridge = "br-test"

// start runs a switch with one bridge and a client for it.
func start(t testing.TB, columns ...string) (*ovsdbtest.Server, *ofctl.Client) {
	t.Helper()
	s := ovsdbtest.Start(t, ovsdbtest.WithSwitch())
	s.VSCtl(append([]string{"add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=dummy", "fail_mode=secure"}, columns...)...)
	return s, ofctl.New(ofctl.Config{RunDir: s.RunDir})
}

// tool runs ovs-ofctl as somebody else would.
func tool(s *ovsdbtest.Server, command string, args ...string) string {
	target := "unix:" + filepath.Join(s.RunDir, bridge+".mgmt")
	return s.Tool("ovs-ofctl", append([]string{"-O", "OpenFlow13,OpenFlow14,OpenFlow15", "--no-names", "--no-stats", command, target}, args...)...)
}

func lines(t testing.TB, name string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", "text", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func flow(t testing.TB, line string) openflow.Flow {
	t.Helper()
	s, err := openflow.ParseFlow(line)
	if err != nil || !s.Parsed {
		t.Fatal(line, s, err)
	}
	return s.Flow
}

func group(t testing.TB, line string) openflow.Group {
	t.Helper()
	s, err := openflow.ParseGroup(line)
	if err != nil || !s.Parsed {
		t.Fatal(line, s, err)
	}
	return s.Group
}

// state is all that the switch holds, in its own words and sorted.
func state(s *ovsdbtest.Server) string {
	out := strings.Split(tool(s, "dump-flows")+"\n"+tool(s, "dump-groups"), "\n")
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func apply(t testing.TB, c *ofctl.Client, ch openflow.Change) {
	t.Helper()
	if err := c.Apply(t.Context(), bridge, ch); err != nil {
		t.Fatal(err)
	}
}

// TestFormsReadBack holds the text form against a real switch, word for word.
func TestFormsReadBack(t *testing.T) {
	s, c := start(t)
	var ch openflow.Change
	for _, line := range lines(t, "groups.txt") {
		ch.SetGroups = append(ch.SetGroups, group(t, line))
	}
	slices.SortFunc(ch.SetGroups, func(a, b openflow.Group) int { return cmp.Compare(a.ID, b.ID) })
	for _, line := range lines(t, "flows.txt") {
		ch.Add = append(ch.Add, flow(t, line))
	}
	apply(t, c, ch)
	got := strings.Split(state(s), "\n")
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	for _, want := range append(lines(t, "flows.txt"), lines(t, "groups.txt")...) {
		// Table 0 is not printed.
		want = strings.Replace(want, "table=0, ", "", 1)
		if !slices.Contains(got, want) {
			t.Errorf("not read back: %s", want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(got, "\n"))
	}
}

// TestRandomReadBack holds that what is sent and what is dumped parse equal.
func TestRandomReadBack(t *testing.T) {
	for _, protocols := range []string{"OpenFlow15", "OpenFlow14", "OpenFlow13"} {
		t.Run(protocols, func(t *testing.T) {
			_, c := start(t, "protocols="+protocols)
			flows := map[openflow.Key]openflow.Flow{}
			groups := map[openflow.GroupID]openflow.Group{}
			for i := range 1000 {
				f := ofctltest.Flow().Example(i)
				flows[f.Key] = f
				g := ofctltest.Group().Example(i)
				g.ByFlow = g.ByFlow && protocols == "OpenFlow15" // older ones have no word for it
				groups[g.ID] = g
			}
			var ch openflow.Change
			for _, f := range flows {
				ch.Add = append(ch.Add, f)
			}
			apply(t, c, ch) // by go-openvswitch
			ch = openflow.Change{}
			for _, g := range groups {
				ch.SetGroups = append(ch.SetGroups, g)
			}
			apply(t, c, ch) // by a bundle
			seen, err := c.Dump(t.Context(), bridge, ofctl.DumpFilter{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range seen {
				if !f.Parsed || !reflect.DeepEqual(f.Flow, flows[f.Key]) {
					t.Errorf("\ngot  %v\nwant %v", f, flows[f.Key])
				}
			}
			seenGroups, err := c.DumpGroups(t.Context(), bridge)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range seenGroups {
				if !g.Parsed || !reflect.DeepEqual(g.Group, groups[g.ID]) {
					t.Errorf("\ngot  %v\nwant %v", g.Text, groups[g.ID])
				}
			}
			if len(seen) != len(flows) || len(seenGroups) != len(groups) {
				t.Errorf("%d of %d flows, %d of %d groups", len(seen), len(flows), len(seenGroups), len(groups))
			}
		})
	}
}

// TestAtomic holds that a refused bundle changes nothing and names the culprit.
func TestAtomic(t *testing.T) {
	s, c := start(t)
	good := group(t, "group_id=7,type=all,bucket=bucket_id:0,actions=resubmit(,1)")
	kept := flow(t, "cookie=0x1, table=9, priority=1 actions=drop")
	apply(t, c, openflow.Change{Add: []openflow.Flow{kept}})
	before := state(s)
	add := func(n int, bad string) (fs []openflow.Flow) {
		for i := range n {
			fs = append(fs, flow(t, fmt.Sprintf("cookie=0x%x, table=3, priority=%d actions=drop", i, i)))
		}
		fs[n/2] = flow(t, bad)
		return fs
	}
	const bad = "cookie=0x77, table=3, priority=5,tun_id=0x7 actions=set_field:0x1->reg4,group:4711"
	for name, tc := range map[string]struct {
		change openflow.Change
		kind   ofctl.Kind
		line   int
	}{
		"flows only":     {openflow.Change{Add: add(900, bad)}, ofctl.KindAdd, 450},
		"after group":    {openflow.Change{SetGroups: []openflow.Group{good}, Add: add(11, bad), Remove: []openflow.Removal{{Key: kept.Key, Cookie: kept.Cookie}}}, ofctl.KindAdd, 5},
		"refused unsent": {openflow.Change{SetGroups: []openflow.Group{good, {ID: 1}}}, ofctl.KindSetGroup, 1},
		"undecodable": {openflow.Change{SetGroups: []openflow.Group{good}, Add: []openflow.Flow{kept},
			Remove: []openflow.Removal{{Key: kept.Key}, {Key: kept.Key, MatchText: "no_such_field=1"}}}, ofctl.KindRemove, 1},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Apply(t.Context(), bridge, tc.change)
			var e *ofctl.Error
			if !errors.As(err, &e) || e.Kind != tc.kind || e.Line != tc.line || e.Warned {
				t.Errorf("kind %d, line %d: %v", e.Kind, e.Line, err)
			}
			if errors.Is(err, ofctl.ErrNoSwitch) {
				t.Errorf("taken for a lost connection: %v", err)
			}
			if after := state(s); after != before {
				t.Errorf("changed:\n%s\nwas\n%s", after, before)
			}
		})
	}
}

func TestStrictDelete(t *testing.T) {
	s, c := start(t)
	var fs []openflow.Flow
	for _, line := range []string{
		"cookie=0x1, table=3, priority=5,reg1=0x1 actions=drop",
		"cookie=0x1, table=3, priority=5,reg1=0x1,reg2=0x1 actions=drop",
		"cookie=0x1, table=3, priority=6,reg1=0x1 actions=drop",
		"cookie=0x1, table=4, priority=5,reg1=0x1 actions=drop",
		"cookie=0x2, table=5, priority=5,reg1=0x1 actions=drop",
	} {
		fs = append(fs, flow(t, line))
	}
	g := group(t, "group_id=7,type=all,bucket=bucket_id:0,actions=resubmit(,1)")
	apply(t, c, openflow.Change{Add: fs, SetGroups: []openflow.Group{g}})
	tool(s, "add-flow", "cookie=0x1,table=6,priority=9,tcp,nw_src=10.0.0.0/8,actions=drop")
	tool(s, "add-flow", "cookie=0x1,table=6,priority=9,tcp,actions=drop")
	apply(t, c, openflow.Change{
		Remove: []openflow.Removal{
			{Key: fs[0].Key, Cookie: 1},
			{Key: fs[4].Key, Cookie: 1}, // of another object: stays
			{Key: openflow.Key{Table: 6, Priority: 9}, MatchText: "tcp,nw_src=10.0.0.0/8", Cookie: 1},
		},
		DropGroups: []openflow.GroupID{7, 8},
	})
	const want = `
 cookie=0x1, table=3, priority=5,reg1=0x1,reg2=0x1 actions=drop
 cookie=0x1, table=3, priority=6,reg1=0x1 actions=drop
 cookie=0x1, table=4, priority=5,reg1=0x1 actions=drop
 cookie=0x1, table=6, priority=9,tcp actions=drop
 cookie=0x2, table=5, priority=5,reg1=0x1 actions=drop`
	if got := state(s); !strings.Contains(got, strings.TrimPrefix(want, "\n")) || strings.Count(got, "actions=") != 5 {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestForeignSurvive holds that flows which greave cannot write are read, and
// come out of its changes byte-identical.
func TestForeignSurvive(t *testing.T) {
	s, c := start(t)
	foreign := []string{
		"table=5,priority=32768,actions=drop",
		"table=5,priority=1,tcp,nw_src=10.0.0.0/8,tp_dst=80,actions=ct(commit,table=7,zone=3,exec(set_field:0x1->ct_mark)),learn(table=1,hard_timeout=300,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_NX_REG1[]->NXM_NX_REG1[],output:NXM_OF_IN_PORT[])",
		"table=5,priority=2,hard_timeout=2000,importance=5,send_flow_rem,reset_counts,in_port=4,actions=CONTROLLER:65535,note:00.11.22,check_pkt_larger(1500)->NXM_NX_REG0[1]",
		"table=5,priority=3,ct_state=+trk+est,ip,actions=push_vlan:0x8100,set_field:4196->vlan_vid,goto_table:9",
		"table=5,priority=4,icmp6,actions=clone(set_field:0x1/0x1->reg0,output:1),move:NXM_NX_REG0[]->NXM_NX_REG1[],dec_ttl,ALL",
		"table=5,priority=5,reg9=0x1,metadata=0x5,actions=write_actions(output:4)",
		"table=5,priority=7,tun_src=10.0.0.0/8,actions=conjunction(1,1/2)",
		"table=5,priority=8,conj_id=1,actions=bundle(eth_src,0,hrw,ofport,members:4,8)",
	}
	for _, f := range foreign {
		tool(s, "add-flow", f)
	}
	tool(s, "add-group", "group_id=10,type=select,selection_method=hash,fields=ip_src,bucket=bucket_id:0,weight:100,actions=resubmit(,80)")
	tool(s, "add-group", "group_id=12,type=all,bucket=bucket_id:0,actions=learn(table=1,output:NXM_OF_IN_PORT[]),clone(output:1,output:2)")
	before := state(s)
	seen, err := c.Dump(t.Context(), bridge, ofctl.DumpFilter{})
	if err != nil || len(seen) != len(foreign) {
		t.Fatalf("%d flows, %v", len(seen), err)
	}
	groups, err := c.DumpGroups(t.Context(), bridge)
	if err != nil || len(groups) != 2 || groups[0].Parsed || groups[1].Parsed {
		t.Fatalf("%v, %v", groups, err)
	}
	own := flow(t, "cookie=0x9, table=5, priority=100,tun_id=0x1 actions=group:7")
	apply(t, c, openflow.Change{Add: []openflow.Flow{own}, SetGroups: []openflow.Group{group(t, "group_id=7,type=indirect,bucket=bucket_id:0,actions=resubmit(,1)")}})
	apply(t, c, openflow.Change{Remove: []openflow.Removal{{Key: own.Key, Cookie: own.Cookie}}, DropGroups: []openflow.GroupID{7}})
	if after := state(s); after != before {
		t.Errorf("changed:\n%s\nwas\n%s", after, before)
	}
	// What was read can be removed, and nothing else goes with it.
	for _, f := range seen {
		if f.Priority != 32768 {
			apply(t, c, openflow.Change{Remove: []openflow.Removal{{Key: f.Key, MatchText: f.MatchText, Cookie: f.Cookie}}})
		}
	}
	if n := strings.Count(tool(s, "dump-flows"), "actions="); n != 1 {
		t.Errorf("%d flows left", n)
	}
}

func TestDumpFilterAndCounts(t *testing.T) {
	s, c := start(t)
	s.VSCtl("add-port", bridge, "p1", "--", "set", "Interface", "p1", "type=dummy", "ofport_request=9")
	var fs []openflow.Flow
	for i := range 50 {
		f := flow(t, fmt.Sprintf("table=%d, priority=%d actions=drop", i%5, i))
		f.Cookie = openflow.MakeCookie(uint16(1+i%2), 3, openflow.ObjectID(i%10))
		fs = append(fs, f)
	}
	apply(t, c, openflow.Change{Add: fs})
	ctx := t.Context()
	for _, tc := range []struct {
		filter ofctl.DumpFilter
		want   int
	}{
		{ofctl.DumpFilter{}, 50},
		{ofctl.DumpFilter{Cookie: openflow.MakeCookie(2, 0, 0), Mask: openflow.CookieOwnerMask}, 25},
		{ofctl.DumpFilter{Cookie: openflow.MakeCookie(2, 3, 7), Mask: ^openflow.Cookie(0)}, 5},
		{ofctl.DumpFilter{Table: 0, OneTable: true}, 10},
		{ofctl.DumpFilter{Cookie: openflow.MakeCookie(1, 0, 0), Mask: openflow.CookieOwnerMask, Table: 1, OneTable: true}, 5},
	} {
		seen, err := c.Dump(ctx, bridge, tc.filter)
		if err != nil || len(seen) != tc.want {
			t.Errorf("%+v: %d flows, %v", tc.filter, len(seen), err)
		}
	}
	s.Tool("ovs-appctl", "-t", s.Control(), "netdev-dummy/receive", "p1", "in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x1234)")
	awaitTrue(t, "a packet is counted", func() bool {
		flows, packets, err := c.Aggregate(ctx, bridge, openflow.MakeCookie(2, 0, 0), openflow.CookieOwnerMask)
		if err != nil || flows != 25 {
			t.Fatal(flows, err)
		}
		return packets == 1
	})
	stats, err := c.PortStats(ctx, bridge)
	if err != nil || len(stats) != 2 || stats[9].RxPackets != 1 || stats[9].RxBytes < 14 {
		t.Errorf("%+v, %v", stats, err)
	}
	if _, ok := stats[openflow.PortLocal]; !ok {
		t.Errorf("no LOCAL in %+v", stats)
	}
}

func awaitTrue(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not seen: %s", what)
		}
	}
}

// TestHostileNames puts a program in ovs-ofctl's place that leaves a trace.
func TestHostileNames(t *testing.T) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	if err := os.WriteFile(filepath.Join(dir, "ovs-ofctl"), []byte("#!/bin/sh\necho >"+trace+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c := ofctl.New(ofctl.Config{RunDir: dir})
	ch := openflow.Change{Add: []openflow.Flow{{}}}
	for _, name := range []string{
		"", "-b", "--log-file=x", "tcp:127.0.0.1:6653", "unix:/x", "../br0", "br 0", "br\n0", "br;0", "br/0", "1br", "br\x00", "LOCAL", "ovs-system",
		strings.Repeat("b", 16), "brücke",
	} {
		_, dump := c.Dump(t.Context(), name, ofctl.DumpFilter{})
		_, groups := c.DumpGroups(t.Context(), name)
		_, ports := c.PortStats(t.Context(), name)
		_, _, count := c.Aggregate(t.Context(), name, 0, 0)
		for _, err := range []error{dump, groups, ports, count, c.Apply(t.Context(), name, ch), c.Watch(t.Context(), name, func() {})} {
			if err == nil || !strings.Contains(err.Error(), "is no bridge name") {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	long := ofctl.New(ofctl.Config{RunDir: "/" + strings.Repeat("x", 100)})
	if err := long.Apply(t.Context(), bridge, ch); err == nil || !strings.Contains(err.Error(), "107") {
		t.Errorf("long path: %v", err)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("a program was started")
	}
	if err := c.Apply(t.Context(), bridge, ch); err != nil {
		t.Errorf("good name: %v", err)
	}
	if _, err := os.Stat(trace); err != nil {
		t.Error("the trap does not work")
	}
}

// TestStall holds that a switch that does not answer costs the deadline and no
// process.
func TestStall(t *testing.T) {
	s, _ := start(t)
	c := ofctl.New(ofctl.Config{RunDir: s.RunDir, Timeout: 300 * time.Millisecond})
	pid := listener(t, filepath.Join(s.RunDir, bridge+".mgmt"))
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	for _, change := range []openflow.Change{
		{Add: []openflow.Flow{{}}}, {DropGroups: []openflow.GroupID{1}},
	} {
		begin := time.Now()
		err := c.Apply(t.Context(), bridge, change)
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 3*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	}
	if _, err := c.Dump(t.Context(), bridge, ofctl.DumpFilter{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dump: %v", err)
	}
	if err := c.Watch(t.Context(), bridge, func() {}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("watch: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Dump(ctx, bridge, ofctl.DumpFilter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// listener is the process behind a unix socket.
func listener(t *testing.T, path string) int {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return int(cred.Pid)
}

func TestNoSwitchAndVersion(t *testing.T) {
	s, c := start(t)
	ch := openflow.Change{Add: []openflow.Flow{{}}}
	if err := c.Apply(t.Context(), "br-none", ch); !errors.Is(err, ofctl.ErrNoSwitch) {
		t.Errorf("absent: %v", err)
	}
	if err := c.Apply(t.Context(), "br-none", openflow.Change{}); err != nil {
		t.Errorf("empty change: %v", err)
	}
	s.VSCtl("set", "Bridge", bridge, "protocols=OpenFlow10")
	_, err := c.Dump(t.Context(), bridge, ofctl.DumpFilter{})
	for _, err := range []error{err, c.Apply(t.Context(), bridge, ch), c.Watch(t.Context(), bridge, func() {})} {
		if !errors.Is(err, ofctl.ErrVersion) {
			t.Errorf("OpenFlow 1.0 only: %v", err)
		}
	}
	s.KillSwitch()
	if err := c.Apply(t.Context(), bridge, ch); !errors.Is(err, ofctl.ErrNoSwitch) {
		t.Errorf("dead: %v", err)
	}
	if err := c.Watch(t.Context(), bridge, func() {}); !errors.Is(err, ofctl.ErrNoSwitch) {
		t.Errorf("watch of a dead one: %v", err)
	}
}

func TestWatch(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, newest := range []string{"OpenFlow15", "OpenFlow14", "OpenFlow13"} {
		t.Run(newest, func(t *testing.T) { testWatch(t, newest) })
	}
}

func testWatch(t *testing.T, newest string) {
	s, c := start(t)
	s.VSCtl("set", "Bridge", bridge, "protocols=OpenFlow10,"+newest)
	var kicks atomic.Int64
	ended := make(chan error, 1)
	go func() { ended <- c.Watch(t.Context(), bridge, func() { kicks.Add(1) }) }()
	awaitTrue(t, "it listens", func() bool { return kicks.Load() == 1 })
	quiet := func(what string) {
		t.Helper()
		time.Sleep(150 * time.Millisecond)
		if n := kicks.Swap(0); n != 0 {
			t.Errorf("%s: %d kicks", what, n)
		}
	}
	loud := func(what string) {
		t.Helper()
		awaitTrue(t, what, func() bool { return kicks.Load() > 0 })
		time.Sleep(50 * time.Millisecond)
		kicks.Store(0)
	}
	kicks.Store(0)
	own := flow(t, "cookie=0x1, table=3, priority=5,reg1=0x1 actions=drop")
	var many []openflow.Flow
	for i := range 2000 {
		many = append(many, flow(t, fmt.Sprintf("cookie=0x%x, table=4, priority=7,reg1=0x%x actions=drop", i, i)))
	}
	for i := range 20 {
		apply(t, c, openflow.Change{Add: []openflow.Flow{own}})
		own.Cookie++
		own.Actions = []openflow.Action{openflow.Output{Port: openflow.Port(1 + i)}}
	}
	quiet("own adds")
	apply(t, c, openflow.Change{Add: many})
	quiet("many own adds")
	apply(t, c, openflow.Change{Add: many[:1], Remove: []openflow.Removal{{Key: many[1].Key, Cookie: 1}, {Key: many[2].Key, Cookie: 2}}})
	quiet("own removals")
	bad := openflow.Change{Add: []openflow.Flow{many[1], {Key: many[2].Key, Actions: []openflow.Action{openflow.ToGroup{Group: 99}}}}}
	if c.Apply(t.Context(), bridge, bad) == nil {
		t.Error("a bad change was taken")
	}
	time.Sleep(150 * time.Millisecond)
	t.Logf("a refused change made %d kicks", kicks.Swap(0)) // it may: its roll-back shows
	tool(s, "add-flow", fmt.Sprintf("cookie=%s,table=60,priority=3,actions=drop", openflow.MakeCookie(1, openflow.KindLearned, 1)))
	quiet("a learned flow")
	tool(s, "add-flow", "table=3,priority=9,actions=drop")
	loud("a foreign add")
	tool(s, "mod-flows", "table=3,priority=9,actions=NORMAL")
	loud("a foreign modification")
	tool(s, "del-flows", "table=4")
	loud("a foreign removal of own flows")
	s.KillSwitch()
	if err := <-ended; !errors.Is(err, ofctl.ErrNoSwitch) {
		t.Errorf("watch ended: %v", err)
	}
}

// TestWatchDuringApply holds that a foreign write is seen even in the midst of
// own ones.
func TestWatchDuringApply(t *testing.T) {
	s, c := start(t)
	var kicks atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Watch(ctx, bridge, func() { kicks.Add(1) }) }()
	awaitTrue(t, "it listens", func() bool { return kicks.Swap(0) == 1 })
	foreign := make(chan bool)
	go func() {
		defer close(foreign)
		for i := range 20 {
			tool(s, "add-flow", fmt.Sprintf("table=9,priority=%d,actions=drop", i))
		}
	}()
	own := flow(t, "cookie=0x1, table=3, priority=5,reg1=0x1 actions=drop")
	for range 20 {
		apply(t, c, openflow.Change{Add: []openflow.Flow{own}})
	}
	<-foreign
	awaitTrue(t, "a kick", func() bool { return kicks.Load() > 0 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestBundleCost compares a bundle of 10,000 flows with bare ovs-ofctl.
func TestBundleCost(t *testing.T) {
	s, c := start(t)
	var fs []openflow.Flow
	var text []byte
	for i := range 10000 {
		f := flow(t, fmt.Sprintf("cookie=0x%x, table=50, priority=100,reg1=0x%x,dl_dst=02:00:00:00:%02x:%02x actions=set_field:0x%x->reg3,resubmit(,80)", i+1, i%100, i>>8, i&255, i))
		fs = append(fs, f)
		text = append(openflow.AppendFlow(text, f), '\n')
	}
	file := filepath.Join(t.TempDir(), "flows")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	timed := func(do func()) time.Duration {
		best := time.Hour
		for range 3 {
			tool(s, "del-flows")
			begin := time.Now()
			do()
			best = min(best, time.Since(begin))
		}
		return best
	}
	bare := timed(func() { tool(s, "add-flows", file, "--bundle") })
	library := timed(func() { apply(t, c, openflow.Change{Add: fs}) })
	mixed := timed(func() { apply(t, c, openflow.Change{Add: fs, DropGroups: []openflow.GroupID{1}}) })
	begin := time.Now()
	seen, err := c.Dump(t.Context(), bridge, ofctl.DumpFilter{})
	if err != nil || len(seen) != len(fs) {
		t.Fatal(len(seen), err)
	}
	t.Logf("10,000 flows: bare %v, flows only %v (%.2f), mixed bundle %v (%.2f), dump and parse %v",
		bare, library, float64(library)/float64(bare), mixed, float64(mixed)/float64(bare), time.Since(begin))
	if library > 10*bare || mixed > 10*bare {
		t.Error("more than ten times the cost of bare ovs-ofctl")
	}
}
