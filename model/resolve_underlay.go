package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// place decides which backend builds each object. Peers and VTEPs are built
// nowhere: they go with the objects that use them, the kernel's first, since
// those do not wait for Open vSwitch.
func (r *Resolved) place(s HostState, f Facts) {
	bridges, segments := byName(s.Bridges), byName(s.Segments)
	put := func(ref Ref, b Backend, why string) { r.On[ref], r.Why[ref] = b, why }
	peers, vteps := map[string]Backend{}, map[string]Backend{}
	use := func(users map[string]Backend, name string, b Backend) {
		if users[name] != BackendKernel {
			users[name] = b
		}
	}
	for _, b := range s.Bridges {
		on, why := f.Choice.Bridge(b)
		put(b.Ref(), on, why)
	}
	for _, p := range s.Ports {
		on, why := f.Choice.Port(p, bridges)
		put(p.Ref(), on, why)
	}
	users := usersOf(&s)
	for _, g := range s.Segments {
		on, why := f.Choice.Segment(g, bridges)
		put(g.Ref(), on, why)
		for _, u := range users[g.Name] {
			use(peers, u, on)
		}
	}
	for _, e := range s.Fdb {
		seg := Ref{KindSegment, e.Segment}
		put(e.Ref(), r.On[seg], r.Why[seg])
	}
	for _, t := range s.Tunnels {
		on, why := f.Choice.Tunnel(t, bridges, segments)
		put(t.Ref(), on, why)
		use(peers, t.Peer, on)
		use(vteps, t.Vtep, on)
	}
	for _, o := range s.Samplers {
		on, why := f.Choice.on(o.Bridge, bridges)
		put(o.Ref(), on, why)
	}
	for _, m := range s.Mirrors {
		on, why := f.Choice.on(m.Bridge, bridges)
		put(m.Ref(), on, why)
	}
	auto, why := f.Choice.Bridge(Bridge{})
	for _, p := range s.Peers {
		on, used := peers[p.Name]
		if !used {
			on = auto
		}
		put(p.Ref(), on, usedBy(on, used, why))
		for _, w := range p.Paths {
			use(vteps, w.Vtep, on)
		}
	}
	for _, v := range s.Vteps {
		on, used := vteps[v.Name]
		if !used {
			on = auto
		}
		put(v.Ref(), on, usedBy(on, used, why))
	}
}

func usedBy(on Backend, used bool, otherwise string) string {
	switch {
	case !used:
		return otherwise
	case on == BackendKernel:
		return "used by objects of the kernel"
	}
	return "used by objects on OVS bridges"
}

// local is the address of a VTEP towards a remote.
func local(v Vtep, remote netip.Addr, f Facts) (netip.Addr, Notice) {
	family := "IPv4"
	if remote.Is6() {
		family = "IPv6"
	}
	switch {
	case v.Device != "":
		d, ok := f.Devices[v.Device]
		if !ok {
			return netip.Addr{}, Notice{Reason: NoticeDeviceAbsent, Message: fmt.Sprintf("the host has no device %q yet", v.Device)}
		}
		for _, a := range d.Global {
			if a.Is4() == remote.Is4() {
				return a, Notice{}
			}
		}
		return netip.Addr{}, Notice{Reason: NoticeNoAddress, Message: fmt.Sprintf("device %s has no global %s address: add one with ip addr add", v.Device, family)}
	case v.Routed:
		way, ok := f.Ways[WayAsk{Remote: remote, VRF: v.VRF, Netns: v.Netns}]
		if !ok || !way.Source.IsValid() {
			return netip.Addr{}, Notice{Reason: NoticeNoRoute, Message: fmt.Sprintf("the host has no route to %s: add one with ip route add", remote)}
		}
		return way.Source, Notice{}
	}
	return v.Addr, Notice{}
}

