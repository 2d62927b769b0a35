package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// fabric is an underlay with hosts. Its namespaces have no names and its processes die with this
// one: nothing outlives it but, when it is killed, a directory that the next lab removes.
type fabric struct {
	t                *testing.T
	greaved          string // path of the binary
	dir              string
	thread           chan func() // see startThread
	underlay, guests *space
	hosts            map[Kind][]*host
	count            int
}

// space is a network namespace.
type space struct {
	*netlink.Handle
	f  *fabric
	ns netns.NsHandle
}

func newFabric(t *testing.T, greaved string) *fabric {
	t.Helper()
	// Not t.TempDir: the path of a socket must stay below 108 bytes. Named as package lab's are.
	dir, err := os.MkdirTemp("/tmp", fmt.Sprintf("gl%d-", os.Getpid()))
	check(t, err)
	f := &fabric{t: t, greaved: greaved, dir: dir, thread: startThread(), hosts: map[Kind][]*host{}}
	t.Cleanup(func() {
		close(f.thread)
		check(t, os.RemoveAll(dir))
	})
	f.underlay, f.guests = f.newSpace(), f.newSpace()
	for _, s := range []*space{f.underlay, f.guests} {
		f.quiet(s)
	}
	attrs, off := netlink.NewLinkAttrs(), false
	attrs.Name, attrs.MTU = "ul0", UnderlayMTU
	check(t, f.underlay.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}))
	f.underlay.up(t, "ul0")
	return f
}

// startThread returns a channel whose functions run on one OS thread. It is left in whatever
// namespace the last one wanted, and it is the parent of all processes: the kernel kills those when
// the thread that forked them ends, not the process.
func startThread() chan func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		for f := range c {
			f()
		}
	}()
	return c
}

// in runs f in the namespace: sockets that it opens and processes that it starts stay there.
func (s *space) in(f func() error) error {
	done := make(chan error)
	s.f.thread <- func() {
		err := netns.Set(s.ns)
		if err == nil {
			err = f()
		}
		done <- err
	}
	return <-done
}

func (f *fabric) newSpace() *space {
	f.t.Helper()
	s := &space{f: f}
	done := make(chan error)
	f.thread <- func() {
		var err error
		s.ns, err = netns.New()
		done <- err
	}
	check(f.t, <-done)
	var err error
	s.Handle, err = netlink.NewHandleAt(s.ns)
	check(f.t, err)
	f.t.Cleanup(func() {
		s.Handle.Close()
		check(f.t, s.ns.Close())
	})
	s.up(f.t, "lo")
	return s
}

// quiet turns IPv6 off for devices to come: it is talkative.
func (f *fabric) quiet(s *space) {
	f.t.Helper()
	check(f.t, s.sysctl("ipv6/conf/default/disable_ipv6", "1"))
}

// sysctl writes a file below /proc/sys/net, which is that of the thread's namespace.
func (s *space) sysctl(name, value string) error {
	return s.in(func() error {
		err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644)
		if errors.Is(err, os.ErrNotExist) {
			return nil // a kernel without IPv6
		}
		return err
	})
}

func (s *space) up(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := s.LinkByName(name)
	check(t, err)
	check(t, s.LinkSetUp(link))
	return link
}

// cable joins two namespaces by a pair of devices that are up. Neither leaves a checksum to be
// computed by a device: on the wire it must be there, and the userspace datapath wants it.
func (f *fabric) cable(a *space, nameA string, b *space, nameB string, mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = nameA, mtu
	err := a.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerMTU: uint32(mtu), PeerNamespace: netlink.NsFd(b.ns)})
	if err != nil {
		return fmt.Errorf("join %s and %s: %w", nameA, nameB, err)
	}
	for _, e := range []struct {
		s    *space
		name string
	}{{a, nameA}, {b, nameB}} {
		link, err := e.s.LinkByName(e.name)
		if err == nil {
			err = e.s.LinkSetUp(link)
		}
		if err == nil {
			err = e.s.in(func() error { return noChecksums(e.name) })
		}
		if err != nil {
			return fmt.Errorf("join %s and %s: %w", nameA, nameB, err)
		}
	}
	return nil
}

// noChecksums is ethtool -K device tx off.
func noChecksums(device string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return ethtoolSet(fd, device, unix.ETHTOOL_STXCSUM, 0)
}

