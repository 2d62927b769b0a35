package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if i := slices.Index(os.Args, "--listen"); i > 0 {
		daemon(strings.TrimPrefix(os.Args[i+1], "unix:"))
		return
	}
	goleak.VerifyTestMain(m)
}

// daemon is what this binary does when it is started in greaved's place: listen until SIGTERM.
func daemon(path string) {
	_ = os.Remove(path)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	fmt.Println("starting", os.Args[1:]) // before it listens: a daemon that answers may be killed at once
	if _, err := net.Listen("unix", path); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	<-term
	fmt.Println("ending")
}

// TestTunnelByHand proves the lab with what it is for: two guests on two hosts, a GRE tunnel made
// with ovs-vsctl, pings, the key on the wire, a flood over an outage, and nothing left at the end.
func TestTunnelByHand(t *testing.T) {
	l := ForTest(t, Options{Hosts: 2, IPv6: true})
	ctx := t.Context()
	guests := tunnelByHand(t, l)
	capture, err := l.Hosts[0].Capture(ctx, "", "proto gre")
	if err != nil {
		t.Fatal(err)
	}
	stats, err := guests[0].Ping(ctx, guests[1].Addr.Addr(), 5, 10*time.Millisecond)
	if err != nil || stats.Sent != 5 || stats.Received < 4 { // the tunnel drops the first while it resolves the VTEP
		t.Errorf("ping = %+v, %v; want 5 sent, 4 or 5 received", stats, err)
	}
	packets, err := capture.Stop()
	if err != nil {
		t.Fatal(err)
	}
	answers := 0
	for _, p := range packets {
		if p.Key == nil || *p.Key != 4242 || p.GREProtocol != 0x6558 || p.Checksum != nil || p.Sequence != nil {
			t.Errorf("outer packet %+v: want key 4242 and nothing else, protocol 0x6558", p)
		}
		if p.Src == l.Hosts[1].VTEP && p.Dst == l.Hosts[0].VTEP && bytes.HasPrefix(p.Inner[12:], []byte{8, 0}) {
			answers++
		}
	}
	if answers != stats.Received {
		t.Errorf("captured %d tunnelled answers, ping received %d", answers, stats.Received)
	}
	testFlood(t, guests)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	assertNothingLeft(t, l)
}

func tunnelByHand(t *testing.T, l *Lab) []*Guest {
	t.Helper()
	var guests []*Guest
	for i, h := range l.Hosts {
		other := l.Hosts[1-i].VTEP.String()
		if _, err := h.Vsctl(t.Context(), "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev",
			"--", "add-port", "br0", "gre1", "--", "set", "Interface", "gre1", "type=gre", "options:remote_ip="+other, "options:key=4242"); err != nil {
			t.Fatal(err)
		}
		n := string(rune('1' + i))
		g, err := h.AddBoundGuest(t.Context(), "br0", "vif-"+n, "vm"+n, "10.0.0."+n+"/24", "02:00:00:00:00:0"+n, 1450)
		if err != nil {
			t.Fatal(err)
		}
		guests = append(guests, g)
	}
	id, err := l.Hosts[0].Vsctl(t.Context(), "get", "Interface", "vm1", "external_ids:iface-id")
	if err != nil || id != "vif-1" {
		t.Errorf("iface-id = %s, %v; want vif-1", id, err)
	}
	return guests
}

