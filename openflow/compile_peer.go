package openflow

import "github.com/greave-sdn/greave/model"

// hop writes a peer under one encapsulation: its known source addresses, the
// group that picks a path, and the outer header of each path.
func (c *compiler) hop(h model.Hop, paths []model.ResolvedPath) {
	port := c.ofport(TunnelPort(h.Encap))
	if c.overlay == "" || port == 0 {
		return
	}
	w := c.writer(c.overlay, model.Ref{Kind: model.KindPeer, Name: h.Peer})
	peer := c.peer(h)
	group := Group{ID: c.group("peer", h.String()), Type: GroupIndirect}
	for _, p := range paths {
		path := c.path(h, p)
		source := Match{InPort: port, TunSrc: p.Remote, TunDst: p.Local}
		w.flow(TableTunnelSource, prioRule, source, SetReg(RegPeer, peer), Resubmit{TableTunnelKey})
		group.Buckets = append(group.Buckets, Bucket{
			ID:   path,
			Sets: []SetField{SetReg(RegPath, path)},
			Then: Resubmit{TableTunnelOut},
		})
		w.flow(TableTunnelOut, prioRule, matchReg(RegPath, path),
			SetField{Field: FieldTunSrc, Addr: p.Local},
			SetField{Field: FieldTunDst, Addr: p.Remote},
			Output{port})
	}
	w.group(group)
	w.flow(TablePath, prioRule, matchReg(RegPeer, peer), ToGroup{group.ID})
}
