package plan

import (
	"cmp"
	"fmt"

	"github.com/greave-sdn/greave/model"
)

// Types of interfaces that greave makes, besides tunnels.
const (
	typeInternal = "internal"
	typePatch    = "patch"
)

// attachmentPorts are the rows of a local port: one, but for a patch port two.
func attachmentPorts(p model.ResolvedPort) []WantPort {
	near := WantPort{Object: p.Ref(), Name: p.Device, Bridge: p.Bridge, VLAN: p.VLAN, Bound: p.Bound, Adopt: p.Adopt}
	switch {
	case p.Internal:
		near.Type, near.MTU, near.HWAddr = typeInternal, p.MTU, p.HWAddr
		if near.HWAddr.IsZero() && len(p.MACs) > 0 {
			near.HWAddr = p.MACs[0]
		}
	case p.Patch.Bridge != "":
		far := WantPort{Object: p.Ref(), Name: p.FarName(), Bridge: p.Patch.Bridge, Type: typePatch, Adopt: p.Adopt}
		near.Type, near.Options = typePatch, map[string]string{"peer": far.Name}
		far.Options = map[string]string{"peer": near.Name}
		for _, a := range p.Attachments { // those of the overlay bridge, and no other
			far.VLAN.Trunks = append(far.VLAN.Trunks, a.VLAN)
		}
		return []WantPort{near, far}
	}
	return []WantPort{near}
}

// oldEnd tells whether a row is the far end that a patch port has no more: while it
// is there the switch says of the new one that it has no usable peer.
func oldEnd(have model.OVSPort, ports map[string]WantPort) bool {
	near, wanted := ports[have.Options["peer"]]
	return have.Type == typePatch && wanted && near.Type == typePatch && near.Options["peer"] != have.Name
}

// leaveHalves drops a patch port whose far end cannot be made: alone it is an
// error to the switch.
func leaveHalves(ports map[string]WantPort) {
	for name, p := range ports {
		if _, whole := ports[p.Options["peer"]]; p.Type == typePatch && !whole {
			delete(ports, name)
		}
	}
}

// internal adds what differs of a port that is a device of the switch.
func (c *changes) internal(w WantPort, h model.OVSPort) {
	if w.Type != typeInternal {
		return
	}
	if want := cmp.Or(w.HWAddr, h.HWAddr); want != h.HWAddr { // none wanted: what it has is as good as another
		c.add("mac", unset(h.HWAddr, h.HWAddr.String()), want.String())
	}
	c.add("mtu", unset(h.MTURequest, fmt.Sprint(h.MTURequest)), unset(w.MTU, fmt.Sprint(w.MTU)))
}
