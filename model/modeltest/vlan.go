package modeltest

import (
	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
)

// TrunkMAC is the n-th address of ports that are in several segments, in all of
// which it is nobody else's.
func TrunkMAC(n int) model.MAC { return model.MAC{2, 0, 0, 0, 1, byte(n)} }

// vlans draws in which VLAN a port has its segment, and further segments.
func (g *generator) vlans(p *model.Port, n int) {
	if g.yes("no VLAN") {
		return
	}
	p.Attachments[0].VLAN = uint32(rapid.SampledFrom([]int{0, 7, 4094}).Draw(g.t, "attachment vlan"))
	first := g.s.Segments[0].Name
	if p.Attachments[0].Segment == first || !g.yes("second attachment") {
		return
	}
	vlan := uint32(100)
	if p.Attachments[0].VLAN != 0 && g.yes("untagged too") {
		vlan = 0
	}
	p.Attachments = append(p.Attachments, model.Attachment{Segment: first, VLAN: vlan})
	if len(p.MACs) > 0 {
		p.MACs = []model.MAC{TrunkMAC(n)}
	}
}
