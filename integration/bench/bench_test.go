package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
)

func TestMain(m *testing.M) {
	if done, err := actRole(context.Background()); done {
		exit(err)
	}
	os.Exit(m.Run())
}

// smokeRows are the figures of each scenario at a fiftieth of its size.
var smokeRows = map[string][]string{
	"tunnels": {
		"20 GRE tunnels, Apply to all realised / one raw OVSDB transaction", "20 GRE tunnels, Apply to all realised / one ovs-vsctl with all, 1 run",
		"20 GRE tunnels, Apply to all realised / ovs-vsctl for each, 6 measured, scaled up", "20 GRE tunnels, Apply to all realised / go-openvswitch for each, 6 measured, scaled up",
		"100 GRE tunnels, Apply to all realised / one raw OVSDB transaction", "100 GRE tunnels, Apply to all realised / one ovs-vsctl with all, 1 run",
		"100 GRE tunnels, Apply to all realised / ovs-vsctl for each, 6 measured, scaled up", "100 GRE tunnels, Apply to all realised / go-openvswitch for each, 6 measured, scaled up",
	},
	"one-more": {"one more tunnel at 100, Apply to realised / one raw OVSDB transaction", "one more tunnel at 100, Apply to realised / go-openvswitch"},
	"merges": {
		"100 concurrent MERGEs of one tunnel each at 100, all answered / one MERGE alone",
		"100 concurrent MERGEs of one tunnel each at 100: passes / calls", "100 concurrent MERGEs of one tunnel each at 100: OVSDB transactions / calls",
	},
	"peers": {"100 peers on one flow-based port, Apply to realised / a port each, by greave", "memory of Open vSwitch for 100 peers / a port each"},
	"fdb": {
		"200 FDB entries, Apply to read back / ovs-ofctl --bundle add-flows, the same flows", "200 FDB entries, the write alone / ovs-ofctl --bundle add-flows, the same flows",
		"1 % of 200 FDB entries changed, MERGE to read back / ovs-ofctl replace-flows", "a lossless read of 200 flows / go-openvswitch DumpFlows",
		"2000 FDB entries, Apply to read back / ovs-ofctl --bundle add-flows, the same flows", "2000 FDB entries, the write alone / ovs-ofctl --bundle add-flows, the same flows",
		"1 % of 2000 FDB entries changed, MERGE to read back / ovs-ofctl replace-flows", "a lossless read of 2000 flows / go-openvswitch DumpFlows",
	},
	"quiet": {
		"a pass with nothing to do at 300 objects, flows as last read / ovs-ofctl replace-flows with nothing to do",
		"a pass with nothing to do at 300 objects, flows read again / ovs-ofctl replace-flows with nothing to do",
		"writes of 2 such passes, counted at the sockets / passes",
	},
	"start":      {"start at 100 tunnels, to the first pass finished / libovsdb with every column, to its cache complete", "resident memory at 100 tunnels / libovsdb with every column"},
	"idle":       {"idle while the counters of 100 tunnels move / libovsdb with every column"},
	"throughput": {"TCP through greave's GRE tunnel / the same by ovs-vsctl"},
}

// exact are the figures that are counts, with their bounds. Beside a hundred tunnels a MERGE is
// accepted in a moment, and fewer of them arrive together than beside thousands.
var exact = map[string]float64{
	"writes of 2 such passes, counted at the sockets":                     0,
	"100 concurrent MERGEs of one tunnel each at 100: passes":             10,
	"100 concurrent MERGEs of one tunnel each at 100: OVSDB transactions": 10,
}

// TestSmoke runs every scenario at a fiftieth of its size, one round: what it measures is there and
// is a number, and what it counts is right. How long anything took is no matter.
func TestSmoke(t *testing.T) {
	lab.Require(t)
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var said strings.Builder
			b := &bench{scale: 50, rounds: 1, out: &said}
			if err := s.run(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range b.figures {
				got = append(got, f.Name+" / "+f.Rival)
				for what, v := range map[string]float64{"value": f.Value, "rival's value": f.RivalValue, "ratio": f.Ratio} {
					if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
						t.Errorf("%s: %s %v", f.Name, what, v)
					}
				}
				if most, ok := exact[f.Name]; ok && f.Value > most {
					t.Errorf("%s: %v, at most %v", f.Name, f.Value, most)
				}
			}
			if !slices.Equal(got, smokeRows[s.name]) {
				t.Errorf("figures %q, want %q", got, smokeRows[s.name])
			}
			t.Log("\n" + said.String())
		})
	}
}

// TestPage: the table goes between its markers, and what is around them stays.
func TestPage(t *testing.T) {
	figures := []figure{{Name: "a", Value: 1.5, Unit: "s", Rival: "b", RivalValue: 3, Ratio: 0.5, Goal: "≤ 1×", Met: true}, {Name: "c", Goal: "≤ 1×"}, {Name: "d", Met: true}}
	page, err := render("before\n"+beginMark+"old\n"+endMark+"after\n", "a machine", figures)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n" + beginMark + "a machine\n", "| a | 1.50 s | b: 3.00 s | 0.500 | ≤ 1× | yes |\n", "| ≤ 1× | **no** |\n", "|  |  |\n" + endMark + "after\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	again, err := render(page, "a machine", figures)
	if err != nil || again != page {
		t.Errorf("a second time: %v\n%s", err, again)
	}
	if _, err := render("no markers", "", nil); err == nil {
		t.Error("a page without markers is taken")
	}
	file := filepath.Join(t.TempDir(), "x", "bench.json")
	if err := writeJSON(file, figures); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), `"rival_value": 3`) {
		t.Errorf("%v: %s", err, text)
	}
}

// TestMedian: of ratios round by round, not the ratio of medians.
func TestMedian(t *testing.T) {
	b := &bench{out: &strings.Builder{}}
	b.add("x", "s", "y", pairs{ours: []float64{1, 9, 4}, theirs: []float64{1, 3, 8}}, atMost(1))
	if f := b.figures[0]; f.Value != 4 || f.RivalValue != 3 || f.Ratio != 1 || !f.Met || f.Goal != "≤ 1×" {
		t.Errorf("%+v", f)
	}
	for v, want := range map[float64]string{0: "0", 1234: "1234", 12.34: "12.3", 1.234: "1.23", 0.01234: "0.0123", 0.00001: "0.000010"} {
		if got := digits(v); got != want {
			t.Errorf("digits(%v) = %s, want %s", v, got, want)
		}
	}
	if got := fmt.Sprint(median([]float64{4, 1, 2, 3})); got != "2.5" {
		t.Errorf("median of four: %s", got)
	}
}
