package model

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// duplicates refuses one object stated twice, in s or in s and by another
// source, and two objects that would be one thing on the host.
func (c *checker) duplicates(s *HostState, by Others, union *HostState) {
	type holder struct{ reason, name string }
	seen := map[string]holder{}
	for _, b := range union.Bridges {
		if b.Implied {
			seen["device name\x00"+b.Name] = holder{ReasonConflict, "the overlay bridge"}
		}
	}
	for source, o := range by {
		o.Objects(func(o Object) {
			for _, id := range identities(o) {
				seen[id] = holder{ReasonConflict, fmt.Sprintf("%s of source %s", o.Ref(), source)}
			}
		})
	}
	s.Each(func(path string, o Object) {
		mine := map[string]bool{} // one error a pair of objects
		for _, id := range identities(o) {
			first, ok := seen[id]
			if !ok {
				seen[id] = holder{ReasonDuplicate, path}
			} else if !mine[first.name] {
				mine[first.name] = true
				c.add(path, o.Ref().Name, first.reason, fmt.Sprintf("has the same %s as %s", identityKind(id), first.name), remedy(first.name))
			}
		}
	})
}

func remedy(other string) string {
	if strings.Contains(other, " of source ") {
		return "take it out of one source's document, or change it"
	}
	return "keep one of the two, or change it"
}

// identities are the things of which a host has only one, each "kind\x00value".
func identities(o Object) []string {
	ids := []string{o.Ref().Kind.String() + " name\x00" + o.Ref().Name}
	switch o := o.(type) {
	case Bridge:
		ids = append(ids, "device name\x00"+o.Name)
	case Tunnel:
		ids = append(ids, "device name\x00"+o.Name)
	case Sampler:
		if o.Format != 0 {
			ids = append(ids, o.identity())
		}
	case Mirror:
		if o.Collector.Set {
			ids = append(ids, "device name\x00"+o.Name)
		} else if o.Device != "" {
			ids = append(ids, "device name\x00"+o.Device)
		}
	case Vtep:
		if o.Addr.IsValid() { // in another namespace or VRF it is another
			ids = append(ids, fmt.Sprintf("address\x00%s %s %s", o.Addr, o.VRF, o.Netns))
		}
	case Segment:
		ids = append(ids, fmt.Sprintf("encapsulation and key\x00%s %d", o.Encap, o.Key))
	case Port:
		switch {
		case o.Device != "":
			ids = append(ids, "device name\x00"+o.Device)
		case o.Patch.Bridge != "":
			ids = append(ids, "device name\x00"+o.Name, "device name\x00"+o.FarName())
		case o.Internal:
			ids = append(ids, "device name\x00"+o.Name)
		default:
			ids = append(ids, "iface_id\x00"+o.IfaceID)
		}
		for _, a := range o.Attachments {
			for _, m := range o.MACs {
				at := FdbName(a.Segment, m)
				if slices.Contains(ids, "port with the segment and MAC address\x00"+at) {
					continue // two VLANs of one port may be in one segment
				}
				if o.Activation == 0 { // else an FDB entry may say where the guest is until then
					ids = append(ids, "segment and MAC address\x00"+at)
				}
				ids = append(ids, "port with the segment and MAC address\x00"+at)
			}
		}
	case FdbEntry:
		ids = append(ids, "segment and MAC address\x00"+FdbName(o.Segment, o.MAC))
	case Peer:
		for _, w := range o.Paths {
			ids = append(ids, "path\x00"+w.Vtep+" "+w.Remote.String())
		}
	}
	return ids
}

func identityKind(id string) string {
	kind, _, _ := strings.Cut(id, "\x00")
	return kind
}

// memberships checks what a segment and the peers behind it do to one another:
// its members and the peers of its FDB entries.
func (c *checker) memberships(s, union *HostState) {
	members, users := MembersOf(union), usersOf(union)
	keys := map[uint64][]Segment{}
	for _, g := range union.Segments {
		keys[g.Key] = append(keys[g.Key], g)
	}
	peers := byName(union.Peers)
	paths := pathsOf(s)
	ports := map[string]int{}
	for _, p := range union.Ports {
		for _, a := range p.Attachments {
			ports[a.Segment] += a.copies()
		}
	}
	for _, g := range union.Segments {
		path, own := paths[g.Ref()]
		floods := g.Floods(members[g.Name])
		n, most := len(floods), floodMax(g, floods, peers)
		for i, m := range g.Replication.Replicators {
			if _, known := peers[m]; own && known && !slices.Contains(users[g.Name], m) {
				c.add(index(path+".replication.replicators", i), m, ReasonConflict, "takes no part in the segment", "name the segment in the peer's segments")
			}
		}
		backend, _ := c.caps.Choice.Segment(g, c.bridges)
		switch {
		case backend == BackendKernel: // no translation of one packet bounds it
		case n > most:
			c.add(cmp.Or(path, "peers"), g.Name, ReasonOutOfRange, fmt.Sprintf("would have %d members, and more than %d copies of a broadcast Open vSwitch loses in silence", n, most), "split the segment")
		case n > 0 && ports[g.Name] > FloodPortsMax:
			c.add(cmp.Or(path, "ports"), g.Name, ReasonOutOfRange, fmt.Sprintf("would have %d local ports beside members, where one in a VLAN counts for %d, and beyond %d Open vSwitch may lose copies of a broadcast in silence", ports[g.Name], copyOfVLAN, FloodPortsMax), "split the segment")
		}
		for _, m := range users[g.Name] {
			if w := peers[m].Paths; backend == BackendKernel && len(w) > 1 {
				c.add(cmp.Or(paths[Ref{KindPeer, m}], path, "peers"), m, ReasonUnimplemented, fmt.Sprintf("has %d paths, and segment %s of the kernel uses it, which is not supported yet", len(w), g.Name), "keep one path")
			}
			at, joins := paths[Ref{KindPeer, m}]
			e := peers[m].Encap
			if e == 0 || e == g.Encap || !own && !joins {
				continue
			}
			if own {
				at = path + ".key"
			}
			if g.Key > e.KeyMax() {
				c.add(at, fmt.Sprint(g.Key), ReasonOutOfRange, fmt.Sprintf("is above %d, the largest key of %s, which peer %s uses for segment %s", e.KeyMax(), e, m, g.Name), "choose a smaller key")
			}
			for _, o := range keys[g.Key] {
				if o.Name != g.Name && o.Encap == e {
					c.add(at, fmt.Sprint(g.Key), ReasonConflict, fmt.Sprintf("is the %s key of segment %s and, as peer %s uses %s, of segment %s too", e, o.Name, m, e, g.Name), "choose another key")
				}
			}
		}
	}
}

