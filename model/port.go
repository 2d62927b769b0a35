package model

import (
	"fmt"
	"net/netip"
	"slices"
)

// Port is a local attachment: a device that greave adds to a bridge, an OVS port
// that somebody else made, found by its iface-id, or a port that greave makes.
type Port struct {
	Name        string
	Device      string // bind: an existing network device
	IfaceID     string // bind: external_ids:iface-id of an OVS port
	Internal    bool   // create: a device of Open vSwitch
	HWAddr      MAC    // of an internal port; zero: the first of MACs, or OVS picks one
	Patch       Patch  // create: a pair of patch ports
	Bridge      string
	Attachments []Attachment
	MACs        []MAC
	IPs         []netip.Addr // of the guest behind it, for suppression and security
	Security    PortSecurity
	VLAN        VLAN   // towards a bridge that switches by NORMAL
	MTU         uint32 // of the device, 68-65535; 0: untouched
	Adopt       bool   // take over an existing OVS port for this device

	Activation Activation // the guest is being moved here
	MovingTo   string     // the peer to which the guest is being moved
}

// Attachment puts the frames of one VLAN of a port into a segment.
type Attachment struct {
	Segment string
	VLAN    uint32 // 1-4094; 0: untagged frames
}

// Trunk tells whether the port carries exactly the VLANs that its attachments
// name, 0 for untagged frames. One that names none carries all frames of its
// guest, tags and all, in its one segment.
func (p Port) Trunk() bool {
	return p.Patch.Bridge != "" || slices.ContainsFunc(p.Attachments, func(a Attachment) bool { return a.VLAN != 0 })
}

// copyOfVLAN is how many times the actions of a copy to a port are those of one to
// a port in a VLAN, rounded up: 8 bytes to output it, 8 to push its tag, and 4 to
// take that off for the next.
const copyOfVLAN = 3

func (a Attachment) copies() int {
	if a.VLAN != 0 {
		return copyOfVLAN
	}
	return 1
}

// Ref implements Object.
func (p Port) Ref() Ref { return Ref{KindPort, p.Name} }

func (p Port) check(c *checker, path string) {
	p.binding(c, path)
	c.ref(path+".bridge", Ref{KindBridge, p.Bridge})
	if c.bridges[p.Bridge].Foreign {
		c.notOnForeign(path, p.Bridge, "join that bridge by a patch port of the overlay bridge; the frames of its ports come by their VLAN")
		return
	}
	overlay := c.isOverlay(p.Bridge)
	if len(p.Attachments) == 0 && overlay {
		c.add(path+".attachments", "", ReasonRequired, "a port of an overlay bridge belongs to a segment", "add attachments: [{segment: NAME}]")
	}
	if len(p.Attachments) > 0 && !overlay {
		c.add(path+".attachments", p.Bridge, ReasonConflict, "switches by NORMAL and has no segments", "use the overlay bridge, or leave attachments out")
	}
	if p.IfaceID != "" && !overlay {
		c.add(path+".iface_id", p.IfaceID, ReasonConflict, "is of an OVS port that somebody else made, which needs nothing on a bridge that switches by NORMAL", "use the overlay bridge, or leave the port out")
	}
	p.checkAttachments(c, path)
	for i, m := range p.MACs {
		c.unicast(index(path+".macs", i), m)
	}
	for i, a := range p.IPs {
		c.underlayAddr(index(path+".ips", i), a)
	}
	c.mtu(path+".mtu", p.MTU)
	p.checkBackend(c, path)
	p.checkSecurity(c, path)
	p.checkMoving(c, path)
}

func (p Port) checkAttachments(c *checker, path string) {
	seen := map[uint32]bool{}
	for i, a := range p.Attachments {
		at := index(path+".attachments", i)
		c.ref(at+".segment", Ref{KindSegment, a.Segment})
		switch {
		case a.VLAN > 4094:
			c.outOfRange(at+".vlan", uint64(a.VLAN), 0, 4094)
		case seen[a.VLAN] && a.VLAN == 0:
			c.add(at+".vlan", "0", ReasonDuplicate, "is taken: only one segment can have a port's untagged frames", "keep one untagged attachment")
		case seen[a.VLAN]:
			c.add(at+".vlan", fmt.Sprint(a.VLAN), ReasonDuplicate, "is taken: only one segment can have the frames of one VLAN", "keep one of the two, or use another VLAN")
		}
		seen[a.VLAN] = true
	}
	p.VLAN.check(c, path+".vlan", c.onKernel(p.Bridge))
	if p.VLAN.Stated() && c.isOverlay(p.Bridge) {
		c.add(path+".vlan", p.VLAN.Normal().Mode.String(), ReasonConflict, "is of a bridge that switches by NORMAL, and this one carries segments", "say it in attachments: [{segment: NAME, vlan: VLAN}]")
	}
}

// checkBackend refuses what the backend of the port's bridge does not build.
func (p Port) checkBackend(c *checker, path string) {
	if c.onKernel(p.Bridge) {
		if p.IfaceID != "" {
			c.add(path+".iface_id", p.IfaceID, ReasonUnsupported, fmt.Sprintf("is the id of an Open vSwitch port, and bridge %s is of the kernel", p.Bridge), "name the device: device: NAME")
		}
		return
	}
	c.unbuilt(path, []unbuilt{
		{p.MTU != 0 && !p.Created(), ".mtu", fmt.Sprint(p.MTU), "set it with ip link set mtu", "", ""},
	})
	in := map[string]bool{}
	for i, a := range p.Attachments { // where a broadcast went to both, it would come in by one and leave by the other
		c.unbuilt(index(path+".attachments", i), []unbuilt{{in[a.Segment], ".segment", a.Segment, "attach the port to it by one VLAN", "", "has another VLAN of this port, which is not supported on Open vSwitch yet"}})
		in[a.Segment] = true
	}
}
