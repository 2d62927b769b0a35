package rpc

import (
	"net/netip"

	"github.com/greave-sdn/greave/model"
)

// carries tells whether the switch has taken up a port.
func carries(p model.OVSPort) bool { return p.Ofport > 0 && p.Error == "" }

// underlayMTU is the MTU of the device that has a local endpoint, 0 when none has.
func (v *view) underlayMTU(local netip.Addr) uint32 {
	return uint32(v.devices[local.String()].MTU)
}

// innerMTU is the largest inner IP packet of a segment that fits the underlay
// of a local endpoint, 0 when that is not known.
func (v *view) innerMTU(e model.Encap, local netip.Addr) uint32 {
	return model.Inner(model.SegmentSpec(e, local), int(v.underlayMTU(local)))
}

func (v *view) tunnelMTU(t model.ResolvedTunnel) uint32 {
	return model.Inner(t.Spec(), int(v.underlayMTU(t.LocalAddr)))
}
