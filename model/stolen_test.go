package model_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
)

// TestStolen: what a kernel device beside Open vSwitch does to a tunnel and to a
// segment, by what the device is.
func TestStolen(t *testing.T) {
	local, remote, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8::2")
	state := func(encap model.Encap, to netip.Addr) model.HostState {
		return model.Union(model.Normalize(model.HostState{
			Bridges:  []model.Bridge{{Name: "br0", Datapath: model.DatapathSystem}, {Name: "br-greave", Datapath: model.DatapathSystem, Forwarding: model.ForwardOverlay}},
			Vteps:    []model.Vtep{{Name: "v", Addr: local}},
			Peers:    []model.Peer{{Name: "p", Paths: []model.Path{{Vtep: "v", Remote: remote}}, Segments: []string{"s"}}},
			Segments: []model.Segment{{Name: "s", Key: 100, Encap: encap}},
			Tunnels:  []model.Tunnel{{Name: "t", Bridge: "br0", Encap: encap, Remote: to, KeyIn: key(7), KeyOut: key(7)}},
		}, model.HostState{}))
	}
	gretap := func(edit func(*model.DeviceTunnel)) model.Device {
		d := model.Device{Name: "left", Kind: "gretap", Tunnel: model.DeviceTunnel{Encap: model.EncapGRE, Layer: model.LayerL2, Local: local, Remote: remote, Key: 7}}
		if edit != nil {
			edit(&d.Tunnel)
		}
		return d
	}
	vxlan := model.Device{Name: "left", Kind: "vxlan", Up: true, Tunnel: model.DeviceTunnel{Encap: model.EncapVXLAN, Layer: model.LayerL2, Key: 9, Port: 4789}}
	with := func(d model.Device, edit func(*model.Device)) model.Device { edit(&d); return d }
	for _, c := range []struct {
		name            string
		device          model.Device
		encap           model.Encap
		to              netip.Addr
		tunnel, segment bool
	}{
		{"same ends and key", gretap(nil), model.EncapGRE, remote, true, false},
		{"any local", gretap(func(t *model.DeviceTunnel) { t.Local = netip.Addr{} }), model.EncapGRE, remote, true, false},
		{"any remote", gretap(func(t *model.DeviceTunnel) { t.Remote = netip.Addr{} }), model.EncapGRE, remote, true, false},
		{"any remote of another family", gretap(func(t *model.DeviceTunnel) { t.Remote = netip.Addr{} }), model.EncapGRE, v6, false, false},
		{"another key", gretap(func(t *model.DeviceTunnel) { t.Key = 8 }), model.EncapGRE, remote, false, false},
		{"another remote", gretap(func(t *model.DeviceTunnel) { t.Remote = local }), model.EncapGRE, remote, false, false},
		{"layer 3", gretap(func(t *model.DeviceTunnel) { t.Layer = model.LayerL3 }), model.EncapGRE, remote, false, false},
		{"key of the segment", gretap(func(t *model.DeviceTunnel) { t.Key = 100 }), model.EncapGRE, remote, false, true},
		{"collect-metadata", gretap(func(t *model.DeviceTunnel) {
			*t = model.DeviceTunnel{Encap: model.EncapGRE, Layer: model.LayerL2, External: true}
		}), model.EncapGRE, remote, true, true},
		{"Open vSwitch's own", with(gretap(func(t *model.DeviceTunnel) { t.External = true }), func(d *model.Device) { d.Name = "gre_sys" }), model.EncapGRE, remote, false, false},
		{"greave's own", with(gretap(nil), func(d *model.Device) { d.Marked = true }), model.EncapGRE, remote, false, false},
		{"GRE beside VXLAN", gretap(nil), model.EncapVXLAN, remote, false, false},
		{"VXLAN port", vxlan, model.EncapVXLAN, remote, true, true},
		{"VXLAN device that is down", with(vxlan, func(d *model.Device) { d.Up = false }), model.EncapVXLAN, remote, false, false},
		{"VXLAN port beside Geneve", vxlan, model.EncapGeneve, remote, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := state(c.encap, c.to)
			if c.to.Is6() {
				s.Tunnels[0].Local = netip.Addr{}
			}
			f := modeltest.Facts(s)
			f.OVS.SystemDatapath = true
			f.Devices[c.device.Name] = c.device
			r := model.Resolve(s, f)
			tunnel, segment := r.Blocked[s.Tunnels[0].Ref()], r.Warnings[s.Segments[0].Ref()]
			for _, got := range []struct {
				notice model.Notice
				want   bool
			}{{tunnel, c.tunnel}, {segment, c.segment}} {
				if conflict := got.notice.Reason == model.NoticeConflict; conflict != got.want || conflict && !strings.Contains(got.notice.Message, "device left") {
					t.Errorf("tunnel %+v, segment %+v", tunnel, segment)
				}
			}
			if len(r.Tunnels) == 1 == c.tunnel {
				t.Errorf("resolved tunnels: %v", r.Tunnels)
			}
		})
	}
}
