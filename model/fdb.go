package model

import "net/netip"

// FdbEntry says behind which peer an address of a segment is.
type FdbEntry struct {
	Segment string
	MAC     MAC
	Peer    string
	IPs     []netip.Addr // of the same guest, for suppression

	MovingTo string // the peer to which the guest is being moved
}

// Ref implements Object.
func (e FdbEntry) Ref() Ref { return Ref{KindFdb, FdbName(e.Segment, e.MAC)} }

// FdbName is the name of an FDB entry: "segment/mac".
func FdbName(segment string, mac MAC) string { return segment + "/" + mac.String() }

func (e FdbEntry) check(c *checker, path string) {
	c.ref(path+".segment", Ref{KindSegment, e.Segment})
	c.ref(path+".peer", Ref{KindPeer, e.Peer})
	c.unicast(path+".mac", e.MAC)
	for i, a := range e.IPs {
		c.underlayAddr(index(path+".ips", i), a)
	}
	e.checkMoving(c, path)
}
