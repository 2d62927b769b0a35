package facts

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/greave-sdn/greave/model"
)

// aliasMark begins the alias of every device that a greaved made.
const aliasMark = "greave "

// tunnelOf is by what a tunnel device takes packets, the zero value for other
// devices and for drivers' own (gre0 and the like), which take what nobody wants.
func tunnelOf(l netlink.Link) model.DeviceTunnel {
	switch l.Attrs().Name {
	case "gre0", "gretap0", "ip6gre0":
		return model.DeviceTunnel{}
	}
	switch l := l.(type) {
	case *netlink.Gretun:
		return model.DeviceTunnel{Encap: model.EncapGRE, Layer: model.LayerL3, Local: address(l.Local), Remote: address(l.Remote), Key: uint64(l.IKey), External: l.FlowBased}
	case *netlink.Gretap: // the library takes the one key for the other here
		return model.DeviceTunnel{Encap: model.EncapGRE, Layer: model.LayerL2, Local: address(l.Local), Remote: address(l.Remote), Key: uint64(l.OKey), External: l.FlowBased}
	case *netlink.Vxlan:
		return model.DeviceTunnel{Encap: model.EncapVXLAN, Layer: model.LayerL2, Local: address(l.SrcAddr), Remote: address(l.Group), Key: uint64(l.VxlanId), Port: uint32(l.Port), External: l.FlowBased}
	case *netlink.Geneve:
		return model.DeviceTunnel{Encap: model.EncapGeneve, Layer: model.LayerL2, Remote: address(l.Remote), Key: uint64(l.ID), Port: uint32(l.Dport), External: l.FlowBased}
	}
	return model.DeviceTunnel{}
}

// address is not valid for none and for the unspecified one, which both are any.
func address(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip)
	if a = a.Unmap(); !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}
