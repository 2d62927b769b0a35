package openflow

import "fmt"

// Table is an OpenFlow table number.
type Table uint8

// The tables of the overlay pipeline, spaced so that later concerns find room.
const (
	TableClassify     Table = 0   // which segment, or which tunnel
	TableActivation   Table = 5   // frames of a guest that is being moved here
	TableActive       Table = 6   // learned: is it active
	TablePortSecurity Table = 10  // what a local port may send
	TableSourceIP     Table = 12  // IP source of a guarded port
	TableClaims       Table = 14  // addresses that its ARP and ND claim
	TableClaimsHW     Table = 16  // and with which hardware address
	TableTunnelSource Table = 20  // known source address of a tunnel packet: peer
	TableTunnelKey    Table = 25  // tunnel key: segment
	TableAnnounced    Table = 28  // announcements of guests that are being moved elsewhere
	TableLearn        Table = 30  // learn source addresses
	TableReply        Table = 40  // answer ARP and ND
	TableAnswer       Table = 45  // turn a question into its answer
	TableL2           Table = 50  // static addresses
	TableMoved        Table = 55  // learned: where they announced themselves
	TableMovedOut     Table = 57  // local port, peer, or neither
	TableL2Learned    Table = 60  // learned addresses
	TableWhither      Table = 65  // what a learned address said
	TableFlood        Table = 70  // broadcast, unknown unicast, multicast
	TablePath         Table = 80  // peer: path
	TableTunnelOut    Table = 90  // path: outer header
	TableLocalOut     Table = 100 // local port
	TableStagedOut    Table = 105 // local port of a guest that is being moved here
)

// TableInfo describes one table for people: docs/pipeline.md and explain.
type TableInfo struct {
	Table   Table
	Name    string
	Purpose string
}

// Tables lists the pipeline in order.
func Tables() []TableInfo {
	return []TableInfo{
		{TableClassify, "classify", "By port of entry, and by VLAN where a port names any: a tunnel packet goes to its source check, a packet of a local port gets its segment and tunnel key."},
		{TableActivation, "activation", "Of a port whose guest is being moved here: what it sends passes once it is active, and its announcement makes it so. The rest is dropped."},
		{TableActive, "active", "Learned: a port whose guest is being moved here is active."},
		{TablePortSecurity, "port security", "Of a port with guards: what only a server or a router sends is dropped, and what has another source MAC. The others pass."},
		{TableSourceIP, "source address", "Of a port with guards: IP packets from its own addresses, or from none yet."},
		{TableClaims, "claims", "Of a port with guards: ARP and ND that speak for its own addresses."},
		{TableClaimsHW, "claimed hardware", "Of a port with guards: ARP and ND that name its own MACs."},
		{TableTunnelSource, "tunnel source", "Source address of the outer header: a known peer, or dropped."},
		{TableTunnelKey, "tunnel key", "Tunnel key of the outer header: a segment of this encapsulation, or dropped."},
		{TableAnnounced, "announced", "Of a guest that is being moved: its announcement from the peer that it is moved to makes frames follow."},
		{TableLearn, "learn", "Where a segment learns: the source address of what a peer or a local port sends is added to table 60."},
		{TableReply, "ARP and ND reply", "Questions for addresses that a port or an FDB entry states, where the segment suppresses: from a local port, and no probe. The rest passes."},
		{TableAnswer, "answer", "Makes a question its answer, and sends it back by local out."},
		{TableL2, "L2 static", "Segment and destination address: a local port or a peer. On a miss to the learned ones, or to the flood."},
		{TableMoved, "moved", "Learned: the peer from which a guest that is being moved announced itself."},
		{TableMovedOut, "moved out", "Where a guest that is being moved is: at a local port, behind a peer, or unknown."},
		{TableL2Learned, "L2 learned", "Learned addresses: a peer or a port is noted. These flows are the switch's own, and in no diff."},
		{TableWhither, "whither", "What was noted: a local port, a peer, or neither."},
		{TableFlood, "flood", "Broadcast, multicast and unknown unicast: local ports first, then members; from a tunnel to local ports only, but on a replicator."},
		{TablePath, "path", "Peer: the group that picks a path. A packet from a tunnel ends here, but on a replicator: split horizon."},
		{TableTunnelOut, "tunnel out", "Path: outer source and destination, and the tunnel port."},
		{TableLocalOut, "local out", "Segment and port: a local port of the segment, in its VLAN there."},
		{TableStagedOut, "staged out", "Of a port whose guest is being moved here: out, once it is active."},
	}
}

// Purpose says what the table is for; empty for a table that is not the pipeline's.
func (t Table) Purpose() string {
	for _, i := range Tables() {
		if i.Table == t {
			return i.Purpose
		}
	}
	return ""
}

func (t Table) String() string {
	for _, i := range Tables() {
		if i.Table == t {
			return i.Name
		}
	}
	return fmt.Sprintf("table %d", uint8(t))
}
