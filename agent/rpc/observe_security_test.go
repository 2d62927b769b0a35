package rpc

import (
	"net/netip"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/greave-sdn/greave/agent/ovs"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestObservedPortSecurity: each flow that drops counts for the guard it is of,
// and no flow of a port without guards does.
func TestObservedPortSecurity(t *testing.T) {
	in := ovs.Inspection{Images: map[string]openflow.Image{}, Facts: model.Facts{
		Devices: map[string]model.Device{"tap1": {Name: "tap1"}, "tap2": {Name: "tap2"}},
		OVS: &model.OVSHost{Bridges: map[string]model.OVSBridge{}, Ports: map[string]model.OVSPort{
			"tap1": {Name: "tap1", Ofport: 7}, "tap2": {Name: "tap2", Ofport: 8}}},
	}}
	port := model.Port{Name: "guarded", Device: "tap1", MACs: []model.MAC{{2, 0, 0, 0, 0, 1}}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		Attachments: []model.Attachment{{Segment: "red"}},
		Security:    model.PortSecurity{MAC: true, IP: true, ARP: true, DHCPGuard: true, RAGuard: true}}
	free := model.Port{Name: "free", Device: "tap2", Attachments: port.Attachments}
	s := model.Union(model.Normalize(model.HostState{Segments: []model.Segment{{Name: "red", Key: 1}}, Ports: []model.Port{port, free}}, model.HostState{}))
	bind := openflow.NewBindings()
	all, err := openflow.Compile(model.Resolve(s, in.Facts), bind, model.NewOwner("test"), func(name string) openflow.Port {
		return openflow.Port(in.Facts.OVS.Ports[name].Ofport)
	})
	if err != nil {
		t.Fatal(err)
	}
	var image openflow.Image
	for _, f := range all.Bridges[model.DefaultOverlayBridge].Flows {
		image.Flows = append(image.Flows, openflow.Seen{Flow: f, Parsed: true, Packets: 1})
	}
	in.Images[model.DefaultOverlayBridge] = image
	v := newView(in, s, model.NewOwner("test"), bind, timestamppb.Now())
	// One flow, or: IPv4 and IPv6; ARP, five of ND and a malformed one, and three of
	// hardware addresses; IPv4 and IPv6; one EtherType and the other.
	want := &greavev1.ObservedPortSecurity{Mac: 1, Ip: 2, Arp: 10, DhcpGuard: 2, RaGuard: 1, Tags: 2}
	if got := v.port("guarded").GetSecurity(); !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := v.port("free").GetSecurity(); got != nil {
		t.Errorf("a port without guards has %v", got)
	}
}
