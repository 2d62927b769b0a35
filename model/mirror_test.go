package model_test

import (
	"fmt"
	"testing"

	"github.com/greave-sdn/greave/model"
)

// mirror adds a mirror of base's ordinary bridge to it, then edits it.
func mirror(edit func(*model.Mirror), then ...func(*model.HostState)) func(*model.HostState) {
	return func(s *model.HostState) {
		collector := model.Tunnel{Encap: model.EncapVXLAN, Remote: addr("10.0.0.9"), KeyIn: model.Some[uint64](9), KeyOut: model.Some[uint64](9)}
		m := model.Mirror{Name: "m", Bridge: "br0", All: true, Collector: model.Some(collector)}
		edit(&m)
		s.Mirrors = append(s.Mirrors, m)
		for _, f := range then {
			f(s)
		}
	}
}

func selected(ports ...model.MirrorPort) func(*model.Mirror) {
	return func(m *model.Mirror) { m.All, m.Ports = false, ports }
}

func collector(edit func(*model.Tunnel)) func(*model.Mirror) {
	return func(m *model.Mirror) { edit(&m.Collector.V) }
}

func foreignToo(s *model.HostState) {
	s.Bridges = append(s.Bridges, model.Bridge{Name: "br-int", Foreign: true})
}

var mirrorRefusals = []refusal{
	{name: "mirror of nothing", reason: model.ReasonRequired, path: "mirrors[0].select", edit: mirror(selected())},
	{name: "mirror of all and a port", reason: model.ReasonConflict, path: "mirrors[0].select.ports", edit: mirror(func(m *model.Mirror) { m.Ports = []model.MirrorPort{{Tunnel: "gre-7"}} })},
	{name: "mirror without output", reason: model.ReasonRequired, path: "mirrors[0].output", edit: mirror(func(m *model.Mirror) { m.Collector = model.Opt[model.Tunnel]{} })},
	{name: "mirror of an unknown port", reason: model.ReasonUnknownRef, path: "mirrors[0].select.ports[0].port", edit: mirror(selected(model.MirrorPort{Port: "nobody"}))},
	{name: "mirror of a port without name", reason: model.ReasonRequired, path: "mirrors[0].select.ports[0].port", edit: mirror(selected(model.MirrorPort{}))},
	{name: "mirror of its own output", reason: model.ReasonConflict, path: "mirrors[0].select.ports[0].tunnel", edit: mirror(selected(model.MirrorPort{Tunnel: "m"}))},
	{name: "mirror of a port twice", reason: model.ReasonDuplicate, path: "mirrors[0].select.ports[1]", edit: mirror(selected(model.MirrorPort{Tunnel: "gre-7", Direction: model.DirectionIn}, model.MirrorPort{Tunnel: "gre-7"}))},
	{name: "mirror of another bridge's port", reason: model.ReasonConflict, path: "mirrors[0].select.ports[0]", edit: mirror(selected(model.MirrorPort{Port: "port1"}))},
	{name: "mirror of VLAN 4095", reason: model.ReasonOutOfRange, path: "mirrors[0].select.vlans[0]", edit: mirror(func(m *model.Mirror) { m.VLANs = []uint32{4095} })},
	{name: "mirror of a VLAN twice", reason: model.ReasonDuplicate, path: "mirrors[0].select.vlans[1]", edit: mirror(func(m *model.Mirror) { m.VLANs = []uint32{0, 0} })},
	{name: "mirror into a VLAN of the overlay", reason: model.ReasonUnsupported, path: "mirrors[0].output.vlan", edit: mirror(func(m *model.Mirror) {
		m.Bridge, m.Collector, m.VLAN = "", model.Opt[model.Tunnel]{}, 9
	})},
	{name: "mirror into VLAN 5000", reason: model.ReasonOutOfRange, path: "mirrors[0].output.vlan", edit: mirror(func(m *model.Mirror) { m.Collector, m.VLAN = model.Opt[model.Tunnel]{}, 5000 })},
	{name: "mirror of 13 bytes", reason: model.ReasonOutOfRange, path: "mirrors[0].snaplen", edit: mirror(func(m *model.Mirror) { m.Snaplen = 13 })},
	{name: "mirror to the device of a port", reason: model.ReasonDuplicate, path: "mirrors[0]", edit: mirror(func(m *model.Mirror) { m.Collector, m.Device = model.Opt[model.Tunnel]{}, "tap1" })},
	{name: "mirror called as a tunnel", reason: model.ReasonDuplicate, path: "mirrors[0]", edit: mirror(func(m *model.Mirror) { m.Name = "gre-7" })},
	{name: "mirror to a collector without VNI", reason: model.ReasonRequired, path: "mirrors[0].output.collector.key", edit: mirror(collector(func(t *model.Tunnel) { t.KeyIn, t.KeyOut = model.Opt[uint64]{}, model.Opt[uint64]{} }))},
	{name: "mirror to any", reason: model.ReasonUnsupported, path: "mirrors[0].output.collector.remote.any", edit: mirror(collector(func(t *model.Tunnel) { t.Far = model.FarAny }))},
	{name: "mirror by ERSPAN beside GRE", reason: model.ReasonConflict, path: "mirrors[0].output.collector.encap", edit: mirror(collector(func(t *model.Tunnel) { t.Encap = model.EncapERSPAN }))},
	{name: "mirror that takes a segment's packets", reason: model.ReasonConflict, path: "mirrors[0]", edit: mirror(collector(func(t *model.Tunnel) {
		t.Encap, t.Remote, t.KeyIn, t.KeyOut = model.EncapGRE, addr("10.0.0.2"), model.Some[uint64](100), model.Some[uint64](100)
	}))},
	{name: "mirror of a foreign bridge", reason: model.ReasonUnimplemented, path: "mirrors[0].bridge", edit: mirror(func(m *model.Mirror) { m.Bridge = "br-int" }, foreignToo)},
	{name: "mirror of the kernel", reason: model.ReasonUnimplemented, path: "mirrors[0].bridge", edit: mirror(func(*model.Mirror) {}, func(s *model.HostState) { s.Bridges[0].Backend = model.BackendKernel })},
	{name: "33 mirrors of a bridge", reason: model.ReasonOutOfRange, path: "mirrors[32].bridge", edit: func(s *model.HostState) {
		for i := range 33 {
			mirror(func(m *model.Mirror) {
				m.Name, m.Collector, m.Device = fmt.Sprintf("m%02d", i), model.Opt[model.Tunnel]{}, fmt.Sprint("d", i)
			})(s)
		}
	}},
}

