package rows

import "github.com/greave-sdn/greave/model"

// port puts a device that exists under a bridge, or a VLAN of it under each
// segment that the port attaches it to.
func (c *compiler) port(p model.ResolvedPort) {
	bound := func(fields map[string]string) {
		if p.MTU != 0 {
			fields[FieldMTU] = num(p.MTU)
		}
		c.put(Row{Key: Key{"", Link, p.Device, ""}, Fields: fields, Object: p.Ref(), Bound: true, Adopt: p.Adopt})
	}
	if len(p.Attachments) == 0 {
		fields := portFields(p.Bridge)
		c.vlans(fields, p.Bridge, p.VLAN.Tag)
		bound(fields)
		return
	}
	for _, a := range p.Attachments {
		bridge := SegmentDevice(a.Segment)
		fields := portFields(bridge)
		if c.segments[a.Segment].Unknown == model.UnknownDrop {
			fields[PortPrefix+"flood"] = "false"
		}
		member := Key{"", Link, p.Device, ""}
		if a.VLAN == 0 {
			bound(fields)
		} else if name, ok := c.derived(p.Ref(), "vlan", p.Device, num(a.VLAN)); ok {
			fields["dev"], fields["id"], fields[FieldAddrGen] = p.Device, num(a.VLAN), "none"
			member = c.link("", name, "vlan", p.Ref(), fields).Key
		}
		for _, m := range p.MACs {
			c.put(Row{Key: Key{"", FDB, member.Link, "master " + m.String()}, Object: p.Ref(), Unmarked: true})
		}
	}
	if p.MTU != 0 { // a port whose every attachment is a VLAN has its device's MTU all the same
		bound(map[string]string{})
	}
}
