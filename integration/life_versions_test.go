package integration

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestO20Versions is O20: on an overlay bridge that allows one version of OpenFlow
// alone, or two that are not neighbours, everything works: flows and groups are
// written in one go and read back, packets pass, what another deletes is noticed at
// once and comes back, greaved starts again without a change, and nothing is left
// to do.
func TestO20Versions(t *testing.T) {
	t.Parallel()
	l, guests := redPair(t)
	h := l.Hosts[0]
	for _, protocols := range []string{"OpenFlow13", "OpenFlow14", "OpenFlow15", "OpenFlow13, OpenFlow15"} {
		t.Run(protocols, func(t *testing.T) {
			s := site{h, dial(t, h), t}
			doc := func(fields string) string {
				return segmentDoc(l.Hosts, h, fields) + fmt.Sprintf("bridges: [{name: br-greave, forwarding: overlay, datapath: netdev, protocols: [%s]}]\n", protocols)
			}
			s.apply(doc(", unknown: drop"))
			s.speaks(protocols)
			s.apply(doc("")) // flows and a group change
			s.waitPlan()
			reaches(t, guests[0], guestAddr(2))
			want := s.flows("br-greave")
			if !strings.Contains(want, "group_id=") {
				t.Fatalf("no groups:\n%s", want)
			}
			group := regexp.MustCompile(`group_id=(\d+)`).FindStringSubmatch(want)[1]
			for _, spoil := range [][]string{
				{"del-flows", "table=50"}, {"del-flows"}, {"del-groups", "group_id=" + group}, {"mod-flows", "table=50,actions=drop"},
			} {
				began := time.Now()
				s.ofctl("br-greave", spoil...)
				eventually(t, promise, fmt.Sprintf("%v is mended", spoil), func() bool { return s.flows("br-greave") == want })
				t.Logf("O20: %v mended after %v", spoil, time.Since(began).Round(time.Millisecond))
			}
			reaches(t, guests[0], guestAddr(2))
			s.ofctl("br-greave", "add-flow", "cookie=0x7,table=200,priority=7,actions=drop")
			s.KillGreaved()
			s.run()
			s.waitConnected()
			s.waitPlan()
			if d := lineDiff(want, s.flows("br-greave")); !strings.Contains(d, "cookie=0x7") || strings.Count(d, "\n") > 0 {
				t.Errorf("after a restart, with a foreign flow:\n%s", d)
			}
			s.ofctl("br-greave", "del-flows", "cookie=0x7/-1")
			reaches(t, guests[0], guestAddr(2))
		})
	}
}

// speaks demands that the bridge takes connections of just these versions.
func (s site) speaks(protocols string) {
	s.t.Helper()
	for _, v := range []string{"OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"} {
		_, _, err := s.Exec(s.t.Context(), "ovs-ofctl", "--timeout=5", "-O"+v, "show", "unix:"+s.RunDir()+"/br-greave.mgmt")
		if (err == nil) != strings.Contains(protocols, v) {
			s.t.Errorf("a bridge of %s speaks %s: %v", protocols, v, err == nil)
		}
	}
}
