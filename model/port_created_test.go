package model_test

import (
	"testing"

	"github.com/greave-sdn/greave/model"
)

func madePort(p model.Port) func(*model.HostState) {
	return func(s *model.HostState) { s.Ports = append(s.Ports, p) }
}

func TestCreatedPortRefusals(t *testing.T) {
	in := []model.Attachment{{Segment: "s1"}}
	patch := func(to string) model.Port {
		return model.Port{Name: "up", Attachments: in, Patch: model.Patch{Bridge: to}}
	}
	kernel := func(p model.Port) func(*model.HostState) {
		return func(s *model.HostState) {
			*s = model.HostState{Bridges: []model.Bridge{{Name: "br0", Backend: model.BackendKernel}, {Name: "br1", Backend: model.BackendKernel}}, Ports: []model.Port{p}}
		}
	}
	single(t, []refusal{
		{name: "internal", edit: madePort(model.Port{Name: "host0", Internal: true, Attachments: in, MTU: 1400, HWAddr: mac(9)})},
		{name: "internal on a normal bridge", edit: madePort(model.Port{Name: "host0", Internal: true, Bridge: "br0", VLAN: model.VLAN{Tag: 7}})},
		{name: "patch to a normal bridge", edit: madePort(patch("br0"))},
		{name: "far name", edit: madePort(model.Port{Name: "up", Attachments: in, Patch: model.Patch{Bridge: "br0", Far: "down"}})},
		{name: "internal with a long name", reason: model.ReasonInvalidName, path: "ports[1].name", edit: madePort(model.Port{Name: "a-name-of-sixteen", Internal: true, Attachments: in})},
		{name: "internal with a derived name", reason: model.ReasonInvalidName, path: "ports[1].name", edit: madePort(model.Port{Name: "gs-0123456789", Internal: true, Attachments: in})},
		{name: "internal with a group's MAC", reason: model.ReasonInvalid, path: "ports[1].internal.mac", edit: madePort(model.Port{Name: "host0", Internal: true, Attachments: in, HWAddr: model.MAC{1}})},
		{name: "internal and device", reason: model.ReasonConflict, path: "ports[1].iface_id", edit: madePort(model.Port{Name: "host0", Internal: true, Device: "eth5", Attachments: in})},
		{name: "internal with the name of a device", reason: model.ReasonDuplicate, path: "ports[1]", edit: madePort(model.Port{Name: "tap1", Internal: true, Attachments: in})},
		{name: "internal in the kernel", reason: model.ReasonUnsupported, path: "ports[0].internal", edit: kernel(model.Port{Name: "host0", Internal: true, Bridge: "br0"})},
		{name: "patch in the kernel", reason: model.ReasonUnsupported, path: "ports[0].patch.bridge", edit: kernel(model.Port{Name: "up", Bridge: "br0", Patch: model.Patch{Bridge: "br1"}})},
		{name: "patch to nowhere", reason: model.ReasonUnknownRef, path: "ports[1].patch.bridge", edit: madePort(patch("br9"))},
		{name: "patch to itself", reason: model.ReasonConflict, path: "ports[1].patch.bridge", edit: madePort(model.Port{Name: "up", Bridge: "br0", Patch: model.Patch{Bridge: "br0"}})},
		{name: "patch to the overlay", reason: model.ReasonConflict, path: "ports[1].patch.bridge", edit: func(s *model.HostState) {
			s.Bridges = append(s.Bridges, model.Bridge{Name: "br-greave"})
			s.Ports = append(s.Ports, model.Port{Name: "up", Bridge: "br0", Patch: model.Patch{Bridge: "br-greave"}})
		}},
		{name: "patch with MTU", reason: model.ReasonConflict, path: "ports[1].mtu", edit: madePort(model.Port{Name: "up", Attachments: in, MTU: 1400, Patch: model.Patch{Bridge: "br0"}})},
		{name: "patch with a reserved far name", reason: model.ReasonInvalidName, path: "ports[1].patch.far_port", edit: madePort(model.Port{Name: "up", Attachments: in, Patch: model.Patch{Bridge: "br0", Far: "all"}})},
		{name: "far name of a device", reason: model.ReasonDuplicate, path: "ports[1]", edit: madePort(model.Port{Name: "up", Attachments: in, Patch: model.Patch{Bridge: "br0", Far: "tap1"}})},
		{name: "patch to a bridge of the kernel", reason: model.ReasonUnsupported, path: "ports[1].patch.bridge", edit: func(s *model.HostState) {
			s.Bridges = append(s.Bridges, model.Bridge{Name: "lnx", Backend: model.BackendKernel})
			s.Ports = append(s.Ports, patch("lnx"))
		}},
		{name: "patch between datapaths", reason: model.ReasonConflict, path: "ports[1].patch.bridge", caps: kernelHost, edit: func(s *model.HostState) {
			s.Bridges = append(s.Bridges, model.Bridge{Name: "br-greave", Datapath: model.DatapathSystem}, model.Bridge{Name: "br1", Datapath: model.DatapathNetdev})
			s.Ports = append(s.Ports, patch("br1"))
		}},
		{name: "two patches", reason: model.ReasonConflict, path: "ports[2].patch.bridge", edit: func(s *model.HostState) {
			s.Ports = append(s.Ports, patch("br0"), model.Port{Name: "up2", Attachments: in, Patch: model.Patch{Bridge: "br0"}})
		}},
		{name: "round", reason: model.ReasonConflict, path: "ports[1].patch.bridge", edit: func(s *model.HostState) {
			s.Bridges = append(s.Bridges, model.Bridge{Name: "br1"})
			s.Ports = append(s.Ports, patch("br0"), model.Port{Name: "a", Bridge: "br0", Patch: model.Patch{Bridge: "br1"}}, model.Port{Name: "b", Attachments: in, Patch: model.Patch{Bridge: "br1"}})
		}},
	})
}

