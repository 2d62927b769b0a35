package openflow_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/greave-sdn/greave/model"
)

// TestPipelineReplicator: towards a replicator a flood is one copy. On the
// replicator what a member sends goes to local ports and to the other members, each
// once, never back, whatever their encapsulations; another segment is not concerned.
func TestPipelineReplicator(t *testing.T) {
	state := example()
	state.Peers[0].Paths = state.Peers[0].Paths[:1]
	state.Segments[0].Suppression = model.Suppression{}
	state.Ports[0].Security = model.PortSecurity{}
	everyone, guest := model.MAC{255, 255, 255, 255, 255, 255}, model.MAC{2, 0, 0, 0, 0, 0xa}
	goes := func(w *world, p packet, want ...string) {
		t.Helper()
		var got []string
		for _, c := range w.sw(t.Fatalf).send(p) {
			got = append(got, c.String())
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%+v goes to %q, want %q", p, got, want)
		}
	}
	state.Segments[0].Replication = model.Replication{Mode: model.ReplicationReplicator, Replicators: []string{"host-c"}}
	w := resolve(state)
	w.compile(t.Fatalf)
	toB := fmt.Sprintf("port %d key 100 192.0.2.1>192.0.2.2", w.tunnelPort(model.EncapGRE))
	toC := fmt.Sprintf("port %d key 100 192.0.2.1>192.0.2.3", w.tunnelPort(model.EncapVXLAN))
	here := fmt.Sprint("port ", w.ports["tap-red"])
	goes(&w, packet{in: w.ports["tap-red"], src: guest, dst: everyone}, toC)
	goes(&w, w.from("host-c", model.MAC{2, 9}, everyone), here)
	goes(&w, w.from("host-b", model.MAC{2, 9}, everyone), here)

	state.Segments[0].Replication = model.Replication{Mode: model.ReplicationRelay}
	w = resolve(state)
	w.compile(t.Fatalf)
	goes(&w, packet{in: w.ports["tap-red"], src: guest, dst: everyone}, toB, toC)
	goes(&w, w.from("host-c", model.MAC{2, 9}, everyone), here, toB)
	goes(&w, w.from("host-b", model.MAC{2, 9}, everyone), here, toC)
	goes(&w, w.from("host-b", model.MAC{2, 9}, model.MAC{2, 0, 0, 0, 0, 0xc}), toC) // known to be there
	goes(&w, w.from("host-b", model.MAC{2, 9}, model.MAC{2, 0, 0, 0, 0, 0xb}))      // where it came from
	goes(&w, w.from("host-b", model.MAC{2, 9}, guest), here)
	blue := w.from("host-b", model.MAC{2, 9}, everyone)
	blue.tunID = 200
	goes(&w, blue, fmt.Sprint("port ", w.ports["tap-blue"]))
}
