package openflow

import "github.com/greave-sdn/greave/model"

// fdb writes a static address behind a peer.
func (c *compiler) fdb(e model.ResolvedFdb, s model.ResolvedSegment) {
	bridge := s.Bridge
	if bridge == "" || bridge != c.overlay || !c.leads(e.Hop) {
		return
	}
	w := c.writer(bridge, e.Ref())
	m := matchReg(RegSegment, c.numbers.segment(e.Segment))
	m.EthDst = matchMAC(e.MAC)
	w.flow(TableL2, prioRule, m, SetReg(RegPeer, c.peer(e.Hop)), Resubmit{TablePath})
	c.answers(w, s, e.MAC, e.IPs)
}
