package integration

import (
	"strings"
	"testing"
)

// TestBridgeProperties is O1: everything a bridge can say reaches the row and
// the switch, the rows carry the owner's mark, and no ovs-vsctl is run.
func TestBridgeProperties(t *testing.T) {
	s := newSite(t)
	trace := s.trace("execve")
	s.apply(`
bridges:
- {name: br-full, datapath: netdev, hwaddr: "02:aa:00:00:00:01", datapath_id: "00000000000000a7", fail_mode: secure, protocols: [OpenFlow13, OpenFlow15], mtu: 1400}
- {name: br-plain, datapath: netdev}
tunnels: [{name: gre-1, bridge: br-plain, remote: {address: 192.0.2.200}}]
`)
	for _, c := range []struct{ record, column, want string }{
		{"br-full", "datapath_type", "netdev"},
		{"br-full", "fail_mode", "secure"},
		{"br-full", "protocols", "[OpenFlow13, OpenFlow15]"},
		{"br-full", "other_config:hwaddr", `"02:aa:00:00:00:01"`},
		{"br-full", "datapath_id", `"00000000000000a7"`},
		{"br-full", "external_ids:greave-owner", s.Name},
		{"br-full", "external_ids:greave-object", `"bridge/br-full"`},
		{"br-plain", "fail_mode", "standalone"},
		{"br-plain", "protocols", "[]"},
	} {
		if got := s.vsctl("get", "Bridge", c.record, c.column); got != c.want {
			t.Errorf("%s of bridge %s = %s, want %s", c.column, c.record, got, c.want)
		}
	}
	for _, table := range []string{"Port", "Interface"} {
		if got := s.vsctl("get", table, "gre-1", "external_ids"); got != `{greave-object="tunnel/gre-1", greave-owner=`+s.Name+`}` {
			t.Errorf("external_ids of %s gre-1 = %s", table, got)
		}
	}
	if link := s.exec("ip", "link", "show", "br-full"); !strings.Contains(link, "02:aa:00:00:00:01") || !strings.Contains(link, "mtu 1400") {
		t.Errorf("device br-full: %s", link)
	}
	if show := s.ofctl("br-full", "show"); !strings.Contains(show, "dpid:00000000000000a7") {
		t.Errorf("br-full has another datapath id: %s", show)
	}
	for version, want := range map[string]bool{"OpenFlow10": false, "OpenFlow13": true, "OpenFlow15": true} {
		_, _, err := s.Exec(t.Context(), "ovs-ofctl", "--timeout=5", "-O"+version, "show", "unix:"+s.RunDir()+"/br-full.mgmt")
		if (err == nil) != want {
			t.Errorf("br-full speaks %s: %v, want %v", version, err == nil, want)
		}
	}
	// Without a controller a secure bridge forwards only by flows: greave gives it the one that switches.
	if flows := s.flows("br-full"); strings.Count(flows, "cookie=") != 1 || !strings.Contains(flows, "actions=NORMAL") {
		t.Errorf("flows of the secure bridge: %s", flows)
	}

	before := s.vsctl("get", "Bridge", "br-full", "_uuid")
	s.apply(`bridges: [{name: br-full, datapath: netdev, hwaddr: "02:aa:00:00:00:02", fail_mode: secure, protocols: [OpenFlow15]}]`)
	if after := s.vsctl("get", "Bridge", "br-full", "_uuid"); after != before {
		t.Errorf("a change in place made a new row: %s, was %s", after, before)
	}
	if link := s.exec("ip", "link", "show", "br-full"); !strings.Contains(link, "02:aa:00:00:00:02") {
		t.Errorf("the new hwaddr has not arrived: %s", link)
	}
	if left := s.vsctl("--no-headings", "--columns=name", "find", "Bridge", "name=br-plain"); left != "" {
		t.Errorf("br-plain, no longer stated, is there: %s", left)
	}

	lines, err := trace.stop()
	s.must(err)
	children := 0
	for _, l := range lines {
		if strings.Contains(l, "execve(") {
			children++
			if strings.Contains(l, "ovs-vsctl") {
				t.Errorf("greaved ran ovs-vsctl: %s", l)
			}
		}
	}
	if children == 0 {
		t.Error("the trace saw no child at all: greaved runs ovs-ofctl at least")
	}
}
