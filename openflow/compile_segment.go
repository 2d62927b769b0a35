package openflow

import (
	"slices"

	"github.com/greave-sdn/greave/model"
)

// segment writes the keys under which a segment's packets arrive, and where its
// broadcasts go: local ports first, so that they never starve when the switch
// bounds the number of copies, then one copy to each member.
func (c *compiler) segment(s model.ResolvedSegment) {
	if s.Bridge != c.overlay {
		return
	}
	w := c.writer(s.Bridge, s.Ref())
	id := c.numbers.segment(s.Name)
	for _, carrier := range c.carriers {
		if port := c.ofport(carrier.Port()); port != 0 && slices.Contains(s.Encaps, carrier.Encap) {
			w.flow(TableTunnelKey, prioRule, Match{InPort: port, TunID: Exact64(s.Key)},
				c.enter(s, id, FlagFromTunnel, Resubmit{c.afterKey(s.Name)})...)
		}
	}
	local := Group{ID: c.group("local", s.Name), Type: GroupAll, Buckets: c.buckets[s.Name]}
	flood := Group{ID: c.group("flood", s.Name), Type: GroupAll, Buckets: []Bucket{{Then: ToGroup{local.ID}}}}
	for _, h := range s.Hops {
		if !c.leads(h) {
			continue
		}
		peer := c.peer(h)
		flood.Buckets = append(flood.Buckets, Bucket{
			ID:   peer,
			Sets: []SetField{SetReg(RegPeer, peer)},
			Then: Resubmit{TablePath},
		})
	}
	w.group(local)
	w.group(flood)
	m := matchReg(RegSegment, id)
	w.flow(TableFlood, prioRule, m, ToGroup{flood.ID})
	if !relays(s) {
		w.flow(TableFlood, prioExcept, fromTunnel(m), ToGroup{local.ID})
	}
	c.learning(w, s, id)
	if s.Unknown == model.UnknownDrop {
		unknown := m
		unknown.EthDst = unicastBit
		w.flow(TableFlood, prioGuard, unknown)
	}
}

// enter is what a packet gets where it is known of which segment it is: the
// segment, and flags beside those that it has.
func (c *compiler) enter(s model.ResolvedSegment, id, has uint32, then ...Action) []Action {
	out, flags := []Action{SetReg(RegSegment, id)}, has
	if s.Learning {
		flags |= FlagLearns
	}
	if has == FlagFromTunnel && relays(s) {
		// A switch holds back what would leave by its port of entry, and all peers are
		// behind one.
		flags |= FlagRelays
		out = append(out, SetField{Field: FieldInPort})
	}
	if flags != has {
		out = append(out, SetReg(RegFlags, flags))
	}
	return append(out, then...)
}
