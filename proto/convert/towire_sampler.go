package convert

import (
	"net/netip"

	"google.golang.org/protobuf/proto"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

func samplerToWire(s model.Sampler) *greavev1.Sampler {
	w := &greavev1.Sampler{Name: s.Name, Bridge: s.Bridge, Targets: wireList(s.Targets, netip.AddrPort.String)}
	switch s.Format {
	case model.FormatSFlow:
		w.Format = &greavev1.Sampler_Sflow{Sflow: &greavev1.SFlow{Sampling: present(s.Sampling), Header: unlessZero(s.Header), Polling: unlessZero(s.Polling), Agent: s.Agent}}
	case model.FormatIPFIX:
		f := &greavev1.Ipfix{Sampling: present(s.Sampling), ObservationDomain: present(s.Domain), ObservationPoint: present(s.Point),
			CacheTimeout: present(s.CacheTimeout), CacheFlows: present(s.CacheFlows)}
		if s.NoTunnel {
			f.Tunnel = proto.Bool(false)
		}
		w.Format = &greavev1.Sampler_Ipfix{Ipfix: f}
	case model.FormatNetFlow:
		w.Format = &greavev1.Sampler_Netflow{Netflow: &greavev1.NetFlow{ActiveTimeout: unlessZero(s.ActiveTimeout)}}
	}
	return w
}
