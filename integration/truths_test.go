package integration

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// TestTruths holds Open vSwitch to what the design rests on (docs/architecture.md,
// "Open vSwitch, as found by trying"), where no test of a feature does. greave has
// no part in it: when one of these fails, the switch is another, and what was built
// on it is to be thought over.
func TestTruths(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{})
	s := site{Host: l.Hosts[0], t: t}
	far := site{Host: l.Hosts[1], t: t}
	for _, h := range []site{s, far} {
		h.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev", "fail_mode=secure")
	}
	t.Run("values out of range are swallowed", func(t *testing.T) { swallowed(s.in(t)) })
	t.Run("types that carry nothing get a number", func(t *testing.T) { emptyTypes(s.in(t)) })
	t.Run("one flow-based port a switch", func(t *testing.T) { oneFlowPort(s.in(t)) })
	t.Run("a bucket is an action set", func(t *testing.T) { actionSet(s.in(t)) })
	t.Run("a group takes its flows along", func(t *testing.T) { groupAndFlows(s.in(t)) })
	t.Run("an address without ip matches all", func(t *testing.T) { matchAll(s.in(t)) })
	t.Run("a patch port drops the key", func(t *testing.T) { patchDropsKey(s.in(t)) })
	t.Run("rows outlive their switch", func(t *testing.T) { deadSwitch(far.in(t)) })
	t.Run("BFD needs a fixed remote", func(t *testing.T) { bfd(s.in(t), far.in(t)) })
}

// tunnel makes a port of br0 and returns its number and error.
func (s site) tunnel(name string, options ...string) (ofport, err string) {
	s.t.Helper()
	s.vsctl(append([]string{"--may-exist", "add-port", "br0", name, "--", "set", "Interface", name}, options...)...)
	s.afterwards("--if-exists", "del-port", name)
	return s.vsctl("get", "Interface", name, "ofport"), s.vsctl("get", "Interface", name, "error")
}

// afterwards runs ovs-vsctl at the end of the subtest, which others follow on the
// same switch.
func (s site) afterwards(args ...string) {
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), settle)
		defer cancel()
		if _, err := s.Vsctl(ctx, args...); err != nil {
			s.t.Error(err)
		}
	})
}

// traced is what the datapath would do with a packet.
func (s site) traced(flow string) string {
	s.t.Helper()
	out, err := s.Appctl(s.t.Context(), "ofproto/trace", "br0", flow)
	s.must(err)
	m := regexp.MustCompile(`Datapath actions: (.*)`).FindStringSubmatch(out)
	if m == nil {
		s.t.Fatalf("no datapath actions:\n%s", out)
	}
	return m[1]
}

func swallowed(s site) {
	for i, c := range []struct{ option, shows string }{
		{"options:ttl=999", "ttl=231"}, {"options:key=abc", "key=0"}, {"options:nonsense=1", "key=0"},
	} {
		name := fmt.Sprint("sw", i)
		ofport, err := s.tunnel(name, "type=gre", fmt.Sprintf("options:remote_ip=192.0.2.%d", 100+i), c.option)
		tunnels, e := s.Appctl(s.t.Context(), "ofproto/list-tunnels")
		s.must(e)
		if err != "[]" || strings.HasPrefix(ofport, "-") || !regexp.MustCompile(`: `+name+` .*\b`+c.shows+`\b`).MatchString(tunnels) {
			s.t.Errorf("%s: ofport %s, error %s:\n%s", c.option, ofport, err, tunnels)
		}
	}
}

func emptyTypes(s site) {
	for _, kind := range []string{"stt", "lisp", "gtpu"} {
		if ofport, err := s.tunnel("empty", "type="+kind, "options:remote_ip=192.0.2.110", "options:key=1"); err != "[]" || strings.HasPrefix(ofport, "-") {
			s.t.Errorf("%s: ofport %s, error %s", kind, ofport, err)
		}
		s.vsctl("del-port", "empty")
	}
}

func oneFlowPort(s site) {
	flow := []string{"type=gre", "options:remote_ip=flow", "options:local_ip=flow", "options:key=flow"}
	if ofport, err := s.tunnel("one", flow...); err != "[]" || ofport == "-1" {
		s.t.Fatalf("the first: ofport %s, error %s", ofport, err)
	}
	if ofport, err := s.tunnel("two", flow...); ofport != "-1" || !strings.Contains(err, "File exists") {
		s.t.Errorf("the second: ofport %s, error %s", ofport, err)
	}
}

