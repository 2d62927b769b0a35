// Package lab makes hosts to test on: network namespaces joined by an underlay, each with its own
// ovsdb-server, ovs-vswitchd (userspace datapath), guests and, when asked, greaved. It owns every
// namespace, process and file it makes and removes them all on Close. Tests, the demo and the
// benchmarks use it; it imports nothing of the product, which it drives from outside as a user would.
package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Options say what Start makes. The zero value is two hosts h1 and h2 on an underlay of MTU 1500.
type Options struct {
	Hosts       int    // number of hosts, 1-250; 0 means 2
	UnderlayMTU int    // bytes, of the underlay and of every VTEP; 0 means 1500
	Prefix      string // host N is called Prefix + N; "" means "h"
	IPv6        bool   // give each VTEP 2001:db8::N/64 as well
	Kernel      bool   // Open vSwitch's kernel datapath: the VTEP address is on the NIC, and there is no br-phy
	Greaved     string // path of the daemon; "" means what Binaries builds
	Greave      string // path of the command line; "" means what Binaries builds
}

// Lab is a set of running hosts. All its methods may be called from several goroutines.
type Lab struct {
	Hosts []*Host // in order; Hosts[0] is number 1

	opts     Options
	dir      string
	underlay string
	spawner  chan func()

	mu         sync.Mutex
	closed     bool
	namespaces []string
	procs      []*proc
	closers    []func()
}

const (
	schemaFile = "/usr/share/openvswitch/vswitch.ovsschema"
	netnsDir   = "/run/netns"
	tmpDir     = "/tmp" // not $TMPDIR: the path of a socket must stay below 108 bytes
)

// serial numbers the namespaces of this process, over all its labs.
var serial atomic.Int64

// Missing says in one sentence what this machine lacks to run such a lab, "" when nothing.
func (opts Options) Missing() string {
	if os.Geteuid() != 0 {
		return "needs root (network namespaces)"
	}
	for _, tool := range []string{"ip", "ping", "tcpdump", "ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "needs " + tool + " (run make deps)"
		}
	}
	if _, err := os.Stat(schemaFile); err != nil {
		return "needs " + schemaFile + " (run make deps)"
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil && !opts.Kernel {
		return "needs /dev/net/tun (userspace datapath)"
	}
	return ""
}

