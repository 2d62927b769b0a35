package openflow

// GroupID is an OpenFlow group number.
type GroupID uint32

// The range of group numbers that is greave's on a bridge it owns. Groups carry
// no cookie, so the range is the owner mark.
const (
	GroupMin GroupID = 0x67000000
	GroupMax GroupID = 0x67ffffff
)

// GroupType is the way a group treats its buckets.
type GroupType uint8

// Group types (OpenFlow 1.5 §5.6.1).
const (
	GroupAll GroupType = iota + 1
	GroupIndirect
	GroupSelect
	GroupFastFailover
)

// Bucket is one branch of a group. Its grammar is `set_field* (resubmit|group)`:
// OVS accepts more (check_pkt_larger, learn, clone, a second output), reads it
// back unchanged, and does not run it.
type Bucket struct {
	ID     uint32 // always written, so that the group reads back as it was sent
	Weight uint16 // select groups only
	// Watch and WatchGroup are whose life the bucket's hangs on: in a fast_failover
	// group one of the two; in a select group Watch may be set. 0: not.
	Watch      Port
	WatchGroup GroupID
	Sets       []SetField
	Then       Action // Resubmit or ToGroup
}

// Group is one OpenFlow group.
type Group struct {
	ID   GroupID
	Type GroupType
	// ByFlow lets a select group pick by the hash of addresses, protocol and ports
	// (selection_method=dp_hash). OpenFlow 1.5 only; without it OVS leaves the ports
	// of UDP out.
	ByFlow  bool
	Buckets []Bucket
}

// SeenGroup is a group as a switch printed it. Parsed is false when it holds
// what greave does not write; then only ID is meaningful.
type SeenGroup struct {
	Group
	Parsed bool
	// NoIDs: the buckets were printed without their ids, as below OpenFlow 1.5;
	// those in Group are positions.
	NoIDs bool
	Text  string
}