// actionSet: what a bucket may not hold is taken, read back unchanged, and not run.
func actionSet(s site) {
	for _, name := range []string{"p1", "p2"} {
		s.vsctl("add-port", "br0", name, "--", "set", "Interface", name, "type=internal", fmt.Sprintf("ofport_request=%d", 10+len(name)+int(name[1]-'0')))
		s.afterwards("--if-exists", "del-port", name)
	}
	p1, p2 := s.vsctl("get", "Interface", "p1", "ofport"), s.vsctl("get", "Interface", "p2", "ofport")
	outputs := func(actions string) int { return strings.Count(actions, ",") + 1 }
	group := func(actions string) string {
		s.ofctl("br0", "add-group", "group_id=1,type=indirect,bucket=actions="+actions)
		defer s.ofctl("br0", "del-groups", "group_id=1")
		s.ofctl("br0", "add-flow", "table=0,priority=1,actions=group:1")
		if dump := s.ofctl("br0", "--no-names", "dump-groups"); !strings.Contains(dump, "actions="+actions) {
			s.t.Errorf("not read back unchanged: %s\n%s", actions, dump)
		}
		return s.traced("in_port=LOCAL,dl_dst=02:00:00:00:00:01")
	}
	if got := group("output:" + p1 + ",output:" + p2); got == "drop" || outputs(got) != 1 {
		s.t.Errorf("two outputs in a bucket: %s", got)
	}
	if got := group("check_pkt_larger(1400)->NXM_NX_REG0[0],output:" + p1); strings.Contains(got, "check_pkt_len") {
		s.t.Errorf("check_pkt_larger in a bucket is run: %s", got)
	}
	s.ofctl("br0", "add-flow", "table=0,priority=1,actions=check_pkt_larger(1400)->NXM_NX_REG0[0],output:"+p1)
	if got := s.traced("in_port=LOCAL,dl_dst=02:00:00:00:00:01"); !strings.Contains(got, "check_pkt_len") {
		s.t.Errorf("check_pkt_larger in a flow is not run: %s", got)
	}
	s.ofctl("br0", "del-flows")
}

func groupAndFlows(s site) {
	s.ofctl("br0", "add-group", "group_id=2,type=all")
	s.ofctl("br0", "add-flow", "table=3,priority=3,actions=group:2")
	s.ofctl("br0", "del-groups", "group_id=2")
	if flows := s.flows("br0"); strings.Contains(flows, "group:2") {
		s.t.Errorf("the flow is still there:\n%s", flows)
	}
}

func matchAll(s site) {
	s.ofctl("br0", "add-flow", "table=4,priority=4,nw_dst=192.0.2.9,actions=drop")
	if flows := s.flows("br0"); strings.Contains(flows, "192.0.2.9") || !strings.Contains(flows, "table=4, priority=4 actions=drop") {
		s.t.Errorf("nw_dst without ip:\n%s", flows)
	}
	s.ofctl("br0", "del-flows")
}

func patchDropsKey(s site) {
	s.vsctl("add-br", "br1", "--", "set", "Bridge", "br1", "datapath_type=netdev", "fail_mode=secure",
		"--", "add-port", "br0", "to1", "--", "set", "Interface", "to1", "type=patch", "options:peer=to0",
		"--", "add-port", "br1", "to0", "--", "set", "Interface", "to0", "type=patch", "options:peer=to1")
	s.afterwards("del-port", "to1", "--", "del-br", "br1")
	s.ofctl("br0", "add-flow", "actions=set_field:7->tun_id,set_field:8->metadata,output:to1")
	for _, match := range []string{"tun_id=7", "metadata=8"} {
		s.ofctl("br1", "add-flow", "priority=9,"+match+",actions=LOCAL")
	}
	if got := s.traced("in_port=LOCAL"); got != "drop" {
		s.t.Errorf("across a patch port tun_id or metadata is matched: %s", got)
	}
	s.ofctl("br1", "add-flow", "priority=1,actions=LOCAL")
	if got := s.traced("in_port=LOCAL"); got == "drop" {
		s.t.Error("nothing crosses the patch port: the test proves nothing")
	}
	s.ofctl("br0", "del-flows")
}

// deadSwitch: without ovs-vswitchd rows keep their last good values; next_cfg alone
// runs ahead.
func deadSwitch(s site) {
	s.tunnel("keeps", "type=gre", "options:remote_ip=192.0.2.120")
	s.StopSwitch()
	if _, _, err := s.Exec(s.t.Context(), "ovs-vsctl", "--timeout=1", "set", "Interface", "keeps", "options:key=7"); err == nil {
		s.t.Error("a dead switch took up a change")
	}
	if ofport, err := s.vsctl("--no-wait", "get", "Interface", "keeps", "ofport"), s.vsctl("--no-wait", "get", "Interface", "keeps", "error"); strings.HasPrefix(ofport, "-") || ofport == "[]" || err != "[]" {
		s.t.Errorf("ofport %s, error %s", ofport, err)
	}
	next, err := strconv.Atoi(s.vsctl("--no-wait", "get", "Open_vSwitch", ".", "next_cfg"))
	s.must(err)
	if cur, err := strconv.Atoi(s.vsctl("--no-wait", "get", "Open_vSwitch", ".", "cur_cfg")); err != nil || cur >= next {
		s.t.Errorf("next_cfg %d, cur_cfg %d: %v", next, cur, err)
	}
	s.must(s.StartSwitch(s.t.Context()))
}

// bfd: a session comes up on a port with a fixed remote and a reserved key, and not
// on the flow-based one beside it.
func bfd(s, far site) {
	for _, h := range []struct{ at, to site }{{s, far}, {far, s}} {
		h.at.ofctl("br0", "add-flow", "actions=drop")
		h.at.tunnel("shared", "type=gre", "options:remote_ip=flow", "options:local_ip=flow", "options:key=flow", "bfd:enable=true")
		h.at.tunnel("probe", "type=gre", "options:remote_ip="+h.to.VTEP.String(), fmt.Sprintf("options:key=%d", 0xffff01), "bfd:enable=true")
	}
	state := func(port string) string { return s.vsctl("--if-exists", "get", "Interface", port, "bfd_status:state") }
	eventually(s.t, 3*promise, "the probe's session is up", func() bool { return state("probe") == "up" })
	time.Sleep(2 * time.Second)
	if got := state("shared"); got == "up" {
		s.t.Error("a session is up on a flow-based port")
	}
}
