package rpc

import (
	"net/netip"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/mtu"
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
	return inner(specOf(e, local, true), v.underlayMTU(local))
}

func (v *view) tunnelMTU(t model.ResolvedTunnel) uint32 {
	s := specOf(t.Encap, t.RemoteAddr, t.KeyOut.Set)
	if t.Encap == model.EncapGRE {
		s.Checksum, s.Sequence = t.Checksum, t.Sequence
	}
	return inner(s, v.underlayMTU(t.LocalAddr))
}

func specOf(e model.Encap, outer netip.Addr, key bool) mtu.Spec {
	s := mtu.Spec{Encap: mtu.GRETAP, Key: key, Outer: mtu.FamilyOf(outer)}
	if e == model.EncapVXLAN {
		s.Encap, s.Key = mtu.VXLAN, false
	}
	return s
}

func inner(s mtu.Spec, underlay uint32) uint32 {
	if underlay == 0 {
		return 0
	}
	n, err := s.InnerMTU(int(underlay))
	if err != nil {
		return 0
	}
	return uint32(n)
}
