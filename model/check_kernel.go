package model

import (
	"cmp"
	"fmt"
	"net/netip"
)

// checkKernel refuses what Linux cannot do. Most of it the kernel refuses too,
// with EINVAL and no more; the rest it takes and makes something else of.
func (t Tunnel) checkKernel(c *checker, path string) {
	if t.Layer == LayerL3 && t.Bridge != "" {
		c.add(path+".bridge", t.Bridge, ReasonUnsupported, "takes Ethernet frames, and a Linux bridge has no port of layer 3", "leave it out, or say layer: l2")
	}
	switch t.Encap {
	case EncapGRE, EncapERSPAN:
		t.checkKernelGRE(c, path)
	default:
		t.checkKernelUDP(c, path)
	}
	switch {
	case t.Far == FarAny:
		t.checkHub(c, path)
	case t.Far == FarFlow:
		t.checkFlow(c, path)
	case t.group(c) && t.Device == "" && t.Vtep == "" && !t.Local.IsValid():
		c.add(path+".remote.address", t.Remote.String(), ReasonRequired, "is a multicast group, and nothing says on which device", "add local or device")
	}
	if t.Far != FarFixed && t.Multicast.V {
		c.add(path+".multicast", "true", ReasonUnsupported, "does nothing here: a hub's multicast would reach nobody, as the kernel copies a packet to no list of neighbours", "leave it out, and make a tunnel to each peer that needs multicast")
	}
}

// outer is the family of the outer header, by an address of it; not valid when
// only the host knows.
func (t Tunnel) outer(c *checker) netip.Addr {
	local, remote := t.Ends(c.vteps, c.peers)
	switch {
	case remote.IsValid():
		return remote
	case local.IsValid():
		return local
	case len(t.Neighbours) > 0:
		return t.Neighbours[0].Underlay
	}
	return netip.Addr{}
}

func (t Tunnel) checkKernelGRE(c *checker, path string) {
	if outer := t.outer(c); outer.IsValid() && outer.Is6() {
		t.checkKernelGRE6(c, path)
		return
	}
	if t.DF.Set && !t.DF.V && !t.TTL.Inherit {
		c.add(path+".df", "false", ReasonUnsupported, "does not go with a fixed ttl, with which Linux sets DF always", "say ttl: {inherit: true}, or leave df out")
	}
	switch {
	case t.IgnoreDF && t.Encap == EncapERSPAN:
		c.add(path+".ignore_df", "true", ReasonUnsupported, "does not apply: an ERSPAN device has no such option", "leave it out")
	case t.IgnoreDF && (!t.DF.Set || t.DF.V):
		c.add(path+".ignore_df", "true", ReasonConflict, "does not go with DF on the outer packets, which is what pmtudisc says", "add pmtudisc: false and ttl: {inherit: true}")
	}
	if t.EncapLimit.Set {
		c.add(path+".encap_limit", fmt.Sprint(t.EncapLimit.V), ReasonUnsupported, "does not apply: it is an option of IPv6, and the underlay is IPv4", "leave it out")
	}
}

// checkKernelGRE6 is for ip6gre, ip6gretap and ip6erspan.
func (t Tunnel) checkKernelGRE6(c *checker, path string) {
	if t.TTL.Inherit {
		c.add(path+".ttl.inherit", "true", ReasonUnsupported, "cannot be over IPv6: Linux copies no hop limit there", "say ttl: {fixed: 64}, or leave it out")
	}
	if t.IgnoreDF {
		c.add(path+".ignore_df", "true", ReasonUnsupported, "does not apply: IPv6 has no DF bit", "leave it out")
	}
	if t.DF.Set && !t.DF.V {
		c.add(path+".df", "false", ReasonUnsupported, "does not apply: no router fragments IPv6", "leave it out")
	}
}

// checkKernelUDP is for VXLAN and Geneve.
func (t Tunnel) checkKernelUDP(c *checker, path string) {
	name := title[t.Encap]
	refuse := func(stated bool, field, value, message, remedy string) {
		if stated {
			c.add(path+field, value, ReasonUnsupported, message, remedy)
		}
	}
	refuse(t.KeyIn.Set && t.KeyOut.Set && t.KeyIn.V != t.KeyOut.V, ".key.fixed.out", fmt.Sprint(t.KeyOut.V), fmt.Sprintf("is not the incoming VNI, and a %s device of Linux has one for both directions", name), "use one VNI")
	refuse(t.IgnoreDF, ".ignore_df", "true", fmt.Sprintf("does not apply: a %s device has no such option", name), "leave it out")
	refuse(t.FwMark != 0, ".fwmark", fmt.Sprint(t.FwMark), fmt.Sprintf("does not apply: a %s device has no such option", name), "leave it out, or use encap: gre")
	refuse(t.EncapLimit.Set, ".encap_limit", fmt.Sprint(t.EncapLimit.V), fmt.Sprintf("does not apply: a %s device has no such option", name), "leave it out")
	if t.Encap != EncapGeneve {
		return
	}
	refuse(t.Device != "", ".device", t.Device, "cannot be: a Geneve device of Linux sends by the route alone", "leave it out, or use encap: vxlan")
	const noLocal, remedy = "cannot be: a Geneve device of Linux has no local address, the route gives it", "leave local out, or use encap: vxlan"
	refuse(t.Local.IsValid(), ".local.address", t.Local.String(), noLocal, remedy)
	refuse(t.Vtep != "" && !c.vteps[t.Vtep].Routed, ".local.vtep", t.Vtep, noLocal, remedy)
}

