package model

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Patch is the far end of a pair of patch ports, whose near end has the name and
// the bridge of its Port.
type Patch struct {
	Bridge string // empty: the port is no patch port
	Far    string // name of the far port; empty: a derived one
}

// Created tells whether greave makes the port, and does not find it.
func (p Port) Created() bool { return p.Internal || p.Patch.Bridge != "" }

// FarName is the name of the far end of a patch port.
func (p Port) FarName() string {
	sum := sha256.Sum256([]byte("far end of a patch port\x00" + p.Name))
	return cmp.Or(p.Patch.Far, reservedPrefix+hex.EncodeToString(sum[:5]))
}

// binding checks what the port is: one of four things.
func (p Port) binding(c *checker, path string) {
	stated := 0
	for _, is := range []bool{p.Device != "", p.IfaceID != "", p.Internal, p.Patch.Bridge != ""} {
		if is {
			stated++
		}
	}
	switch {
	case stated == 0:
		c.add(path+".device", "", ReasonRequired, "a port binds a device or an iface_id, or is made by greave", "say device: NAME, iface_id: ID, internal: {} or patch: {bridge: NAME}")
	case stated > 1:
		c.add(path+".iface_id", p.IfaceID, ReasonConflict, "stands beside another binding, and a port has one", "keep one")
	case p.Created():
		c.createdName(path+".name", p.Name)
		p.checkCreated(c, path)
	case p.Device != "":
		c.deviceName(path+".device", p.Device)
	default:
		c.text(path+".iface_id", p.IfaceID, 253)
	}
	if !p.Created() {
		c.idName(path+".name", p.Name)
	}
}

// checkCreated checks a port that greave makes.
func (p Port) checkCreated(c *checker, path string) {
	if p.HWAddr.IsMulticast() {
		c.add(path+".internal.mac", p.HWAddr.String(), ReasonInvalid, "is a multicast address", "use one with an even first byte")
	}
	if c.onKernel(p.Bridge) {
		field, value, remedy := ".internal", "", "make a veth pair yourself, and name its end in device"
		if p.Patch.Bridge != "" {
			field, value, remedy = ".patch.bridge", p.Patch.Bridge, "join the bridges by a veth pair, and name its end in device"
		}
		c.add(path+field, value, ReasonUnsupported, fmt.Sprintf("is of Open vSwitch, and bridge %s is of the kernel", p.Bridge), remedy)
		return
	}
	if p.Patch.Bridge != "" {
		p.checkPatch(c, path)
	}
}

func (p Port) checkPatch(c *checker, path string) {
	if p.Patch.Far != "" {
		c.createdName(path+".patch.far_port", p.Patch.Far)
	}
	c.ref(path+".patch.bridge", Ref{KindBridge, p.Patch.Bridge})
	far, at := c.bridges[p.Patch.Bridge], path+".patch.bridge"
	near := c.bridges[p.Bridge]
	switch {
	case p.Patch.Bridge == p.Bridge:
		c.add(at, p.Patch.Bridge, ReasonConflict, "is the port's own bridge", "name another one")
	case far.Forwarding == ForwardOverlay:
		c.add(at, p.Patch.Bridge, ReasonConflict, "carries segments, and the far end of a patch has no attachments", fmt.Sprintf("state it the other way round: bridge: %s, patch: {bridge: %s}", p.Patch.Bridge, p.Bridge))
	case c.refs[far.Ref()] && c.onKernel(p.Patch.Bridge):
		c.add(at, p.Patch.Bridge, ReasonUnsupported, "is a bridge of the kernel, which has no patch ports", "join the bridges by a veth pair, and name its end in device")
	case c.datapath(p.Bridge) != 0 && c.datapath(p.Patch.Bridge) != 0 && c.datapath(p.Bridge) != c.datapath(p.Patch.Bridge) &&
		near.Datapath != DatapathAuto && far.Datapath != DatapathAuto:
		c.add(at, p.Patch.Bridge, ReasonConflict, datapathsDiffer(p, c.datapath(p.Bridge), c.datapath(p.Patch.Bridge)), oneDatapath(c.datapath(p.Patch.Bridge), p.Bridge))
	}
	if p.MTU != 0 {
		c.add(path+".mtu", fmt.Sprint(p.MTU), ReasonConflict, "is of a device, and a patch port is none", "leave it out")
	}
}

func datapathsDiffer(p Port, near, far Datapath) string {
	return fmt.Sprintf("is on datapath %s and bridge %s on %s, and a patch joins bridges of one datapath type", far, p.Bridge, near)
}

func oneDatapath(d Datapath, bridge string) string {
	return fmt.Sprintf("say datapath: %s for bridge %s, which makes it anew", d, bridge)
}

// patches refuses a second way between two bridges: a broadcast would go round.
func (c *checker) patches(s, union *HostState) {
	paths, group := pathsOf(s), map[string]string{}
	var root func(string) string
	root = func(b string) string {
		if up, joined := group[b]; joined && up != b {
			return root(up)
		}
		return b
	}
	own := func(p Port) int { // those stated before go first, so that the newcomer is refused
		if paths[p.Ref()] != "" {
			return 1
		}
		return 0
	}
	list := slices.Clone(union.Ports)
	slices.SortStableFunc(list, func(a, b Port) int { return cmp.Compare(own(a), own(b)) })
	for _, p := range list {
		if p.Patch.Bridge == "" || p.Patch.Bridge == p.Bridge {
			continue
		}
		a, b := root(p.Bridge), root(p.Patch.Bridge)
		if a != b {
			group[a] = b
		} else if at := paths[p.Ref()]; at != "" {
			c.add(at+".patch.bridge", p.Patch.Bridge, ReasonConflict, fmt.Sprintf("is joined to bridge %s already, and on a second way a broadcast would go round", p.Bridge), "keep one patch port; it can have many attachments")
		}
	}
}

// mtuOfSegments gives an internal port that states no MTU that of its smallest
// segment: its own stack sends nothing that would be lost then.
func (r *Resolved) mtuOfSegments() {
	smallest := map[string]uint32{}
	for _, s := range r.Segments {
		for _, h := range s.Sharers() {
			for _, w := range r.Hops[h] {
				m := Inner(SegmentSpec(h.Encap, w.Remote), r.Underlay[w.Local])
				if old := smallest[s.Name]; m != 0 && (old == 0 || m < old) {
					smallest[s.Name] = m
				}
			}
		}
	}
	for i := range r.Ports {
		p := &r.Ports[i]
		if !p.Internal || p.MTU != 0 {
			continue
		}
		for _, a := range p.Attachments {
			if m := smallest[a.Segment]; m != 0 && (p.MTU == 0 || m < p.MTU) {
				p.MTU = m
			}
		}
	}
}
