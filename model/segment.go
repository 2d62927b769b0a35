package model

import (
	"fmt"
	"net/netip"
)

// Unknown is what happens to a frame for an address that nobody stated.
type Unknown uint8

// Policies for unknown unicast frames.
const (
	UnknownFlood Unknown = iota + 1 // to every member and local port
	UnknownDrop
)

func (u Unknown) String() string {
	switch u {
	case UnknownFlood:
		return "flood"
	case UnknownDrop:
		return "drop"
	}
	return "unspecified"
}

// Segment is one L2 network across hosts.
type Segment struct {
	Name    string
	Key     uint64 // tunnel key: GRE key or VXLAN VNI
	Encap   Encap
	Bridge  string   // an overlay bridge
	Members []string // peers that get its broadcasts; none: those that list it
	Unknown Unknown
	// Learning learns the addresses behind peers from the frames they send.
	Learning bool
	// MTU of the guests' IP packets, 68-65535; 0: what fits the underlay.
	MTU         uint32
	Suppression Suppression
	Replication Replication
}

// Suppression answers ARP requests and neighbour solicitations on this host.
type Suppression struct {
	Enabled  bool
	Excluded []netip.Prefix // flooded all the same
}

// DefaultOverlayBridge is the overlay bridge that is implied when none is stated.
const DefaultOverlayBridge = "br-greave"

// MembersMaxKernel and MembersMaxVXLAN are the most peers that a segment may
// have in the kernel. GRE and Geneve need a tunnel port for each, and a Linux
// bridge has 1,024 ports at most (BR_MAX_PORTS); a VXLAN device takes them as FDB
// entries.
const (
	MembersMaxKernel = 512
	MembersMaxVXLAN  = 10000
)

// FloodMax, FloodMaxVXLAN and FloodMaxGeneve are the most members a segment may have on one
// host, and as one of its members uses VXLAN or Geneve. OVS bounds the translation of one
// packet to 64 kB of actions and drops the copies beyond in silence: measured
// at 862 for GRE over IPv4, at 76 bytes each, and 780 for VXLAN and for
// Geneve without options, at 84.
// FloodPortsMax local ports, an output action of 8 bytes each, fit beside them.
const (
	FloodMax       = 800
	FloodMaxVXLAN  = 720
	FloodMaxGeneve = 720
	FloodPortsMax  = 500

	// Over IPv6, where a copy has 20 bytes more: measured at 682 for GRE, and 630
	// for VXLAN and Geneve.
	FloodMaxIPv6       = 600
	FloodMaxVXLANIPv6  = 550
	FloodMaxGeneveIPv6 = 550
)

// Ref implements Object.
func (s Segment) Ref() Ref { return Ref{KindSegment, s.Name} }

func (s Segment) check(c *checker, path string) {
	c.idName(path+".name", s.Name)
	c.forSegments(path+".encap", s.Encap)
	c.tunnelKey(path+".key", s.Key, s.Encap)
	c.ref(path+".bridge", Ref{KindBridge, s.Bridge})
	if b, known := c.bridges[s.Bridge]; known && b.Foreign {
		c.add(path+".bridge", s.Bridge, ReasonConflict, "is foreign, and greave puts no flow on it", "leave it out, and join that bridge by a patch port")
	} else if known && b.Forwarding != ForwardOverlay {
		c.add(path+".bridge", s.Bridge, ReasonConflict, "switches by NORMAL and carries no segments", "leave it out, or give that bridge forwarding: overlay")
	}
	for i, m := range s.Members {
		c.ref(index(path+".members", i), Ref{KindPeer, m})
	}
	c.mtu(path+".mtu", s.MTU)
	for i, p := range s.Suppression.Excluded {
		c.hostBits(index(path+".suppression.excluded", i), p)
	}
	s.Replication.check(c, path+".replication", c.onKernel(s.Bridge))
	if !c.onKernel(s.Bridge) {
		c.unbuilt(path, []unbuilt{
			{s.MTU != 0, ".mtu", fmt.Sprint(s.MTU), "set the MTU of the guests; greave mtu computes it", "", ""},
		})
	}
}

// forSegments refuses an encapsulation that carries no segments.
func (c *checker) forSegments(path string, e Encap) {
	if e == EncapERSPAN {
		c.add(path, e.String(), ReasonUnsupported, "is for mirrors, and carries frames in one direction only", "use gre, vxlan or geneve")
	}
}
