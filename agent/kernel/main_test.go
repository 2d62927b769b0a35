package kernel

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
)

// inGuest tells that the tests run in the guest of integration/vm, whose kernel has all drivers.
var inGuest = os.Getenv("GREAVE_GUEST") != ""

func TestMain(m *testing.M) {
	if inGuest {
		// The kernel loads each driver by itself when a device is made, but not these.
		if out, err := exec.Command("modprobe", "-a", "fou", "fou6").CombinedOutput(); err != nil {
			fmt.Printf("modprobe fou: %v: %s\n", err, out)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

var (
	owner  = model.NewOwner("tester")
	object = model.Ref{Kind: model.KindTunnel, Name: "t1"}
	names  atomic.Int32
)

// lab is a network namespace of one test, with a Host whose own it is, and the hand of somebody else.
type lab struct {
	*netlink.Handle
	t    *testing.T
	ns   netns.NsHandle
	host *Host
}

func newLab(t *testing.T) *lab {
	t.Helper()
	needRoot(t)
	ns := newNetns(t, "")
	handle, err := netlink.NewHandleAt(ns)
	check(t, err)
	host := NewHost()
	host.home = ns
	l := &lab{handle, t, ns, host}
	t.Cleanup(func() {
		host.Close()
		handle.Close()
		check(t, ns.Close())
	})
	lo, err := handle.LinkByName("lo")
	check(t, err)
	check(t, handle.LinkSetUp(lo))
	return l
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
}

// needGuest skips outside the guest what takes the drivers named, or the whole machine.
func needGuest(t *testing.T, what string) {
	t.Helper()
	if !inGuest {
		t.Skipf("needs %s: runs in the guest, go test ./integration/vm", what)
	}
}

// newNetns makes a namespace, with a name under /run/netns unless that is empty.
func newNetns(t *testing.T, name string) (ns netns.NsHandle) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	check(t, err)
	defer home.Close()
	if name == "" {
		ns, err = netns.New()
	} else {
		ns, err = netns.NewNamed(name)
	}
	check(t, err)
	check(t, netns.Set(home))
	return ns
}

// named makes a namespace with a name that no other test has.
func (l *lab) named() (string, *netlink.Handle) {
	l.t.Helper()
	name := fmt.Sprintf("greave-test-%d-%d", os.Getpid(), names.Add(1))
	ns := newNetns(l.t, name)
	handle, err := netlink.NewHandleAt(ns)
	check(l.t, err)
	l.t.Cleanup(func() {
		handle.Close()
		ns.Close()
		_ = netns.DeleteNamed(name) // the test may have
	})
	return name, handle
}

func (l *lab) scope(links ...string) Scope {
	s := Scope{Owner: owner, Links: map[LinkAt]bool{}}
	for _, name := range links {
		s.Links[LinkAt{"", name}] = true
	}
	return s
}

func (l *lab) read(s Scope) map[rows.Key]rows.Row {
	l.t.Helper()
	out, err := l.host.Read(l.t.Context(), s)
	check(l.t, err)
	return out
}

func (l *lab) do(v plan.Verb, row rows.Row, changed ...string) error {
	l.t.Helper()
	op := plan.Op{Verb: v, Row: &row}
	for _, f := range changed {
		op.Changes = append(op.Changes, plan.Change{Field: f})
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	return l.host.Do(ctx, []plan.Op{op})[0]
}

// must does what must work, and returns the row as read back, which must have the fields wanted.
func (l *lab) must(v plan.Verb, row rows.Row, changed ...string) rows.Row {
	l.t.Helper()
	check(l.t, l.do(v, row, changed...))
	s := l.scope(row.Link)
	if row.Netns != "" {
		s.Netns = []string{row.Netns}
		s.Links[LinkAt{row.Netns, row.Link}] = true
	}
	s.Listed = func(k rows.Key) bool { return k == row.Key }
	got, there := l.read(s)[row.Key]
	if v == plan.Delete && !row.Bound {
		if there {
			l.t.Errorf("%s is still there: %s", row.Key, got.Text())
		}
		return got
	}
	if !there {
		l.t.Fatalf("%s is not there", row.Key)
	}
	if v != plan.Delete {
		l.compare(row, got)
	}
	return got
}

func (l *lab) compare(want, got rows.Row) {
	l.t.Helper()
	for _, f := range slices.Sorted(maps.Keys(want.Fields)) {
		if value, there := got.Fields[f]; !there || value != want.Fields[f] {
			l.t.Errorf("%s: %s is %q, want %q", want.Key, f, value, want.Fields[f])
		}
	}
	if want.Object != (model.Ref{}) && (got.Object != want.Object || !got.Owned) {
		l.t.Errorf("%s is of %v, owned %v", want.Key, got.Object, got.Owned)
	}
}

// dummy makes a device of somebody else's, up, with addresses.
func (l *lab) dummy(h *netlink.Handle, name string, addrs ...string) netlink.Link {
	l.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	// One end of a pair stands in for a dummy device where the kernel has none of these.
	var link netlink.Link = &netlink.Dummy{LinkAttrs: attrs}
	if err := h.LinkAdd(link); err != nil {
		link = &netlink.Veth{LinkAttrs: attrs, PeerName: name + "-"}
		check(l.t, h.LinkAdd(link))
	}
	check(l.t, h.LinkSetUp(link))
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		check(l.t, err)
		check(l.t, h.AddrAdd(link, addr))
	}
	return link
}

// index is that of a device; 0 if there is none.
func (l *lab) index(name string) int {
	link, err := l.LinkByName(name)
	if err != nil {
		return 0
	}
	return link.Attrs().Index
}

// linkRow is a wanted device with the defaults of its kind and some fields "name=value".
func linkRow(name, kind string, fields ...string) rows.Row {
	f := map[string]string{rows.FieldKind: kind}
	if k, ok := rows.Kinds[kind]; ok {
		f = k.Defaults()
	}
	f[rows.FieldAlias] = rows.Alias(owner, object)
	f[rows.FieldUp] = "true"
	f[rows.FieldAddrGen] = "none"
	return rows.Row{Key: rows.Key{Table: rows.Link, Link: name}, Fields: with(f, fields...), Object: object}
}

func with(f map[string]string, fields ...string) map[string]string {
	out := maps.Clone(f)
	if out == nil {
		out = map[string]string{}
	}
	for _, s := range fields {
		name, value, _ := strings.Cut(s, "=")
		out[name] = value
	}
	return out
}

// needVLANs skips where the kernel was built without VLANs in bridges.
func (l *lab) needVLANs() {
	l.t.Helper()
	probe := linkRow("probe", "bridge", "vlan_filtering=1")
	if err := l.do(plan.Create, probe); err != nil && !inGuest {
		l.t.Skipf("needs a kernel whose bridges tell VLANs apart (CONFIG_BRIDGE_VLAN_FILTERING): %v", err)
	}
	l.must(plan.Delete, probe)
}

func row(table rows.Table, link, id string, fields ...string) rows.Row {
	return rows.Row{Key: rows.Key{Table: table, Link: link, ID: id}, Fields: with(nil, fields...)}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
