package convert

import (
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

var directions = enumMap[greavev1.MirrorDirection, model.Direction]{
	greavev1.MirrorDirection_MIRROR_DIRECTION_BOTH: model.DirectionBoth,
	greavev1.MirrorDirection_MIRROR_DIRECTION_IN:   model.DirectionIn,
	greavev1.MirrorDirection_MIRROR_DIRECTION_OUT:  model.DirectionOut,
}

func (r *reader) mirror(path string, w *greavev1.Mirror) model.Mirror {
	m := model.Mirror{
		Name: w.GetName(), Bridge: w.GetBridge(), All: w.GetSelect().GetAll(), VLANs: w.GetSelect().GetVlans(),
		Ports: each(path+".select.ports", w.GetSelect().GetPorts(), func(_ string, w *greavev1.MirrorPort) model.MirrorPort {
			return model.MirrorPort{Port: w.GetPort(), Tunnel: w.GetTunnel(), Direction: directions[w.GetDirection()]}
		}),
		Snaplen: r.nonzero(path+".snaplen", w.Snaplen, 14, 65535),
	}
	at := path + ".output"
	switch out := w.GetOutput().GetTarget().(type) {
	case *greavev1.MirrorOutput_Device:
		m.Device = out.Device
	case *greavev1.MirrorOutput_Vlan:
		m.VLAN = r.nonzero(at+".vlan", &out.Vlan, 1, 4094)
	case *greavev1.MirrorOutput_Collector:
		c := out.Collector
		m.Collector = model.Some(r.tunnel(at+".collector", &greavev1.Tunnel{Encap: c.GetEncap(), Local: c.GetLocal(), Remote: c.GetRemote(),
			Key: c.GetKey(), Ttl: c.GetTtl(), Tos: c.GetTos(), UdpPort: c.UdpPort, Erspan: c.GetErspan()}))
	}
	return m
}
