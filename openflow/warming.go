package openflow

import "github.com/greave-sdn/greave/model"

// warmingKey is of those kept for probes: no segment has it, and a peer drops what
// comes with it.
const warmingKey = model.ReservedKeyMin + 1

// Warming sends one packet to each peer that a move of a guest concerns: to all
// members of the segments that one comes to, and to where one goes. Their numbers
// are those of the last compilation.
func Warming(r model.Resolved, b *Bindings) []Action {
	segments := map[string]model.ResolvedSegment{}
	for _, s := range r.Segments {
		segments[s.Name] = s
	}
	hops := map[model.Hop][]model.ResolvedPath{}
	to := func(segment, peer string) {
		if h, ok := segments[segment].HopOf(peer); ok {
			hops[h] = nil
		}
	}
	for _, p := range r.Ports {
		for _, a := range p.Attachments {
			if p.MovingTo != "" {
				to(a.Segment, p.MovingTo)
			}
			if p.Staged {
				for _, h := range segments[a.Segment].Hops {
					hops[h] = nil
				}
			}
		}
	}
	for _, e := range r.Fdb {
		if e.MovingTo != "" {
			to(e.Segment, e.MovingTo)
		}
	}
	var out []Action
	for _, h := range sortedHops(hops) {
		if peer, bound := b.Pool(PoolPeers).Lookup(h.String()); bound {
			out = append(out, SetReg(RegPeer, uint32(peer)), Resubmit{TablePath})
		}
	}
	if len(out) == 0 {
		return nil
	}
	return append([]Action{SetField{Field: FieldTunID, Value: warmingKey}}, out...)
}

// WarmingFrame is an empty frame for experiments (IEEE 802, local experimental 1).
func WarmingFrame() []byte { return ethernet(macOnes, MAC{2}, 0x88b5) }
