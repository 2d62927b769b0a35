package model_test

import (
	"net/netip"

	"github.com/greave-sdn/greave/model"
)

// sampler adds one of base's ordinary bridge to it, then edits it.
func sampler(edit func(*model.Sampler)) func(*model.HostState) {
	return func(s *model.HostState) {
		o := model.Sampler{Name: "s", Bridge: "br0", Format: model.FormatSFlow, Targets: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:6343")}}
		edit(&o)
		s.Samplers = append(s.Samplers, o)
	}
}

var samplerRefusals = []refusal{
	{name: "sampler without collector", reason: model.ReasonRequired, path: "samplers[0].targets", edit: sampler(func(o *model.Sampler) { o.Targets = nil })},
	{name: "sampler without format", reason: model.ReasonRequired, path: "samplers[0].sflow", edit: sampler(func(o *model.Sampler) { o.Format = 0 })},
	{name: "sampler to port 0", reason: model.ReasonOutOfRange, path: "samplers[0].targets[0]", edit: sampler(func(o *model.Sampler) { o.Targets[0] = netip.MustParseAddrPort("10.0.0.9:0") })},
	{name: "sampler to a collector twice", reason: model.ReasonDuplicate, path: "samplers[0].targets[1]", edit: sampler(func(o *model.Sampler) { o.Targets = append(o.Targets, o.Targets[0]) })},
	{name: "sampler of one packet in none", reason: model.ReasonOutOfRange, path: "samplers[0].sflow.sampling", edit: sampler(func(o *model.Sampler) { o.Sampling = model.Some[uint32](0) })},
	{name: "sampler of 257 bytes", reason: model.ReasonOutOfRange, path: "samplers[0].sflow.header", edit: sampler(func(o *model.Sampler) { o.Header = 257 })},
	{name: "sampler that gathers for 4201 s", reason: model.ReasonOutOfRange, path: "samplers[0].ipfix.cache_timeout", edit: sampler(func(o *model.Sampler) { o.Format, o.CacheTimeout = model.FormatIPFIX, model.Some[uint32](4201) })},
	{name: "two samplers of a format", reason: model.ReasonDuplicate, path: "samplers[1]", edit: func(s *model.HostState) {
		sampler(func(*model.Sampler) {})(s)
		sampler(func(o *model.Sampler) { o.Name = "t" })(s)
	}},
	{name: "sampler of a foreign bridge", reason: model.ReasonUnimplemented, path: "samplers[0].bridge", edit: func(s *model.HostState) {
		sampler(func(o *model.Sampler) { o.Bridge = "br-int" })(s)
		foreignToo(s)
	}},
	{name: "sampler of the kernel", reason: model.ReasonUnsupported, path: "samplers[0].bridge", edit: func(s *model.HostState) {
		sampler(func(*model.Sampler) {})(s)
		s.Bridges[0].Backend = model.BackendKernel
	}},
}
