package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// TableMain is the routing table that packets are looked up in unless a rule
// says otherwise.
const TableMain = 254

// checkLayer2 refuses what only a tunnel of IP packets has.
func (t Tunnel) checkLayer2(c *checker, path string) {
	refuse := func(n int, field string) {
		if n > 0 {
			c.add(path+field, "", ReasonConflict, "is of layer 3, and the tunnel carries Ethernet frames", "leave it out, or say layer: l3 without a bridge")
		}
	}
	refuse(len(t.Addresses), ".addresses")
	refuse(len(t.Routes), ".routes")
	refuse(len(t.Neighbours), ".neighbours")
	refuse(len(t.VRF), ".vrf")
}

func (t Tunnel) checkLayer3(c *checker, path string) {
	if t.Encap != EncapGRE {
		c.add(path+".layer", "l3", ReasonUnsupported, "does not apply: "+title[t.Encap]+" carries Ethernet frames", "say layer: l2, or use encap: gre")
	}
	if t.Segment != "" {
		c.add(path+".segment", t.Segment, ReasonConflict, "is a layer 2 network, and the tunnel carries IP packets", "leave it out, or say layer: l2")
	}
	if t.VLAN.Stated() && t.Bridge != "" {
		c.add(path+".vlan", t.VLAN.Normal().Mode.String(), ReasonConflict, "is of Ethernet frames, and the tunnel carries IP packets", "leave it out")
	}
	if t.VRF != "" {
		c.deviceName(path+".vrf", t.VRF)
	}
	c.localAddresses(path+".addresses", t.Addresses)
	t.checkNeighbours(c, path)
	before, overlay := map[Route]bool{}, map[netip.Addr]bool{}
	for _, n := range t.Neighbours {
		overlay[n.Overlay] = true
	}
	for i, r := range t.Routes {
		t.checkRoute(c, index(path+".routes", i), r, before, overlay)
	}
	t.checkRecursion(c, path)
}

// checkRoute checks one route beside the keys of those before it and the overlay
// addresses of the neighbours.
func (t Tunnel) checkRoute(c *checker, path string, r Route, before map[Route]bool, overlay map[netip.Addr]bool) {
	c.hostBits(path+".destination", r.Destination)
	if !r.Destination.IsValid() {
		return
	}
	if key := routeKey(r); before[key] {
		c.add(path, r.Destination.String(), ReasonDuplicate, "is a destination that another route with the same table and metric has", "keep one of the two, or change its metric")
	} else {
		before[key] = true
	}
	for _, a := range []struct {
		field string
		addr  netip.Addr
	}{{".via", r.Via}, {".preferred_source", r.Source}} {
		if a.addr.IsValid() && a.addr.Is4() != r.Destination.Addr().Is4() {
			c.add(path+a.field, a.addr.String(), ReasonConflict, "is of another family than the destination "+r.Destination.String(), "use an address of the destination's family")
		}
	}
	onLink := func(p netip.Prefix) bool { return p.Contains(r.Via) }
	if r.Via.IsValid() && !overlay[r.Via] && !slices.ContainsFunc(t.Addresses, onLink) {
		c.add(path+".via", r.Via.String(), ReasonInvalid, "is neither in a prefix of the tunnel's addresses nor the overlay address of a neighbour, and the kernel refuses such a next hop", "add an address whose prefix holds it, or leave via out")
	}
}

// routeKey is by what the kernel tells routes apart. A table that is not stated
// is the same for all routes of a tunnel.
func routeKey(r Route) Route {
	metric := r.Metric.V
	if r.Destination.Addr().Is6() {
		metric = cmp.Or(metric, 1024) // IP6_RT_PRIO_USER
	}
	return Route{Destination: r.Destination.Masked(), Metric: Some(metric), Table: cmp.Or(r.Table, TableMain)}
}

func (t Tunnel) checkNeighbours(c *checker, path string) {
	switch {
	case t.Far == FarFixed && len(t.Neighbours) > 0:
		c.add(path+".neighbours", fmt.Sprint(len(t.Neighbours)), ReasonConflict, "stand beside one remote, to which all packets go", "leave them out, or say remote: {any: true}")
		return
	case t.Far != FarFixed && len(t.Neighbours) == 0:
		c.add(path+".neighbours", "", ReasonRequired, fmt.Sprintf("a tunnel with remote: {%s: true} reaches only its neighbours", t.Far), "add neighbours: [{overlay: ADDRESS, underlay: ADDRESS}]")
	}
	local, _ := t.Ends(c.vteps, c.peers)
	seen := map[netip.Addr]bool{}
	for i, n := range t.Neighbours {
		at := index(path+".neighbours", i)
		c.underlayAddr(at+".overlay", n.Overlay)
		c.underlayAddr(at+".underlay", n.Underlay)
		if seen[n.Overlay] {
			c.add(at+".overlay", n.Overlay.String(), ReasonDuplicate, "is of a neighbour stated before", "keep one of the two")
		}
		seen[n.Overlay] = true
		first := t.Neighbours[0].Underlay
		if local.IsValid() {
			first = local
		}
		c.sameFamily(at+".underlay", first, n.Underlay)
	}
}

// checkRecursion refuses a tunnel whose own packets would be routed into it:
// each packet would be wrapped until it is dropped. Packets that are bound to a
// device, marked, or of another routing table or namespace are kept out of it.
func (t Tunnel) checkRecursion(c *checker, path string) {
	v := t.underlay(c.vteps, c.peers)
	if t.Device != "" || t.FwMark != 0 || t.Netns != v.Netns {
		return
	}
	shared := func(table uint32) bool { // the overlay's table, 0 is the VRF's, is where the underlay is routed
		return table == 0 && t.VRF == v.VRF || table == TableMain && v.VRF == ""
	}
	far := t.farEnds(c)
	refuse := func(at, value string, p netip.Prefix) {
		if !p.IsValid() {
			return
		}
		first := p.Masked().Addr() // the next far end from there on is in p, or none is
		i, _ := slices.BinarySearchFunc(far, first, netip.Addr.Compare)
		if i < len(far) && p.Contains(far[i]) {
			c.add(at, value, ReasonConflict, fmt.Sprintf("would be recursive routing: the tunnel's own packets to %s would go into the tunnel", far[i]), "leave that address out of it, put the route into a table of its own, or say device: the underlay device")
		}
	}
	for i, p := range t.Addresses {
		if shared(0) {
			refuse(index(path+".addresses", i), p.String(), p)
		}
	}
	for i, r := range t.Routes {
		if shared(r.Table) {
			refuse(index(path+".routes", i)+".destination", r.Destination.String(), r.Destination)
		}
	}
}

// farEnds lists the underlay addresses that the tunnel's packets go to, but no
// group, in order.
func (t Tunnel) farEnds(c *checker) []netip.Addr {
	_, remote := t.Ends(c.vteps, c.peers)
	far := []netip.Addr{remote}
	for _, n := range t.Neighbours {
		far = append(far, n.Underlay)
	}
	far = slices.DeleteFunc(far, func(a netip.Addr) bool { return !a.IsValid() || a.IsMulticast() })
	slices.SortFunc(far, netip.Addr.Compare)
	return far
}
