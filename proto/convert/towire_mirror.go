package convert

import (
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

func mirrorToWire(m model.Mirror) *greavev1.Mirror {
	w := &greavev1.Mirror{Name: m.Name, Bridge: m.Bridge, Snaplen: unlessZero(m.Snaplen)}
	if m.All || len(m.Ports)+len(m.VLANs) > 0 {
		w.Select = &greavev1.MirrorSelect{All: unlessZero(m.All), Vlans: m.VLANs, Ports: wireList(m.Ports, mirrorPortToWire)}
	}
	switch {
	case m.Collector.Set:
		t := tunnelToWire(m.Collector.V)
		w.Output = &greavev1.MirrorOutput{Target: &greavev1.MirrorOutput_Collector{Collector: &greavev1.MirrorCollector{Encap: t.GetEncap(),
			Local: t.GetLocal(), Remote: t.GetRemote(), Key: t.GetKey(), Ttl: t.GetTtl(), Tos: t.GetTos(), UdpPort: t.UdpPort, Erspan: t.GetErspan()}}}
	case m.Device != "":
		w.Output = &greavev1.MirrorOutput{Target: &greavev1.MirrorOutput_Device{Device: m.Device}}
	case m.VLAN != 0:
		w.Output = &greavev1.MirrorOutput{Target: &greavev1.MirrorOutput_Vlan{Vlan: m.VLAN}}
	}
	return w
}

func mirrorPortToWire(p model.MirrorPort) *greavev1.MirrorPort {
	w := &greavev1.MirrorPort{Direction: directions.wire(p.Direction)}
	switch {
	case p.Port != "":
		w.Member = &greavev1.MirrorPort_Port{Port: p.Port}
	case p.Tunnel != "":
		w.Member = &greavev1.MirrorPort_Tunnel{Tunnel: p.Tunnel}
	}
	return w
}
