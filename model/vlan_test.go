package model_test

import (
	"errors"
	"testing"

	"github.com/greave-sdn/greave/model"
)

// single holds each edit of base to one refusal, or to none when it names no reason.
func single(t *testing.T, list []refusal) {
	t.Helper()
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			s := base()
			c.edit(&s)
			err := model.Validate(model.Normalize(s, model.HostState{}), nil, "h", c.caps)
			var errs model.FieldErrors
			if c.reason == "" {
				if err != nil {
					t.Error(err)
				}
			} else if !errors.As(err, &errs) || len(errs) != 1 || errs[0].Reason != c.reason || errs[0].Path != c.path || errs[0].Remedy == "" {
				t.Errorf("%v, want one %s at %s", err, c.reason, c.path)
			}
		})
	}
}

func onNormal(v model.VLAN) func(*model.HostState) {
	return func(s *model.HostState) {
		s.Ports[0].Bridge, s.Ports[0].Attachments, s.Ports[0].VLAN = "br0", nil, v
	}
}

func TestVLANRefusals(t *testing.T) {
	kernel := model.Capabilities{Choice: model.Choice{Auto: model.BackendKernel}}
	alone := func(v model.VLAN) func(*model.HostState) {
		return func(s *model.HostState) {
			*s = model.HostState{Bridges: []model.Bridge{{Name: "br0"}}, Ports: []model.Port{{Name: "p", Device: "eth1", Bridge: "br0", VLAN: v}}}
		}
	}
	single(t, []refusal{
		{name: "access", edit: onNormal(model.VLAN{Tag: 7})},
		{name: "trunk", edit: onNormal(model.VLAN{Trunks: []uint32{0, 4094}})},
		{name: "native", edit: onNormal(model.VLAN{Mode: model.VLANNativeUntagged, Tag: 7, Trunks: []uint32{8}})},
		{name: "tunnel", edit: onNormal(model.VLAN{Mode: model.VLANTunnel, Tag: 7})},
		{name: "access without tag", reason: model.ReasonRequired, path: "ports[0].vlan.tag", edit: onNormal(model.VLAN{Mode: model.VLANAccess})},
		{name: "native without tag", reason: model.ReasonRequired, path: "ports[0].vlan.tag", edit: onNormal(model.VLAN{Mode: model.VLANNativeTagged, Trunks: []uint32{8}})},
		{name: "tunnel without tag", reason: model.ReasonRequired, path: "ports[0].vlan.tag", edit: onNormal(model.VLAN{Mode: model.VLANTunnel})},
		{name: "trunk with tag", reason: model.ReasonConflict, path: "ports[0].vlan.tag", edit: onNormal(model.VLAN{Mode: model.VLANTrunk, Tag: 7})},
		{name: "access with trunks", reason: model.ReasonConflict, path: "ports[0].vlan.trunks", edit: onNormal(model.VLAN{Tag: 7, Trunks: []uint32{8}})},
		{name: "tunnel with trunks", reason: model.ReasonConflict, path: "ports[0].vlan.trunks", edit: onNormal(model.VLAN{Mode: model.VLANTunnel, Tag: 7, Trunks: []uint32{8}})},
		{name: "tag 4095", reason: model.ReasonOutOfRange, path: "ports[0].vlan.tag", edit: onNormal(model.VLAN{Tag: 4095})},
		{name: "trunk 4095", reason: model.ReasonOutOfRange, path: "ports[0].vlan.trunks[1]", edit: onNormal(model.VLAN{Trunks: []uint32{1, 4095}})},
		{name: "access in the kernel", edit: alone(model.VLAN{Tag: 7}), caps: kernel},
		{name: "trunk of all in the kernel", edit: alone(model.VLAN{Mode: model.VLANTrunk}), caps: kernel},
		{name: "trunks in the kernel", reason: model.ReasonUnsupported, path: "ports[0].vlan.trunks", edit: alone(model.VLAN{Trunks: []uint32{7}}), caps: kernel},
		{name: "native in the kernel", reason: model.ReasonUnsupported, path: "ports[0].vlan.mode", edit: alone(model.VLAN{Mode: model.VLANNativeTagged, Tag: 7}), caps: kernel},
		{name: "tunnel in the kernel", reason: model.ReasonUnsupported, path: "ports[0].vlan.mode", edit: alone(model.VLAN{Mode: model.VLANTunnel, Tag: 7}), caps: kernel},
	})
}

func TestParseVLANMode(t *testing.T) {
	for m := model.VLANAccess; m <= model.VLANTunnel; m++ {
		if got := model.ParseVLANMode(m.String()); got != m {
			t.Errorf("%s is read as %s", m, got)
		}
	}
	for _, s := range []string{"", "unspecified", "Access"} {
		if got := model.ParseVLANMode(s); got != 0 {
			t.Errorf("%q is read as %s", s, got)
		}
	}
}
