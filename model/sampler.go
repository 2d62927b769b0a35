package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// SampleFormat is what a sampler sends.
type SampleFormat uint8

// Formats.
const (
	FormatSFlow SampleFormat = iota + 1
	FormatIPFIX
	FormatNetFlow
)

func (f SampleFormat) String() string {
	switch f {
	case FormatSFlow:
		return "sflow"
	case FormatIPFIX:
		return "ipfix"
	case FormatNetFlow:
		return "netflow"
	}
	return "unspecified"
}

// Sampler sends samples or summaries of the packets of a bridge to collectors. What
// is not of its format is not set.
type Sampler struct {
	Name    string
	Bridge  string
	Targets []netip.AddrPort
	Format  SampleFormat

	Sampling Opt[uint32] // sFlow, IPFIX: one packet of so many; absent: Open vSwitch's 400
	Header   uint32      // sFlow: bytes of each, 1-256; 0: 128
	Polling  uint32      // sFlow: seconds between reports of counters; 0: 30
	Agent    string      // sFlow: device whose address names this host

	Domain, Point Opt[uint32] // IPFIX: ids of the observation
	CacheTimeout  Opt[uint32] // IPFIX: seconds, 0-4200
	CacheFlows    Opt[uint32] // IPFIX
	NoTunnel      bool        // IPFIX: nothing of outer headers

	ActiveTimeout uint32 // NetFlow: seconds; 0: 600
}

// Ref implements Object.
func (s Sampler) Ref() Ref { return Ref{KindSampler, s.Name} }

func normalSampler(s Sampler, overlay string) Sampler {
	s.Bridge = cmp.Or(s.Bridge, overlay)
	return s
}

func (s Sampler) check(c *checker, path string) {
	c.idName(path+".name", s.Name)
	c.ref(path+".bridge", Ref{KindBridge, s.Bridge})
	if c.onKernel(s.Bridge) {
		c.add(path+".bridge", s.Bridge, ReasonUnsupported, "is of the kernel, which has no sampling of bridges", "use a bridge of Open vSwitch")
	}
	c.notOnForeign(path, s.Bridge, "use a bridge that greave makes")
	if len(s.Targets) == 0 {
		c.add(path+".targets", "", ReasonRequired, "a sampler sends to one collector at least", "add targets: [ADDRESS:PORT]")
	}
	for i, t := range s.Targets {
		at := index(path+".targets", i)
		c.underlayAddr(at, t.Addr())
		switch {
		case t.Port() == 0 && t.Addr().IsValid():
			c.outOfRange(at, 0, 1, 65535)
		case slices.Contains(s.Targets[:i], t):
			c.add(at, t.String(), ReasonDuplicate, "is stated before", "keep one of the two")
		}
	}
	if s.Format == 0 {
		c.add(path+".sflow", "", ReasonRequired, "a sampler sends in a format", "add sflow: {}, ipfix: {} or netflow: {}")
	}
	at := path + "." + s.Format.String()
	if s.Sampling.Set && s.Sampling.V == 0 {
		c.outOfRange(at+".sampling", 0, 1, 1<<32-1)
	}
	if s.Header > 256 {
		c.outOfRange(at+".header", uint64(s.Header), 1, 256)
	}
	if s.CacheTimeout.V > 4200 {
		c.outOfRange(at+".cache_timeout", uint64(s.CacheTimeout.V), 0, 4200)
	}
	if s.ActiveTimeout > 1<<31-1 {
		c.outOfRange(at+".active_timeout", uint64(s.ActiveTimeout), 1, 1<<31-1)
	}
	if s.Agent != "" {
		c.deviceName(at+".agent", s.Agent)
	}
}

// identity is what a bridge has one of.
func (s Sampler) identity() string {
	return fmt.Sprintf("bridge and format\x00%s %s", s.Bridge, s.Format)
}

func (r *Resolved) samplers(s HostState, f Facts) {
	for _, o := range s.Samplers {
		if !r.away(o.Ref(), f) {
			r.Samplers = append(r.Samplers, o)
		}
	}
}