// Asks lists the routes that resolving a state needs to know: to the far ends of
// the kernel's tunnels, and to the peers of VTEPs that go by the route.
func Asks(s HostState, c Choice) []WayAsk {
	seen := map[WayAsk]bool{}
	var out []WayAsk
	add := func(a WayAsk) {
		if a.Remote.IsValid() && !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	bridges, segments := byName(s.Bridges), byName(s.Segments)
	peers, vteps := byName(s.Peers), byName(s.Vteps)
	for _, t := range s.Tunnels {
		if on, _ := c.Tunnel(t, bridges, segments); on == BackendKernel {
			add(t.ask(vteps, peers))
		}
	}
	for _, m := range s.Mirrors { // their copies must not be copied again
		if _, remote := m.Collector.V.Ends(vteps, peers); m.Collector.Set {
			add(WayAsk{Remote: remote})
		}
	}
	for _, p := range s.Peers {
		for _, w := range p.Paths {
			if v := vteps[w.Vtep]; v.Routed {
				add(WayAsk{Remote: w.Remote, VRF: v.VRF, Netns: v.Netns})
			}
		}
	}
	return out
}

// vtep is the tunnel's local endpoint by name; that of its peer's path when it
// states none.
func (t Tunnel) vtep(vteps map[string]Vtep, peers map[string]Peer) (Vtep, bool) {
	name := t.Vtep
	if name == "" && !t.Local.IsValid() && t.Peer != "" && len(peers[t.Peer].Paths) > 0 {
		name = peers[t.Peer].Paths[0].Vtep
	}
	v, ok := vteps[name]
	return v, ok
}

// ask is for the route to the tunnel's far end, or to the first of several.
func (t Tunnel) ask(vteps map[string]Vtep, peers map[string]Peer) WayAsk {
	_, remote := t.Ends(vteps, peers)
	if t.Far != FarFixed && len(t.Neighbours) > 0 {
		remote = t.Neighbours[0].Underlay
	}
	v, _ := t.vtep(vteps, peers)
	return WayAsk{Remote: remote, VRF: v.VRF, Netns: v.Netns, Device: t.Device}
}

// waysTo are the paths to a peer that have both ends, in order of tier; the notice
// is of one that has not.
func waysTo(p Peer, vteps map[string]Vtep, f Facts) (out []ResolvedPath, n Notice) {
	last, tier := uint64(0), -1
	for _, w := range slices.SortedStableFunc(slices.Values(p.Paths), func(a, b Path) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Vtep, b.Vtep), a.Remote.Compare(b.Remote))
	}) {
		from, why := local(vteps[w.Vtep], w.Remote, f)
		if why.Reason != "" {
			n = why
			n.On = []Ref{{KindVtep, w.Vtep}}
			continue
		}
		if slices.ContainsFunc(out, func(o ResolvedPath) bool { return o.Local == from && o.Remote == w.Remote }) {
			continue // two VTEPs of one address
		}
		if tier < 0 || w.rank() != last {
			tier, last = tier+1, w.rank()
		}
		out = append(out, ResolvedPath{from, w.Remote, tier, uint16(w.Weight)})
	}
	return out, n
}

func (r *Resolved) segments(s HostState, f Facts) {
	peers, vteps, members, users := byName(s.Peers), byName(s.Vteps), MembersOf(&s), usersOf(&s)
	attached := map[string][]string{}
	for _, p := range r.Ports {
		for _, a := range p.Attachments {
			attached[a.Segment] = append(attached[a.Segment], p.Name)
		}
	}
	for _, p := range s.Peers {
		if r.away(p.Ref(), f) {
			continue
		}
		if ways, n := waysTo(p, vteps, f); len(ways) == 0 {
			r.Blocked[p.Ref()] = n
		} else if n.Reason != "" {
			r.Warnings[p.Ref()] = n
		}
	}
	hop := func(peer string, e Encap) (Hop, bool) {
		p := peers[peer]
		if p.Encap != 0 {
			e = p.Encap
		}
		h := Hop{peer, e}
		if _, blocked := r.Blocked[p.Ref()]; blocked {
			return h, false
		}
		if _, ok := r.Hops[h]; !ok {
			r.Hops[h], _ = waysTo(p, vteps, f)
		}
		return h, true
	}
	encaps := map[string]Encap{}
	for _, g := range s.Segments {
		if r.away(g.Ref(), f) {
			continue
		}
		out := ResolvedSegment{Segment: g, Ports: attached[g.Name]}
		for _, m := range g.Floods(members[g.Name]) {
			if h, ok := hop(m, g.Encap); ok {
				out.Hops = append(out.Hops, h)
			}
		}
		for _, u := range users[g.Name] {
			h, ok := hop(u, g.Encap)
			if ok {
				out.Users = append(out.Users, h)
			}
			out.Encaps = append(out.Encaps, h.Encap)
		}
		slices.Sort(out.Encaps)
		out.Encaps = slices.Compact(out.Encaps)
		encaps[g.Name] = g.Encap
		r.Segments = append(r.Segments, out)
	}
	for _, e := range s.Fdb {
		if r.away(e.Ref(), f) {
			continue
		}
		if h, ok := hop(e.Peer, encaps[e.Segment]); ok {
			r.Fdb = append(r.Fdb, ResolvedFdb{e, h})
		} else {
			peer := Ref{KindPeer, e.Peer}
			r.Blocked[e.Ref()] = Notice{Reason: NoticeBlockedOn, Message: "waits for " + peer.String(), On: []Ref{peer}}
		}
	}
}

