package guest

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestMulticastRemote: tunnels whose far end is a multicast group of the underlay are one network
// with all that listen to it. What one sends to a group, each other gets once.
func TestMulticastRemote(t *testing.T) {
	hosts := star(t, 3)
	var all []*agent
	for i, h := range hosts {
		a := h.withAgent(fmt.Sprintf("host-%d", i))
		a.apply("tunnels:\n- {name: many, device: eth0, local: {address: %s}, remote: {address: 239.1.1.1}, key: {fixed: {in: 9, out: 9}}, multicast: true, addresses: [%s/24]}",
			star4(i), inner(i))
		all = append(all, a)
	}
	group := &net.UDPAddr{IP: net.IPv4(239, 9, 9, 9), Port: 4001}
	var ears []*net.UDPConn
	for i, h := range hosts {
		link, err := h.LinkByName("many")
		check(t, err)
		h.in(func() {
			c, err := net.ListenMulticastUDP("udp4", &net.Interface{Index: link.Attrs().Index, Name: "many", Flags: net.FlagUp | net.FlagMulticast}, group)
			check(t, err)
			ears = append(ears, c)
		})
		t.Cleanup(func() { ears[i].Close() })
	}
	for from, h := range hosts {
		h.in(func() {
			dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: inner(from).AsSlice()}, Control: bindTo("many")}
			c, err := dialer.DialContext(t.Context(), "udp4", group.String())
			check(t, err)
			defer c.Close()
			const sent = 20
			for i := range sent {
				_, err := fmt.Fprintf(c, "from %d, %d", from, i)
				check(t, err)
			}
			for to, ear := range ears {
				got := copies(ear, fmt.Sprintf("from %d, ", from))
				if to == from {
					continue // the sender's own loop
				}
				for i := range sent {
					if n := got[fmt.Sprintf("from %d, %d", from, i)]; n != 1 {
						t.Errorf("%d got %d copies of packet %d of %d", to, n, i, from)
					}
				}
			}
		})
	}
	if !pings(t, hosts[0], hosts[2], inner(0), inner(2), patience) {
		t.Error("unicast does not cross")
	}
	if why := all[0].refused("tunnels: [{name: many, remote: {address: 239.1.1.1}, addresses: [10.9.0.1/24]}]"); !strings.Contains(why, "multicast group") {
		t.Errorf("a group on no device: %s", why)
	}
}

// copies counts what a socket has heard of a sender.
func copies(c *net.UDPConn, prefix string) map[string]int {
	out, buffer := map[string]int{}, make([]byte, 2048)
	for {
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		n, _, err := c.ReadFromUDP(buffer)
		if err != nil {
			return out
		}
		if text := string(buffer[:n]); strings.HasPrefix(text, prefix) {
			out[text]++
		}
	}
}