// TestJoinedDatapath: auto takes the type of what a patch joins it to, through
// other bridges too, and never moves a bridge that is there.
func TestJoinedDatapath(t *testing.T) {
	s := model.Union(model.Normalize(model.HostState{
		Bridges: []model.Bridge{{Name: "br-greave"}, {Name: "a"}, {Name: "b", Datapath: model.DatapathNetdev}, {Name: "c"}},
		Ports: []model.Port{
			{Name: "p1", Patch: model.Patch{Bridge: "a"}}, {Name: "p2", Bridge: "a", Patch: model.Patch{Bridge: "b"}},
		},
	}, model.HostState{}))
	resolve := func(have map[string]model.OVSBridge) model.Resolved {
		return model.Resolve(s, model.Facts{OVS: &model.OVSHost{SystemDatapath: true, Bridges: have}})
	}
	types := func(r model.Resolved) map[string]model.Datapath {
		out := map[string]model.Datapath{}
		for _, b := range r.Bridges {
			out[b.Name] = b.Datapath
		}
		return out
	}
	r := resolve(nil)
	for name, want := range map[string]model.Datapath{"br-greave": model.DatapathNetdev, "a": model.DatapathNetdev, "b": model.DatapathNetdev, "c": model.DatapathSystem} {
		if got := types(r)[name]; got != want {
			t.Errorf("bridge %s gets %s, want %s", name, got, want)
		}
	}
	if len(r.Ports) != 2 || len(r.Blocked) != 0 {
		t.Errorf("ports %v, blocked %v", r.Ports, r.Blocked)
	}
	r = resolve(map[string]model.OVSBridge{"br-greave": {Name: "br-greave", Datapath: model.DatapathSystem}})
	n := r.Blocked[model.Ref{Kind: model.KindPort, Name: "p2"}]
	const want = "bridge b is on datapath netdev and bridge a on system, and a patch joins bridges of one datapath type: say datapath: netdev for bridge a, which makes it anew"
	if types(r)["br-greave"] != model.DatapathSystem || types(r)["a"] != model.DatapathSystem || n.Reason != model.NoticeConflict || n.Message != want || len(r.Ports) != 1 {
		t.Errorf("br-greave on %s, a on %s, p2 blocked by %+v", types(r)["br-greave"], types(r)["a"], n)
	}
}

// TestInternalMTU: an internal port that states none has that of its smallest
// segment.
func TestInternalMTU(t *testing.T) {
	s := base()
	s.Peers[0].Encap = model.EncapVXLAN
	s.Segments = append(s.Segments, model.Segment{Name: "s2", Key: 101})
	s.Ports = append(s.Ports, model.Port{Name: "a", Internal: true, Attachments: []model.Attachment{{Segment: "s1"}}},
		model.Port{Name: "b", Internal: true, MTU: 1300, Attachments: []model.Attachment{{Segment: "s1"}}},
		model.Port{Name: "c", Internal: true, Attachments: []model.Attachment{{Segment: "s2"}}})
	u := model.Union(model.Normalize(s, model.HostState{}))
	r := model.Resolve(u, model.Facts{OVS: &model.OVSHost{}, Devices: map[string]model.Device{"eth0": {Name: "eth0", MTU: 1500, Addrs: []string{"10.0.0.1"}}}})
	got := map[string]uint32{}
	for _, p := range r.Ports {
		got[p.Name] = p.MTU
	}
	if got["a"] != 1450 || got["b"] != 1300 || got["c"] != 0 {
		t.Errorf("MTUs %v, want 1450 for a, 1300 for b and none for c", got)
	}
}
