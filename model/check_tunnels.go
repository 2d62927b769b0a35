package model

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// tunnelEnd is by what the packets of two tunnels are told apart: by Open vSwitch
// (tnl_match in its ofproto/tunnel.c), where no key is key 0, and by the kernel,
// whose GRE devices of layer 3 have a table of their own. Both are in one
// namespace: a device of the kernel takes the packets of an OVS port alike.
type tunnelEnd struct {
	encap         Encap
	layer         Layer
	port          uint32 // UDP
	local, remote netip.Addr
	key           uint64
	netns         string // of the underlay
}

// inKernel is the end as the kernel tells devices apart: a VXLAN device by VNI,
// port and family (vxlan_vni_in_use), a Geneve one without the local address
// (geneve_find_dev).
func (e tunnelEnd) inKernel() tunnelEnd {
	switch e.encap {
	case EncapVXLAN:
		family := netip.IPv4Unspecified()
		if e.remote.Is6() {
			family = netip.IPv6Unspecified()
		}
		e.local, e.remote = netip.Addr{}, family
	case EncapGeneve:
		e.local = netip.Addr{}
	}
	return e
}

// inflow is a peer's packets of a segment.
type inflow struct{ segment, peer Ref }

// segmentEnds lists from where the packets of segments come, without local
// address, and whose they are. A VXLAN segment of the kernel is there also as the
// one device that it is.
func (c *checker) segmentEnds(s *HostState) map[tunnelEnd]inflow {
	out := map[tunnelEnd]inflow{}
	users := usersOf(s)
	for _, g := range s.Segments {
		backend, _ := c.caps.Choice.Segment(g, c.bridges)
		for _, m := range users[g.Name] {
			for _, w := range c.peers[m].Paths {
				e := tunnelEnd{encap: cmp.Or(c.peers[m].Encap, g.Encap), layer: LayerL2, remote: w.Remote, key: g.Key, netns: c.vteps[w.Vtep].Netns}
				e.port = e.encap.UDPPort()
				out[e] = inflow{g.Ref(), c.peers[m].Ref()}
				if backend == BackendKernel && e.encap == EncapVXLAN {
					out[e.inKernel()] = inflow{g.Ref(), c.peers[m].Ref()}
				}
			}
		}
	}
	return out
}

// end is by what the tunnel's packets are known, and the namespace.
func (t Tunnel) end(vteps map[string]Vtep, peers map[string]Peer) tunnelEnd {
	local, remote := t.Ends(vteps, peers)
	return tunnelEnd{encap: t.Encap, layer: t.Layer, port: t.DstPort, local: local, remote: remote, key: t.KeyIn.V, netns: t.underlay(vteps, peers).Netns}
}

// underlay is the VTEP whose routing the tunnel's outer packets follow; the zero
// one is greaved's own namespace and the main table.
func (t Tunnel) underlay(vteps map[string]Vtep, peers map[string]Peer) Vtep {
	if t.Vtep == "" && !t.Local.IsValid() && t.Peer != "" && len(peers[t.Peer].Paths) > 0 {
		return vteps[peers[t.Peer].Paths[0].Vtep]
	}
	return vteps[t.Vtep]
}

// tunnels refuses explicit tunnels that the host would refuse, or that would
// take packets from another tunnel or from a segment.
func (c *checker) tunnels(s *HostState, by Others, union *HostState) {
	first, devices := map[tunnelEnd]string{}, map[tunnelEnd]string{}
	segments, paths := c.segmentEnds(union), pathsOf(s)
	check := func(t Tunnel, source string) {
		path := ""
		if source == "" {
			path = paths[t.Ref()]
		}
		if t.Far == FarFlow {
			c.flowTunnel(t, path, source, devices)
			return
		}
		e := t.end(c.vteps, c.peers)
		if path != "" && e.local.IsValid() && e.local == e.remote {
			c.add(path, t.Name, ReasonConflict, fmt.Sprintf("ends where it starts, at %s", e.local), "name the far end")
		}
		backend, _ := c.caps.Choice.Tunnel(t, c.bridges, c.segments)
		if o, dup := first[e]; dup && path != "" {
			c.add(path, t.Name, ReasonConflict, "has the same encapsulation, endpoints and incoming key as "+o, "change the key or an endpoint")
		} else if o, dup := devices[e.inKernel()]; dup && path != "" && backend == BackendKernel {
			c.add(path, t.Name, ReasonConflict, fmt.Sprintf("has the same VNI and UDP port as %s, and Linux has one %s device for them", o, title[t.Encap]), "change the VNI or udp_port")
		}
		first[e] = t.Ref().String() + source
		if backend == BackendKernel {
			devices[e.inKernel()] = t.Ref().String() + source
		}
		c.steals(t, e, backend, path, source, segments, paths)
	}
	for _, source := range slices.Sorted(maps.Keys(by)) {
		for _, t := range by[source].Tunnels {
			check(t, " of source "+source)
		}
	}
	for _, t := range s.Tunnels {
		check(t, "")
	}
}

// steals refuses a tunnel that would take the packets of a segment.
func (c *checker) steals(t Tunnel, e tunnelEnd, backend Backend, path, source string, segments map[tunnelEnd]inflow, paths map[Ref]string) {
	e.local = netip.Addr{}
	in, steals := segments[e]
	if !steals && backend == BackendKernel {
		in, steals = segments[e.inKernel()]
	}
	path = cmp.Or(path, paths[in.segment], paths[in.peer])
	if steals && path != "" { // else it was so before this document
		c.add(path, fmt.Sprint(e.key), ReasonConflict, fmt.Sprintf("is the key of %s and of %s%s, which would take the segment's packets from %s", in.segment, t.Ref(), source, in.peer), "change one of the keys")
	}
}

// flowTunnel refuses a second collect-metadata device of a namespace and family:
// the kernel has one place for it (EEXIST).
func (c *checker) flowTunnel(t Tunnel, path, source string, devices map[tunnelEnd]string) {
	family := netip.IPv4Unspecified()
	if t.outer(c).Is6() {
		family = netip.IPv6Unspecified()
	}
	e := tunnelEnd{layer: t.Layer, encap: t.Encap, local: family, netns: t.underlay(c.vteps, c.peers).Netns}
	if o, dup := devices[e]; dup && path != "" {
		c.add(path, t.Name, ReasonConflict, "is a second tunnel with remote: {flow: true} beside "+o+", and Linux has one in a namespace", "put its neighbours and routes into the other")
	}
	devices[e] = t.Ref().String() + source
}

// Ends yields the tunnel's endpoints with names looked up; an address that is
// not known is the zero Addr.
func (t Tunnel) Ends(vteps map[string]Vtep, peers map[string]Peer) (local, remote netip.Addr) {
	local, remote = t.Local, t.Remote
	if t.Peer != "" && len(peers[t.Peer].Paths) > 0 {
		w := peers[t.Peer].Paths[0]
		remote = w.Remote
		if t.Vtep == "" && !local.IsValid() {
			local = vteps[w.Vtep].Addr
		}
	}
	if t.Vtep != "" {
		local = vteps[t.Vtep].Addr
	}
	return local, remote
}
