package model_test

import (
	"testing"

	"github.com/greave-sdn/greave/model"
)

func TestForeignBridgeRefusals(t *testing.T) {
	with := func(b model.Bridge, more ...func(*model.HostState)) func(*model.HostState) {
		b.Name, b.Foreign = "br-int", true
		return func(s *model.HostState) {
			s.Bridges = append(s.Bridges, b)
			for _, f := range more {
				f(s)
			}
		}
	}
	list := []refusal{
		{name: "joined", edit: with(model.Bridge{Backend: model.BackendOVS}, madePort(model.Port{Name: "up", Patch: model.Patch{Bridge: "br-int"}, Attachments: []model.Attachment{{Segment: "s1", VLAN: 100}}}))},
		{name: "any name of a device", edit: func(s *model.HostState) {
			s.Bridges = append(s.Bridges, model.Bridge{Name: "7;drop'!", Foreign: true})
		}},
		{name: "no name of a device", reason: model.ReasonInvalidName, path: "bridges[1].name", edit: func(s *model.HostState) {
			s.Bridges = append(s.Bridges, model.Bridge{Name: "br/int", Foreign: true})
		}},
		{name: "in the kernel", reason: model.ReasonUnimplemented, path: "bridges[1].mode", edit: with(model.Bridge{Backend: model.BackendKernel})},
		{name: "segment", reason: model.ReasonConflict, path: "segments[1].bridge", edit: with(model.Bridge{}, func(s *model.HostState) {
			s.Segments = append(s.Segments, model.Segment{Name: "s2", Key: 101, Bridge: "br-int"})
		})},
		{name: "device", reason: model.ReasonUnimplemented, path: "ports[1].bridge", edit: with(model.Bridge{}, madePort(model.Port{Name: "p", Device: "eth7", Bridge: "br-int"}))},
		{name: "guest by iface_id", reason: model.ReasonUnimplemented, path: "ports[1].bridge", edit: with(model.Bridge{}, madePort(model.Port{Name: "p", IfaceID: "vm", Bridge: "br-int"}))},
		{name: "near end of a patch", reason: model.ReasonUnimplemented, path: "ports[1].bridge", edit: with(model.Bridge{}, madePort(model.Port{Name: "p", Patch: model.Patch{Bridge: "br0"}, Bridge: "br-int"}))},
		{name: "tunnel", reason: model.ReasonUnimplemented, path: "tunnels[0].bridge", edit: with(model.Bridge{}, func(s *model.HostState) { s.Tunnels[0].Bridge = "br-int" })},
	}
	for field, b := range map[string]model.Bridge{
		"datapath": {Datapath: model.DatapathNetdev}, "protocols": {Protocols: []string{"OpenFlow13"}}, "fail_mode": {FailMode: model.FailSecure},
		"hwaddr": {HWAddr: mac(7)}, "datapath_id": {DatapathID: model.Some[uint64](7)}, "mtu": {MTU: 1500},
		"forwarding": {Forwarding: model.ForwardNormal}, "adopt": {Adopt: true},
		"sweep_orphans": {SweepOrphans: true},
	} {
		list = append(list, refusal{name: field, reason: model.ReasonConflict, path: "bridges[1]." + field, edit: with(b)})
	}
	single(t, list)
}

// TestForeignBridge: a patch waits for the bridge; a new overlay bridge takes its
// datapath, and one that is there keeps its own, which is a conflict.
func TestForeignBridge(t *testing.T) {
	s := model.Union(model.Normalize(model.HostState{
		Segments: []model.Segment{{Name: "s1", Key: 100}},
		Bridges:  []model.Bridge{{Name: "br-int", Foreign: true}},
		Ports:    []model.Port{{Name: "up", Patch: model.Patch{Bridge: "br-int"}, Attachments: []model.Attachment{{Segment: "s1", VLAN: 100}}}},
	}, model.HostState{}))
	up, br := model.Ref{Kind: model.KindPort, Name: "up"}, model.Ref{Kind: model.KindBridge, Name: "br-int"}
	for _, c := range []struct {
		name     string
		have     map[string]model.Datapath
		overlay  model.Datapath
		up, fall string // reasons for which port and bridge are blocked
	}{
		{"absent", nil, model.DatapathNetdev, model.NoticeBlockedOn, model.NoticeBridgeAbsent},
		{"new overlay bridge", map[string]model.Datapath{"br-int": model.DatapathSystem}, model.DatapathSystem, "", ""},
		{"same", map[string]model.Datapath{"br-int": model.DatapathSystem, "br-greave": model.DatapathSystem}, model.DatapathSystem, "", ""},
		{"another", map[string]model.Datapath{"br-int": model.DatapathSystem, "br-greave": model.DatapathNetdev}, model.DatapathNetdev, model.NoticeConflict, ""},
	} {
		host := model.OVSHost{Bridges: map[string]model.OVSBridge{}}
		for name, d := range c.have {
			host.Bridges[name] = model.OVSBridge{Name: name, Datapath: d}
		}
		r := model.Resolve(s, model.Facts{OVS: &host})
		if len(r.Bridges) != 1 || r.Bridges[0].Datapath != c.overlay || r.Blocked[up].Reason != c.up || r.Blocked[br].Reason != c.fall || (len(r.Foreign) == 1) != (c.fall == "") {
			t.Errorf("%s: bridges %+v, foreign %v, blocked %v", c.name, r.Bridges, r.Foreign, r.Blocked)
		}
	}
}
