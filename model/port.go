package model

import "net/netip"

// Port is a local attachment: a device that greave adds to a bridge, or an OVS
// port that somebody else made, found by its iface-id.
type Port struct {
	Name        string
	Device      string // bind: an existing network device
	IfaceID     string // bind: external_ids:iface-id of an OVS port
	Bridge      string
	Attachments []Attachment
	MACs        []MAC
	IPs         []netip.Addr // of the guest behind it, for suppression
	VLAN        uint32       // access VLAN on a normal bridge, 1-4094; 0: all VLANs
	MTU         uint32       // of the device, 68-65535; 0: untouched
	Adopt       bool         // take over an existing OVS port for this device
}

// Attachment puts the frames of one VLAN of a port into a segment.
type Attachment struct {
	Segment string
	VLAN    uint32 // 1-4094; 0: untagged frames
}

// Ref implements Object.
func (p Port) Ref() Ref { return Ref{KindPort, p.Name} }

func (p Port) check(c *checker, path string) {
	c.idName(path+".name", p.Name)
	switch {
	case p.Device == "" && p.IfaceID == "":
		c.add(path+".device", "", ReasonRequired, "a port binds a device or an iface_id", "say device: NAME or iface_id: ID")
	case p.Device != "" && p.IfaceID != "":
		c.add(path+".iface_id", p.IfaceID, ReasonConflict, "stands beside a device, and a port binds one of the two", "keep one")
	case p.Device != "":
		c.deviceName(path+".device", p.Device)
	default:
		c.text(path+".iface_id", p.IfaceID, 253)
	}
	c.ref(path+".bridge", Ref{KindBridge, p.Bridge})
	overlay := c.isOverlay(p.Bridge)
	if len(p.Attachments) == 0 && overlay {
		c.add(path+".attachments", "", ReasonRequired, "a port of an overlay bridge belongs to a segment", "add attachments: [{segment: NAME}]")
	}
	if len(p.Attachments) > 0 && !overlay {
		c.add(path+".attachments", p.Bridge, ReasonConflict, "switches by NORMAL and has no segments", "use the overlay bridge, or leave attachments out")
	}
	if len(p.Attachments) > 1 {
		c.add(index(path+".attachments", 1)+".vlan", "0", ReasonDuplicate, "is taken: only one segment can have a port's untagged frames", "keep one untagged attachment")
	}
	if p.IfaceID != "" && !overlay {
		c.add(path+".iface_id", p.IfaceID, ReasonConflict, "is of an OVS port that somebody else made, which needs nothing on a bridge that switches by NORMAL", "use the overlay bridge, or leave the port out")
	}
	for i, a := range p.Attachments {
		c.ref(index(path+".attachments", i)+".segment", Ref{KindSegment, a.Segment})
	}
	for i, m := range p.MACs {
		c.unicast(index(path+".macs", i), m)
	}
}
