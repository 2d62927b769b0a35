package rows

import (
	"net/netip"

	"github.com/greave-sdn/greave/model"
)

// taggedBridges are those of which a port has a VLAN of its own. Others pass
// tags as they are: a Linux bridge that tells VLANs apart takes untagged frames
// for VLAN 1.
func (c *compiler) taggedBridges() map[string]bool {
	out := map[string]bool{}
	for _, p := range c.r.Ports {
		out[p.Bridge] = out[p.Bridge] || p.VLAN.Tag != 0
	}
	for _, t := range c.r.Tunnels {
		out[t.Bridge] = out[t.Bridge] || t.VLAN.Tag != 0
	}
	return out
}

// bridge is a bridge that switches by itself. The overlay bridge has no device:
// each of its segments does.
func (c *compiler) bridge(b model.Bridge) {
	if b.Forwarding == model.ForwardOverlay {
		return
	}
	fields := map[string]string{"vlan_filtering": "0"}
	if c.tagged[b.Name] {
		fields["vlan_filtering"] = "1"
	}
	if !b.HWAddr.IsZero() {
		fields[FieldMAC] = b.HWAddr.String()
	}
	setMTU(fields, b.MTU, 0)
	row := c.link("", b.Name, "bridge", b.Ref(), fields)
	row.Adopt = b.Adopt
	c.rows[row.Key] = row
	c.addresses(row.Key, b.Ref(), b.Addresses)
}

func (c *compiler) addresses(link Key, ref model.Ref, list []netip.Prefix) {
	for _, p := range list {
		c.put(Row{Key: Key{link.Netns, Address, link.Link, p.String()}, Object: ref})
	}
}

// vlans is the VLAN table of a port of a bridge that tells VLANs apart: one
// VLAN, or all with VLAN 1 for untagged frames.
func (c *compiler) vlans(fields map[string]string, bridge string, access uint32) {
	switch {
	case !c.tagged[bridge]:
	case access != 0:
		fields[FieldVLANs] = "pvid " + num(access) + " untagged " + num(access)
	default:
		fields[FieldVLANs] = "pvid 1 untagged 1 tagged 2-4094"
	}
}

// portFields are those of an ordinary port of a bridge.
func portFields(master string) map[string]string {
	out := map[string]string{FieldMaster: master}
	for _, a := range PortAttrs {
		out[PortPrefix+a.Name] = a.Default
	}
	return out
}
