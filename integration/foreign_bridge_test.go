package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// neighbourFlows are what another controller has on its bridge: it switches, and
// marks what it has seen.
const neighbourFlows = `flow add cookie=0xc0de,table=0,priority=10 actions=resubmit(,7)
flow add cookie=0xc0de,table=7,priority=5,dl_type=0x88cc actions=drop
flow add cookie=0xc0de,table=7,priority=1 actions=NORMAL
`

// neighbour makes a bridge of somebody else with a controller, flows, and guests
// as libvirt makes them: two in VLAN 100, one in 200, one in 300.
func (s site) neighbour(bridge string) map[string]*lab.Guest {
	s.t.Helper()
	s.vsctl("--", "add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev", "fail_mode=secure", "protocols=[OpenFlow13,OpenFlow15]",
		"external_ids:owner=somebody", "other_config:hwaddr=02:f0:00:00:01:01", "--", "set-controller", bridge, "tcp:127.0.0.1:1")
	s.neighboursFlows(bridge)
	guests := map[string]*lab.Guest{}
	for n, g := range []struct {
		name string
		tag  int
	}{{"vm-a", 100}, {"vm-b", 200}, {"vm-c", 300}, {"vm-d", 100}} {
		vm, err := s.AddBoundGuest(s.t.Context(), bridge, "id-"+g.name, g.name, guestCIDR(11+n), guestMAC(11+n), 1400)
		s.must(err)
		s.vsctl("set", "Port", g.name, fmt.Sprint("tag=", g.tag))
		guests[g.name] = vm
	}
	return guests
}

func (s site) neighboursFlows(bridge string) {
	s.t.Helper()
	path, err := s.WriteFile("neighbour.ofctl", neighbourFlows)
	s.must(err)
	s.ofctl(bridge, "bundle", path)
}

// volatile are the columns that the switch itself writes all the time.
var volatile = []string{"statistics", "status", "next_cfg", "cur_cfg", "link_resets", "is_connected", "rstp_statistics", "rstp_status"}

// everyRow is the whole database without what bears greave's mark, the bridges
// that bear it, and volatile columns; a row a line. Marked ports are left out of
// the sets that name them, and counted: of each bridge that is not greave's.
func (s site) everyRow() (rows string, ours map[string]int) {
	s.t.Helper()
	ours = map[string]int{}
	type row map[string]any
	tables := map[string][]row{}
	marked := map[string]bool{}
	for _, table := range strings.Fields(s.exec("ovsdb-client", "list-tables", s.OVSSocket(), "Open_vSwitch", "--no-headings")) {
		var dump struct {
			Headings []string
			Data     [][]any
		}
		s.must(json.Unmarshal([]byte(s.vsctl("--format=json", "list", table)), &dump))
		for _, d := range dump.Data {
			r := row{}
			for i, h := range dump.Headings {
				if !slices.Contains(volatile, h) {
					r[h] = d[i]
				}
			}
			if strings.Contains(fmt.Sprint(r["external_ids"]), "greave-owner") {
				marked[uuidOf(r)] = true
				for _, port := range strings.Fields(fmt.Sprint(r["ports"])) { // of greave's own bridge: its local port bears no mark
					marked[strings.Trim(port, "[]")] = true
				}
				for _, i := range strings.Fields(fmt.Sprint(r["interfaces"])) {
					marked[strings.Trim(i, "[]")] = true
				}
				continue
			}
			tables[table] = append(tables[table], r)
		}
	}
	var lines []string
	for table, list := range tables {
		for _, r := range list {
			if marked[uuidOf(r)] || r["name"] == "br-greave" {
				continue
			}
			for column, v := range r {
				set, before := without(v, marked)
				r[column] = set
				if column == "ports" {
					ours[fmt.Sprint(r["name"])] = before
				}
			}
			text, err := json.Marshal(r)
			s.must(err)
			lines = append(lines, table+" "+string(text))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), ours
}

func uuidOf(r map[string]any) string {
	if id, ok := r["_uuid"].([]any); ok && len(id) == 2 {
		return fmt.Sprint(id[1])
	}
	return ""
}

// without is a set of references less those to marked rows, and how many those
// were. One member alone is written without the set.
func without(v any, marked map[string]bool) (any, int) {
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return v, 0
	}
	members := []any{v}
	if list[0] == "set" {
		members = list[1].([]any)
	} else if list[0] != "uuid" {
		return v, 0
	}
	var kept []string
	gone := 0
	for _, m := range members {
		if id, ok := m.([]any); ok && len(id) == 2 && marked[fmt.Sprint(id[1])] {
			gone++
		} else {
			kept = append(kept, fmt.Sprint(m))
		}
	}
	slices.Sort(kept)
	return kept, gone
}

