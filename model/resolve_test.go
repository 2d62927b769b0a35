package model_test

import (
	"strings"
	"testing"

	"github.com/greave-sdn/greave/model"
)

// bound is a state with one port bound by iface-id, and facts that satisfy it.
func bound() (model.HostState, model.Facts) {
	s := base()
	s.Ports[0].Device, s.Ports[0].IfaceID = "", "vm-1"
	s = model.Union(model.Normalize(s, model.HostState{}))
	return s, model.Facts{
		Devices: map[string]model.Device{"br-phy": {Name: "br-phy", Addrs: []string{"10.0.0.1"}}},
		OVS: &model.OVSHost{
			Bridges: map[string]model.OVSBridge{
				"br-greave": {Name: "br-greave", Datapath: model.DatapathNetdev},
				"br-phy":    {Name: "br-phy", Datapath: model.DatapathNetdev},
			},
			Ports: map[string]model.OVSPort{
				"br-phy": {Name: "br-phy", Bridge: "br-phy", Type: "internal", Ofport: 65534},
				"vnet0": {Name: "vnet0", Bridge: "br-greave", Ofport: 7, ExternalIDs: map[string]string{
					"iface-id": "vm-1", "attached-mac": "02:00:00:00:00:01",
				}},
			},
		},
	}
}

func setPort(f model.Facts, name string, edit func(*model.OVSPort)) {
	p := f.OVS.Ports[name]
	p.ExternalIDs = map[string]string{"iface-id": "vm-1", "attached-mac": "02:00:00:00:00:01"}
	edit(&p)
	f.OVS.Ports[p.Name] = p
}

func TestResolveBoundPort(t *testing.T) {
	port := model.Ref{Kind: model.KindPort, Name: "port1"}
	for name, c := range map[string]struct {
		edit    func(*model.HostState, model.Facts)
		reason  string // "" when bound
		message string
	}{
		"there":  {edit: func(*model.HostState, model.Facts) {}},
		"absent": {func(_ *model.HostState, f model.Facts) { delete(f.OVS.Ports, "vnet0") }, model.NoticePortAbsent, `"vm-1"`},
		"elsewhere": {func(_ *model.HostState, f model.Facts) {
			setPort(f, "vnet0", func(p *model.OVSPort) { p.Bridge = "br-int" })
		}, model.NoticePortElsewhere, "br-int"},
		"not carried": {func(_ *model.HostState, f model.Facts) {
			setPort(f, "vnet0", func(p *model.OVSPort) { p.Ofport, p.Error = -1, "No such device" })
		}, model.NoticePortAbsent, "No such device"},
		"not yet carried": {func(_ *model.HostState, f model.Facts) { setPort(f, "vnet0", func(p *model.OVSPort) { p.Ofport = 0 }) }, model.NoticePortAbsent, "vnet0"},
		"another MAC": {func(_ *model.HostState, f model.Facts) {
			setPort(f, "vnet0", func(p *model.OVSPort) { p.ExternalIDs["attached-mac"] = "02:00:00:00:00:99" })
		}, model.NoticeMACMismatch, "02:00:00:00:00:99"},
		"no MAC but words": {func(_ *model.HostState, f model.Facts) {
			setPort(f, "vnet0", func(p *model.OVSPort) { p.ExternalIDs["attached-mac"] = "whatever" })
		}, model.NoticeMACMismatch, "whatever"},
		"no MAC on the row": {edit: func(_ *model.HostState, f model.Facts) {
			setPort(f, "vnet0", func(p *model.OVSPort) { delete(p.ExternalIDs, "attached-mac") })
		}},
		"no MAC stated": {edit: func(s *model.HostState, _ model.Facts) { s.Ports[0].MACs = nil }},
		"two rows, the first elsewhere": {edit: func(_ *model.HostState, f model.Facts) {
			setPort(f, "vnet0", func(p *model.OVSPort) { p.Name, p.Bridge, p.Ofport = "a-old", "br-int", 3 })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := bound()
			c.edit(&s, f)
			r := model.Resolve(s, f)
			n, blocked := r.Blocked[port]
			if n.Reason != c.reason || !strings.Contains(n.Message, c.message) {
				t.Errorf("%+v, want %s with %q", n, c.reason, c.message)
			}
			if blocked {
				if len(r.Ports) != 0 || len(r.Segments[0].Ports) != 0 {
					t.Errorf("blocked and built: %+v", r.Ports)
				}
				return
			}
			if len(r.Ports) != 1 || r.Ports[0].Device != "vnet0" || !r.Ports[0].Bound || r.Ports[0].Ofport != 7 {
				t.Errorf("%+v", r.Ports)
			}
			if len(r.Segments[0].Ports) != 1 {
				t.Errorf("segment has ports %v", r.Segments[0].Ports)
			}
		})
	}
}