// checkHub is for a GRE device without remote, whose neighbour table names the
// far ends.
func (t Tunnel) checkHub(c *checker, path string) {
	if t.Vtep == "" && !t.Local.IsValid() {
		c.add(path+".local", "", ReasonRequired, "a tunnel with remote: {any: true} needs its own address, or it is the kernel's fallback device", "add local: {address: ADDRESS}, or a vtep")
	}
}

// checkFlow is for a collect-metadata device, whose routes name the far ends.
func (t Tunnel) checkFlow(c *checker, path string) {
	refuse := func(stated bool, field, value, message, remedy string) {
		if stated {
			c.add(path+field, value, ReasonUnsupported, message, remedy)
		}
	}
	const dropped = "loses all traffic: packets with a checksum are dropped by every collect-metadata receiver in the kernel"
	const alone = "cannot be: a collect-metadata device keeps no sequence numbers"
	refuse(t.Checksum, ".checksum.out", "true", dropped, "leave it out")
	refuse(t.ChecksumIn.V, ".checksum.in", "true", dropped, "leave it out")
	refuse(t.Sequence, ".sequence.out", "true", alone, "leave it out")
	refuse(t.SequenceIn, ".sequence.in", "true", alone, "leave it out")
	refuse(t.KeyIn.Set, ".key.fixed.in", fmt.Sprint(t.KeyIn.V), "cannot be: a collect-metadata device receives every key", "state key.fixed.out only, or key: {flow: true}")
}

// underlays refuses VTEPs and peers that what uses them cannot use.
func (c *checker) underlays(s, union *HostState) {
	users := usersOf(union)
	paths := pathsOf(s)
	ovs := map[Ref]Ref{} // VTEPs and peers, and an object of Open vSwitch that uses them
	use := func(r, by Ref) {
		if _, seen := ovs[r]; !seen || paths[ovs[r]] == "" {
			ovs[r] = by
		}
	}
	usePeer := func(name string, by Ref) {
		use(Ref{KindPeer, name}, by)
		for _, w := range c.peers[name].Paths {
			use(Ref{KindVtep, w.Vtep}, by)
		}
	}
	for _, g := range union.Segments {
		if b, _ := c.caps.Choice.Segment(g, c.bridges); b == BackendKernel {
			c.kernelSegment(g, users[g.Name], paths)
			continue
		}
		for _, m := range users[g.Name] {
			usePeer(m, g.Ref())
		}
	}
	for _, t := range union.Tunnels {
		if b, _ := c.caps.Choice.Tunnel(t, c.bridges, c.segments); b == BackendKernel {
			continue
		}
		if t.Peer != "" {
			usePeer(t.Peer, t.Ref())
		}
		if t.Vtep != "" {
			use(Ref{KindVtep, t.Vtep}, t.Ref())
		}
	}
	c.ovsUnderlays(union, paths, ovs)
}

// ovsUnderlays refuses, where they are stated or else where they are used, the
// underlays that Open vSwitch objects do not work over yet.
func (c *checker) ovsUnderlays(union *HostState, paths map[Ref]string, ovs map[Ref]Ref) {
	refuse := func(stated bool, of Ref, field, value, message, remedy string) {
		by, used := ovs[of]
		at := paths[of] + field
		if paths[of] == "" {
			at, value = paths[by], fmt.Sprintf("%s%s: %s", of, field, value)
		}
		if stated && used && at != "" {
			c.add(at, value, ReasonUnimplemented, fmt.Sprintf("%s, and %s is there", message, by), remedy)
		}
	}
	for _, v := range union.Vteps {
		refuse(v.VRF != "", v.Ref(), ".vrf", v.VRF, "is not supported on Open vSwitch yet", "leave it out")
		refuse(v.Netns != "", v.Ref(), ".netns", v.Netns, "is not supported on Open vSwitch yet", "leave it out")
	}
}

// kernelSegment refuses more peers than the devices of a segment can have.
func (c *checker) kernelSegment(g Segment, users []string, paths map[Ref]string) {
	path := paths[g.Ref()]
	ports, vxlan := 0, 0
	var first Path
	for _, m := range users {
		p := c.peers[m]
		if cmp.Or(p.Encap, g.Encap) != EncapVXLAN {
			ports++
			continue
		}
		vxlan++
		at := cmp.Or(path, paths[p.Ref()])
		for _, w := range p.Paths {
			switch {
			case first == (Path{}):
				first = w
			case at == "": // it was so before this document
			case w.Vtep != first.Vtep:
				c.add(at, g.Name, ReasonUnsupported, fmt.Sprintf("has peers over VXLAN behind VTEPs %s and %s, and Linux has one device for a VNI, with one local address", first.Vtep, w.Vtep), "use one VTEP for the segment's peers, or encap: gre")
				return
			case w.Remote.Is4() != first.Remote.Is4():
				c.add(at, g.Name, ReasonUnsupported, fmt.Sprintf("has peers over VXLAN at %s and %s, and a VXLAN device of Linux sends over one family", first.Remote, w.Remote), "use one family for the segment's peers, or encap: gre")
				return
			}
		}
	}
	path = cmp.Or(path, "peers")
	if ports > MembersMaxKernel {
		c.add(path, g.Name, ReasonOutOfRange, fmt.Sprintf("would have %d peers over GRE or Geneve, and a segment of the kernel, with a tunnel port for each, takes %d", ports, MembersMaxKernel), "use encap: vxlan, which takes 10,000, or split the segment")
	}
	if vxlan > MembersMaxVXLAN {
		c.add(path, g.Name, ReasonOutOfRange, fmt.Sprintf("would have %d peers over VXLAN, and a segment of the kernel takes %d", vxlan, MembersMaxVXLAN), "split the segment")
	}
}