// floodMax is the most members of a segment, as the longest copy bounds them.
func floodMax(g Segment, members []string, peers map[string]Peer) int {
	most := FloodMax
	for _, m := range members {
		kind := ovsKinds[cmp.Or(peers[m].Encap, g.Encap)]
		for _, w := range peers[m].Paths {
			if w.Remote.Is6() {
				most = min(most, kind.flood6)
			} else {
				most = min(most, kind.flood4)
			}
		}
	}
	return most
}

// usersOf lists the peers that exchange packets of each segment: its members,
// those that take part without its broadcasts, and the peers of FDB entries.
func usersOf(s *HostState) map[string][]string {
	out := MembersOf(s)
	for _, p := range s.Peers {
		for _, g := range p.Segments {
			out[g] = append(out[g], p.Name)
		}
	}
	for _, e := range s.Fdb {
		out[e.Segment] = append(out[e.Segment], e.Peer)
	}
	movingUsers(s, out)
	for g, list := range out {
		slices.Sort(list)
		out[g] = slices.Compact(list)
	}
	return out
}

// pathsOf gives the field path of each object.
func pathsOf(s *HostState) map[Ref]string {
	out := map[Ref]string{}
	s.Each(func(path string, o Object) { out[o.Ref()] = path })
	return out
}

// MembersOf lists the peers of each segment: those that it names or, when it
// names none, those that name it; in order of name, each once.
func MembersOf(s *HostState) map[string][]string {
	sets := map[string]map[string]bool{}
	put := func(segment, peer string) {
		if sets[segment] == nil {
			sets[segment] = map[string]bool{}
		}
		sets[segment][peer] = true
	}
	stated := map[string]bool{}
	for _, g := range s.Segments {
		for _, m := range g.Members {
			stated[g.Name] = true
			put(g.Name, m)
		}
	}
	for _, p := range s.Peers {
		for _, g := range p.Segments {
			if !stated[g] {
				put(g, p.Name)
			}
		}
	}
	out := make(map[string][]string, len(sets))
	for g, set := range sets {
		for p := range set {
			out[g] = append(out[g], p)
		}
		out[g] = sortedBy(out[g], func(n string) string { return n })
	}
	return out
}

// ownAddresses refuses a peer at an address of this host's own VTEPs, as when a
// document that lists all hosts is applied on each of them.
func (c *checker) ownAddresses(s, union *HostState) {
	own, paths := map[netip.Addr]string{}, pathsOf(s)
	for _, v := range union.Vteps {
		if v.Addr.IsValid() && v.Netns == "" {
			own[v.Addr] = v.Name
		}
	}
	for _, p := range union.Peers {
		for _, w := range p.Paths {
			v, loops := own[w.Remote]
			path := cmp.Or(paths[p.Ref()], paths[Ref{KindVtep, v}])
			if loops && path != "" {
				c.add(path, w.Remote.String(), ReasonConflict, fmt.Sprintf("is the address of peer %s and of this host's own VTEP %s", p.Name, v), "name the far end, or leave the peer out")
			}
		}
	}
}

// danglers refuses a document that takes away what another source refers to,
// or makes something else of it.
func (c *checker) danglers(by Others) {
	for _, source := range slices.Sorted(maps.Keys(by)) {
		lost := &checker{caps: c.caps, refs: c.refs, bridges: c.bridges, segments: c.segments, vteps: c.vteps, peers: c.peers}
		others := by[source]
		others.Each(func(path string, o Object) {
			if o, ok := o.(interface{ check(*checker, string) }); ok {
				lost.overlay = "" // two overlay bridges are found where the second is stated
				o.check(lost, path)
			}
		})
		for _, e := range lost.errs {
			switch e.Reason {
			case ReasonUnknownRef:
				c.add("", "", ReasonConflict, fmt.Sprintf("source %s refers to %q (%s), which would be gone", source, e.Value, e.Path), "keep it, or change that source first")
			case ReasonConflict:
				c.add("", "", ReasonConflict, fmt.Sprintf("for source %s, %s %q %s", source, e.Path, e.Value, e.Message), "undo the change, or change that source first")
			}
		}
	}
}

func byName[T Object](list []T) map[string]T {
	m := make(map[string]T, len(list))
	for _, o := range list {
		m[o.Ref().Name] = o
	}
	return m
}