// TestMirrorResolved: what a mirror waits for, and what it does without.
func TestMirrorResolved(t *testing.T) {
	s := base()
	mirror(selected(model.MirrorPort{Tunnel: "gre-7", Direction: model.DirectionOut}, model.MirrorPort{Port: "gone", Direction: model.DirectionIn}),
		func(s *model.HostState) {
			s.Ports = append(s.Ports, model.Port{Name: "gone", Device: "tap9", Bridge: "br0"})
		})(&s)
	mirror(func(m *model.Mirror) { m.Name, m.Collector, m.Device = "cable", model.Opt[model.Tunnel]{}, "eth7" })(&s)
	f := model.Facts{OVS: &model.OVSHost{}, Devices: map[string]model.Device{"eth0": {Name: "eth0"}}}
	r := model.Resolve(model.Union(model.Normalize(s, model.HostState{})), f)
	if len(r.Mirrors) != 1 || r.Mirrors[0].Output != "m" || len(r.Mirrors[0].In) != 0 || fmt.Sprint(r.Mirrors[0].Out) != "[gre-7]" {
		t.Errorf("resolved %+v", r.Mirrors)
	}
	m, cable := model.Ref{Kind: model.KindMirror, Name: "m"}, model.Ref{Kind: model.KindMirror, Name: "cable"}
	if n := r.Warnings[m]; n.Reason != model.NoticeBlockedOn || len(n.On) != 1 || n.On[0].Name != "gone" {
		t.Errorf("warning %+v", n)
	}
	if n := r.Blocked[cable]; n.Reason != model.NoticeDeviceAbsent {
		t.Errorf("blocked %+v", n)
	}

	// The copies would leave by the bridge that is mirrored.
	f.Ways = map[model.WayAsk]model.Way{{Remote: addr("10.0.0.9")}: {Device: "br0"}}
	r = model.Resolve(model.Union(model.Normalize(s, model.HostState{})), f)
	if n := r.Blocked[m]; n.Reason != model.NoticeRecursive || len(r.Mirrors) != 0 {
		t.Errorf("blocked %+v, %+v", n, r.Mirrors)
	}
	for _, tun := range r.Tunnels {
		if tun.OfMirror {
			t.Errorf("the tunnel of a mirror that is not built is: %+v", tun)
		}
	}
}
