package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Host is one machine: a namespace, a switch, an underlay NIC that the bridge br-phy holds, and the
// VTEP address on br-phy's local port, where the userspace datapath needs it. With Options.Kernel
// the address is on the NIC, as on a host without Open vSwitch.
type Host struct {
	Name  string
	N     int        // its number, from 1
	NS    string     // network namespace
	NIC   string     // underlay device
	VTEP  netip.Addr // 192.0.2.N, prefix length 24
	VTEP6 netip.Addr // 2001:db8::N, prefix length 64; set on the host only with Options.IPv6

	GreavedEnv []string // more environment of the daemon that StartGreaved starts, "NAME=value"

	lab   *Lab
	dir   string
	noOVS bool // made by AddKernelHost

	mu                  sync.Mutex
	db, vswitch, daemon *proc
}

func newHost(l *Lab, n int) *Host {
	h := &Host{Name: l.opts.Prefix + strconv.Itoa(n), N: n, NIC: "eth0", lab: l}
	h.VTEP, h.VTEP6 = vtep(n)
	h.dir = filepath.Join(l.dir, h.Name)
	return h
}

// RunDir is the run directory of this host's Open vSwitch: db.sock, BRIDGE.mgmt, conf.db.
func (h *Host) RunDir() string { return h.dir }

// Datapath is the datapath type of this host's switch: "netdev", or with Options.Kernel "system".
func (h *Host) Datapath() string {
	if h.lab.opts.Kernel {
		return "system"
	}
	return "netdev"
}

// OVSSocket is the OVSDB target, "unix:/…/db.sock".
func (h *Host) OVSSocket() string {
	if h.noOVS {
		return "unix:" + filepath.Join(h.noOVSDir(), "db.sock")
	}
	return "unix:" + filepath.Join(h.dir, "db.sock")
}

// WriteFile puts a file into the host's directory and returns its path.
func (h *Host) WriteFile(name, text string) (string, error) {
	path := filepath.Join(h.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// Exec runs a command in the host's namespace. Open vSwitch tools find this host's switch by
// themselves. Where ctx allows more, the limit is two minutes.
func (h *Host) Exec(ctx context.Context, argv ...string) (stdout, stderr string, err error) {
	return run(ctx, h.NS, h.env(), "", argv...)
}

// Vsctl runs ovs-vsctl and returns its output without the last newline.
func (h *Host) Vsctl(ctx context.Context, args ...string) (string, error) {
	out, _, err := h.Exec(ctx, append([]string{"ovs-vsctl", "--timeout=20"}, args...)...)
	return strings.TrimRight(out, "\n"), err
}

// Ofctl runs ovs-ofctl with all OpenFlow versions allowed; bridge goes behind the first of args
// that is no option: Ofctl(ctx, "br0", "--no-stats", "dump-flows", "table=0").
func (h *Host) Ofctl(ctx context.Context, bridge string, args ...string) (string, error) {
	argv := []string{"ovs-ofctl", "--timeout=20", "-OOpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"}
	placed := false
	for _, a := range args {
		argv = append(argv, a)
		if !placed && !strings.HasPrefix(a, "-") {
			argv, placed = append(argv, "unix:"+filepath.Join(h.dir, bridge+".mgmt")), true
		}
	}
	out, _, err := h.Exec(ctx, argv...)
	return out, err
}

// Appctl runs ovs-appctl against ovs-vswitchd.
func (h *Host) Appctl(ctx context.Context, args ...string) (string, error) {
	out, _, err := h.Exec(ctx, append([]string{"ovs-appctl", "--timeout=20"}, args...)...)
	return out, err
}

// SetLink cuts the host's underlay cable or plugs it in again.
func (h *Host) SetLink(ctx context.Context, up bool) error {
	state := "down"
	if up {
		state = "up"
	}
	return h.lab.ip(ctx, h.lab.underlay, fmt.Sprintf("link set dev u%d %s", h.N, state))
}

// Ping pings an address from the host itself.
func (h *Host) Ping(ctx context.Context, to netip.Addr, count int, interval time.Duration) (PingStats, error) {
	return ping(ctx, h.NS, to, count, interval)
}

// StopDB ends ovsdb-server with kill -9.
func (h *Host) StopDB() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.db.kill()
}

// StartDB starts ovsdb-server on the host's database and returns when it listens. It does nothing
// when it runs.
func (h *Host) StartDB(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.db.alive() {
		return nil
	}
	p, err := h.lab.spawn("ovsdb-server", h.NS, filepath.Join(h.dir, "ovsdb-server.log"), h.env(),
		"ovsdb-server", filepath.Join(h.dir, "conf.db"), "--remote=p"+h.OVSSocket(), "--no-chdir", "--pidfile", "-vconsole:warn")
	if err != nil {
		return err
	}
	h.db = p
	return p.ready(ctx, func() error { return dial(ctx, filepath.Join(h.dir, "db.sock")) })
}

// StopSwitch ends ovs-vswitchd with kill -9. The internal devices of the userspace datapath, br-phy
// with the VTEP address among them, go with it.
func (h *Host) StopSwitch() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.vswitch.kill()
}

