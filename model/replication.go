package model

// ReplicationMode is the way in which copies of a segment's floods are made.
type ReplicationMode uint8

// Ways of replication.
const (
	ReplicationHeadEnd    ReplicationMode = iota + 1 // here, one for each member
	ReplicationReplicator                            // one goes to a peer, which sends it on
	ReplicationRelay                                 // this host is that peer
)

func (m ReplicationMode) String() string {
	switch m {
	case ReplicationHeadEnd:
		return "head_end"
	case ReplicationReplicator:
		return "replicator"
	case ReplicationRelay:
		return "relay"
	}
	return "unspecified"
}

// Replication says who makes the copies of a segment's floods.
type Replication struct {
	Mode        ReplicationMode
	Replicators []string // peers; only of ReplicationReplicator
}

func (r Replication) check(c *checker, path string, kernel bool) {
	wants := r.Mode == ReplicationReplicator
	switch n := len(r.Replicators); {
	case kernel && (wants || r.Mode == ReplicationRelay):
		c.add(path+".mode", r.Mode.String(), ReasonUnimplemented, "is not supported in the kernel yet", "use head_end, or a bridge of Open vSwitch")
	case wants && n == 0:
		c.add(path+".replicators", "", ReasonRequired, "the name of the replicator is missing", "name the peer that makes the copies")
	case wants && n > 1:
		c.add(index(path+".replicators", 1), r.Replicators[1], ReasonUnimplemented, "is a second replicator, and a flood would go round between the two", "keep one")
	case !wants && n > 0:
		c.add(path+".replicators", r.Replicators[0], ReasonConflict, "makes copies only where the mode is replicator", "set mode: replicator, or leave it out")
	}
	for i, p := range r.Replicators {
		c.ref(index(path+".replicators", i), Ref{KindPeer, p})
	}
}

// Floods are the peers to which a segment's floods go from here.
func (s Segment) Floods(members []string) []string {
	if s.Replication.Mode == ReplicationReplicator {
		return s.Replication.Replicators
	}
	return members
}

// Sharers are the hops to the members of a segment; where a replicator makes the
// copies to all that take part, for it is the only one that gets floods from here.
func (s ResolvedSegment) Sharers() []Hop {
	if s.Replication.Mode == ReplicationReplicator {
		return s.Users
	}
	return s.Hops
}
