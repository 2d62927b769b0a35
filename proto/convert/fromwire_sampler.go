package convert

import (
	"net/netip"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

func (r *reader) sampler(path string, w *greavev1.Sampler) model.Sampler {
	s := model.Sampler{Name: w.GetName(), Bridge: w.GetBridge(), Targets: each(path+".targets", w.GetTargets(), r.target)}
	switch f := w.GetFormat().(type) {
	case *greavev1.Sampler_Sflow:
		at := path + ".sflow"
		s.Format, s.Sampling, s.Agent = model.FormatSFlow, optional(f.Sflow.Sampling), f.Sflow.GetAgent()
		s.Header = r.nonzero(at+".header", f.Sflow.Header, 1, 256)
		s.Polling = r.nonzero(at+".polling", f.Sflow.Polling, 1, 1<<32-1)
	case *greavev1.Sampler_Ipfix:
		s.Format, s.Sampling = model.FormatIPFIX, optional(f.Ipfix.Sampling)
		s.Domain, s.Point = optional(f.Ipfix.ObservationDomain), optional(f.Ipfix.ObservationPoint)
		s.CacheTimeout, s.CacheFlows = optional(f.Ipfix.CacheTimeout), optional(f.Ipfix.CacheFlows)
		s.NoTunnel = f.Ipfix.Tunnel != nil && !f.Ipfix.GetTunnel()
	case *greavev1.Sampler_Netflow:
		s.Format = model.FormatNetFlow
		s.ActiveTimeout = r.nonzero(path+".netflow.active_timeout", f.Netflow.ActiveTimeout, 1, 1<<31-1)
	}
	return s
}

// target reads a collector.
func (r *reader) target(path, s string) netip.AddrPort {
	t, err := netip.ParseAddrPort(s)
	if err != nil {
		r.add(path, s, model.ReasonInvalid, "is not an IP address with a port", "write one such as 192.0.2.1:6343 or [2001:db8::1]:6343")
		return netip.AddrPort{}
	}
	if a := r.addr(path, t.Addr().String()); !a.IsValid() {
		return netip.AddrPort{}
	}
	return t
}