func foreignDoc(h *lab.Host, hosts []*lab.Host, more string) string {
	return vtepOf(h) + "segments:\n- {name: red, key: 100}\n- {name: blue, key: 200}\npeers:\n" + peersOf(hosts, h, ", segments: [red, blue]") + more
}

const joinedBridge = `bridges: [{name: br-x, mode: foreign}]
ports:
- {name: up, patch: {bridge: br-x, far_port: to-greave}, attachments: [{segment: red, vlan: 100}, {segment: blue, vlan: 200}]}
`

// TestForeignBridge: a bridge that another controller owns is joined by one patch
// pair. Guests that libvirt put there reach their segment on a remote host, both
// ways, by VLAN; and of the bridge, and of all else on the switch, nothing is
// changed but that one port more is there.
func TestForeignBridge(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{})
	h1, h2 := l.Hosts[0], l.Hosts[1]
	start(t, l)
	s := site{Host: h1, client: dial(t, h1), t: t}
	red, blue := guest(t, h2, "red", guestCIDR(1), guestMAC(1), 1400), guest(t, h2, "blue", guestCIDR(2), guestMAC(2), 1400)
	apply(t, h2, foreignDoc(h2, l.Hosts, `ports:
- {name: red, device: red, attachments: [{segment: red}]}
- {name: blue, device: blue, attachments: [{segment: blue}]}
`))
	vms := s.neighbour("br-x")
	rows, ours := s.everyRow()
	flows := s.flows("br-x")
	if ours["br-x"] != 0 || strings.Count(flows, "cookie=0xc0de") != 3 {
		t.Fatalf("before: %v ports are ours; flows\n%s", ours, flows)
	}
	untouched := func(t *testing.T, want int) {
		t.Helper()
		got, n := s.in(t).everyRow()
		if d := lineDiff(rows, got); d != "" {
			t.Errorf("rows of others were changed:\n%s", d)
		}
		if d := lineDiff(flows, s.in(t).flows("br-x")); d != "" {
			t.Errorf("flows of the foreign bridge were changed:\n%s", d)
		}
		if n["br-x"] != want {
			t.Errorf("%d ports of greave's are on the foreign bridge, want %d", n["br-x"], want)
		}
	}
	s.apply(foreignDoc(h1, l.Hosts, joinedBridge))
	untouched(t, 1)
	for column, want := range map[string]string{"trunks": "[100, 200]", "tag": "[]", "vlan_mode": "[]", "external_ids": `{greave-object="port/up", greave-owner=h1}`} {
		if got := s.vsctl("get", "Port", "to-greave", column); got != want {
			t.Errorf("%s of the far port = %s, want %s", column, got, want)
		}
	}
	if p := s.object(bridgeKind, "br-x"); p.GetState() != active {
		t.Errorf("the foreign bridge is %v", p)
	}

	t.Run("packets", func(t *testing.T) { s.in(t).crossesPatch(t, vms, red, blue) })
	untouched(t, 1)

	t.Run("drift", func(t *testing.T) {
		s := s.in(t)
		s.vsctl("del-port", "to-greave")
		eventually(t, promise, "the far port is back", func() bool { return len(s.vsctl("--if-exists", "get", "Interface", "to-greave", "ofport")) > 2 })
		s.vsctl("set", "Port", "to-greave", "trunks=7")
		eventually(t, promise, "the far port is a trunk of two", func() bool { return s.vsctl("get", "Port", "to-greave", "trunks") == "[100, 200]" })
		s.waitPlan()
		reaches(t, vms["vm-a"], guestAddr(1))
		untouched(t, 1)
	})
	t.Run("another datapath", func(t *testing.T) {
		s := s.in(t)
		_, _ = s.Vsctl(t.Context(), "--no-wait", "--", "add-br", "br-y", "--", "set", "Bridge", "br-y", "datapath_type=system")
		r, err := s.try(&greavev1.ApplyRequest{State: parse(t, foreignDoc(h1, l.Hosts, strings.NewReplacer("bridges: [", "bridges: [{name: br-y, mode: foreign}, ", "ports:\n",
			"ports:\n- {name: up-y, patch: {bridge: br-y}, attachments: [{segment: red, vlan: 100}]}\n").Replace(joinedBridge)))})
		s.must(err)
		if len(r.NotRealised) != 1 || r.NotRealised[0].Name != "up-y" || r.NotRealised[0].State != failed ||
			!strings.Contains(message(r.NotRealised[0]), "say datapath: system for bridge br-greave") {
			t.Errorf("not realised: %v, want up-y with the remedy", r.NotRealised)
		}
		_, _ = s.Vsctl(t.Context(), "--no-wait", "del-br", "br-y")
		s.apply(foreignDoc(h1, l.Hosts, joinedBridge))
		untouched(t, 1)
	})
	t.Run("gone and back", func(t *testing.T) {
		s := s.in(t)
		s.vsctl("del-br", "br-x")
		s.becomes(bridgeKind, "br-x", pending, "BRIDGE_ABSENT")
		s.becomes(portKind, "up", pending, "BLOCKED_ON")
		s.vsctl("--", "add-br", "br-x", "--", "set", "Bridge", "br-x", "datapath_type=netdev", "--", "add-port", "br-x", "vm-a", "tag=100")
		s.becomes(portKind, "up", active, "")
		reaches(t, vms["vm-a"], guestAddr(1))
		rows, _ = s.everyRow()
		flows = s.flows("br-x")
	})
	t.Run("purge", func(t *testing.T) {
		_, err := s.Purge(t.Context(), &greavev1.PurgeRequest{Confirm: true})
		s.in(t).must(err)
		untouched(t, 0)
		if left := s.in(t).vsctl("--bare", "--columns=name", "find", "Port", "external_ids:greave-owner=h1"); left != "" {
			t.Errorf("ports are left: %s", left)
		}
	})
}

