package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

// in runs f on a thread in the namespace: processes that it starts are there.
func (l *lab) in(f func()) {
	l.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	check(l.t, err)
	defer home.Close()
	check(l.t, netns.Set(l.ns))
	defer func() { check(l.t, netns.Set(home)) }()
	f()
}

// TestManyDevices shows what 1,000 GRE devices take, next to the same by ip -batch in another
// namespace of the same kernel. It asserts nothing of time.
func TestManyDevices(t *testing.T) {
	needGuest(t, "the kernel driver ip_gre")
	const n = 1000
	theirs, ours := newLab(t), newLab(t)
	theirs.underlays()
	ours.underlays()
	var batch strings.Builder
	for i := range n {
		fmt.Fprintf(&batch, "link add g%d type gre local 192.0.2.1 remote 192.0.2.9 key %d ttl 64\nlink set g%d up alias greave-%d addrgenmode none\n", i, i+1, i, i)
	}
	file := filepath.Join(t.TempDir(), "batch")
	check(t, os.WriteFile(file, []byte(batch.String()), 0o600))
	began := time.Now()
	theirs.in(func() {
		if out, err := exec.Command("ip", "-batch", file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	byHand := time.Since(began)
	began = time.Now()
	for i := range n {
		key := fmt.Sprint(i + 1)
		check(t, ours.do(plan.Create, linkRow(fmt.Sprintf("g%d", i), "gre", "local=192.0.2.1", "remote=192.0.2.9", "ikey="+key, "okey="+key)))
	}
	took := time.Since(began)
	began = time.Now()
	owned := 0
	for _, r := range ours.read(ours.scope()) {
		if r.Owned && r.Table == rows.Link {
			owned++
		}
	}
	if owned != n {
		t.Errorf("%d devices are read", owned)
	}
	t.Logf("%d gre devices: %.2f s, ip -batch %.2f s, ratio %.2f; a reading %.2f s", n, took.Seconds(), byHand.Seconds(), took.Seconds()/byHand.Seconds(), time.Since(began).Seconds())
}

// TestManyEncapRoutes shows what 10,000 peers on one collect-metadata device take, and what 2,000 do
// whose routes have one metric: the kernel looks for an equal next hop among those of a hash that
// counts the metric and not the encapsulation (fib_info_hashfn), so that they take quadratic time.
func TestManyEncapRoutes(t *testing.T) {
	needGuest(t, "the kernel driver ip_gre")
	add := func(l *lab, n, metrics int) time.Duration {
		l.underlays()
		l.must(plan.Create, linkRow("g0", "gre", "external=true"))
		began := time.Now()
		for i := range n {
			check(t, l.do(plan.Create, row(rows.Route, "", fmt.Sprintf("10.%d.%d.0/24 table 254 metric %d", i/256, i%256, i%metrics),
				"dev=g0", fmt.Sprintf("encap=ip id %d dst 192.0.2.9 ttl 64 key", i))))
		}
		return time.Since(began)
	}
	const n, few = 10_000, 2000
	l := newLab(t)
	took := add(l, n, n)
	began := time.Now()
	found := 0
	for _, r := range l.read(l.scope()) {
		if r.Table == rows.Route && r.Owned && strings.HasPrefix(r.Fields[rows.FieldEncap], "ip id ") {
			found++
		}
	}
	if found != n {
		t.Errorf("%d routes are read", found)
	}
	reading := time.Since(began)
	t.Logf("%d encap routes, a metric each: %.2f s, a reading %.2f s; %d of one metric: %.2f s", n, took.Seconds(), reading.Seconds(), few, add(newLab(t), few, 1).Seconds())
}

// TestMissingModule: the error of a driver that is really away names what loads it. The kernel loads
// modules by itself through modprobe, so this takes modprobe from it.
func TestMissingModule(t *testing.T) {
	needGuest(t, "to unload the kernel drivers geneve and fou")
	const helper = "/proc/sys/kernel/modprobe"
	was, err := os.ReadFile(helper)
	check(t, err)
	check(t, os.WriteFile(helper, []byte("/none\n"), 0))
	defer func() {
		check(t, os.WriteFile(helper, was, 0))
		_ = exec.Command("modprobe", "geneve").Run()
	}()
	if out, err := exec.Command("modprobe", "-r", "geneve").CombinedOutput(); err != nil {
		t.Skipf("needs to unload the kernel driver geneve, which is in use: %v: %s", err, out)
	}
	l := newLab(t)
	err = l.do(plan.Create, linkRow("x0", "geneve", "id=7", "remote=192.0.2.9"))
	if !IsDriverMissing(err) || !strings.Contains(fmt.Sprint(err), "modprobe geneve") {
		t.Errorf("got %v", err)
	}
	t.Log(err)
	if out, err := exec.Command("modprobe", "-r", "fou6", "fou").CombinedOutput(); err != nil {
		t.Skipf("needs to unload the kernel driver fou, which is in use: %v: %s", err, out)
	}
	defer func() { _ = exec.Command("modprobe", "-a", "fou", "fou6").Run() }()
	err = l.do(plan.Create, row(rows.FOU, "", "inet 5555", "type=fou"))
	if !IsDriverMissing(err) || !strings.Contains(fmt.Sprint(err), "modprobe fou") {
		t.Errorf("got %v", err)
	}
	l.read(l.scope())
}
