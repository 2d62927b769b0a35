// Package guest is tests of what only a kernel with all its tunnel drivers can show. They run in
// the guest of package vm, as root and alone, and may use namespaces and devices as they like;
// elsewhere the package has no tests. They speak netlink and sockets: a process costs 50 ms there.
//
// A new test is a new function here; it gets a host, or a pair, and drops files that shall come
// back into the directory GREAVE_ARTIFACTS. A new package of guest tests begins with a TestMain like
// this one and is named in suites of package vm's test. A driver that is missing in the guest is
// added to drivers of package vm, a program to needed.
package guest

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Getenv("GREAVE_GUEST") == "" {
		fmt.Println("these tests run in a virtual machine: go test ./integration/vm")
		os.Exit(0)
	}
	// The kernel loads each driver by itself when a device is made, but not these.
	if out, err := exec.Command("modprobe", "-a", "fou", "fou6", "openvswitch").CombinedOutput(); err != nil {
		fmt.Printf("modprobe: %v: %s\n", err, out)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// host is a network namespace of one test.
type host struct {
	*netlink.Handle
	t  *testing.T
	ns netns.NsHandle
}

func newHost(t *testing.T) host {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	check(t, err)
	ns, err := netns.New()
	check(t, err)
	check(t, netns.Set(home))
	check(t, home.Close())
	handle, err := netlink.NewHandleAt(ns)
	check(t, err)
	h := host{handle, t, ns}
	t.Cleanup(func() {
		handle.Close()
		check(t, ns.Close())
	})
	h.up("lo")
	return h
}

// in runs f in the namespace: sockets that it opens and processes that it starts stay there.
func (h host) in(f func()) {
	h.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	check(h.t, err)
	defer home.Close()
	check(h.t, netns.Set(h.ns))
	defer func() { check(h.t, netns.Set(home)) }()
	f()
}

// up gives a device addresses and sets it up.
func (h host) up(name string, addrs ...netip.Prefix) netlink.Link {
	h.t.Helper()
	link, err := h.LinkByName(name)
	check(h.t, err)
	check(h.t, h.LinkSetUp(link))
	for _, p := range addrs {
		addr, err := netlink.ParseAddr(p.String())
		check(h.t, err)
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		check(h.t, h.AddrAdd(link, addr))
	}
	return link
}

// attr is one attribute of a kind of device.
type attr struct {
	id   int
	data []byte
}

// add makes a device by the kernel's own attributes: the library has not all of them, and sets some
// unasked.
func (h host) add(name, kind string, attrs ...attr) {
	h.t.Helper()
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(kind))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	for _, a := range attrs {
		data.AddRtAttr(a.id, a.data)
	}
	req.AddData(info)
	h.in(func() {
		if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
			h.t.Fatalf("create %s %s: %v", kind, name, err)
		}
	})
}

// The addresses of the underlay, and those of the tunnel across it.
var (
	under4 = [2]netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")}
	under6 = [2]netip.Prefix{netip.MustParsePrefix("2001:db8::1/64"), netip.MustParsePrefix("2001:db8::2/64")}
	inner4 = [2]netip.Prefix{netip.MustParsePrefix("10.9.0.1/24"), netip.MustParsePrefix("10.9.0.2/24")}
	inner6 = [2]netip.Prefix{netip.MustParsePrefix("fd09::1/64"), netip.MustParsePrefix("fd09::2/64")}
)

const underlay = 1500 // MTU, bytes

// newPair returns two hosts whose devices "eth0" are one cable.
func newPair(t *testing.T) (pair [2]host) {
	t.Helper()
	pair = [2]host{newHost(t), newHost(t)}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "eth0", underlay
	check(t, pair[0].LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerMTU: underlay, PeerNamespace: netlink.NsFd(pair[1].ns)}))
	for i, h := range pair {
		h.up("eth0", under4[i], under6[i])
	}
	return pair
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func netParse(s string) (net.IP, *net.IPNet, error) { return net.ParseCIDR(s) }

// bindTo binds a socket to a device before it is used.
func bindTo(device string) func(_, _ string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if failed := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), device) }); failed != nil {
			return failed
		}
		return err
	}
}

// bindNetns gives a namespace a name under /run/netns.
func bindNetns(name string, ns netns.NsHandle) error {
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	at := filepath.Join("/run/netns", name)
	f, err := os.Create(at)
	if err != nil {
		return err
	}
	f.Close()
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", int(ns)), at, "none", unix.MS_BIND, "")
}
