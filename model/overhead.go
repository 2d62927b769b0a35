package model

import (
	"net/netip"

	"github.com/greave-sdn/greave/model/mtu"
)

// SegmentSpec is what a segment's frames cost towards an underlay address.
func SegmentSpec(e Encap, remote netip.Addr) mtu.Spec {
	s := mtu.Spec{Encap: mtu.GRETAP, Key: true, Outer: mtu.FamilyOf(remote)}
	switch e {
	case EncapVXLAN:
		s.Encap, s.Key = mtu.VXLAN, false
	case EncapGeneve:
		s.Encap, s.Key = mtu.Geneve, false
	}
	return s
}

// Spec is what the tunnel's packets cost.
func (t ResolvedTunnel) Spec() mtu.Spec {
	s := mtu.Spec{Outer: mtu.FamilyOf(t.Outer())}
	switch t.Encap {
	case EncapVXLAN:
		s.Encap = mtu.VXLAN
		if t.GroupPolicy {
			s.Encap = mtu.VXLANGBP
		}
		return s
	case EncapGeneve:
		s.Encap = mtu.Geneve
		return s
	case EncapERSPAN:
		s.Encap = mtu.ERSPANv1
		if t.ERSPAN.Version == 2 {
			s.Encap = mtu.ERSPANv2
		}
	default:
		s.Encap = mtu.GRETAP
		if t.Layer == LayerL3 {
			s.Encap = mtu.GRE
		}
		s.Key, s.Checksum, s.Sequence = t.KeyOut.Set, t.Checksum, t.Sequence
	}
	s.EncapLimit = t.EncapLimit.Set
	switch t.UDP.Type {
	case UDPEncapFOU:
		s.UDPEncap = mtu.FOU
	case UDPEncapGUE:
		s.UDPEncap = mtu.GUE
	}
	return s
}

// Outer is an address of the tunnel's outer header, for its family.
func (t ResolvedTunnel) Outer() netip.Addr {
	switch {
	case t.RemoteAddr.IsValid():
		return t.RemoteAddr
	case t.LocalAddr.IsValid():
		return t.LocalAddr
	case len(t.Neighbours) > 0:
		return t.Neighbours[0].Underlay
	}
	return netip.Addr{}
}

// Inner is the largest inner IP packet that fits an underlay MTU, 0 when that
// is not known or too small.
func Inner(s mtu.Spec, underlay int) uint32 {
	if underlay == 0 {
		return 0
	}
	n, err := s.InnerMTU(underlay)
	if err != nil {
		return 0
	}
	return uint32(n)
}