func TestResolveDevicePort(t *testing.T) {
	s, f := bound()
	s.Ports[0].Device, s.Ports[0].IfaceID = "tap1", ""
	port := s.Ports[0].Ref()
	if n := model.Resolve(s, f).Blocked[port]; n.Reason != model.NoticeDeviceAbsent {
		t.Errorf("absent: %+v", n)
	}
	f.Devices["tap1"] = model.Device{Name: "tap1"}
	if r := model.Resolve(s, f); len(r.Blocked) != 0 || r.Ports[0].Bound || r.Ports[0].Device != "tap1" {
		t.Errorf("present: %+v", r)
	}
	// The same OVS port by its name and by its iface-id.
	f.OVS.Ports["tap1"] = model.OVSPort{Name: "tap1", Bridge: "br-greave", Ofport: 9, ExternalIDs: map[string]string{"iface-id": "vm-2"}}
	s.Ports = append(s.Ports, model.Port{Name: "port2", IfaceID: "vm-2", Bridge: "br-greave", Attachments: s.Ports[0].Attachments})
	r := model.Resolve(s, f)
	if n := r.Blocked[s.Ports[1].Ref()]; n.Reason != model.NoticeConflict || len(n.On) != 1 || n.On[0] != port {
		t.Errorf("one OVS port as two: %+v", r.Blocked)
	}
}

func TestResolveDatapath(t *testing.T) {
	for _, c := range []struct {
		name   string
		asked  model.Datapath
		kernel bool
		have   model.Datapath
		want   model.Datapath
	}{
		{"auto without module", model.DatapathAuto, false, 0, model.DatapathNetdev},
		{"auto with module", model.DatapathAuto, true, 0, model.DatapathSystem},
		{"auto never moves a bridge", model.DatapathAuto, true, model.DatapathNetdev, model.DatapathNetdev},
		{"auto never moves a bridge to netdev", model.DatapathAuto, false, model.DatapathSystem, model.DatapathSystem},
		{"netdev on request", model.DatapathNetdev, true, model.DatapathSystem, model.DatapathNetdev},
	} {
		s := model.Union(model.Normalize(model.HostState{Bridges: []model.Bridge{{Name: "br0", Datapath: c.asked}}}, model.HostState{}))
		o := model.OVSHost{SystemDatapath: c.kernel, Bridges: map[string]model.OVSBridge{}}
		if c.have != 0 {
			o.Bridges["br0"] = model.OVSBridge{Name: "br0", Datapath: c.have}
		}
		if got := model.Resolve(s, model.Facts{OVS: &o}).Bridges[0].Datapath; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestResolveUnderlay(t *testing.T) {
	vtep := model.Ref{Kind: model.KindVtep, Name: "v1"}
	for name, c := range map[string]struct {
		edit   func(model.Facts)
		reason string
		words  string
	}{
		"on a netdev bridge": {edit: func(model.Facts) {}},
		"nowhere":            {func(f model.Facts) { delete(f.Devices, "br-phy") }, model.NoticeNoSuchAddress, "10.0.0.1"},
		"on a NIC": {func(f model.Facts) {
			delete(f.Devices, "br-phy")
			f.Devices["eth0"] = model.Device{Name: "eth0", Addrs: []string{"10.0.0.1"}}
		}, model.NoticeNotInDatapath, "ovs-vsctl add-port br-phy eth0"},
		"on a NIC of a host whose bridges are the kernel's": {edit: func(f model.Facts) {
			f.Devices["br-phy"] = model.Device{Name: "eth0", Addrs: []string{"10.0.0.1"}}
			f.OVS.Bridges["br-greave"] = model.OVSBridge{Name: "br-greave", Datapath: model.DatapathSystem}
			f.OVS.SystemDatapath = true
		}},
	} {
		s, f := bound()
		s.Bridges[0].Datapath, s.Bridges[1].Datapath = model.DatapathAuto, model.DatapathAuto
		c.edit(f)
		if n := model.Resolve(s, f).Warnings[vtep]; n.Reason != c.reason || !strings.Contains(n.Message, c.words) {
			t.Errorf("%s: %+v, want %s", name, n, c.reason)
		}
	}
}

func TestResolveWithoutOVS(t *testing.T) {
	s, _ := bound()
	r := model.Resolve(s, model.Facts{})
	for _, ref := range s.Refs() {
		if r.Blocked[ref].Reason != model.NoticeOVSAbsent {
			t.Errorf("%s: %+v", ref, r.Blocked[ref])
		}
	}
}

func TestResolveBlocksWhatTheDatapathCannotCarry(t *testing.T) {
	both := model.Tunnel{Name: "gre-7", Encap: model.EncapGRE, Bridge: "br0", Checksum: true, Sequence: true}
	one := model.Tunnel{Name: "gre-8", Encap: model.EncapGRE, Bridge: "br0", Checksum: true}
	s := model.HostState{
		Bridges: []model.Bridge{{Name: "br0", Datapath: model.DatapathAuto, Forwarding: model.ForwardNormal}},
		Tunnels: []model.Tunnel{both, one},
	}
	for _, kernel := range []bool{false, true} {
		r := model.Resolve(s, model.Facts{OVS: &model.OVSHost{SystemDatapath: kernel}})
		if n := r.Blocked[both.Ref()]; n.Reason != model.ReasonUnsupported {
			t.Errorf("kernel datapath %v: checksum and sequence: %+v", kernel, n)
		}
		if _, blocked := r.Blocked[one.Ref()]; blocked != kernel {
			t.Errorf("kernel datapath %v: checksum alone is blocked: %v", kernel, blocked)
		}
	}
}
