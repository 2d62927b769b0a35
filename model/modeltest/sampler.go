package modeltest

import (
	"fmt"
	"net/netip"

	"github.com/greave-sdn/greave/model"
)

// samplers draws samplers of the stated bridges.
func (g *generator) samplers() {
	for i, b := range g.s.Bridges {
		format := model.SampleFormat(g.n("sampler", 0, 3))
		if format == 0 || b.Foreign {
			continue
		}
		s := model.Sampler{Name: fmt.Sprintf("sampler%d", i), Bridge: b.Name, Format: format}
		for n := range g.n("collectors", 1, 2) {
			s.Targets = append(s.Targets, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 4, byte(9 - n)}), 6343))
		}
		if g.yes("IPv6 collector") {
			s.Targets = append(s.Targets, netip.AddrPortFrom(host6(4, 1), 6343))
		}
		switch format {
		case model.FormatSFlow:
			s.Sampling, s.Header, s.Agent = model.Some(uint32(g.n("sampling", 1, 2))), uint32(64*g.n("header", 0, 2)), "eth0"
		case model.FormatIPFIX:
			s.Domain, s.NoTunnel = model.Some(uint32(g.n("domain", 0, 1))), g.yes("no tunnel")
		case model.FormatNetFlow:
			s.ActiveTimeout = uint32(g.n("timeout", 0, 2))
		}
		g.s.Samplers = append(g.s.Samplers, s)
	}
}
