package openflow

import "github.com/greave-sdn/greave/model"

// hop writes a peer under one encapsulation: its known source addresses, the
// group that picks a path, and the outer header of each path.
func (c *compiler) hop(h model.Hop, paths []model.ResolvedPath) {
	if c.overlay == "" || !c.leads(h) {
		return
	}
	w := c.writer(c.overlay, model.Ref{Kind: model.KindPeer, Name: h.Peer})
	peer := c.peer(h)
	var ways []way
	for _, p := range paths {
		port := c.toward(h.Encap, p.Remote)
		if port == 0 {
			continue
		}
		path := c.path(h, p)
		source := Match{InPort: port, TunSrc: p.Remote, TunDst: p.Local}
		w.flow(TableTunnelSource, prioRule, source, SetReg(RegFrom, peer), Resubmit{TableTunnelKey})
		ways = append(ways, way{p, path, port, c.ofport(Probe{h.Encap, p.Local, p.Remote}.Port())})
		src, dst := setTunnel(p)
		w.flow(TableTunnelOut, prioRule, matchReg(RegPath, path), src, dst, Output{port})
	}
	c.learnPeer(w, h, peer)
	c.returns(w, h, peer)
	w.flow(TablePath, prioRule, matchReg(RegPeer, peer), ToGroup{c.choice(w, h, ways)})
}
