package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// SecondUnderlay gives every host a second NIC, eth1, on an underlay of its own: held by the bridge
// br-phy2, whose local port has the address VTEP2 returns. In the underlay's namespace the link of host
// N is called wN.
func (l *Lab) SecondUnderlay(ctx context.Context) error {
	if err := l.ip(ctx, l.underlay, "link add ul1 type bridge mcast_snooping 0", "link set ul1 up"); err != nil {
		return fmt.Errorf("make second underlay: %w", err)
	}
	for _, h := range l.Hosts {
		if err := h.secondCable(ctx); err != nil {
			return fmt.Errorf("connect %s to the second underlay: %w", h.Name, err)
		}
	}
	return nil
}

// VTEP2 is the host's address on the second underlay, 198.51.100.N.
func (h *Host) VTEP2() netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(h.N)}) }

func (h *Host) secondCable(ctx context.Context) error {
	mtu := h.lab.opts.UnderlayMTU
	err := h.lab.ip(ctx, h.lab.underlay,
		fmt.Sprintf("link add name w%d mtu %d type veth peer name eth1 mtu %d netns %s", h.N, mtu, mtu, h.NS),
		fmt.Sprintf("link set dev w%d master ul1 up", h.N))
	if err != nil {
		return err
	}
	if err := h.deaf(ctx, "eth1"); err != nil {
		return err
	}
	if err := errors.Join(h.lab.ip(ctx, h.NS, "link set dev eth1 up"), txOff(ctx, h.NS, "eth1")); err != nil {
		return err
	}
	if _, err := h.Vsctl(ctx, "add-br", "br-phy2", "--", "set", "Bridge", "br-phy2", "datapath_type=netdev", "--", "add-port", "br-phy2", "eth1"); err != nil {
		return err
	}
	return h.lab.ip(ctx, h.NS, fmt.Sprintf("addr replace %s/24 dev br-phy2", h.VTEP2()), "link set br-phy2 up")
}

// Unplug takes the far end of a host's cable out of its underlay, without a word to the host: its carrier
// stays. cable is u for the first and w for the second underlay. Plug puts it back.
func (h *Host) Unplug(ctx context.Context, cable string) error {
	return h.lab.ip(ctx, h.lab.underlay, fmt.Sprintf("link set dev %s%d nomaster", cable, h.N))
}

// Plug undoes Unplug.
func (h *Host) Plug(ctx context.Context, cable string) error {
	underlay := map[string]string{"u": "ul0", "w": "ul1"}[cable]
	return h.lab.ip(ctx, h.lab.underlay, fmt.Sprintf("link set dev %s%d master %s", cable, h.N, underlay))
}

// deaf keeps the host's own stack from answering what a NIC brings: OVS reads it by a packet socket, so
// the stack sees each frame too, and would answer ARP and ping twice, and tunnelled frames with 'protocol
// unreachable'.
func (h *Host) deaf(ctx context.Context, nic string) error {
	for _, set := range []string{"ipv4/conf/" + nic + "/rp_filter=1", "ipv4/conf/" + nic + "/arp_ignore=8", "ipv6/conf/" + nic + "/disable_ipv6=1"} {
		name, value, _ := strings.Cut(set, "=")
		if _, _, err := h.Exec(ctx, "sh", "-c", "[ ! -e /proc/sys/net/$1 ] || echo $2 > /proc/sys/net/$1", "sh", name, value); err != nil {
			return err
		}
	}
	return nil
}
