package guest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// tunnelList is a document with n tunnels, to far ends that need not be there.
func tunnelList(from, n int, options string) string {
	var b strings.Builder
	b.WriteString("tunnels:\n")
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "- {name: t%d, local: {address: 192.0.2.1}, remote: {address: 192.0.2.2}, key: {fixed: {in: %d, out: %d}}, addresses: [10.100.%d.%d/30]%s}\n",
			i, i+101, i+101, i/60, 4*(i%60)+1, options)
	}
	return b.String()
}

// TestKernelNameTaken: a device of somebody else's is left alone, and told of; its going away lets
// the tunnel come.
func TestKernelNameTaken(t *testing.T) {
	_, both := agents(t)
	a := both[0]
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "t1", 1234
	check(t, a.LinkAdd(&netlink.Dummy{LinkAttrs: attrs}))
	before, err := a.LinkByName("t1")
	check(t, err)
	r := a.try(tunnelList(0, 3, ""))
	if r.Realised || len(r.NotRealised) != 1 || r.NotRealised[0].State != failed || !strings.Contains(r.NotRealised[0].String(), "adopt") {
		t.Errorf("%v", r.NotRealised)
	}
	after, err := a.LinkByName("t1")
	check(t, err)
	if after.Attrs().Index != before.Attrs().Index || after.Attrs().MTU != 1234 || after.Attrs().Alias != "" {
		t.Errorf("it became %+v", after.Attrs())
	}
	a.becomes("t0", active, "")
	a.becomes("t2", active, "")
	check(t, a.LinkDel(after))
	a.becomes("t1", active, "")
}

// TestKernelAdopt: with adopt a device of another kind is made greave's own.
func TestKernelAdopt(t *testing.T) {
	_, both := agents(t)
	a := both[0]
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "t0"
	check(t, a.LinkAdd(&netlink.Dummy{LinkAttrs: attrs}))
	a.apply("%s", tunnelList(0, 1, ", adopt: true"))
	l, err := a.LinkByName("t0")
	check(t, err)
	if l.Type() != "gre" || !strings.HasPrefix(l.Attrs().Alias, "greave host-0 tunnel/t0") {
		t.Errorf("%s %q", l.Type(), l.Attrs().Alias)
	}
}

// TestKernelKills: greaved is killed with -9 in the middle of changes, again and again; each time
// it comes to what was accepted last, nothing of the others' changes, and a tunnel that no change
// touches loses no packet.
func TestKernelKills(t *testing.T) {
	pair, both := agents(t)
	a := both[0]
	before := foreign(a.host)
	stay := strings.TrimPrefix(l3Case{options: "key: {fixed: {in: IN, out: OUT}}"}.document(0), "\ntunnels:\n")
	a.apply("%s", tunnelList(0, 1, "")+stay)
	both[1].apply("%s", l3Case{options: "key: {fixed: {in: IN, out: OUT}}"}.document(1))
	l := newLine(t, pair, inner4[0].Addr(), inner4[1].Addr())
	sent := 0
	for round := range 6 {
		n := 3 + round*4
		doc := tunnelList(round, n, fmt.Sprintf(", ttl: {fixed: %d}", 10+round)) + stay
		_, err := a.Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, doc), Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE})
		check(t, err)
		for end := time.Now().Add(time.Duration(rand.IntN(150)) * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
			check(t, l.send("across", 100))
			sent++
		}
		a.kill()
		a.run()
		a.eventually("it comes to what was accepted", func() bool { return a.plan() == "" && len(a.links("t")) >= n })
		var want []string
		for i := round; i < round+n; i++ {
			want = append(want, fmt.Sprintf("t%d", i))
		}
		got := slices.DeleteFunc(a.links("t"), func(n string) bool { return n == "tun" || n == "tunl0" })
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("round %d: devices %v, want %v", round, got, want)
		}
	}
	received := 0
	for l.receive(time.Second) != nil {
		received++
	}
	if received != sent {
		t.Errorf("%d of %d packets crossed the tunnel that nothing changed", received, sent)
	}
	a.apply("allow_empty: true")
	if after := foreign(a.host); after != before {
		t.Errorf("foreign things changed:\n%s\nwere\n%s", after, before)
	}
}

