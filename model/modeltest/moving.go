package modeltest

import (
	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
)

// Moving is s with some of its guests on the move, in either direction or
// elsewhere. Only the overlay of Open vSwitch has such.
func Moving(t *rapid.T, s model.HostState) model.HostState {
	g := generator{t: t, s: s}
	g.s.Ports = append([]model.Port(nil), s.Ports...)
	g.s.Fdb = append([]model.FdbEntry(nil), s.Fdb...)
	for i := range g.s.Ports {
		g.movePort(&g.s.Ports[i])
	}
	for i, e := range s.Fdb {
		if to := g.peer(); to != e.Peer && g.yes("entry moves") {
			g.s.Fdb[i].MovingTo = to
		}
	}
	return g.s
}

// peer is any one, "" when there is none.
func (g *generator) peer() string {
	if len(g.s.Peers) == 0 {
		return ""
	}
	return g.s.Peers[g.n("peer", 0, len(g.s.Peers)-1)].Name
}

func (g *generator) movePort(p *model.Port) {
	if len(p.Attachments) == 0 || len(p.MACs) == 0 {
		return
	}
	switch g.n("move", 0, 2) {
	case 1:
		p.Activation = rapid.SampledFrom([]model.Activation{model.ActivateAnnouncement, model.ActivateCall}).Draw(g.t, "activation")
		if at := g.peer(); at != "" && g.yes("known before") {
			g.s.Fdb = append(g.s.Fdb, model.FdbEntry{Segment: p.Attachments[0].Segment, MAC: p.MACs[0], Peer: at, IPs: p.IPs})
		}
	case 2:
		p.MovingTo = g.peer()
	}
}
