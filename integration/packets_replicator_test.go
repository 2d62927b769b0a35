package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// relayDoc is one host's part of a segment whose replicator is h1. Peers behind
// which vxlan is spoken are named.
func relayDoc(hosts []*lab.Host, self *lab.Host, vxlan int) string {
	mode := "{mode: replicator, replicators: [h1]}"
	if self.N == 1 {
		mode = "{mode: relay}"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%ssegments: [{name: red, key: 100, learning: true, replication: %s}]\npeers:\n", vtepOf(self), mode)
	for _, h := range hosts {
		if h == self {
			continue
		}
		encap := ""
		if h.N == vxlan || self.N == vxlan {
			encap = ", encap: vxlan"
		}
		fmt.Fprintf(&b, "- {name: %s, paths: [{remote: %s}], segments: [red]%s}\n", h.Name, h.VTEP, encap)
	}
	fmt.Fprintf(&b, "ports: [{name: g%d, device: g%d, attachments: [{segment: red}]}]\n", self.N, self.N)
	return b.String()
}

// TestL4Replicator: a flood is one packet from its host to the replicator, which
// makes one for each other member: broadcast, multicast, unknown addresses and
// frames that are not IP alike, one copy at each guest, over one encapsulation and
// over two. Guests reach each other by way of it, and what they learned of it.
func TestL4Replicator(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{Hosts: 4})
	start(t, l)
	guests := redGuests(t, l.Hosts, 0)
	raws := make([]*lab.Raw, len(guests))
	for i, g := range guests {
		raws[i] = raw(t, g)
	}
	for _, c := range []struct {
		name  string
		vxlan int
		from  []int // guests, from 0
		kinds []string
	}{
		{"one encapsulation", 0, []int{0, 1}, []string{everyone, "01:00:5e:00:00:fb", "33:33:00:00:00:01", unknownMAC(9)}},
		{"two encapsulations", 4, []int{1, 3}, []string{everyone, unknownMAC(9)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, h := range l.Hosts {
				apply(t, h, relayDoc(l.Hosts, h, c.vxlan))
			}
			for i := range guests {
				for j := range guests {
					if i != j {
						crossing(t, raws[i], raws[j], guestMAC(1+i))
					}
				}
			}
			for _, from := range c.from {
				for _, kind := range c.kinds {
					replicated(t, l, raws, from, ethernet(kind, guestMAC(1+from), 0x88b5, fmt.Appendf(nil, "%-60s", kind)))
				}
			}
			for _, to := range guests[2:] {
				reaches(t, guests[1], to.Addr.Addr())
				reaches(t, to, guestAddr(2))
			}
		})
	}
}

// replicated sends a frame of one guest and counts it at all guests, and on the
// wires of its host and of the replicator.
func replicated(t *testing.T, l *lab.Lab, raws []*lab.Raw, from int, frame []byte) {
	t.Helper()
	for _, r := range raws {
		count(t, r, nil)
	}
	own, hub := capture(t, l.Hosts[from], "", "proto gre or udp port 4789"), capture(t, l.Hosts[0], "", "proto gre or udp port 4789")
	send(t, raws[from], frame)
	time.Sleep(delivery)
	sent, relayed := inside(own(), l.Hosts[from].VTEP, frame), inside(hub(), l.Hosts[0].VTEP, frame)
	wantSent, wantRelayed := 1, 2
	if from == 0 {
		wantSent, wantRelayed = 3, 3
	}
	if sent != wantSent || relayed != wantRelayed {
		t.Errorf("from %s: %d packets leave its host and %d the replicator, want %d and %d", l.Hosts[from].Name, sent, relayed, wantSent, wantRelayed)
	}
	for i, r := range raws {
		want := 1
		if i == from {
			want = 0
		}
		if n := count(t, r, frame); n != want {
			t.Errorf("from %s: %d copies at %s, want %d", l.Hosts[from].Name, n, l.Hosts[i].Name, want)
		}
	}
}