func (r *Resolved) tunnels(s HostState, f Facts) {
	peers, vteps := byName(s.Peers), byName(s.Vteps)
	datapaths := map[string]Datapath{}
	for _, b := range r.Bridges {
		if b.Backend == BackendOVS {
			datapaths[b.Name] = b.Datapath
		}
	}
	_, late := slots(inUserspace(&s, peers, func(b string) Datapath { return datapaths[b] }))
	for _, t := range s.Tunnels {
		if r.away(t.Ref(), f) {
			continue
		}
		if other, taken := late[t.Ref()]; taken {
			r.Blocked[t.Ref()] = Notice{Reason: NoticeConflict, Message: slotMessage(t.Encap, other) + "; " + slotRemedy, On: []Ref{other.ref}}
			continue
		}
		// Only now is the datapath known, if Open vSwitch was away when the
		// document was accepted.
		_, remote := t.Ends(vteps, peers)
		var beyond []FieldError
		if d, ovs := datapaths[t.Bridge]; ovs {
			beyond = t.beyond(d, remote)
		}
		if len(beyond) > 0 {
			r.Blocked[t.Ref()] = Notice{Reason: ReasonUnsupported, Message: strings.TrimPrefix(beyond[0].Error(), ".")}
			continue
		}
		r.tunnel(t, s, f, vteps, peers)
	}
}

func (r *Resolved) tunnel(t Tunnel, s HostState, f Facts, vteps map[string]Vtep, peers map[string]Peer) {
	from, remote := t.Ends(vteps, peers)
	out := ResolvedTunnel{Tunnel: t, LocalAddr: from, RemoteAddr: remote}
	if v, ok := t.vtep(vteps, peers); ok {
		family := remote
		if t.Far != FarFixed && len(t.Neighbours) > 0 {
			family = t.Neighbours[0].Underlay
		}
		addr, n := local(v, family, f)
		if n.Reason != "" {
			n.On = []Ref{v.Ref()}
			r.Blocked[t.Ref()] = n
			return
		}
		out.LocalAddr, out.UnderVRF, out.UnderNetns = addr, v.VRF, v.Netns
	}
	if t.Layer == LayerL3 && t.Bridge != "" && r.On[t.Ref()] == BackendOVS && !r.hand(&out, &s) {
		return
	}
	way, routed := f.Ways[t.ask(vteps, peers)]
	out.UnderlayMTU = way.MTU
	if mtu, ok := r.Underlay[out.LocalAddr]; ok && (!routed || mtu < way.MTU) {
		out.UnderlayMTU = mtu
	}
	out.Loops = routed && t.Layer == LayerL3 && way.Device == t.Name
	r.Tunnels = append(r.Tunnels, out)
}

// underlay warns of VTEPs whose address the datapath cannot use. On the
// userspace datapath the address must sit on a port of a netdev bridge.
func (r *Resolved) underlay(s HostState, f Facts) {
	netdev := slices.ContainsFunc(r.Bridges, func(b Bridge) bool { return b.Backend == BackendOVS && b.Datapath == DatapathNetdev })
	for _, v := range s.Vteps {
		if r.away(v.Ref(), f) || v.Netns != "" { // a namespace of its own is not among the facts
			continue
		}
		addrs := []netip.Addr{v.Addr}
		if v.Device != "" {
			if d, ok := f.Devices[v.Device]; !ok {
				r.Warnings[v.Ref()] = Notice{Reason: NoticeDeviceAbsent, Message: fmt.Sprintf("the host has no device %q", v.Device)}
				continue
			} else if len(d.Global) == 0 {
				r.Warnings[v.Ref()] = Notice{Reason: NoticeNoSuchAddress, Message: fmt.Sprintf("device %s has no global address: add one with ip addr add", v.Device)}
				continue
			} else {
				addrs = d.Global
			}
		}
		if !addrs[0].IsValid() {
			continue
		}
		var devs []string
		for _, d := range f.Devices {
			if slices.Contains(d.Addrs, addrs[0].String()) {
				devs = append(devs, d.Name)
			}
		}
		inDatapath := func(dev string) bool { return onNetdevBridge(f.OVS, dev) }
		if len(devs) == 0 {
			r.Warnings[v.Ref()] = Notice{Reason: NoticeNoSuchAddress, Message: fmt.Sprintf("no device of this host has the address %s: add it with ip addr add, or correct the VTEP", addrs[0])}
		} else if netdev && r.On[v.Ref()] == BackendOVS && !slices.ContainsFunc(devs, inDatapath) {
			r.Warnings[v.Ref()] = Notice{Reason: NoticeNotInDatapath, Message: notInDatapath(addrs[0], slices.Min(devs))}
		}
	}
}
