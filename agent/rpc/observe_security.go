package rpc

import (
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// countDrop adds a flow of port security to what its guard has dropped.
func (v *view) countDrop(ref model.Ref, f openflow.Seen) {
	if openflow.StrayVLAN(f.Flow) {
		v.stray[ref] = &f.Packets
	}
	guard := openflow.GuardOf(f.Flow)
	if guard == openflow.GuardNone {
		return
	}
	s := v.dropped[ref]
	if s == nil {
		s = &greavev1.ObservedPortSecurity{}
		v.dropped[ref] = s
	}
	switch guard {
	case openflow.GuardMAC:
		s.Mac += f.Packets
	case openflow.GuardIP:
		s.Ip += f.Packets
	case openflow.GuardARP:
		s.Arp += f.Packets
	case openflow.GuardDHCP:
		s.DhcpGuard += f.Packets
	case openflow.GuardRA:
		s.RaGuard += f.Packets
	case openflow.GuardTags:
		s.Tags += f.Packets
	}
}
