package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// entries are n FDB entries of the segment red; peer says behind whom each is.
func entries(n int, peer func(i int) string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "- {segment: red, mac: %q, peer: %s}\n", entryMAC(i), peer(i))
	}
	return b.String()
}

func entryMAC(i int) string { return fmt.Sprintf("02:10:00:00:%02x:%02x", i>>8, i&255) }

// spread puts entry i behind h2 or h3.
func spread(i int) string { return fmt.Sprint("h", 2+i%2) }

// TestL2StaticFDB: 10,000 addresses in one document are realised and read back,
// a frame for one of them goes to its peer and nobody else, and a frame for an
// unknown one is flooded or dropped as the segment says.
func TestL2StaticFDB(t *testing.T) {
	t.Parallel()
	const n = 10000
	l := lab.ForTest(t, lab.Options{Hosts: 3})
	h1 := l.Hosts[0]
	if err := h1.StartGreaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	red := guest(t, h1, "g1", guestCIDR(1), guestMAC(1), 0)
	blue := guest(t, h1, "b1", guestCIDR(1), guestMAC(1), 0)
	doc := vtepOf(h1) + "segments:\n- {name: red, key: 100}\n- {name: blue, key: 200, unknown: drop}\n" +
		"peers:\n" + peersOf(l.Hosts, h1, ", segments: [red, blue]") +
		"ports:\n- {name: g1, device: g1, attachments: [{segment: red}]}\n- {name: b1, device: b1, attachments: [{segment: blue}]}\n" +
		"fdb:\n- {segment: blue, mac: \"" + entryMAC(0) + "\", peer: h2}\n" + entries(n, spread)
	began := time.Now()
	apply(t, h1, doc)
	t.Logf("%d entries realised after %v", n, time.Since(began).Round(time.Millisecond))
	readBack(t, h1, n)

	broadcast(t, red, 1) // finds the underlay's neighbours
	for _, c := range []struct {
		name string
		from *lab.Guest
		mac  string
		to   []int // numbers of the hosts that get a copy
	}{
		{"first", red, entryMAC(0), []int{2}},
		{"second", red, entryMAC(1), []int{3}},
		{"middle", red, entryMAC(n / 2), []int{2}},
		{"last", red, entryMAC(n - 1), []int{3}},
		{"unknown, flood", red, unknownMAC(1), []int{2, 3}},
		{"known, drop", blue, entryMAC(0), []int{2}},
		{"unknown, drop", blue, entryMAC(1), nil}, // known in red alone
		{"broadcast, drop", blue, "ff:ff:ff:ff:ff:ff", []int{2, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stop := capture(t, h1, "", "proto gre and src host "+h1.VTEP.String())
			to := addr("10.0.0.77")
			fake(t, c.from, to, c.mac)
			unreachable(t, c.from, to)
			got := map[netip.Addr]int{}
			for _, p := range stop() {
				if f := inner(p); f.echo == 8 && f.to == to {
					got[p.Dst]++
				}
			}
			if len(got) != len(c.to) {
				t.Errorf("sent to %v, want hosts %v", got, c.to)
			}
			for _, host := range c.to {
				if n := got[l.Hosts[host-1].VTEP]; n != 5 {
					t.Errorf("%d of 5 sent to host %d", n, host)
				}
			}
		})
	}
}

// readBack compares what the daemon and the switch have with what was stated.
func readBack(t *testing.T, h *lab.Host, n int) {
	t.Helper()
	behind := map[string]string{}
	for token := ""; ; {
		r, err := dial(t, h).List(t.Context(), &greavev1.ListRequest{Kind: greavev1.ObjectKind_OBJECT_KIND_FDB, Segment: "red", PageSize: 5000, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Objects {
			if o.Status.State != greavev1.ResourceState_RESOURCE_STATE_ACTIVE {
				t.Fatalf("%s is %s", o.Status.Name, o.Status.State)
			}
			behind[o.GetFdb().GetMac()] = o.GetFdb().GetPeer()
		}
		if token = r.NextPageToken; token == "" {
			break
		}
	}
	flows := map[string]bool{}
	for _, line := range flowsOf(t, h, "br-greave") {
		if _, after, ok := strings.Cut(line, "dl_dst="); ok && strings.Contains(line, "table=50") {
			mac, _, _ := strings.Cut(after, " ")
			flows[mac] = true
		}
	}
	for i := range n {
		if mac := entryMAC(i); behind[mac] != spread(i) || !flows[mac] {
			t.Fatalf("%s is behind %q by the daemon's word, want %s; its flow is there: %t", mac, behind[mac], spread(i), flows[mac])
		}
	}
	if len(behind) != n {
		t.Errorf("%d entries read back, want %d", len(behind), n)
	}
}