// StartSwitch starts ovs-vswitchd, waits until it has carried out the database, and gives br-phy
// the VTEP address again. It does nothing when it runs.
func (h *Host) StartSwitch(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.vswitch.alive() {
		return nil
	}
	argv := []string{"ovs-vswitchd", h.OVSSocket(), "--no-chdir", "--pidfile", "-vconsole:warn"}
	if h.lab.opts.Kernel {
		// Nothing else loads it before the first bridge, and greave asks whether it is there.
		if _, _, err := h.Exec(ctx, "modprobe", "openvswitch"); err != nil {
			return err
		}
	} else {
		argv = append(argv, "--disable-system")
	}
	p, err := h.lab.spawn("ovs-vswitchd", h.NS, filepath.Join(h.dir, "ovs-vswitchd.log"), h.env(), argv...)
	if err != nil {
		return err
	}
	h.vswitch = p
	if h.lab.opts.Kernel {
		return h.awaitSwitch(ctx)
	}
	return h.makePhysical(ctx)
}

// awaitSwitch returns when ovs-vswitchd has carried out the database: any transaction without
// --no-wait waits for it, if it changes something.
func (h *Host) awaitSwitch(ctx context.Context) error {
	_, err := h.Vsctl(ctx, "set", "Open_vSwitch", ".", "external_ids:hostname="+h.Name)
	if err != nil {
		return fmt.Errorf("start ovs-vswitchd: %w\n%s", err, tail(h.vswitch.log, 20))
	}
	return nil
}

// makePhysical makes br-phy, or finds it, and gives it the VTEP address.
func (h *Host) makePhysical(ctx context.Context) error {
	// Any transaction without --no-wait returns only once vswitchd has carried it out.
	args := []string{"--may-exist", "add-br", "br-phy", "--", "set", "Bridge", "br-phy", "datapath_type=netdev",
		"--", "--may-exist", "add-port", "br-phy", h.NIC,
		"--", "set", "Interface", "br-phy", fmt.Sprintf("mtu_request=%d", h.lab.opts.UnderlayMTU)}
	if _, err := h.Vsctl(ctx, args...); err != nil {
		return fmt.Errorf("start ovs-vswitchd: %w\n%s", err, tail(h.vswitch.log, 20))
	}
	lines := []string{fmt.Sprintf("addr replace %s/24 dev br-phy", h.VTEP), "link set br-phy up"}
	if h.lab.opts.IPv6 {
		lines = append(lines, fmt.Sprintf("addr replace %s/64 dev br-phy nodad", h.VTEP6))
	}
	if err := h.lab.ip(ctx, h.NS, lines...); err != nil {
		return fmt.Errorf("set VTEP address: %w", err)
	}
	return nil
}

func (h *Host) env() []string {
	return []string{"OVS_RUNDIR=" + h.dir, "OVS_LOGDIR=" + h.dir, "OVS_DBDIR=" + h.dir, "OVS_SYSCONFDIR=" + h.dir}
}

// start makes the host: namespace, cable, database, switch, address.
func (h *Host) start(ctx context.Context) error {
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		return err
	}
	var err error
	if h.NS, err = h.lab.newNS(ctx); err != nil {
		return err
	}
	cable := h.cable
	if h.lab.opts.Kernel {
		cable = h.plainCable
	}
	if err := cable(ctx); err != nil {
		return fmt.Errorf("connect underlay: %w", err)
	}
	if _, _, err := h.Exec(ctx, "ovsdb-tool", "create", filepath.Join(h.dir, "conf.db"), schemaFile); err != nil {
		return err
	}
	if err := h.StartDB(ctx); err != nil {
		return err
	}
	if _, err := h.Vsctl(ctx, "--no-wait", "init", "--", "set", "Open_vSwitch", ".", "external_ids:system-id="+h.Name); err != nil {
		return err
	}
	return h.StartSwitch(ctx)
}

// cable joins the host to the underlay bridge.
func (h *Host) cable(ctx context.Context) error {
	mtu := h.lab.opts.UnderlayMTU
	err := h.lab.ip(ctx, h.lab.underlay,
		fmt.Sprintf("link add name u%d mtu %d type veth peer name %s mtu %d netns %s", h.N, mtu, h.NIC, mtu, h.NS),
		fmt.Sprintf("link set dev u%d master ul0 up", h.N))
	if err != nil {
		return err
	}
	if err := h.deaf(ctx, h.NIC); err != nil {
		return err
	}
	return errors.Join(h.lab.ip(ctx, h.NS, "link set dev "+h.NIC+" up"), txOff(ctx, h.NS, h.NIC))
}

// reach waits until the host can ping another's VTEP.
func (h *Host) reach(ctx context.Context, to *Host) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	return poll(ctx, 50*time.Millisecond, func() error {
		for _, addr := range []netip.Addr{to.VTEP, to.VTEP6} {
			if addr.Is6() && !h.lab.opts.IPv6 {
				continue
			}
			stats, err := ping(ctx, h.NS, addr, 1, time.Second)
			if err == nil && stats.Received != 1 {
				err = fmt.Errorf("no answer, received %d", stats.Received)
			}
			if err != nil {
				return fmt.Errorf("ping VTEP %s from %s: %w", addr, h.Name, err)
			}
		}
		return nil
	})
}

// txOff turns transmit checksum offload off: a frame from a local socket reaches the userspace
// datapath without a checksum otherwise, and TCP does not work.
func txOff(ctx context.Context, ns, dev string) error {
	if !haveEthtool() {
		return nil // pings work without; what needs TCP fails visibly
	}
	_, _, err := run(ctx, ns, nil, "", "ethtool", "-K", dev, "tx", "off")
	return err
}

func haveEthtool() bool {
	_, err := exec.LookPath("ethtool")
	return err == nil
}