// crossesPatch sends packets between the guests on the foreign bridge and those
// on the remote host.
func (s site) crossesPatch(t *testing.T, vms map[string]*lab.Guest, red, blue *lab.Guest) {
	t.Helper()
	for _, c := range []struct{ from, to *lab.Guest }{
		{vms["vm-a"], red}, {red, vms["vm-a"]}, {red, vms["vm-d"]}, {vms["vm-b"], blue}, {blue, vms["vm-b"]}, {vms["vm-a"], vms["vm-d"]},
	} {
		reaches(t, c.from, c.to.Addr.Addr())
	}
	wire := capture(t, s.Host, "", "proto gre")
	if n := echo(t, vms["vm-a"], guestAddr(1)); n != 5 {
		t.Errorf("%d of 5 answered across the patch", n)
	}
	to := broadcast(t, vms["vm-a"], 5)
	for _, c := range []struct{ from, to *lab.Guest }{{vms["vm-c"], red}, {vms["vm-c"], blue}, {vms["vm-a"], blue}, {vms["vm-b"], red}} {
		if n := echo(t, c.from, c.to.Addr.Addr(), "-c", "2", "-W", "0.3"); n != 0 {
			t.Errorf("%s reaches %s", c.from.Name, c.to.Name)
		}
	}
	packets := wire()
	if n := len(echoes(packets, guestAddr(11), guestAddr(1))); n != 5 {
		t.Errorf("%d requests of 5 on the wire", n)
	}
	for _, p := range packets {
		if p.Key == nil || *p.Key != 100 && *p.Key != 200 || len(p.Inner) > 14 && p.Inner[12] == 0x81 {
			t.Fatalf("on the wire with a tag, or without its segment's key: %v %x", p.Key, p.Inner)
		}
	}
	if n := copies(packets, to); !slices.Equal(n, each(5, 1)) {
		t.Errorf("copies of each broadcast on the wire: %v, want 1 each", n)
	}
}
