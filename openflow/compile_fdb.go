package openflow

import "github.com/greave-sdn/greave/model"

// fdb writes a static address behind a peer.
func (c *compiler) fdb(e model.ResolvedFdb, s model.ResolvedSegment) {
	bridge := s.Bridge
	if bridge == "" || bridge != c.overlay || !c.leads(e.Hop) {
		return
	}
	guest, here := c.moving[segmentMAC{e.Segment, e.MAC}]
	if here && !guest.staged {
		return // it has arrived: the port goes before the entry
	}
	w := c.writer(bridge, e.Ref())
	m := matchReg(RegSegment, c.numbers.segment(e.Segment))
	m.EthDst = matchMAC(e.MAC)
	switch {
	case here:
		w.flow(TableL2, prioRule, m, append([]Action{SetReg(RegPeer, c.peer(e.Hop))}, askStaged(guest.port, TableMovedOut)...)...)
	case e.MovingTo != "":
		c.follow(w, s, e.MAC, e.IPs, e.MovingTo)
		w.flow(TableL2, prioRule, m, SetReg(RegPeer, c.peer(e.Hop)), Resubmit{TableMoved}, Resubmit{TablePath})
	default:
		w.flow(TableL2, prioRule, m, SetReg(RegPeer, c.peer(e.Hop)), Resubmit{TablePath})
	}
	c.answers(w, s, e.MAC, e.IPs)
}