// listen opens an ear that is closed with the fabric.
func (f *fabric) listen(s *space, name, device string) (*Ear, error) {
	var ear *Ear
	err := s.in(func() (err error) {
		ear, err = Listen(name, device)
		return err
	})
	if err == nil {
		f.t.Cleanup(func() { check(f.t, ear.Close()) })
	}
	return ear, err
}

// column returns hosts of these kinds, those of an earlier column first.
func (f *fabric) column(t *testing.T, kinds [3]Kind) []*Host {
	t.Helper()
	used, out := map[Kind]int{}, []*Host{}
	for _, k := range kinds {
		if used[k] == len(f.hosts[k]) {
			f.hosts[k] = append(f.hosts[k], f.newHost(t, k))
		}
		out = append(out, &f.hosts[k][used[k]].Host)
		used[k]++
	}
	return out
}

// host is a machine of the fabric.
type host struct {
	Host
	*space
	dir    string
	guests map[string]*Ear
}

func (f *fabric) newHost(t *testing.T, kind Kind) *host {
	t.Helper()
	f.count++
	h := &host{space: f.newSpace(), guests: map[string]*Ear{}}
	h.Name, h.Kind, h.Fabric = fmt.Sprintf("%s%d", kind, len(f.hosts[kind])+1), kind, h
	h.Address = netip.AddrFrom4([4]byte{192, 0, 2, byte(f.count)})
	h.dir = filepath.Join(f.dir, h.Name)
	check(t, os.Mkdir(h.dir, 0o755))
	far := "u-" + h.Name
	check(t, f.cable(h.space, "eth0", f.underlay, far, UnderlayMTU))
	port, err := f.underlay.LinkByName(far)
	check(t, err)
	bridge, err := f.underlay.LinkByName("ul0")
	check(t, err)
	check(t, f.underlay.LinkSetMaster(port, bridge))
	h.Uplink, err = f.listen(f.underlay, far, far)
	check(t, err)
	holder := "eth0"
	switch kind {
	case OVSUserspace:
		holder = "br-phy"
		check(t, h.startOVS("--disable-system"))
		check(t, h.userspaceUplink())
	case OVSSystem:
		check(t, h.startOVS())
	}
	addr, err := netlink.ParseAddr(h.Address.String() + "/24")
	check(t, err)
	check(t, h.AddrAdd(h.up(t, holder), addr))
	h.Config, err = h.startGreaved()
	check(t, err)
	return h
}

// userspaceUplink moves the NIC to a netdev bridge. Open vSwitch reads the NIC by a packet socket,
// so the host's own stack sees each frame too, and must not answer.
func (h *host) userspaceUplink() error {
	return errors.Join(
		h.sysctl("ipv4/conf/eth0/rp_filter", "1"), h.sysctl("ipv4/conf/eth0/arp_ignore", "8"), h.sysctl("ipv6/conf/eth0/disable_ipv6", "1"),
		h.run("ovs-vsctl", "--timeout=30", "add-br", "br-phy", "--", "set", "Bridge", "br-phy", "datapath_type=netdev",
			"--", "add-port", "br-phy", "eth0", "--", "set", "Interface", "br-phy", fmt.Sprintf("mtu_request=%d", UnderlayMTU)))
}

// Guest implements Fabric. All guests' far ends are in one namespace without an address.
func (h *host) Guest(device string) (*Ear, error) {
	if ear := h.guests[device]; ear != nil {
		return ear, nil
	}
	name := h.Name + "-" + strings.TrimPrefix(device, "g-")
	err := h.f.cable(h.space, device, h.f.guests, name, GuestMTU)
	if err != nil {
		return nil, err
	}
	h.guests[device], err = h.f.listen(h.f.guests, name, name)
	return h.guests[device], err
}

// Inside implements Fabric.
func (h *host) Inside(f func() error) error { return h.in(f) }

// Logs implements Fabric.
func (h *host) Logs() string {
	files, _ := filepath.Glob(filepath.Join(h.dir, "*.out"))
	var b strings.Builder
	for _, f := range files {
		text, _ := os.ReadFile(f)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&b, "--- %s\n%s\n", filepath.Base(f), strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return b.String()
}

// poll calls try until it succeeds.
func poll(try func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(tick)
	}
}

func dialable(path string) error {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", path)
	if err != nil {
		return err
	}
	return c.Close()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
