package openflow

import "github.com/greave-sdn/greave/model"

// relays tells whether this host sends on what a member of a segment sends.
func relays(s model.ResolvedSegment) bool { return s.Replication.Mode == model.ReplicationRelay }

// relayPeers are the hops between which packets are sent on.
func (c *compiler) relayPeers() map[model.Hop]bool {
	hops := map[model.Hop]bool{}
	for _, s := range c.r.Segments {
		if s.Bridge == c.overlay && relays(s) {
			for _, h := range s.Users {
				hops[h] = true
			}
		}
	}
	return hops
}

// returns keeps what is sent on from going back to the peer that it came from, in
// whatever encapsulation.
func (c *compiler) returns(w writer, h model.Hop, peer uint32) {
	if !c.relay[h] {
		return
	}
	for _, from := range sortedHops(c.r.Hops) {
		if from.Peer != h.Peer || !c.leads(from) {
			continue
		}
		m := matchReg(RegPeer, peer)
		m.Regs[RegFrom] = Exact32(c.peer(from))
		m.Regs[RegFlags] = Masked32{FlagFromTunnel | FlagRelays, FlagFromTunnel | FlagRelays}
		w.flow(TablePath, prioGuard, m)
	}
}
