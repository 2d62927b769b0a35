package openflow_test

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// TestMovingGolden is the program of a host that one guest comes to, that one
// leaves, and that has another which moves between two peers.
func TestMovingGolden(t *testing.T) {
	addr, mac := netip.MustParseAddr, func(n byte) model.MAC { return model.MAC{2, 0, 0, 0, 0, n} }
	red := []model.Attachment{{Segment: "red"}}
	w := resolve(model.HostState{
		Vteps: []model.Vtep{{Name: "underlay", Addr: addr("192.0.2.1")}},
		Peers: []model.Peer{
			{Name: "host-b", Paths: []model.Path{{Remote: addr("192.0.2.2")}}, Segments: []string{"red"}},
			{Name: "host-c", Paths: []model.Path{{Remote: addr("192.0.2.3")}}, Segments: []string{"red"}},
		},
		Segments: []model.Segment{{Name: "red", Key: 100}},
		Ports: []model.Port{
			{Name: "comes", Device: "tap-comes", MACs: []model.MAC{mac(0xa)}, IPs: []netip.Addr{addr("10.0.0.10")}, Attachments: red, Activation: model.ActivateAnnouncement},
			{Name: "called", Device: "tap-called", MACs: []model.MAC{mac(0xb)}, Attachments: []model.Attachment{{Segment: "red", VLAN: 7}}, Activation: model.ActivateCall},
			{Name: "leaves", Device: "tap-leaves", MACs: []model.MAC{mac(0xc)}, Attachments: red, MovingTo: "host-c"},
		},
		Fdb: []model.FdbEntry{
			{Segment: "red", MAC: mac(0xa), Peer: "host-b"},
			{Segment: "red", MAC: mac(0xd), Peer: "host-b", MovingTo: "host-c", IPs: []netip.Addr{addr("fd00::d")}},
		},
	})
	w.compile(t.Fatalf)
	moving := map[openflow.Table]bool{}
	for _, n := range []openflow.Table{0, 5, 6, 25, 28, 50, 55, 57, 100, 105} {
		moving[n] = true
	}
	var got bytes.Buffer
	for _, f := range w.p.Flows {
		if moving[f.Table] {
			got.WriteString(f.String() + "\n")
		}
	}
	got.WriteString("# what the switch may learn\n")
	for _, f := range w.p.Learned {
		got.WriteString(f.String() + "\n")
	}
	path := filepath.Join("testdata", "moving.txt")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}
