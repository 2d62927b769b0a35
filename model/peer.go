package model

import (
	"cmp"
	"fmt"
	"net/netip"
)

// Peer is a remote host.
type Peer struct {
	Name     string
	Paths    []Path
	Encap    Encap    // overrides the encapsulation of the segments; 0: theirs
	Segments []string // segments it is a member of
}

// Path is one underlay way to a peer.
type Path struct {
	Vtep     string // local endpoint; the only VTEP when not set
	Remote   netip.Addr
	Role     PathRole
	Priority Opt[uint32] // among paths of one role: lower goes first
	Weight   uint32      // share of the flows among paths of equal priority; 1-65535
}

// PathRole says when a path carries traffic.
type PathRole uint8

// Roles of paths.
const (
	PathActive PathRole = iota + 1
	PathBackup          // only while no active path is up
)

func (r PathRole) String() string {
	switch r {
	case PathActive:
		return "active"
	case PathBackup:
		return "backup"
	}
	return "unspecified"
}

// Defaults of paths.
const (
	PathPriority = 100
	PathWeight   = 1
)

// PathsMax is the most paths to one peer.
const PathsMax = 16

func normalPath(w Path, vtep string) Path {
	w.Vtep, w.Role, w.Weight = cmp.Or(w.Vtep, vtep), cmp.Or(w.Role, PathActive), cmp.Or(w.Weight, PathWeight)
	if !w.Priority.Set {
		w.Priority = Some[uint32](PathPriority)
	}
	return w
}

// rank orders the tiers of a peer's paths: the active ones go first.
func (w Path) rank() uint64 { return uint64(w.Role)<<32 | uint64(w.Priority.V) }

// Ref implements Object.
func (p Peer) Ref() Ref { return Ref{KindPeer, p.Name} }

func (p Peer) check(c *checker, path string) {
	c.idName(path+".name", p.Name)
	c.forSegments(path+".encap", p.Encap)
	if len(p.Paths) == 0 {
		c.add(path+".paths", "", ReasonRequired, "a peer needs a path", "add paths: [{remote: ADDRESS}]")
	}
	if len(p.Paths) > PathsMax {
		c.add(path+".paths", fmt.Sprint(len(p.Paths)), ReasonOutOfRange, fmt.Sprintf("are more than the %d paths that a peer may have", PathsMax), "leave some out")
	}
	for i, w := range p.Paths {
		at := index(path+".paths", i)
		c.underlayAddr(at+".remote", w.Remote)
		c.ref(at+".vtep", Ref{KindVtep, w.Vtep})
		if w.Priority.V > 65535 {
			c.outOfRange(at+".priority", uint64(w.Priority.V), 0, 65535)
		}
		if w.Weight > 65535 {
			c.outOfRange(at+".weight", uint64(w.Weight), 1, 65535)
		}
		c.sameFamily(at+".remote", c.vteps[w.Vtep].Addr, w.Remote)
	}
	p.checkShares(c, path)
	for i, s := range p.Segments {
		c.ref(index(path+".segments", i), Ref{KindSegment, s})
	}
}

// sharesMax is into how many parts Open vSwitch divides the flows of a tier at most.
const sharesMax = 256

// checkShares refuses paths that share traffic in a way that the switch does not
// make: it picks by the hash of a flow, in parts of a 256th, and told so by OpenFlow
// 1.5.
func (p Peer) checkShares(c *checker, path string) {
	type tier struct {
		n             int
		sum, smallest uint32
		last, largest int // paths of it
	}
	tiers := map[uint64]tier{}
	for i, w := range p.Paths {
		t, seen := tiers[w.rank()]
		if !seen {
			t.smallest, t.largest = w.Weight, i
		}
		if w.Weight > p.Paths[t.largest].Weight {
			t.largest = i
		}
		t.n, t.sum, t.smallest, t.last = t.n+1, t.sum+w.Weight, min(t.smallest, w.Weight), i
		tiers[w.rank()] = t
	}
	for _, t := range tiers {
		if t.n > 1 && t.smallest > 0 && t.sum > sharesMax*t.smallest {
			c.add(fmt.Sprintf("%s.weight", index(path+".paths", t.largest)), fmt.Sprint(p.Paths[t.largest].Weight), ReasonOutOfRange,
				fmt.Sprintf("leaves another path of its priority less than a %dth of the flows", sharesMax), "use weights that are closer, or another priority")
		}
		for _, b := range c.bridges {
			if t.n > 1 && b.Forwarding == ForwardOverlay && len(b.Protocols) > 0 && !contains(b.Protocols, "OpenFlow15") {
				c.add(index(path+".paths", t.last), p.Paths[t.last].Remote.String(), ReasonUnsupported,
					"shares the traffic with another path, and bridge "+b.Name+" is told to speak nothing newer than OpenFlow 1.4, which has no word for that", "add OpenFlow15 to its protocols, or give the paths different priorities")
			}
		}
	}
}
