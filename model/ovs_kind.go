package model

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// ovsKind is what Open vSwitch does with one encapsulation. Each has a file
// ovs_NAME.go of its own, which registers it; what no file registers Open vSwitch
// does not build. How a port of it is written is package plan's.
type ovsKind struct {
	encap Encap
	// slot is the datapath port that its packets are received on in userspace.
	// There the packets of a protocol go to one port, so of two encapsulations
	// with one slot only one works.
	slot string
	// overIPv6 is the Interface.type on the kernel datapath over IPv6, where it
	// has a driver of its own; empty: as over IPv4.
	overIPv6 string
	// flood4 and flood6 are the most members of a segment that get a broadcast
	// over each family, 0 when it carries no segments.
	flood4, flood6 int
	cannot         []ovsLimit
}

// ovsLimit is what a datapath cannot carry. Open vSwitch takes all of it, says
// that all is well, and loses the packets or ignores the option.
type ovsLimit struct {
	on              Datapath // 0: on both
	stated          func(t Tunnel, outer netip.Addr) bool
	field, value    string
	message, remedy string
	unproven        bool // may well be carried, but no packet has shown it
}

var ovsKinds = map[Encap]ovsKind{}

func registerOVS(k ovsKind) bool {
	ovsKinds[k.encap] = k
	return true
}

// OVSType is the Interface.type of a tunnel port in Open vSwitch. A GRE port with
// an IPv6 address gets a number on the kernel datapath, and no packet.
func (e Encap) OVSType(d Datapath, ipv6 bool) string {
	if k := ovsKinds[e]; d == DatapathSystem && ipv6 && k.overIPv6 != "" {
		return k.overIPv6
	}
	return e.String()
}

// OVSSlot names the datapath port that the packets of an encapsulation come by in
// userspace: ports of two types with one slot exclude one another. It is empty
// where an encapsulation has its own.
func (e Encap) OVSSlot() string { return ovsKinds[e].slot }

// noFragments is for what says that routers may fragment the outer packets.
var noFragments = ovsLimit{
	stated: func(t Tunnel, outer netip.Addr) bool { return t.DF.Set && !t.DF.V && outer.Is6() },
	field:  ".df", value: "false", message: "does not apply: no router fragments IPv6", remedy: "leave it out",
}

// beyond lists what a tunnel states and a datapath cannot carry. Paths start at
// the tunnel. A datapath that is not known refuses only what no datapath carries.
func (t Tunnel) beyond(d Datapath, outer netip.Addr) []FieldError {
	var out []FieldError
	for _, l := range ovsKinds[t.Encap].cannot {
		if (l.on == 0 || l.on == d) && l.stated(t, outer) {
			reason := ReasonUnsupported
			if l.unproven {
				reason = ReasonUnimplemented
			}
			out = append(out, FieldError{l.field, l.value, reason, l.message, l.remedy})
		}
	}
	return out
}

// slotUser is what occupies a slot of the userspace datapath.
type slotUser struct {
	encap Encap
	ref   Ref
}

// slots gives the first user of each slot, and those that come too late: with
// another encapsulation. Segments come before tunnels, then the order is that of
// encapsulations, so that it does not change with what a pass does.
func slots(users []slotUser) (first map[string]slotUser, late map[Ref]slotUser) {
	rank := func(u slotUser) int {
		if u.ref.Kind == KindTunnel || u.ref.Kind == KindMirror {
			return 1
		}
		return 0
	}
	users = slices.Clone(users)
	slices.SortStableFunc(users, func(a, b slotUser) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.encap, b.encap), a.ref.Compare(b.ref))
	})
	first, late = map[string]slotUser{}, map[Ref]slotUser{}
	for _, u := range users {
		slot := ovsKinds[u.encap].slot
		if slot == "" {
			continue
		}
		if f, taken := first[slot]; !taken {
			first[slot] = u
		} else if f.encap != u.encap {
			late[u.ref] = f
		}
	}
	return first, late
}

// slotMessage says why one encapsulation cannot be beside another.
func slotMessage(e Encap, other slotUser) string {
	return fmt.Sprintf("cannot be beside %s of %s: the userspace datapath receives all packets of %s as the one or the other", title[other.encap], other.ref, ovsKinds[e].slot)
}

const slotRemedy = "use vxlan or geneve for one of the two, or a bridge of the kernel datapath"

// inUserspace lists what occupies slots of the userspace datapath; datapath tells
// that of a bridge.
func inUserspace(s *HostState, peers map[string]Peer, datapath func(bridge string) Datapath) []slotUser {
	var out []slotUser
	users := usersOf(s)
	for _, g := range s.Segments {
		if datapath(g.Bridge) != DatapathNetdev {
			continue
		}
		for _, m := range users[g.Name] {
			out = append(out, slotUser{cmp.Or(peers[m].Encap, g.Encap), g.Ref()})
		}
	}
	for _, t := range s.Tunnels {
		if t.Bridge != "" && datapath(t.Bridge) == DatapathNetdev {
			out = append(out, slotUser{t.Encap, t.Ref()})
		}
	}
	return out
}

// oneOfASlot refuses encapsulations that exclude one another.
func (c *checker) oneOfASlot(s, union *HostState) {
	paths := pathsOf(s)
	_, late := slots(inUserspace(union, c.peers, func(b string) Datapath {
		if c.onKernel(b) {
			return 0
		}
		return c.datapath(b)
	}))
	for _, ref := range slices.SortedFunc(maps.Keys(late), Ref.Compare) {
		if at := cmp.Or(paths[ref], paths[late[ref].ref]); at != "" {
			e := late[ref].encap
			for _, t := range union.Tunnels {
				if t.Ref() == ref {
					e = t.Encap
				}
			}
			if _, kind := paths[ref]; kind && ref.Kind == KindMirror {
				at += ".output.collector"
			}
			c.add(at+".encap", e.String(), ReasonConflict, slotMessage(e, late[ref]), slotRemedy)
		}
	}
}
