package guest

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/model/mtu"
)

// ovs is an Open vSwitch of one host.
type ovs struct {
	host
	dir string
}

// newOVS starts a database and a switch in the namespace.
func newOVS(h host) ovs {
	h.t.Helper()
	dir, err := os.MkdirTemp("", "ovs") // the path of a socket must be short
	check(h.t, err)
	o := ovs{h, dir}
	h.t.Cleanup(func() { check(h.t, os.RemoveAll(dir)) })
	db := filepath.Join(dir, "db.sock")
	o.run("ovsdb-tool", "create", filepath.Join(dir, "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
	o.start("ovsdb-server", filepath.Join(dir, "conf.db"), "--remote=punix:"+db, "--no-chdir", "--pidfile")
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("unix", db)
		if err == nil {
			check(h.t, c.Close())
			break
		}
		if time.Now().After(end) {
			h.t.Fatalf("ovsdb-server does not listen: %v\n%s", err, o.log("ovsdb-server"))
		}
	}
	o.run("ovs-vsctl", "--no-wait", "init")
	o.start("ovs-vswitchd", "unix:"+db, "--no-chdir", "--pidfile")
	h.t.Cleanup(func() { o.run("ovs-appctl", "--timeout=20", "exit", "--cleanup") })
	// Waits until the switch has said what it can, the kernel's datapath among that.
	o.run("ovs-vsctl", "--timeout=60", "set", "Open_vSwitch", ".", "external_ids:up=1")
	return o
}

func (o ovs) command(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	o.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "OVS_RUNDIR="+o.dir, "OVS_LOGDIR="+o.dir, "OVS_DBDIR="+o.dir)
	return cmd
}

func (o ovs) run(name string, args ...string) string {
	o.t.Helper()
	var out []byte
	var err error
	o.in(func() { out, err = o.command(name, args...).CombinedOutput() })
	if err != nil {
		o.t.Fatalf("%s %v: %v: %s\n%s", name, args, err, out, o.log("ovs-vswitchd"))
	}
	return string(out)
}

func (o ovs) start(name string, args ...string) {
	o.t.Helper()
	cmd := o.command(name, args...)
	log, err := os.Create(filepath.Join(o.dir, name+".out"))
	check(o.t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	o.in(func() { check(o.t, cmd.Start()) })
	o.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func (o ovs) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(o.dir, name+".out"))
	return string(text)
}

// TestOVSKernelDatapath proves that a switch on the kernel's datapath forwards, to a host that has
// kernel devices only, and sends what package mtu says.
func TestOVSKernelDatapath(t *testing.T) {
	pair := newPair(t)
	o := newOVS(pair[0])
	o.run("ovs-vsctl", "--timeout=30", "add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=system")
	if link := o.up("br0", inner4[0]); link.Type() != "openvswitch" {
		t.Fatalf("br0 is no device of the kernel's datapath: %s", link.Type())
	}
	ears := pair[1].listen("eth0")
	for i, c := range []struct {
		kind string
		spec mtu.Spec
	}{
		{"gre", mtu.Spec{Encap: mtu.GRETAP, Outer: mtu.IPv4, Key: true}},
		{"ip6gre", mtu.Spec{Encap: mtu.GRETAP, Outer: mtu.IPv6, Key: true}},
		{"vxlan", mtu.Spec{Encap: mtu.VXLAN, Outer: mtu.IPv4}},
		{"geneve", mtu.Spec{Encap: mtu.Geneve, Outer: mtu.IPv4}},
	} {
		t.Run(c.kind, func(t *testing.T) {
			o, far := o, pair[1]
			o.t, far.t = t, t
			tunnel(far, 1, c.spec)
			remote := under4[1].Addr()
			if c.spec.Outer == mtu.IPv6 {
				remote = under6[1].Addr()
			}
			// An address of its own: br0 still knows the last device's Ethernet address.
			addr := netip.AddrFrom4([4]byte{10, 9, 0, byte(10 + i)})
			link := far.up("tun", netip.PrefixFrom(addr, 24))
			o.run("ovs-vsctl", "--timeout=30", "add-port", "br0", "t0", "--", "set", "Interface", "t0", "type="+c.kind,
				"options:remote_ip="+strconv.Quote(remote.String()), "options:key=7")
			l := newLine(t, pair, inner4[0].Addr(), addr)
			most, err := c.spec.InnerMTU(underlay)
			check(t, err)
			for _, size := range []int{most - 333, most} {
				crosses(t, l, ears, c.spec, size)
			}
			if c.kind == "gre" || c.kind == "geneve" { // the switch has the namespace's only collect-metadata device
				kind := map[string]string{"gre": "gretap", "geneve": "geneve"}[c.kind]
				if _, err := o.tryFeed("ip", "link add g type "+kind+" external"); err == nil {
					t.Error("a collect-metadata device is taken beside Open vSwitch's")
				}
			}
			o.run("ovs-vsctl", "--timeout=30", "del-port", "t0")
			check(t, far.LinkDel(link))
		})
	}
	// A switch without upcall handlers looks healthy but for this.
	show := o.run("ovs-appctl", "--timeout=20", "dpctl/show")
	m := regexp.MustCompile(`lookups: hit:(\d+) missed:\d+ lost:(\d+)`).FindStringSubmatch(show)
	if m == nil || !strings.Contains(show, "system@") || m[2] != "0" {
		t.Fatalf("upcalls are lost, or this is no kernel datapath:\n%s", show)
	}
	if hits, _ := strconv.Atoi(m[1]); hits < 8 {
		t.Errorf("the kernel forwarded only %d packets by itself", hits)
	}
}
