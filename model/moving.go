package model

import (
	"slices"
	"strings"
)

// Activation says what makes a port active whose guest is being moved here; zero:
// it is active from the start.
type Activation uint8

// Activations.
const (
	ActivateAnnouncement Activation = iota + 1 // the guest's first announcement, or a call
	ActivateCall                               // a call alone
)

func (a Activation) String() string {
	switch a {
	case ActivateAnnouncement:
		return "announcement"
	case ActivateCall:
		return "call"
	}
	return "unspecified"
}

// MarkActivated is the key of external_ids that a port's interface has once the
// port became active: "owner since" (RFC 3339). It goes with the row, so that the
// next guest to be moved here starts anew.
const MarkActivated = "greave-activated"

// Activated tells whether owner has made the port active.
func (p OVSPort) Activated(owner string) bool {
	return strings.HasPrefix(p.ExternalIDs[MarkActivated], owner+" ")
}

func (p Port) checkMoving(c *checker, path string) {
	refuse := func(stated bool, field, value string) {
		switch {
		case !stated:
		case c.onKernel(p.Bridge):
			c.add(path+field, value, ReasonUnsupported, "is of Open vSwitch, and the bridge of the port is of the kernel", "leave it out")
		case !c.isOverlay(p.Bridge):
			c.add(path+field, value, ReasonConflict, "is of a bridge with segments, and the port's switches by NORMAL", "leave it out")
		}
	}
	refuse(p.Activation != 0, ".activation", p.Activation.String())
	refuse(p.MovingTo != "", ".moving_to", p.MovingTo)
	if p.Activation == ActivateAnnouncement && len(p.MACs) == 0 {
		c.add(path+".macs", "", ReasonRequired, "activation by announcement needs to know from which MAC it comes", "add the MAC of the guest, or say activation: {by: call}")
	}
	if p.MovingTo == "" {
		return
	}
	c.ref(path+".moving_to", Ref{KindPeer, p.MovingTo})
	if len(p.MACs) == 0 {
		c.add(path+".macs", "", ReasonRequired, "moving_to needs to know which MAC is moved", "add the MAC of the guest")
	}
	if p.Activation != 0 {
		c.add(path+".moving_to", p.MovingTo, ReasonConflict, "does not go with activation: the guest is moved here or from here", "keep one")
	}
}

func (e FdbEntry) checkMoving(c *checker, path string) {
	if e.MovingTo == "" {
		return
	}
	c.ref(path+".moving_to", Ref{KindPeer, e.MovingTo})
	if e.MovingTo == e.Peer {
		c.add(path+".moving_to", e.MovingTo, ReasonConflict, "is the peer behind which the address is already", "leave it out, or name another peer")
	}
	if c.onKernel(c.segments[e.Segment].Bridge) {
		c.add(path+".moving_to", e.MovingTo, ReasonUnsupported, "is of Open vSwitch, and the segment is of the kernel", "state the new peer when the guest has moved")
	}
}

// movingUsers adds the peers to which guests are being moved to those that
// exchange packets of their segments.
func movingUsers(s *HostState, out map[string][]string) {
	for _, e := range s.Fdb {
		if e.MovingTo != "" {
			out[e.Segment] = append(out[e.Segment], e.MovingTo)
		}
	}
	for _, p := range s.Ports {
		for _, a := range p.Attachments {
			if p.MovingTo != "" {
				out[a.Segment] = append(out[a.Segment], p.MovingTo)
			}
		}
	}
}

// HopOf finds the way to a peer that exchanges the segment's packets.
func (s ResolvedSegment) HopOf(peer string) (Hop, bool) {
	i := slices.IndexFunc(s.Users, func(h Hop) bool { return h.Peer == peer })
	if i < 0 {
		return Hop{}, false
	}
	return s.Users[i], true
}
