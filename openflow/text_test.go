package openflow_test

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl/ofctltest"
)

// lines reads a file of testdata/text. The lines of flows.txt and groups.txt are
// what a switch printed; openflow/ofctl shows that it still does.
func lines(t testing.TB, name string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "text", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestFlowText(t *testing.T) {
	for _, line := range lines(t, "flows.txt") {
		f, err := openflow.ParseFlow(line)
		if err != nil || !f.Parsed || f.MatchText != "" {
			t.Fatalf("%s: %+v, %v", line, f, err)
		}
		if err := f.Check(); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if got := f.Flow.String(); got != line {
			t.Errorf("got  %s\nwant %s", got, line)
		}
	}
}

func TestGroupText(t *testing.T) {
	for _, line := range lines(t, "groups.txt") {
		g, err := openflow.ParseGroup(" " + line)
		if err != nil || !g.Parsed || g.Text != line {
			t.Fatalf("%s: %+v, %v", line, g, err)
		}
		if got := g.Group.String(); got != line {
			t.Errorf("got  %s\nwant %s", got, line)
		}
	}
}

// TestTextMeaning holds typed values against their text, which a round trip of
// the text alone would not.
func TestTextMeaning(t *testing.T) {
	flow := openflow.Flow{
		Key: openflow.Key{Table: 20, Priority: 100, Match: openflow.Match{
			InPort: 40000, TunID: openflow.Exact64(100), TunSrc: netip.MustParseAddr("192.0.2.1"),
			TunDst: netip.MustParseAddr("2001:db8::2"), EthType: 0x86dd,
			EthDst:  openflow.MaskedMAC{Value: openflow.MAC{1}, Mask: openflow.MAC{1}},
			VlanTCI: openflow.Masked16{Value: 0x1064, Mask: 0x1fff},
		}},
		Cookie: openflow.MakeCookie(0x6701, 2, 500),
		Actions: []openflow.Action{
			openflow.SetReg(openflow.RegPath, 10),
			openflow.SetField{Field: openflow.FieldTunID, Value: 255},
			openflow.SetField{Field: openflow.FieldTunIPv6Dst, Addr: netip.MustParseAddr("2001:db8::1")},
			openflow.Resubmit{Table: openflow.TableTunnelOut}, openflow.ToGroup{Group: openflow.GroupMin},
			openflow.Output{Port: 7}, openflow.Output{Port: openflow.PortInPort}, openflow.Output{Port: openflow.PortLocal}, openflow.Normal{},
		},
	}
	flow.Match.Regs[openflow.RegSegment] = openflow.Exact32(16)
	flow.Match.Regs[openflow.RegFlags] = openflow.Masked32{Value: 1, Mask: 1}
	const want = "cookie=0x67010200000001f4, table=20, priority=100,ipv6,reg0=0x1/0x1,reg1=0x10,tun_id=0x64,tun_src=192.0.2.1,tun_ipv6_dst=2001:db8::2,in_port=40000,dl_vlan=100,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00" +
		" actions=set_field:0xa->reg4,set_field:0xff->tun_id,set_field:2001:db8::1->tun_ipv6_dst,resubmit(,90),group:1728053248,output:7,IN_PORT,LOCAL,NORMAL"
	if got := flow.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	group := openflow.Group{ID: 5, Type: openflow.GroupFastFailover, Buckets: []openflow.Bucket{
		{ID: 1, Watch: 9, Sets: []openflow.SetField{openflow.SetReg(4, 17)}, Then: openflow.Resubmit{Table: 80}},
		{ID: 2, Watch: 10, Then: openflow.ToGroup{Group: 6}},
	}}
	const wantGroup = "group_id=5,type=ff,bucket=bucket_id:1,watch_port:9,actions=set_field:0x11->reg4,resubmit(,80),bucket=bucket_id:2,watch_port:10,actions=group:6"
	if got := group.String(); got != wantGroup {
		t.Errorf("got  %s\nwant %s", got, wantGroup)
	}
}

func TestCheckRefuses(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	match := func(m openflow.Match) openflow.Flow { return openflow.Flow{Key: openflow.Key{Match: m}} }
	act := func(a ...openflow.Action) openflow.Flow { return openflow.Flow{Actions: a} }
	bucket := func(g openflow.GroupType, b ...openflow.Bucket) openflow.Group {
		return openflow.Group{Type: g, Buckets: b}
	}
	to := openflow.Resubmit{Table: 1}
	for name, v := range map[string]interface{ Check() error }{
		"default priority":   openflow.Flow{Key: openflow.Key{Priority: 32768}},
		"all tables":         openflow.Flow{Key: openflow.Key{Table: 255}},
		"internal table":     openflow.Flow{Key: openflow.Key{Table: 254}},
		"in_port range":      match(openflow.Match{InPort: 65280}),
		"in_port IN_PORT":    match(openflow.Match{InPort: openflow.PortInPort}),
		"reg outside mask":   match(openflow.Match{Regs: [openflow.NumRegs]openflow.Masked32{{Value: 3, Mask: 1}}}),
		"reg without mask":   match(openflow.Match{Regs: [openflow.NumRegs]openflow.Masked32{{Value: 3}}}),
		"tun_id":             match(openflow.Match{TunID: openflow.Masked64{Value: 2, Mask: 1}}),
		"mac":                match(openflow.Match{EthDst: openflow.MaskedMAC{Value: openflow.MAC{3}, Mask: openflow.MAC{1}}}),
		"mapped address":     match(openflow.Match{TunSrc: netip.MustParseAddr("::ffff:10.0.0.1")}),
		"compatible address": match(openflow.Match{TunDst: netip.MustParseAddr("::10.0.0.1")}),
		"zone":               match(openflow.Match{TunDst: netip.MustParseAddr("fe80::1%eth0")}),
		"vlan outside mask":  match(openflow.Match{VlanTCI: openflow.Masked16{Value: 0x1064, Mask: 0x1000}}),
		"pcp in part":        match(openflow.Match{VlanTCI: openflow.Masked16{Value: 0x3000, Mask: 0x3000}}),
		"pcp without tag":    match(openflow.Match{VlanTCI: openflow.Masked16{Value: 0x2064, Mask: 0xefff}}),
		"untagged with pcp":  match(openflow.Match{VlanTCI: openflow.Masked16{Mask: 0xffff}}),
		"output 0":           act(openflow.Output{}),
		"output range":       act(openflow.Output{Port: 65280}),
		"resubmit table":     act(openflow.Resubmit{Table: 254}),
		"group number":       act(openflow.ToGroup{Group: 0xffffff01}),
		"address without ip": match(openflow.Match{Upper: openflow.Upper{Src: v4}}),
		"IPv4 in IPv6":       match(openflow.Match{EthType: openflow.EtherIPv6, Upper: openflow.Upper{Src: v4}}),
		"IPv6 in ARP":        match(openflow.Match{EthType: openflow.EtherARP, Upper: openflow.Upper{Dst: v6}}),
		"ports of ICMP":      match(openflow.Match{EthType: openflow.EtherIPv4, Upper: openflow.Upper{Proto: openflow.ProtoICMP, TPDst: 67}}),
		"type of UDP":        match(openflow.Match{EthType: openflow.EtherIPv4, Upper: openflow.Upper{Proto: openflow.ProtoUDP, ICMPType: 8}}),
		"target of a ping":   match(openflow.Match{EthType: openflow.EtherIPv6, Upper: openflow.Upper{Proto: openflow.ProtoICMPv6, ICMPType: 128, NDTarget: v6}}),
		"hardware of IPv4":   match(openflow.Match{EthType: openflow.EtherIPv4, Upper: openflow.Upper{HW: openflow.Hardware{Set: true}}}),
		"hardware not set":   match(openflow.Match{EthType: openflow.EtherARP, Upper: openflow.Upper{HW: openflow.Hardware{MAC: openflow.MAC{2}}}}),
		"arp_op of anything": act(openflow.SetField{Field: openflow.FieldARPOp, Value: 2}),
		"arp_op width":       openflow.Flow{Key: openflow.Key{Match: openflow.Match{EthType: openflow.EtherARP}}, Actions: []openflow.Action{openflow.SetField{Field: openflow.FieldARPOp, Value: 256}}},
		"in_port of one":     act(openflow.SetField{Field: openflow.FieldInPort, Value: 1}),
		"mac width":          act(openflow.SetField{Field: openflow.FieldEthSrc, Value: 1 << 48}),
		"learn for a peer":   act(openflow.Learn{Cookie: openflow.MakeCookie(1, 3, 1), Load: openflow.LoadPeer}),
		"learn a port":       act(openflow.Learn{Cookie: openflow.MakeCookie(1, openflow.KindLearned, 1), Load: openflow.Move{From: openflow.PartInPort, To: openflow.PartOut}}),
		"move of one width":  act(openflow.Move{From: openflow.PartEthSrc, To: openflow.PartOut}),
		"move to itself":     act(openflow.Move{From: openflow.PartEthSrc, To: openflow.PartEthSrc}),
		"move to in_port":    act(openflow.Move{From: openflow.PartOutPort, To: openflow.PartInPort}),
		"move of ARP":        act(openflow.Move{From: openflow.PartEthSrc, To: openflow.PartARPSHA}),
		"tll of a question":  openflow.Flow{Key: openflow.Key{Match: openflow.Match{EthType: openflow.EtherIPv6, Upper: openflow.Upper{Proto: openflow.ProtoICMPv6, ICMPType: openflow.NDSolicit}}}, Actions: []openflow.Action{openflow.Move{From: openflow.PartEthSrc, To: openflow.PartNDTLL}}},
		"bucket of ARP":      bucket(openflow.GroupAll, openflow.Bucket{Sets: []openflow.SetField{{Field: openflow.FieldARPOp}}, Then: to}),
		"reg width":          act(openflow.SetField{Value: 1 << 32}),
		"reg address":        act(openflow.SetField{Addr: v4}),
		"v4 in v6":           act(openflow.SetField{Field: openflow.FieldTunIPv6Dst, Addr: v4}),
		"v6 in v4":           act(openflow.SetField{Field: openflow.FieldTunDst, Addr: v6}),
		"no address":         act(openflow.SetField{Field: openflow.FieldTunDst, Value: 7}),
		"unknown field":      act(openflow.SetField{Field: 200}),
		"opaque":             act(openflow.Opaque{Text: "NORMAL"}),
		"nil action":         act(nil),
		"too long":           act(make([]openflow.Action, 5000)...),
		"no group type":      openflow.Group{},
		"indirect of none":   bucket(openflow.GroupIndirect),
		"bucket twice":       bucket(openflow.GroupAll, openflow.Bucket{Then: to}, openflow.Bucket{Then: to}),
		"weight in all":      bucket(openflow.GroupAll, openflow.Bucket{Weight: 1, Then: to}),
		"watch in all":       bucket(openflow.GroupAll, openflow.Bucket{Watch: 1, Then: to}),
		"ff without watch":   bucket(openflow.GroupFastFailover, openflow.Bucket{Then: to}),
		"bucket output":      bucket(openflow.GroupAll, openflow.Bucket{Then: openflow.Output{Port: 1}}),
		"bucket to nowhere":  bucket(openflow.GroupAll, openflow.Bucket{}),
		"own group":          bucket(openflow.GroupAll, openflow.Bucket{Then: openflow.ToGroup{}}),
		"match text":         openflow.Removal{MatchText: "tcp\nflow delete"},
		"match text keyword": openflow.Removal{MatchText: "tcp,table=3"},
		"match text actions": openflow.Removal{MatchText: "tcp actions=drop"},
		"match text comment": openflow.Removal{MatchText: "tcp#"},
		"match text empty":   openflow.Removal{MatchText: ","},
	} {
		if v.Check() == nil {
			t.Errorf("%s: not refused: %+v", name, v)
		}
	}
}

func TestCheckSize(t *testing.T) {
	var f openflow.Flow
	for range 4000 {
		f.Actions = append(f.Actions, openflow.Output{Port: 1})
	}
	if err := f.Check(); err != nil {
		t.Errorf("4000 outputs: %v", err)
	}
	f.Actions = append(f.Actions, f.Actions...)
	if f.Check() == nil {
		t.Error("8000 outputs not refused")
	}
}

func TestFlowTextProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := ofctltest.Flow().Draw(t, "flow")
		if err := f.Check(); err != nil {
			t.Fatal(err)
		}
		roundTrip(t, f)
	})
}

func TestGroupTextProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := ofctltest.Group().Draw(t, "group")
		line := openflow.AppendGroup(nil, g)
		back, err := openflow.ParseGroup(string(line))
		if err != nil || !back.Parsed || bytes.ContainsAny(line, "\n#") || !reflect.DeepEqual(back.Group, g) {
			t.Fatalf("%s\ngot  %+v, %v\nwant %+v", line, back, err, g)
		}
	})
}

// roundTrip holds that a flow is one line and parses back equal.
func roundTrip(t interface{ Fatalf(string, ...any) }, f openflow.Flow) {
	line := openflow.AppendFlow(nil, f)
	back, err := openflow.ParseFlow(string(line))
	if err != nil || !back.Parsed || bytes.ContainsAny(line, "\n#") || !reflect.DeepEqual(back.Flow, f) {
		t.Fatalf("%s\ngot  %+v, %v\nwant %+v", line, back, err, f)
	}
}

func BenchmarkAppendFlow(b *testing.B) {
	f, err := openflow.ParseFlow(l2Line)
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = openflow.AppendFlow(buf[:0], f.Flow)
	}
}
