package openflow

import (
	"slices"

	"github.com/greave-sdn/greave/model"
)

// Program is everything greave wants on one bridge.
type Program struct {
	Flows  []Flow
	Groups []Group
	// GroupOwner is the object behind each group; a flow's is in its cookie.
	GroupOwner map[GroupID]model.Ref
	// Learned are the flows that the switch may learn by itself when a guest
	// moves. They are right when they are there, and right when they are not.
	Learned []Flow
}

// Programs is the programs of all bridges, with the bindings they use.
type Programs struct {
	Bridges map[string]*Program
	Used    Names
}

// Compile turns a resolved state into the programs of its bridges. ofport gives
// the OpenFlow port of an OVS port by name, 0 when it has none: what needs that
// port is left out. It is deterministic for one r, one b and one ofport. The
// error says which range of numbers is used up.
func Compile(r model.Resolved, b *Bindings, owner model.Owner, ofport func(string) Port) (Programs, error) {
	c := &compiler{
		numbers: numbers{b: b, used: Names{}},
		r:       r, owner: owner, ofport: ofport,
		out:     map[string]*Program{},
		buckets: map[string][]Bucket{}, datapath: Overlay(r).Datapath, carriers: Carriers(r),
	}
	c.localBuckets()
	c.announced = c.announcedSegments()
	for _, br := range r.Bridges {
		c.bridge(br)
	}
	c.learn, _ = c.learners()
	c.relay = c.relayPeers()
	hops := sortedHops(r.Hops)
	for _, h := range hops {
		c.hop(h, r.Hops[h])
	}
	for _, s := range r.Segments {
		c.segment(s)
	}
	segments := map[string]model.ResolvedSegment{}
	for _, s := range r.Segments {
		segments[s.Name] = s
	}
	c.moving, c.entries = c.movers(segments), c.entriesOf(segments)
	c.stated = c.statedAddresses(segments)
	for _, p := range r.Ports {
		c.port(p, segments)
	}
	for _, e := range r.Fdb {
		c.fdb(e, segments[e.Segment])
	}
	for _, t := range r.Tunnels {
		c.layer3(t)
	}
	return Programs{c.out, c.used}, c.err
}

// sortedHops gives the hops in the order in which they are numbered.
func sortedHops(m map[model.Hop][]model.ResolvedPath) []model.Hop {
	hops := make([]model.Hop, 0, len(m))
	for h := range m {
		hops = append(hops, h)
	}
	slices.SortFunc(hops, compareHops)
	return hops
}

type compiler struct {
	numbers
	r       model.Resolved
	owner   model.Owner
	ofport  func(string) Port
	out     map[string]*Program
	overlay string              // the overlay bridge: OVS has one flow-based port per encapsulation, so there is one
	buckets map[string][]Bucket // of the local ports of each segment
	stated  map[stated]MAC      // who has which address; zero: more than one

	moving    map[segmentMAC]mover // guests that are being moved here, or were
	entries   map[segmentMAC]bool  // FDB entries that can be built
	announced map[string]bool      // segments of guests that are being moved elsewhere

	datapath model.Datapath // of the overlay bridge
	carriers []Carrier
	learn    map[model.Hop]bool // what it sends is learned
	relay    map[model.Hop]bool // what it sends may go on to others
}

// localBuckets walks the ports once, for all segments.
func (c *compiler) localBuckets() {
	for _, p := range c.r.Ports {
		port := c.ofport(p.Device)
		if port == 0 {
			continue
		}
		for _, a := range p.Attachments {
			c.buckets[a.Segment] = append(c.buckets[a.Segment], Bucket{
				ID:   uint32(port),
				Sets: []SetField{SetReg(RegOut, uint32(port))},
				Then: Resubmit{TableLocalOut},
			})
		}
	}
}

func (c *compiler) program(bridge string) *Program {
	p := c.out[bridge]
	if p == nil {
		p = &Program{GroupOwner: map[GroupID]model.Ref{}}
		c.out[bridge] = p
	}
	return p
}

// writer adds flows and groups of one object to one bridge's program.
type writer struct {
	p      *Program
	ref    model.Ref
	cookie Cookie
}

func (c *compiler) writer(bridge string, ref model.Ref) writer {
	id := ObjectID(c.get(PoolObjects, ref.Mark()))
	return writer{c.program(bridge), ref, MakeCookie(c.owner.Tag, uint8(ref.Kind), id)}
}

func (w writer) flow(t Table, priority uint16, m Match, actions ...Action) {
	w.p.Flows = append(w.p.Flows, Flow{Key{t, priority, m}, w.cookie, actions})
}

func (w writer) group(g Group) {
	w.p.Groups = append(w.p.Groups, g)
	w.p.GroupOwner[g.ID] = w.ref
}

func matchReg(n int, v uint32) (m Match) {
	m.Regs[n] = Exact32(v)
	return m
}

// fromTunnel adds to m the match on packets that came from a tunnel.
func fromTunnel(m Match) Match {
	m.Regs[RegFlags] = Masked32{FlagFromTunnel, FlagFromTunnel}
	return m
}
