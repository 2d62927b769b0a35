package lab

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"time"
)

// Guest is a workload: a namespace whose eth0 is one end of a veth pair; the other end, Dev, is in
// the namespace of its host.
type Guest struct {
	Name string
	Host *Host
	NS   string       // network namespace
	Dev  string       // host end, the same word as Name
	MAC  string       // of the guest end
	Addr netip.Prefix // of the guest end; the zero Prefix when it has none
}

// PingStats is the outcome of a series of echo requests.
type PingStats struct{ Sent, Received int }

var deviceName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,14}$`)

// AddGuest makes a guest whose host end, called name (1-15 characters), is up and on no bridge.
// cidr is its address ("10.0.0.1/24", IPv4 or IPv6, "" for none), mac its Ethernet address, mtu the
// MTU of both ends in bytes (0 means 1500).
func (h *Host) AddGuest(ctx context.Context, name, cidr, mac string, mtu int) (*Guest, error) {
	g := &Guest{Name: name, Host: h, Dev: name, MAC: mac}
	if !deviceName.MatchString(name) {
		return nil, fmt.Errorf("add guest %q: no device name", name)
	}
	if mtu == 0 {
		mtu = 1500
	}
	var err error
	if cidr != "" {
		if g.Addr, err = netip.ParsePrefix(cidr); err != nil {
			return nil, fmt.Errorf("add guest %s: %w", name, err)
		}
	}
	if g.NS, err = h.lab.newNS(ctx); err != nil {
		return nil, fmt.Errorf("add guest %s: %w", name, err)
	}
	if err := g.connect(ctx, mtu); err != nil {
		return nil, fmt.Errorf("add guest %s: %w", name, err)
	}
	return g, nil
}

func (g *Guest) connect(ctx context.Context, mtu int) error {
	err := g.Host.lab.ip(ctx, g.Host.NS,
		fmt.Sprintf("link add name %s mtu %d type veth peer name eth0 address %s mtu %d netns %s", g.Dev, mtu, g.MAC, mtu, g.NS),
		"link set dev "+g.Dev+" up")
	if err != nil {
		return err
	}
	lines := []string{"link set eth0 up"}
	switch {
	case g.Addr.Addr().Is4():
		lines = append(lines, fmt.Sprintf("addr add %s dev eth0", g.Addr))
	case g.Addr.Addr().Is6():
		lines = append(lines, fmt.Sprintf("addr add %s dev eth0 nodad", g.Addr))
	}
	if err := g.Host.lab.ip(ctx, g.NS, lines...); err != nil {
		return err
	}
	return txOff(ctx, g.NS, "eth0")
}

// AddBoundGuest makes a guest and adds its host end to a bridge as libvirt does for a virtual
// machine, with ifaceID as external_ids:iface-id.
func (h *Host) AddBoundGuest(ctx context.Context, bridge, ifaceID, name, cidr, mac string, mtu int) (*Guest, error) {
	g, err := h.AddGuest(ctx, name, cidr, mac, mtu)
	if err != nil {
		return nil, err
	}
	_, err = h.Vsctl(ctx, "--", "--may-exist", "add-port", bridge, g.Dev, "--", "set", "Interface", g.Dev,
		fmt.Sprintf("external_ids:attached-mac=%q", mac), fmt.Sprintf("external_ids:iface-id=%q", ifaceID),
		fmt.Sprintf("external_ids:vm-id=%q", "vm-"+name), "external_ids:iface-status=active")
	if err != nil {
		return nil, fmt.Errorf("bind guest %s: %w", name, err)
	}
	return g, nil
}

// Exec runs a command in the guest.
func (g *Guest) Exec(ctx context.Context, argv ...string) (stdout, stderr string, err error) {
	return run(ctx, g.NS, nil, "", argv...)
}

// Ping sends count echo requests, one an interval (from 1 ms), and waits one second for the last
// answer. Loss is no error; that ping could not run is one.
func (g *Guest) Ping(ctx context.Context, to netip.Addr, count int, interval time.Duration) (PingStats, error) {
	return ping(ctx, g.NS, to, count, interval)
}

var pingSummary = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

func ping(ctx context.Context, ns string, to netip.Addr, count int, interval time.Duration) (PingStats, error) {
	seconds := strconv.FormatFloat(interval.Seconds(), 'f', 3, 64)
	out, _, err := run(ctx, ns, nil, "", "ping", "-n", "-q", "-W", "1", "-c", strconv.Itoa(count), "-i", seconds, to.String())
	m := pingSummary.FindStringSubmatch(out)
	if m == nil {
		return PingStats{}, fmt.Errorf("ping %s: no summary in %q: %w", to, out, err)
	}
	sent, _ := strconv.Atoi(m[1])
	received, _ := strconv.Atoi(m[2])
	return PingStats{Sent: sent, Received: received}, nil
}