// Start makes the hosts and returns when each can ping the next one's VTEP. What an earlier process
// left behind by being killed is removed first. On error nothing is left.
func Start(ctx context.Context, opts Options) (*Lab, error) {
	if why := opts.Missing(); why != "" {
		return nil, fmt.Errorf("start lab: %s", why)
	}
	if opts.Hosts == 0 {
		opts.Hosts = 2
	}
	if opts.Hosts < 1 || opts.Hosts > 250 {
		return nil, fmt.Errorf("start lab: %d hosts: want 1-250", opts.Hosts)
	}
	if opts.UnderlayMTU == 0 {
		opts.UnderlayMTU = 1500
	}
	if opts.Prefix == "" {
		opts.Prefix = "h"
	}
	sweep()
	dir, err := os.MkdirTemp(tmpDir, fmt.Sprintf("gl%d-", os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	l := &Lab{opts: opts, dir: dir, spawner: startSpawner()}
	if err := l.build(ctx); err != nil {
		err = fmt.Errorf("start lab: %w\n%s", err, l.Logs(5))
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	var err error
	if l.underlay, err = l.newNS(ctx); err != nil {
		return err
	}
	err = l.ip(ctx, l.underlay, "link add ul0 type bridge mcast_snooping 0",
		fmt.Sprintf("link set ul0 mtu %d up", l.opts.UnderlayMTU))
	if err != nil {
		return fmt.Errorf("make underlay: %w", err)
	}
	for n := range l.opts.Hosts {
		l.Hosts = append(l.Hosts, newHost(l, n+1))
	}
	group, gctx := errgroup.WithContext(ctx)
	for _, h := range l.Hosts {
		group.Go(func() error {
			if err := h.start(gctx); err != nil {
				return fmt.Errorf("make host %s: %w", h.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, h := range l.Hosts {
		if err := h.reach(ctx, l.Hosts[(i+1)%len(l.Hosts)]); err != nil {
			return err
		}
	}
	return nil
}

// Host returns the host of that name, nil when there is none.
func (l *Lab) Host(name string) *Host {
	i := slices.IndexFunc(l.Hosts, func(h *Host) bool { return h.Name == name })
	if i < 0 {
		return nil
	}
	return l.Hosts[i]
}

// Exec runs a command in the underlay's namespace, where the link of host N is called uN:
// `ip link set u2 down` cuts host 2 off.
func (l *Lab) Exec(ctx context.Context, argv ...string) (stdout, stderr string, err error) {
	return run(ctx, l.underlay, nil, "", argv...)
}

// Close ends every process and removes every namespace and file of the lab, whatever state it is
// in. It may be called more than once.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	procs, namespaces, closers := l.procs, l.namespaces, l.closers
	l.mu.Unlock()
	for _, f := range closers {
		f()
	}
	for _, p := range procs {
		p.kill()
	}
	close(l.spawner)
	var errs []error
	for _, ns := range namespaces {
		errs = append(errs, removeNS(ns))
	}
	errs = append(errs, os.RemoveAll(l.dir))
	return errors.Join(errs...)
}

// Logs returns the last lines of every daemon's log, for the report of a failure.
func (l *Lab) Logs(lines int) string {
	files, _ := filepath.Glob(filepath.Join(l.dir, "*", "*.log"))
	var b strings.Builder
	for _, f := range files {
		if text := tail(f, lines); text != "" {
			fmt.Fprintf(&b, "--- %s\n%s\n", strings.TrimPrefix(f, l.dir+"/"), text)
		}
	}
	return b.String()
}

// onClose registers what Close must call before it ends the processes.
func (l *Lab) onClose(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, f)
}

// newNS makes a namespace with its loopback up. It is registered before it is made, so that Close
// removes it even when making it was cut short.
func (l *Lab) newNS(ctx context.Context) (string, error) {
	name := fmt.Sprintf("gl%d-%d", os.Getpid(), serial.Add(1))
	l.mu.Lock()
	closed := l.closed
	l.namespaces = append(l.namespaces, name)
	l.mu.Unlock()
	if closed {
		return "", errors.New("lab is closed")
	}
	if _, _, err := run(ctx, "", nil, "", "ip", "netns", "add", name); err != nil {
		return "", err
	}
	return name, l.ip(ctx, name, "link set lo up")
}

// ip runs lines of the ip command in a namespace, all in one process.
func (l *Lab) ip(ctx context.Context, ns string, lines ...string) error {
	_, _, err := run(ctx, "", nil, strings.Join(lines, "\n")+"\n", "ip", "-n", ns, "-batch", "-")
	return err
}

func removeNS(name string) error {
	path := filepath.Join(netnsDir, name)
	_ = unix.Unmount(path, unix.MNT_DETACH) // fails where `ip netns add` was cut short before the mount
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	return nil
}

var ownName = regexp.MustCompile(`^gl(\d+)-`)

// sweep removes the namespaces and directories of labs whose process is gone. Their processes died
// with it (see spawn); files and namespaces do not.
func sweep() {
	for _, dir := range []string{netnsDir, tmpDir} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			m := ownName.FindStringSubmatch(e.Name())
			if m == nil {
				continue
			}
			if _, err := os.Stat("/proc/" + m[1]); err == nil {
				continue
			}
			if dir == netnsDir {
				_ = removeNS(e.Name())
			} else {
				_ = os.RemoveAll(filepath.Join(dir, e.Name()))
			}
		}
	}
}

// vtep returns the underlay addresses of host n.
func vtep(n int) (v4, v6 netip.Addr) {
	return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), netip.MustParseAddr("2001:db8::" + strconv.FormatInt(int64(n), 16))
}

// poll calls try every interval until it succeeds; at the end of ctx it returns try's last error.
func poll(ctx context.Context, interval time.Duration, try func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		case <-tick.C:
		}
	}
}
