package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestO2CreatedPorts: an internal port is a device of the host in a segment, with
// the segment's MTU; a patch joins two bridges. Their rows carry the mark, come
// back when somebody deletes them, change in place, and go with the document.
func TestO2CreatedPorts(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{})
	start(t, l)
	h1, h2 := l.Hosts[0], l.Hosts[1]
	far := guest(t, h2, "g2", guestCIDR(2), guestMAC(2), 0)
	apply(t, h2, segmentDoc(l.Hosts, h2, ""))
	left, right := guest(t, h1, "left", "10.0.1.1/24", guestMAC(11), 0), guest(t, h1, "right", "10.0.1.2/24", guestMAC(12), 0)
	doc := func(fields string) string {
		return strings.Replace(segmentDoc(l.Hosts, h1, ""), "device: g1,", "internal: {"+fields+"},", 1) + ""
	}
	more := func(doc string) string {
		return strings.Replace(doc, "ports:\n", `bridges:
- {name: br-a, datapath: netdev}
- {name: br-b, datapath: netdev}
ports:
- {name: left, device: left, bridge: br-a}
- {name: right, device: right, bridge: br-b, vlan: {tag: 7}}
- {name: a-to-b, bridge: br-a, vlan: {tag: 7}, patch: {bridge: br-b, far_port: b-to-a}}
`, 1)
	}
	s := site{Host: h1, client: dial(t, h1), t: t}
	s.apply(more(doc("")))
	for _, c := range [][3]string{
		{"Interface", "g1", "type=internal"}, {"Interface", "g1", `mac="02:00:00:00:00:01"`}, {"Interface", "g1", "mtu_request=1458"},
		{"Interface", "a-to-b", "type=patch"}, {"Interface", "a-to-b", "options={peer=b-to-a}"},
		{"Interface", "b-to-a", "options={peer=a-to-b}"}, {"Port", "b-to-a", "tag=[]"}, {"Port", "a-to-b", "tag=7"},
		{"Port", "b-to-a", `external_ids={greave-object="port/a-to-b", greave-owner=h1}`},
		{"Interface", "g1", `external_ids={greave-object="port/g1", greave-owner=h1}`},
	} {
		column, want, _ := strings.Cut(c[2], "=")
		if got := s.vsctl("get", c[0], c[1], column); got != want {
			t.Errorf("%s of %s %s = %s, want %s", column, c[0], c[1], got, want)
		}
	}
	s.exec("ip", "addr", "add", guestCIDR(1), "dev", "g1")
	s.exec("ip", "link", "set", "g1", "up")
	reaches(t, far, guestAddr(1))
	if n := echo(t, far, guestAddr(1), "-M", "do", "-s", "1430"); n != 5 { // 1458 bytes of IP
		t.Errorf("%d of 5 of the largest packets were answered by the internal port", n)
	}
	t.Run("patch", func(t *testing.T) { // left is of no VLAN, which br-a puts into none; only tagged frames cross
		unreachable(t, left, right.Addr.Addr())
		s := s.in(t)
		s.apply(strings.Replace(more(doc("")), "device: left, bridge: br-a", "device: left, bridge: br-a, vlan: {tag: 7}", 1))
		unreachable(t, left, right.Addr.Addr()) // an access port of a patch takes the tag off
		s.apply(strings.NewReplacer("device: left, bridge: br-a", "device: left, bridge: br-a, vlan: {tag: 7}", "vlan: {tag: 7}, patch", "vlan: {trunks: [7]}, patch").Replace(more(doc(""))))
		reaches(t, left, right.Addr.Addr())
	})
	t.Run("drift", func(t *testing.T) {
		s := s.in(t)
		for _, port := range []string{"b-to-a", "a-to-b", "g1"} {
			s.vsctl("del-port", port)
			eventually(t, promise, port+" is back", func() bool { return len(s.vsctl("--if-exists", "get", "Interface", port, "ofport")) > 2 })
		}
		s.vsctl("set", "Interface", "g1", "mtu_request=1300")
		s.vsctl("set", "Interface", "b-to-a", "options:peer=nobody")
		eventually(t, promise, "columns are back", func() bool {
			return s.vsctl("get", "Interface", "g1", "mtu_request") == "1458" && s.vsctl("get", "Interface", "b-to-a", "options:peer") == "a-to-b"
		})
		s.waitPlan()
		reaches(t, left, right.Addr.Addr())
	})
	t.Run("in place", func(t *testing.T) {
		s := s.in(t)
		uuid := s.vsctl("get", "Interface", "g1", "_uuid")
		s.apply(strings.Replace(doc(`mac: "02:00:00:00:00:0e"`), "macs:", "mtu: 1280, macs:", 1))
		if got := s.vsctl("get", "Interface", "g1", "_uuid"); got != uuid {
			t.Errorf("the row of g1 is %s, was %s", got, uuid)
		}
		eventually(t, promise, "the device has its new MAC and MTU", func() bool {
			link := s.exec("ip", "link", "show", "g1")
			return strings.Contains(link, "02:00:00:00:00:0e") && strings.Contains(link, "mtu 1280")
		})
		for _, gone := range []string{"a-to-b", "b-to-a"} {
			if out := s.vsctl("--bare", "--columns=name", "find", "Port", "name="+gone); out != "" {
				t.Errorf("port %s is left", gone)
			}
		}
	})
	t.Run("halves", func(t *testing.T) { // a far end that cannot be made leaves none
		s := s.in(t)
		s.vsctl("--", "add-br", "other", "--", "set", "Bridge", "other", "datapath_type=netdev", "--", "add-port", "other", "b-to-a", "--", "set", "Interface", "b-to-a", "type=internal")
		r, err := s.try(&greavev1.ApplyRequest{State: parse(t, more(doc("")))})
		s.must(err)
		if len(r.NotRealised) != 1 || r.NotRealised[0].Name != "a-to-b" || !reasons(r.NotRealised[0])["CONFLICT"] {
			t.Errorf("not realised: %v, want a-to-b for its far end's name", r.NotRealised)
		}
		if out := s.vsctl("--bare", "--columns=name", "find", "Port", "name=a-to-b"); out != "" {
			t.Error("the near end was made without the far one")
		}
	})
	_, err := s.Purge(t.Context(), &greavev1.PurgeRequest{Confirm: true})
	s.must(err)
	var left2 []string
	for p := range strings.Lines(s.vsctl("--bare", "--columns=name", "find", "Port", "external_ids:greave-owner=h1")) {
		left2 = append(left2, p)
	}
	if len(left2) > 0 || !slices.Contains(strings.Fields(s.vsctl("list-br")), "other") {
		t.Error(fmt.Sprint("left after purge: ", left2, ", bridges ", s.vsctl("list-br")))
	}
}
