package integration

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/greave-sdn/greave/integration/lab"
	"github.com/greave-sdn/greave/model"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// crowd is a segment with n members that do not exist: the underlay has a route
// to them and no more.
func crowd(self *lab.Host, encap string, v6 bool, n int) string {
	var b strings.Builder
	vtep, member := self.VTEP, "198.18.%d.%d"
	if v6 {
		vtep, member = self.VTEP6, "'2001:db8:2::%d:%d'"
	}
	fmt.Fprintf(&b, "vteps: [{name: v, address: '%s'}]\n", vtep)
	fmt.Fprintf(&b, "segments: [{name: red, key: 100, encap: %s}]\n", encap)
	b.WriteString("ports:\n- {name: g1, device: g1, attachments: [{segment: red}]}\n- {name: g2, device: g2, attachments: [{segment: red}]}\npeers:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {name: m%d, paths: [{remote: "+member+"}], segments: [red]}\n", i, 1+i/250, 1+i%250)
	}
	return b.String()
}

// TestL4FloodBound: a segment of the most members that validation accepts sends
// one copy to each and to the local ports; one member more is refused. The
// switch drops what is beyond its own bound in silence, so that bound is
// measured: it must not be below what is accepted.
func TestL4FloodBound(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{IPv6: true})
	h1 := l.Hosts[0]
	if err := h1.StartGreaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	for net, via := range map[string]netip.Addr{"198.18.0.0/15": l.Hosts[1].VTEP, "2001:db8:2::/48": l.Hosts[1].VTEP6} {
		if _, _, err := h1.Exec(t.Context(), "ip", "route", "add", net, "via", via.String(), "dev", "br-phy"); err != nil {
			t.Fatal(err)
		}
	}
	g1 := guest(t, h1, "g1", guestCIDR(1), guestMAC(1), 0)
	guest(t, h1, "g2", guestCIDR(2), guestMAC(2), 0)
	for _, c := range []struct {
		name, encap string
		v6          bool
		bound       int
	}{
		{"gre", "gre", false, model.FloodMax}, {"vxlan", "vxlan", false, model.FloodMaxVXLAN}, {"geneve", "geneve", false, model.FloodMaxGeneve},
		{"gre over IPv6", "gre", true, model.FloodMaxIPv6}, {"vxlan over IPv6", "vxlan", true, model.FloodMaxVXLANIPv6}, {"geneve over IPv6", "geneve", true, model.FloodMaxGeneveIPv6},
	} {
		t.Run(c.name, func(t *testing.T) {
			bound := c.bound
			apply(t, h1, crowd(h1, c.encap, c.v6, bound))
			_, err := dial(t, h1).Validate(t.Context(), &greavev1.ValidateRequest{State: parse(t, crowd(h1, c.encap, c.v6, bound+1))})
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("%d members: %v", bound+1, err)
			}
			if got := floodTo(t, h1, g1); len(got) != bound || slices.Max(got) != 1 {
				t.Errorf("a broadcast reaches %d of %d members, the luckiest %d times", len(got), bound, slices.Max(append(got, 0)))
			}
			most := switchBound(t, h1, g1, bound)
			t.Logf("the switch sends at most %d copies of %s", most, c.name)
			if most < bound+50 { // room for local ports
				t.Errorf("the switch sends %d copies, %d members are accepted", most, bound)
			}
		})
	}
}

// outerTo is the destination of a frame to a member, as tcpdump prints it.
var outerTo = regexp.MustCompile(`IP6? (?:192\.0\.2\.1|2001:db8::1)(?:\.\d+)? > (198\.18\.\d+\.\d+|2001:db8:2::\d+:\d+)[.:]`)

// floodTo broadcasts once and returns the copies that each member was sent. The
// local port must have one too. A burst of 800 frames needs a capture of short
// slots: tcpdump's ring has one of the full snapshot length for each frame.
func floodTo(t *testing.T, h *lab.Host, from *lab.Guest) []int {
	t.Helper()
	broadcast(t, from, 1) // finds the underlay's neighbour
	told, err := h.WriteFile("flood.log", "")
	if err != nil {
		t.Fatal(err)
	}
	var text string
	var wg sync.WaitGroup
	wg.Go(func() {
		text, _, _ = h.Exec(t.Context(), "timeout", "-s", "INT", "2", "sh", "-c", // that it was stopped is no error
			"exec tcpdump -n -s 128 -B 16384 -i eth0 'dst net 198.18.0.0/15 or ip6 dst net 2001:db8:2::/48' 2> "+told)
	})
	eventually(t, settle, "tcpdump listens", func() bool {
		b, _ := os.ReadFile(told)
		return bytes.Contains(b, []byte("listening on"))
	})
	local := capture(t, h, "g2", "icmp")
	to := broadcast(t, from, 1)
	if n := copies(local(), to); !slices.Equal(n, each(1, 1)) {
		t.Errorf("copies to the local port: %v", n)
	}
	wg.Wait()
	if b, _ := os.ReadFile(told); !bytes.Contains(b, []byte("\n0 packets dropped by kernel")) {
		t.Errorf("the capture is not whole: %s", b)
	}
	members := map[string]int{}
	for _, m := range outerTo.FindAllStringSubmatch(text, -1) {
		members[m[1]]++
	}
	return slices.Collect(maps.Values(members))
}

// switchBound lets the flood group name members twice, up to as many buckets as
// a message holds, and counts what leaves.
func switchBound(t *testing.T, h *lab.Host, from *lab.Guest, members int) int {
	t.Helper()
	const buckets = 1100
	h.KillGreaved() // or it would mend the group
	for _, line := range groupsOf(t, h, "br-greave") {
		head, list, _ := strings.Cut(line, ",bucket=")
		first := strings.Split(list, ",bucket=")
		if !strings.Contains(head, "type=all") || len(first) < members {
			continue
		}
		for i := len(first); i < buckets; i++ {
			_, then, _ := strings.Cut(first[1+i%members], ",")
			first = append(first, fmt.Sprintf("bucket_id:%d,%s", 100000+i, then))
		}
		path, err := h.WriteFile("group", "group mod "+head+",bucket="+strings.Join(first, ",bucket=")+"\n")
		if err != nil {
			t.Fatal(err)
		}
		ofctl(t, h, "br-greave", "bundle", path)
	}
	sum := 0
	for _, n := range floodTo(t, h, from) {
		sum += n
	}
	if sum == members {
		t.Error("no more than the members: the group was not changed")
	}
	if err := h.StartGreaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	return sum
}
