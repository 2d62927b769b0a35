package rpc

import (
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// portVLANs tells what the switch makes of a port's tags, and what came in by it
// with another one.
func (v *view) portVLANs(out *greavev1.ObservedPort, have model.OVSPort, p model.ResolvedPort) {
	out.VlanMode, out.Trunks, out.FarPort = plan.VLANModeColumn(have.VLAN), have.VLAN.Trunks, have.Options["peer"]
	if have.VLAN.Tag != 0 {
		out.Tag = &have.VLAN.Tag
	}
	out.StrayVlan = v.stray[p.Ref()]
}
