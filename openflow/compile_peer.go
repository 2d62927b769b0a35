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
	group := Group{ID: c.group("peer", h.String()), Type: GroupIndirect}
	for _, p := range paths {
		port := c.toward(h.Encap, p.Remote)
		if port == 0 {
			continue
		}
		path := c.path(h, p)
		source := Match{InPort: port, TunSrc: p.Remote, TunDst: p.Local}
		w.flow(TableTunnelSource, prioRule, source, SetReg(RegFrom, peer), Resubmit{TableTunnelKey})
		group.Buckets = append(group.Buckets, Bucket{
			ID:   path,
			Sets: []SetField{SetReg(RegPath, path)},
			Then: Resubmit{TableTunnelOut},
		})
		src, dst := setTunnel(p)
		w.flow(TableTunnelOut, prioRule, matchReg(RegPath, path), src, dst, Output{port})
	}
	w.group(group)
	c.learnPeer(w, h, peer)
	w.flow(TablePath, prioRule, matchReg(RegPeer, peer), ToGroup{group.ID})
}
