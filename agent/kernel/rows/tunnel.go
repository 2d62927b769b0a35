package rows

import (
	"maps"

	"github.com/greave-sdn/greave/model"
)

// FieldUnderlay is the namespace that a link's outer packets are in, when it is
// not that of the link; empty: greaved's own.
const FieldUnderlay = "underlay-netns"

// tunnel is an explicit tunnel: a device, and what is on it.
func (c *compiler) tunnel(t model.ResolvedTunnel) {
	kind, fields := c.carrier(t)
	if kind == "" {
		return
	}
	if t.UnderNetns != t.Netns {
		fields[FieldUnderlay] = t.UnderNetns
	}
	setMTU(fields, t.MTU, model.Inner(t.Spec(), t.UnderlayMTU))
	fields[FieldUp] = yes(!t.Down && !t.Loops)
	if t.Multicast.Set {
		fields[FieldMulticast] = yes(t.Multicast.V)
	}
	switch {
	case t.Layer == model.LayerL3:
		fields[FieldMaster] = t.VRF
	case t.Segment != "":
		maps.Copy(fields, tunnelPort(c.segments[t.Segment], SegmentDevice(t.Segment), true))
	case t.Bridge == "":
	default:
		maps.Copy(fields, portFields(t.Bridge))
		fields[FieldAddrGen] = "none"
		c.vlans(fields, t.Bridge, t.VLAN.Tag)
	}
	if t.Bridge == "" && t.Segment == "" && t.Layer == model.LayerL2 {
		fields[FieldMaster] = ""
	}
	row := c.link(t.Netns, t.Name, kind, t.Ref(), fields)
	if row.Adopt = t.Adopt; t.Adopt {
		c.rows[row.Key] = row
	}
	if t.Layer == model.LayerL3 {
		c.layer3(t, row.Key)
	}
}

// carrier is the driver of a tunnel and the fields that its encapsulation sets.
func (c *compiler) carrier(t model.ResolvedTunnel) (string, map[string]string) {
	switch t.Encap {
	case model.EncapVXLAN:
		return "vxlan", vxlanFields(t)
	case model.EncapGeneve:
		return "geneve", geneveFields(t)
	case model.EncapERSPAN:
		fields := greFields(t)
		fields["ikey"], fields["okey"] = opt(t.KeyOut), opt(t.KeyOut)
		fields["iseq"], fields["oseq"] = "true", "true"
		delete(fields, "icsum")
		delete(fields, "ocsum")
		fields["erspan_ver"], fields["erspan"], fields["erspan_hwid"] = num(t.ERSPAN.Version), num(t.ERSPAN.Index), num(t.ERSPAN.HardwareID)
		if t.ERSPAN.Egress {
			fields["erspan_dir"] = "1"
		}
		return over("erspan", t.Outer()), fields
	}
	fields := greFields(t)
	if t.UDP.Type != 0 {
		c.fou(t, fields)
	}
	if t.Layer == model.LayerL3 {
		return over("gre", t.Outer()), fields
	}
	return over("gretap", t.Outer()), fields
}

// bound is the device that a tunnel's outer packets leave by: one that is
// named, or the VRF of its VTEP.
func bound(t model.ResolvedTunnel) string {
	if t.Device != "" {
		return t.Device
	}
	return t.UnderVRF
}
