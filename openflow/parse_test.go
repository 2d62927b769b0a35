package openflow_test

import (
	"strings"
	"testing"

	"github.com/greave-sdn/greave/openflow"
)

const l2Line = " cookie=0x6701020000002af8, duration=12.345s, table=50, n_packets=1234, n_bytes=567890, idle_age=3, priority=100,reg1=0x64,dl_dst=02:00:00:01:02:03 actions=set_field:0x2a->reg3,resubmit(,80)"

func TestParseForeign(t *testing.T) {
	var got []openflow.Seen
	for _, line := range lines(t, "foreign.txt") {
		s, err := openflow.ParseFlow(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		// What was not understood is kept exactly.
		_, actions, _ := strings.Cut(line, "actions=")
		if text := string(openflow.AppendActions(nil, s.Actions)); text != actions {
			t.Errorf("actions\ngot  %s\nwant %s", text, actions)
		}
		if s.Table != 5 || !s.Parsed && !strings.Contains(line, ","+s.MatchText+" actions=") {
			t.Errorf("%s: table %d, match text %q", line, s.Table, s.MatchText)
		}
		if err := (openflow.Removal{Key: s.Key, MatchText: s.MatchText}).Check(); s.Priority != 32768 && err != nil {
			t.Errorf("removal of %s: %v", line, err)
		}
		got = append(got, s)
	}
	for i, want := range []struct {
		priority uint16
		parsed   bool
		actions  int
	}{{32768, true, 0}, {2, true, 3}, {11, false, 1}, {13, false, 1}, {8, false, 1}, {7, false, 1}, {5, false, 1}, {4, true, 4}, {3, false, 4}, {1, false, 3}, {9, false, 4}} {
		if g := got[i]; g.Priority != want.priority || g.Parsed != want.parsed || len(g.Actions) != want.actions {
			t.Errorf("line %d: %+v, want %+v", i, g, want)
		}
	}
	if s := got[8]; s.Packets != 3 || s.Bytes != 294 {
		t.Errorf("counters %d, %d", s.Packets, s.Bytes)
	}
	if got[9].Actions[2] != (openflow.Output{Port: 7}) {
		t.Errorf("last action %v", got[9].Actions[2])
	}
}

func TestParseNoFlow(t *testing.T) {
	for _, line := range []string{"", "OFPST_FLOW reply (OF1.5) (xid=0x2):", "table=300, actions=drop", "cookie=x, table=0, actions=drop", "priority=65536 actions=drop"} {
		if s, err := openflow.ParseFlow(line); err == nil {
			t.Errorf("%q: %+v", line, s)
		}
	}
}

func TestParseGroupForeign(t *testing.T) {
	for _, line := range []string{
		"group_id=9,type=ff,bucket=bucket_id:0,watch_group:9,actions=resubmit(,80)",
		"group_id=9,type=select,selection_method=hash,fields=ip_src,bucket=bucket_id:0,actions=resubmit(,80)",
		"group_id=9,type=select,selection_method=hash,fields(ip_src,ip_dst),bucket=bucket_id:0,actions=output:4",
		"group_id=9,type=all,bucket=bucket_id:0,actions=learn(table=1,output:NXM_OF_IN_PORT[]),clone(output:1,output:2)",
		"group_id=9,type=all,bucket=bucket_id:1,actions=drop",
		"group_id=9,type=all,bucket=bucket_id:0,actions=LOCAL",
		"group_id=9,type=all,bucket=bucket_id:0,actions=NORMAL,resubmit(,80)",
	} {
		g, err := openflow.ParseGroup(" " + line)
		if err != nil || g.Parsed || g.ID != 9 || g.Text != line || g.Buckets != nil {
			t.Errorf("%s: %+v, %v", line, g, err)
		}
	}
	// OpenFlow 1.3 prints no bucket ids.
	g, err := openflow.ParseGroup("group_id=70,type=select,bucket=weight:5,actions=set_field:0->reg1,resubmit(,10),bucket=actions=resubmit(,10)")
	if err != nil || !g.Parsed || len(g.Buckets) != 2 || g.Buckets[1].ID != 1 || g.Buckets[0].Weight != 5 || g.Buckets[1].Weight != 1 {
		t.Errorf("%+v, %v", g, err)
	}
}

func FuzzParseFlow(f *testing.F) {
	for _, name := range []string{"flows.txt", "foreign.txt"} {
		for _, line := range lines(f, name) {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, err := openflow.ParseFlow(line)
		if err == nil && s.Parsed && s.Check() == nil {
			roundTrip(t, s.Flow)
		}
		r := openflow.Removal{Key: s.Key, MatchText: s.MatchText}
		if text := openflow.AppendRemoval(nil, r); r.Check() == nil && strings.ContainsAny(string(text), "\n#") {
			t.Fatalf("removal %q", text)
		}
	})
}

func FuzzParseGroup(f *testing.F) {
	for _, line := range lines(f, "groups.txt") {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, err := openflow.ParseGroup(line)
		if err != nil || !s.Parsed {
			return
		}
		text := s.Group.String()
		back, err := openflow.ParseGroup(text)
		if err != nil || !back.Parsed || back.Group.String() != text || strings.ContainsAny(text, "\n#") {
			t.Fatalf("%q: %+v, %v", text, back, err)
		}
	})
}

func BenchmarkParseFlow(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if s, err := openflow.ParseFlow(l2Line); err != nil || !s.Parsed {
			b.Fatal(s, err)
		}
	}
}