// foreign makes 200 things of other people's, once a namespace, and dumps them.
func foreign(h host) string {
	h.t.Helper()
	if len(h.links("fgn")) == 0 {
		for i := range 40 {
			attrs := netlink.NewLinkAttrs()
			attrs.Name, attrs.Alias = fmt.Sprintf("fgn%d", i), "theirs"
			var l netlink.Link = &netlink.Dummy{LinkAttrs: attrs}
			if i%4 == 1 {
				l = &netlink.Bridge{LinkAttrs: attrs}
			}
			check(h.t, h.LinkAdd(l))
			check(h.t, h.LinkSetUp(l))
			h.addr(h.AddrAdd, attrs.Name, fmt.Sprintf("172.16.%d.1/24", i))
			_, dst, err := net.ParseCIDR(fmt.Sprintf("172.20.%d.0/24", i))
			check(h.t, err)
			check(h.t, h.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Protocol: 4}))
			check(h.t, h.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT,
				IP: net.IPv4(172, 16, byte(i), 9), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 9, byte(i)}}))
			if i%4 != 1 {
				check(h.t, h.NeighAppend(&netlink.Neigh{LinkIndex: l.Attrs().Index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT,
					Flags: netlink.NTF_SELF, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 8, byte(i)}}))
			}
			check(h.t, h.QdiscAdd(&netlink.Prio{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(7, 0)}, Bands: 3}))
			rule := netlink.NewRule()
			rule.Priority, rule.Table, rule.Src = 1000+i, 500, dst
			check(h.t, h.RuleAdd(rule))
		}
	}
	var b strings.Builder
	links, err := h.LinkList()
	check(h.t, err)
	for _, l := range links {
		at := l.Attrs()
		if !strings.HasPrefix(at.Name, "fgn") && !strings.HasSuffix(at.Name, "0") {
			continue
		}
		fmt.Fprintf(&b, "link %s %s %d %v %q %d\n", at.Name, l.Type(), at.MTU, at.Flags, at.Alias, at.Group)
		addrs, err := h.AddrList(l, netlink.FAMILY_ALL)
		check(h.t, err)
		for _, a := range addrs {
			fmt.Fprintf(&b, "  addr %s\n", a.IPNet)
		}
		qdiscs, err := h.QdiscList(l)
		check(h.t, err)
		for _, q := range qdiscs {
			fmt.Fprintf(&b, "  qdisc %s %x\n", q.Type(), q.Attrs().Handle)
		}
		fdb, err := h.NeighList(at.Index, unix.AF_BRIDGE)
		check(h.t, err)
		for _, n := range fdb {
			fmt.Fprintf(&b, "  fdb %s\n", n.HardwareAddr)
		}
		neighs, err := h.NeighList(at.Index, netlink.FAMILY_V4)
		check(h.t, err)
		for _, n := range neighs {
			if n.State == netlink.NUD_PERMANENT {
				fmt.Fprintf(&b, "  neigh %s %s\n", n.IP, n.HardwareAddr)
			}
		}
	}
	routes, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: 4}, netlink.RT_FILTER_PROTOCOL)
	check(h.t, err)
	for _, r := range routes {
		fmt.Fprintf(&b, "route %s\n", r)
	}
	rules, err := h.RuleList(netlink.FAMILY_V4)
	check(h.t, err)
	for _, r := range rules {
		fmt.Fprintf(&b, "rule %s\n", r)
	}
	return b.String()
}

// TestKernelOneBad: one object that the kernel refuses costs the others nothing, at each place.
func TestKernelOneBad(t *testing.T) {
	_, both := agents(t)
	a := both[0]
	for bad := range 5 {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "theirs"
		check(t, a.LinkAdd(&netlink.Gretun{LinkAttrs: attrs, Local: net.IPv4(192, 0, 2, 1), Remote: net.IPv4(192, 0, 2, 2),
			IKey: uint32(bad + 101), OKey: uint32(bad + 101), IFlags: 0x2000, OFlags: 0x2000, PMtuDisc: 1}))
		r := a.try(tunnelList(0, 5, ""))
		if len(r.NotRealised) != 1 || r.NotRealised[0].Name != fmt.Sprintf("t%d", bad) {
			t.Errorf("with t%d bad: %v", bad, r.NotRealised)
		}
		theirs, err := a.LinkByName("theirs")
		check(t, err)
		check(t, a.LinkDel(theirs))
		a.becomes(fmt.Sprintf("t%d", bad), active, "")
		a.apply("allow_empty: true")
	}
}

// TestKernelMissingDriver: what needs a driver that the kernel has not says which, and only that.
func TestKernelMissingDriver(t *testing.T) {
	_, both := agents(t)
	a := both[0]
	if out, err := exec.Command("modprobe", "-r", "vport_geneve", "geneve").CombinedOutput(); err != nil {
		t.Logf("unload geneve: %v: %s", err, out)
	}
	const block = "/etc/modprobe.d/no-geneve.conf"
	check(t, os.MkdirAll("/etc/modprobe.d", 0o755))
	check(t, os.WriteFile(block, []byte("install geneve /bin/false\n"), 0o644))
	t.Cleanup(func() { _ = os.Remove(block) })
	r := a.try("bridges: [{name: br9}]\n" + tunnelList(0, 1, "") +
		"- {name: gnv, encap: geneve, bridge: br9, remote: {address: 192.0.2.2}, key: {fixed: {in: 9, out: 9}}}\n")
	if len(r.NotRealised) != 1 || r.NotRealised[0].State != retrying || !strings.Contains(r.NotRealised[0].String(), "modprobe geneve") ||
		!strings.Contains(r.NotRealised[0].String(), "DRIVER_MISSING") {
		t.Errorf("%v", r.NotRealised)
	}
	a.becomes("t0", active, "")
	check(t, os.Remove(block))
	a.becomes("gnv", active, "")
}

// TestKernelPrivilege: greaved with CAP_NET_ADMIN and nothing else is enough.
func TestKernelPrivilege(t *testing.T) {
	pair := newPair(t)
	wrap := []string{"setpriv", "--no-new-privs", "--bounding-set=-all,+net_admin", "--inh-caps=-all"}
	a := pair[0].withAgent("host-0", wrap...)
	b := pair[1].withAgent("host-1", wrap...)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	check(t, err)
	if !strings.Contains(string(status), fmt.Sprintf("CapEff:\t%016x", 1<<unix.CAP_NET_ADMIN)) {
		t.Fatalf("greaved runs with other capabilities:\n%s", status)
	}
	a.apply("%s", l3Case{}.document(0)+"  routes: [{destination: 10.77.0.0/16}]\n")
	b.apply("%s", l3Case{}.document(1))
	newLine(t, pair, inner4[0].Addr(), inner4[1].Addr())
	a.apply("allow_empty: true")
}
