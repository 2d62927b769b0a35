package modeltest

import (
	"fmt"
	"net/netip"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
)

// mirrors draws mirrors of the stated bridges: of all ports, or of the tunnels on
// one.
func (g *generator) mirrors() {
	for i := range g.n("mirrors", 0, 2) {
		if len(g.s.Bridges) == 0 {
			return
		}
		b := rapid.SampledFrom(g.s.Bridges).Draw(g.t, "mirrored")
		if b.Foreign {
			continue
		}
		m := model.Mirror{Name: fmt.Sprintf("mir%d", i), Bridge: b.Name, All: g.yes("select all")}
		for _, t := range g.s.Tunnels {
			if t.Bridge == b.Name && !m.All {
				m.Ports = append(m.Ports, model.MirrorPort{Tunnel: t.Name, Direction: model.Direction(g.n("direction", 0, 3))})
			}
		}
		m.All = len(m.Ports) == 0
		m.VLANs = rapid.SampledFrom([][]uint32{nil, {0}, {30, 7}}).Draw(g.t, "mirrored VLANs")
		m.Snaplen = rapid.SampledFrom([]uint32{0, 64}).Draw(g.t, "snaplen")
		switch g.n("output", 0, 2) {
		case 0:
			m.Device = fmt.Sprintf("ear%d", i)
		case 1:
			if b.Forwarding != model.ForwardOverlay {
				m.VLAN = 99
				break
			}
			fallthrough
		default:
			m.Collector = model.Some(model.Tunnel{Encap: model.EncapVXLAN, Remote: netip.AddrFrom4([4]byte{10, 0, 3, byte(1 + i)}), KeyOut: model.Some(uint64(900 + i))})
		}
		g.s.Mirrors = append(g.s.Mirrors, m)
	}
}
