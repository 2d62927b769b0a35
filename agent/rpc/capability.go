package rpc

import (
	"cmp"
	"context"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// GetCapabilities tells what each dataplane carries, and which of them are here.
func (s *Server) GetCapabilities(ctx context.Context, _ *greavev1.GetCapabilitiesRequest) (*greavev1.GetCapabilitiesResponse, error) {
	in, err := s.cfg.Backend.Inspect(ctx)
	out := &greavev1.GetCapabilitiesResponse{}
	for _, d := range model.Dataplanes() {
		out.Dataplanes = append(out.Dataplanes, wireDataplane(d, in.Facts, err))
	}
	for _, c := range model.CapabilityTable() {
		w := &greavev1.Capability{Segment: c.Segment, Encap: wireEncap(c.Encap), Layer: 2, Ipv6: c.IPv6, Option: c.Option}
		if c.Layer == model.LayerL3 {
			w.Layer = 3
		}
		for _, v := range c.Verdicts {
			w.Verdicts = append(w.Verdicts, &greavev1.Verdict{Carried: v.Reason == "", Reason: v.Reason, Message: v.Message})
		}
		out.Capabilities = append(out.Capabilities, w)
	}
	for _, r := range convert.RefusedEncaps() {
		w := &greavev1.Capability{Encap: r.Encap, Layer: 2}
		for range out.Dataplanes {
			w.Verdicts = append(w.Verdicts, &greavev1.Verdict{Reason: r.Reason, Message: r.Message})
		}
		out.Capabilities = append(out.Capabilities, w)
	}
	return out, nil
}

// wireDataplane says of a dataplane what the host was seen to have of it.
func wireDataplane(d model.Dataplane, f model.Facts, failed error) *greavev1.Dataplane {
	w := &greavev1.Dataplane{Name: d.String()}
	switch {
	case d == model.LinuxKernel:
		w.Present, w.Detail = true, "a driver loads when its first device is made; one that is missing is told then, as DRIVER_MISSING"
	case f.OVS == nil:
		w.Detail = "no Open vSwitch on this host"
		if f.OVSHere || failed != nil {
			w.Detail = cmp.Or(f.OVSAway, "Open vSwitch does not answer")
		}
	case d == model.OVSKernel && !f.OVS.SystemDatapath:
		w.Detail = "the kernel has no openvswitch module loaded: run modprobe openvswitch"
	default:
		w.Present, w.Detail = true, "Open vSwitch "+f.OVS.Version
	}
	return w
}
