package modeltest

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
)

// created draws ports that greave makes: internal ones, and patches that join
// normal bridges to the overlay bridge or to one another.
func (g *generator) created() {
	var normal []string
	for _, b := range g.s.Bridges {
		if b.Forwarding != model.ForwardOverlay {
			normal = append(normal, b.Name)
		}
	}
	for _, seg := range g.s.Segments {
		if g.yes("internal port") {
			p := model.Port{Name: "int-" + seg.Name, Internal: true, Bridge: seg.Bridge, Attachments: []model.Attachment{{Segment: seg.Name}}}
			g.internal(&p)
			g.s.Ports = append(g.s.Ports, p)
		}
	}
	for i, b := range normal {
		if g.yes("internal port of a normal bridge") {
			p := model.Port{Name: fmt.Sprint("int", i), Internal: true, Bridge: b, VLAN: g.vlan()}
			g.internal(&p)
			g.s.Ports = append(g.s.Ports, p)
		}
		p := model.Port{Name: fmt.Sprint("patch", i), Patch: model.Patch{Bridge: b}, Adopt: g.yes("adopt patch")}
		if g.yes("far name") {
			p.Patch.Far = fmt.Sprint("far", i)
		}
		switch {
		case len(g.s.Segments) > 0 && g.yes("patch to the overlay"):
			seg := g.s.Segments[g.n("segment", 0, len(g.s.Segments)-1)]
			p.Bridge, p.Attachments = seg.Bridge, []model.Attachment{{Segment: seg.Name}}
			g.vlans(&p, 100+i)
		case i > 0 && g.yes("patch between normal bridges"):
			p.Bridge, p.VLAN = normal[i-1], g.vlan()
		default:
			continue
		}
		g.s.Ports = append(g.s.Ports, p)
	}
	g.foreign(normal)
}

// Foreign is the bridge of somebody else that generated states refer to.
const Foreign = "br-int"

// foreign draws a patch to a bridge of somebody else, from the overlay or from a
// normal bridge.
func (g *generator) foreign(normal []string) {
	if g.yes("no foreign bridge") {
		return
	}
	g.s.Bridges = append(g.s.Bridges, model.Bridge{Name: Foreign, Foreign: true})
	p := model.Port{Name: "to-int", Patch: model.Patch{Bridge: Foreign}, Adopt: g.yes("adopt patch")}
	switch {
	case len(g.s.Segments) > 0 && g.yes("foreign to the overlay"):
		seg := g.s.Segments[g.n("segment", 0, len(g.s.Segments)-1)]
		p.Bridge, p.Attachments = seg.Bridge, []model.Attachment{{Segment: seg.Name}}
		g.vlans(&p, 200)
	case len(normal) > 0 && g.yes("foreign to a normal bridge"):
		p.Bridge, p.VLAN = normal[0], g.vlan()
	default:
		return
	}
	g.s.Ports = append(g.s.Ports, p)
}

func (g *generator) internal(p *model.Port) {
	p.MTU = rapid.SampledFrom([]uint32{0, 1400}).Draw(g.t, "port mtu")
	p.HWAddr = rapid.SampledFrom([]model.MAC{{}, {2, 0, 0, 0, 9, 1}}).Draw(g.t, "port mac")
}
