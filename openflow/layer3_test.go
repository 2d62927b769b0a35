package openflow_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
	"github.com/greave-sdn/greave/openflow"
)

// TestCompileLayer3: the two flows of a layer 3 tunnel on a bridge that switches
// frames, and none while a port of theirs is missing.
func TestCompileLayer3(t *testing.T) {
	s := model.Union(model.Normalize(model.HostState{
		Bridges: []model.Bridge{{Name: "br0"}},
		Ports:   []model.Port{{Name: "vm", Device: "tap0", Bridge: "br0", MACs: []model.MAC{{2, 0, 0, 0, 0, 9}}}},
		Tunnels: []model.Tunnel{{Name: "l3", Layer: model.LayerL3, Bridge: "br0", Remote: netip.MustParseAddr("10.0.0.2")}},
	}, model.HostState{}))
	if err := model.Validate(s, nil, "host-a", model.Capabilities{}); err != nil {
		t.Fatal(err)
	}
	r := model.Resolve(s, modeltest.Facts(s))
	numbers := map[string]openflow.Port{"tap0": 1, "l3": 32768}
	compile := func() []openflow.Flow {
		all, err := openflow.Compile(r, openflow.NewBindings(), owner, func(name string) openflow.Port { return numbers[name] })
		if err != nil {
			t.Fatal(err)
		}
		return all.Bridges["br0"].Flows
	}
	var lines []string
	for _, f := range compile() {
		if err := f.Check(); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		_, line, _ := strings.Cut(f.String(), ", ")
		lines = append(lines, line)
	}
	want := "table=0, priority=100,in_port=32768 actions=set_field:02:67:72:65:00:03->eth_src,set_field:02:00:00:00:00:09->eth_dst,output:1\n" +
		"table=0, priority=100,in_port=1,dl_dst=02:67:72:65:00:03 actions=output:32768"
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for gone := range numbers {
		kept := numbers[gone]
		delete(numbers, gone)
		if flows := compile(); len(flows) != 0 {
			t.Errorf("without %s: %v", gone, flows)
		}
		numbers[gone] = kept
	}
}
