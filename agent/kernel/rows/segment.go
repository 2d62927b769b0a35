package rows

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/greave-sdn/greave/model"
)

// floodMAC is the key of a VXLAN device's entries for frames to nobody known.
const floodMAC = "00:00:00:00:00:00"

// segment is a bridge of its own with no address, and tunnel ports that are
// isolated from each other: a frame that came out of one tunnel goes into none.
func (c *compiler) segment(s model.ResolvedSegment) {
	bridge, ok := c.derived(s.Ref(), "segment", s.Name)
	if !ok {
		return
	}
	c.link("", bridge, "bridge", s.Ref(), map[string]string{FieldAddrGen: "none"})
	members := map[model.Hop]bool{}
	for _, h := range s.Hops {
		members[h] = true
	}
	for _, h := range s.Users {
		if h.Encap == model.EncapVXLAN {
			c.vxlanMember(s, bridge, h, members[h])
		} else {
			c.tunnelMember(s, bridge, h, members[h])
		}
	}
}

// tunnelPort is the port that a segment has towards one peer, or towards all
// that use VXLAN.
func tunnelPort(s model.ResolvedSegment, bridge string, member bool) map[string]string {
	fields := portFields(bridge)
	fields[FieldAddrGen] = "none"
	fields[PortPrefix+"isolated"] = "true"
	fields[PortPrefix+"learning"] = yes(s.Learning)
	fields[PortPrefix+"flood"] = yes(member && s.Unknown != model.UnknownDrop)
	fields[PortPrefix+"mcast_flood"] = yes(member)
	fields[PortPrefix+"bcast_flood"] = yes(member)
	fields[PortPrefix+"neigh_suppress"] = yes(s.Suppression.Enabled)
	return fields
}

// SegmentDevice is the bridge of a segment.
func SegmentDevice(segment string) string { return Derived("segment", segment) }

// MemberDevice is the device through which a segment reaches a peer.
func MemberDevice(segment string, h model.Hop) string { return Derived(memberPort(segment, h)...) }

// memberPort names the device through which a segment reaches a hop.
func memberPort(segment string, h model.Hop) []string {
	if h.Encap == model.EncapVXLAN {
		return []string{"vxlan", segment}
	}
	return []string{h.Encap.String(), segment, h.Peer}
}

// tunnelMember is a device for one peer of a segment: GRE and Geneve.
func (c *compiler) tunnelMember(s model.ResolvedSegment, bridge string, h model.Hop, member bool) {
	peer := model.Ref{Kind: model.KindPeer, Name: h.Peer}
	name, ok := c.derived(peer, memberPort(s.Name, h)...)
	if !ok || len(c.r.Hops[h]) == 0 {
		return
	}
	path := c.r.Hops[h][0]
	fields := tunnelPort(s, bridge, member)
	setMTU(fields, s.MTU, model.Inner(model.SegmentSpec(h.Encap, path.Remote), c.r.Underlay[path.Local]))
	var kind string
	if h.Encap == model.EncapGeneve {
		kind = "geneve"
		fields["id"], fields[remoteField(path.Remote)] = num(s.Key), addr(path.Remote)
	} else {
		kind = over("gretap", path.Remote)
		fields["local"], fields["remote"] = addr(path.Local), addr(path.Remote)
		fields["ikey"], fields["okey"] = num(s.Key), num(s.Key)
	}
	c.link("", name, kind, peer, fields)
}

// vxlanMember is one device for all peers of a segment, and a flood entry for
// each member. A VNI has one device, so it has one local address.
func (c *compiler) vxlanMember(s model.ResolvedSegment, bridge string, h model.Hop, member bool) {
	peer := model.Ref{Kind: model.KindPeer, Name: h.Peer}
	name, ok := c.derived(s.Ref(), memberPort(s.Name, h)...)
	if !ok || len(c.r.Hops[h]) == 0 {
		return
	}
	path := c.r.Hops[h][0]
	local := localField(path.Local)
	if have, made := c.rows[Key{"", Link, name, ""}]; !made {
		fields := tunnelPort(s, bridge, true)
		fields["id"], fields["dstport"], fields["learning"] = num(s.Key), num(uint32(model.VXLANPort)), yes(s.Learning)
		fields[local] = addr(path.Local)
		setMTU(fields, s.MTU, model.Inner(model.SegmentSpec(h.Encap, path.Remote), c.r.Underlay[path.Local]))
		c.link("", name, "vxlan", s.Ref(), fields)
	} else if have.Fields[local] != addr(path.Local) {
		c.refuse(peer, model.ReasonUnsupported, "is reached from %s, and the VXLAN device of segment %s sends from another address: the kernel has one device a VNI; use one VTEP, or encap: gre", path.Local, s.Name)
		return
	}
	if member {
		c.put(Row{Key: Key{"", FDB, name, "self " + floodMAC + " " + path.Remote.String()}, Object: peer, Unmarked: true})
	}
}

func localField(a netip.Addr) string {
	if a.Is6() {
		return "local6"
	}
	return "local"
}

func remoteField(a netip.Addr) string {
	if a.Is6() {
		return "remote6"
	}
	return "remote"
}

// over is the kind of a GRE device for the family of its outer header.
func over(kind string, a netip.Addr) string {
	if a.Is6() {
		return "ip6" + kind
	}
	return kind
}

// fdb says through which port a guest's frames go, and, with suppression, which
// address the bridge may answer for.
func (c *compiler) fdb(e model.ResolvedFdb) {
	seg, ok := c.segments[e.Segment]
	if !ok || len(c.r.Hops[e.Hop]) == 0 {
		return
	}
	port := MemberDevice(e.Segment, e.Hop)
	c.put(Row{Key: Key{"", FDB, port, "master " + e.MAC.String()}, Object: e.Ref(), Unmarked: true})
	if e.Hop.Encap == model.EncapVXLAN {
		remote := c.r.Hops[e.Hop][0].Remote
		c.put(Row{Key: Key{"", FDB, port, fmt.Sprintf("self %s %s", e.MAC, remote)}, Object: e.Ref(), Unmarked: true})
	}
	if !seg.Suppression.Enabled {
		return
	}
	for _, ip := range e.IPs {
		if slices.ContainsFunc(seg.Suppression.Excluded, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			continue
		}
		c.put(Row{Key: Key{"", Neighbour, SegmentDevice(e.Segment), ip.String()}, Object: e.Ref(),
			Fields: map[string]string{FieldMACof: e.MAC.String()}})
	}
}
