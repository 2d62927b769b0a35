package rpc

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/greave-sdn/greave/agent/ovs"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// large is a state of n peers, tunnels and devices, n/10 segments of 100
// members, and 10n FDB entries, with a host that has all of it.
func large(n int) (model.HostState, ovs.Inspection, *openflow.Bindings) {
	s := model.HostState{
		Vteps:   []model.Vtep{{Name: "u", Addr: netip.MustParseAddr("192.0.2.1")}},
		Bridges: []model.Bridge{{Name: "br0", Datapath: model.DatapathNetdev}},
	}
	in := ovs.Inspection{Images: map[string]openflow.Image{}, Facts: model.Facts{
		Devices: map[string]model.Device{"br-phy": {Name: "br-phy", MTU: 1500, Addrs: []string{"192.0.2.1"}}},
		OVS:     &model.OVSHost{Bridges: map[string]model.OVSBridge{}, Ports: map[string]model.OVSPort{}},
	}}
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range n {
		s.Peers = append(s.Peers, model.Peer{Name: fmt.Sprint("h", i), Paths: []model.Path{{Remote: address(i)}}})
		name := fmt.Sprint("t", i)
		s.Tunnels = append(s.Tunnels, model.Tunnel{Name: name, Bridge: "br0", Local: address(n), Remote: address(i)})
		in.Facts.OVS.Ports[name] = model.OVSPort{Name: name, Bridge: "br0", Type: "gre", Ofport: i + 1}
		in.Facts.Devices[name] = model.Device{Name: name, MTU: 1500, Addrs: []string{address(n + i).String()}}
	}
	for i := range n / 10 {
		g := model.Segment{Name: fmt.Sprint("s", i), Key: uint64(i + 1)}
		for j := range 100 {
			g.Members = append(g.Members, fmt.Sprint("h", (10*i+j)%n))
		}
		s.Segments = append(s.Segments, g)
	}
	for i := range 10 * n {
		s.Fdb = append(s.Fdb, model.FdbEntry{Segment: fmt.Sprint("s", i%(n/10)), MAC: model.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}, Peer: fmt.Sprint("h", i%n)})
	}
	s = model.Union(model.Normalize(s, model.HostState{}))
	b := openflow.NewBindings()
	all, err := openflow.Compile(model.Resolve(s, in.Facts), b, model.NewOwner("test"), func(string) openflow.Port { return 7 })
	if err != nil {
		panic(err)
	}
	var image openflow.Image
	for _, f := range all.Bridges[model.DefaultOverlayBridge].Flows {
		image.Flows = append(image.Flows, openflow.Seen{Flow: f, Parsed: true, Packets: 1, Bytes: 100})
	}
	in.Images[model.DefaultOverlayBridge] = image
	return s, in, b
}

// TestLargeView: what List shows is right, and is found without walking
// everything for each object: that takes 20 s.
func TestLargeView(t *testing.T) {
	s, in, b := large(4000)
	begun := time.Now()
	v := newView(in, s, model.NewOwner("test"), b, timestamppb.Now())
	shown := map[string]*greavev1.Object{}
	s.Each(func(_ string, o model.Object) {
		out := &greavev1.Object{}
		v.fill(out, o.Ref())
		shown[o.Ref().String()] = out
	})
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("%d objects took %s", len(shown), took)
	}
	if g := shown["segment s7"].GetSegment(); g.Flows != 3 || len(g.Members) != 100 || g.FdbStatic != 100 || g.Mtu != 1458 || g.Counters.RxPackets != 1 {
		t.Errorf("segment s7: %v", g)
	}
	if p := shown["peer h75"].GetPeer(); len(p.Segments) != 10 || !slices.IsSorted(p.Segments) || len(p.Paths) != 1 || p.Paths[0].Mtu != 1458 || p.Counters.RxBytes != 100 {
		t.Errorf("peer h75: %v", p)
	}
	if u := shown["vtep u"].GetVtep(); u.Device != "br-phy" || u.Mtu != 1500 {
		t.Errorf("vtep u: %v", u)
	}
	if u := shown["tunnel t9"].GetTunnel(); u.Ofport != 10 || u.Mtu != 1462 {
		t.Errorf("tunnel t9: %v", u)
	}
}
