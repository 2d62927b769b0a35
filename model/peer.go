package model

import "net/netip"

// Peer is a remote host.
type Peer struct {
	Name     string
	Paths    []Path
	Encap    Encap    // overrides the encapsulation of the segments; 0: theirs
	Segments []string // segments it is a member of
}

// Path is one underlay way to a peer.
type Path struct {
	Vtep   string // local endpoint; the only VTEP when not set
	Remote netip.Addr
}

// Ref implements Object.
func (p Peer) Ref() Ref { return Ref{KindPeer, p.Name} }

func (p Peer) check(c *checker, path string) {
	c.idName(path+".name", p.Name)
	c.forSegments(path+".encap", p.Encap)
	if len(p.Paths) == 0 {
		c.add(path+".paths", "", ReasonRequired, "a peer needs a path", "add paths: [{remote: ADDRESS}]")
	}
	if len(p.Paths) > 1 {
		c.add(index(path+".paths", 1), p.Paths[1].Remote.String(), ReasonUnimplemented, "is a second path, and several paths to a peer are not supported yet", "keep one")
	}
	for i, w := range p.Paths {
		at := index(path+".paths", i)
		c.underlayAddr(at+".remote", w.Remote)
		c.ref(at+".vtep", Ref{KindVtep, w.Vtep})
		c.sameFamily(at+".remote", c.vteps[w.Vtep].Addr, w.Remote)
	}
	for i, s := range p.Segments {
		c.ref(index(path+".segments", i), Ref{KindSegment, s})
	}
}