func testFlood(t *testing.T, guests []*Guest) {
	t.Helper()
	ctx, host := t.Context(), guests[1].Host
	flood, err := StartFlood(ctx, guests[0], guests[1], time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := host.SetLink(ctx, false); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := host.SetLink(ctx, true); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	r := flood.Stop()
	t.Logf("flood over a cut of 300 ms: %+v", r)
	if r.Sent < 500 || r.Received+r.Lost != r.Sent || r.Lost < 100 || r.LongestLoss < 100 || r.LongestGap < 250*time.Millisecond || r.Duplicates != 0 {
		t.Errorf("flood over a cut of 300 ms: %+v", r)
	}
}

// assertNothingLeft fails for a namespace, a process or a file of the lab.
func assertNothingLeft(t *testing.T, l *Lab) {
	t.Helper()
	for _, ns := range l.namespaces {
		if _, err := os.Stat(filepath.Join(netnsDir, ns)); err == nil {
			t.Errorf("namespace %s is left", ns)
		}
	}
	cmdlines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(cmdlines) == 0 {
		t.Fatalf("list processes: %v", err)
	}
	for _, f := range cmdlines {
		if text, _ := os.ReadFile(f); bytes.Contains(text, []byte(l.dir)) {
			t.Errorf("process %s is left: %s", filepath.Dir(f), bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
		}
	}
	if _, err := os.Stat(l.dir); err == nil {
		t.Errorf("%s is left", l.dir)
	}
}

// TestFailedStart: a start that is cut short leaves nothing either.
func TestFailedStart(t *testing.T) {
	Require(t)
	for _, limit := range []time.Duration{20, 60, 150, 300} {
		ctx, cancel := context.WithTimeout(t.Context(), limit*time.Millisecond)
		l, err := Start(ctx, Options{})
		cancel()
		if err == nil {
			t.Logf("start within %d ms", limit)
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for _, dir := range []string{netnsDir, tmpDir} {
		if left, _ := filepath.Glob(dir + "/gl" + strconv.Itoa(os.Getpid()) + "-*"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// TestRestart: switch and database come back after kill -9, and the VTEP with them.
func TestRestart(t *testing.T) {
	l := ForTest(t, Options{Hosts: 2})
	ctx, h := t.Context(), l.Hosts[0]
	if _, err := h.AddGuest(ctx, "a", "", "02:00:00:00:00:0a", 0); err != nil { // "a" is also a keyword of ip
		t.Error(err)
	}
	h.StopSwitch()
	if _, err := h.Appctl(ctx, "version"); err == nil {
		t.Error("ovs-vswitchd answers after StopSwitch")
	}
	h.StopDB()
	if _, _, err := h.Exec(ctx, "ovs-vsctl", "--timeout=1", "show"); ExitCode(err) <= 0 {
		t.Errorf("ovs-vsctl without database: exit code %d, want failure", ExitCode(err))
	}
	if err := h.StartDB(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.StartSwitch(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.reach(ctx, l.Hosts[1]); err != nil {
		t.Error(err)
	}
}

// TestForeign: the dump is stable, and sees one changed flow, one changed option and one new port.
func TestForeign(t *testing.T) {
	l := ForTest(t, Options{Hosts: 1})
	ctx, h := t.Context(), l.Hosts[0]
	start := time.Now()
	if err := h.AddForeign(ctx); err != nil {
		t.Fatal(err)
	}
	added := time.Since(start)
	dump := func() string {
		t.Helper()
		text, err := h.ForeignDump(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := dump()
	t.Logf("added in %v, dumped in %v, %d lines", added, time.Since(start)-added, strings.Count(before, "\n"))
	for what, want := range map[string]int{"\nPort ": 121, "\nInterface ": 121, "dump-flows": 60, "dump-groups": 20} {
		if n := strings.Count(before, what); n != want {
			t.Errorf("%d lines of %q, want %d", n, what, want)
		}
	}
	if dump() != before {
		t.Error("two dumps of the same state differ")
	}
	changes := []func() error{
		func() error {
			_, err := h.Ofctl(ctx, "fgn3", "--strict", "mod-flows", "table=7,priority=101,ip,nw_dst=203.0.113.4,actions=drop")
			return err
		},
		func() error {
			_, err := h.Vsctl(ctx, "set", "Interface", "fgngre", "options:key=7778")
			return err
		},
		func() error {
			_, err := h.Vsctl(ctx, "add-port", "fgn5", "extra", "--", "set", "Interface", "extra", "type=patch", "options:peer=none")
			return err
		},
	}
	for i, change := range changes {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if after := dump(); after == before {
			t.Errorf("change %d is not seen", i)
		} else {
			before = after
		}
	}
}

// TestGreaved: the daemon starts, dies by kill -9, starts again over its old socket, ends when asked.
func TestGreaved(t *testing.T) {
	l := ForTest(t, Options{Hosts: 1, Greaved: os.Args[0], Greave: "/bin/echo"})
	ctx, h := t.Context(), l.Hosts[0]
	for range 2 {
		if err := h.StartGreaved(ctx, "--extra"); err != nil {
			t.Fatal(err)
		}
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", h.GreavedPid())); err != nil {
			t.Error(err)
		} else if home, _ := os.Readlink("/proc/self/ns/net"); ns == home {
			t.Error("greaved runs outside the host's namespace")
		}
		h.KillGreaved()
	}
	if err := h.StartGreaved(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.StopGreaved(); err != nil || h.GreavedPid() != 0 {
		t.Errorf("StopGreaved = %v, pid %d", err, h.GreavedPid())
	}
	want := fmt.Sprintf("[--name h1 --ovsdb %s --listen %s --state-dir %s --extra]", h.OVSSocket(), h.GreavedSocket(), h.StateDir())
	if log := h.GreavedLog(); strings.Count(log, want) != 2 || strings.Count(log, "ending") != 1 {
		t.Errorf("log %q: want twice %s", log, want)
	}
	if out, _, err := h.Greave(ctx, "get", "ports"); err != nil || out != "--server "+h.GreavedSocket()+" get ports\n" {
		t.Errorf("greave was called with %q, %v", out, err)
	}
}

// TestGreavedFails: the error of a daemon that ends at once holds its output.
func TestGreavedFails(t *testing.T) {
	sh, err := exec.LookPath("false")
	if err != nil {
		t.Skipf("needs the program false: %v", err)
	}
	l := ForTest(t, Options{Hosts: 1, Greaved: sh, Greave: sh})
	h := l.Hosts[0]
	if err := h.StartGreaved(t.Context()); err == nil || !strings.Contains(err.Error(), "process has ended") {
		t.Errorf("StartGreaved = %v", err)
	}
	if _, _, err := h.Greave(t.Context(), "status"); ExitCode(err) != 1 {
		t.Errorf("exit code %d, want 1", ExitCode(err))
	}
	if h.GreavedPid() != 0 {
		t.Error("GreavedPid of an ended daemon is not 0")
	}
}

// TestKilled: the processes of a killed test die with it, and the next lab sweeps up the rest.
func TestKilled(t *testing.T) {
	if os.Getenv("LAB_DIE") != "" {
		ForTest(t, Options{Hosts: 1})
		fmt.Println("started")
		select {}
	}
	Require(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "LAB_DIE=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	dirs, _ := filepath.Glob(tmpDir + "/gl" + strconv.Itoa(cmd.Process.Pid) + "-*")
	spaces, _ := filepath.Glob(netnsDir + "/gl" + strconv.Itoa(cmd.Process.Pid) + "-*")
	if len(dirs) != 1 || len(spaces) != 2 {
		t.Errorf("child has directories %v and namespaces %v, want 1 and 2", dirs, spaces)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	time.Sleep(200 * time.Millisecond)
	sweep()
	dead := &Lab{dir: dirs[0]}
	for _, s := range spaces {
		dead.namespaces = append(dead.namespaces, filepath.Base(s))
	}
	assertNothingLeft(t, dead)
}

func TestHostAddresses(t *testing.T) {
	v4, v6 := vtep(200)
	if v4 != netip.MustParseAddr("192.0.2.200") || v6 != netip.MustParseAddr("2001:db8::c8") {
		t.Errorf("vtep(200) = %s, %s", v4, v6)
	}
}
