package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// AddKernelHost makes one more host, without Open vSwitch: the VTEP address is on its NIC. It is
// the last of Hosts.
func (l *Lab) AddKernelHost(ctx context.Context) (*Host, error) {
	h := newHost(l, len(l.Hosts)+1)
	h.noOVS = true
	if err := h.startPlain(ctx); err != nil {
		return nil, fmt.Errorf("make host %s: %w", h.Name, err)
	}
	if err := h.reach(ctx, l.Hosts[0]); err != nil {
		return nil, err
	}
	l.Hosts = append(l.Hosts, h)
	return h, nil
}

func (h *Host) startPlain(ctx context.Context) error {
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		return err
	}
	var err error
	if h.NS, err = h.lab.newNS(ctx); err != nil {
		return err
	}
	return h.plainCable(ctx)
}

// plainCable joins the host to the underlay bridge, with the VTEP address on the NIC.
func (h *Host) plainCable(ctx context.Context) error {
	mtu := h.lab.opts.UnderlayMTU
	lines := []string{fmt.Sprintf("addr add %s/24 dev %s", h.VTEP, h.NIC), "link set dev " + h.NIC + " up"}
	if h.lab.opts.IPv6 {
		lines = append(lines, fmt.Sprintf("addr add %s/64 dev %s nodad", h.VTEP6, h.NIC))
	}
	return errors.Join(
		h.lab.ip(ctx, h.lab.underlay,
			fmt.Sprintf("link add name u%d mtu %d type veth peer name %s mtu %d netns %s", h.N, mtu, h.NIC, mtu, h.NS),
			fmt.Sprintf("link set dev u%d master ul0 up", h.N)),
		h.lab.ip(ctx, h.NS, lines...), txOff(ctx, h.NS, h.NIC))
}

// HasDriver tells whether the kernel makes links of a kind ("gretap").
func (h *Host) HasDriver(ctx context.Context, kind string) bool {
	args := map[string]string{"gretap": " local 192.0.2.254 remote 192.0.2.253", "geneve": " id 1 remote 192.0.2.253", "vxlan": " id 1 dstport 4789 remote 192.0.2.253"}[kind]
	if err := h.lab.ip(ctx, h.NS, "link add probe0 type "+kind+args); err != nil {
		return false
	}
	return h.lab.ip(ctx, h.NS, "link del probe0") == nil
}

// noOVSDir is a directory that is not there: where Open vSwitch would have its socket.
func (h *Host) noOVSDir() string { return filepath.Join(h.dir, "no-openvswitch") }
