package model

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Owner is who greave is on this host. It derives from the host's name, so
// that a lost state directory orphans nothing.
type Owner struct {
	Name string
	Tag  uint16 // the owner's part of flow cookies
}

// Hop is a peer under one encapsulation: what a flow's peer id stands for.
type Hop struct {
	Peer  string
	Encap Encap
}

func (h Hop) String() string { return h.Peer + " " + h.Encap.String() }

// ResolvedPath is an underlay way with both ends known.
type ResolvedPath struct {
	Local, Remote netip.Addr
}

// ResolvedSegment is a segment with its members and local ports known.
type ResolvedSegment struct {
	Segment
	Hops   []Hop    // to the members, in order of peer
	Encaps []Encap  // in which its packets arrive, in order
	Ports  []string // names of resolved ports, in order
}

// ResolvedFdb is an FDB entry with the hop that leads to its peer.
type ResolvedFdb struct {
	FdbEntry
	Hop Hop
}

// ResolvedPort is a port with its device known.
type ResolvedPort struct {
	Port
	Device string // the OVS port's name on the host
	Bound  bool   // somebody else made it: greave writes no more than marks
	Ofport int    // as observed; 0: not there yet
}

// ResolvedTunnel is a tunnel with both ends known.
type ResolvedTunnel struct {
	Tunnel
	LocalAddr, RemoteAddr netip.Addr
}

// Resolved is the desired state with the host's facts filled in. What lacks a
// fact is not in the lists but in Blocked.
type Resolved struct {
	Bridges  []Bridge // datapath is system or netdev
	Hops     map[Hop][]ResolvedPath
	Segments []ResolvedSegment
	Ports    []ResolvedPort
	Fdb      []ResolvedFdb
	Tunnels  []ResolvedTunnel
	Vteps    []Vtep
	Blocked  map[Ref]Notice
	Warnings map[Ref]Notice // built all the same, but something is wrong
}

// Notice says why an object is not as it should be. On lists what it waits for.
type Notice struct {
	Reason  string
	Message string
	On      []Ref
}

// Reasons of notices. They are part of the API.
const (
	NoticeOVSAbsent       = "OVS_NOT_RUNNING"
	NoticePortAbsent      = "PORT_ABSENT"
	NoticePortElsewhere   = "PORT_ON_ANOTHER_BRIDGE"
	NoticeDeviceAbsent    = "DEVICE_ABSENT"
	NoticeMACMismatch     = "ATTACHED_MAC_DIFFERS"
	NoticeBlockedOn       = "BLOCKED_ON"
	NoticeNotInDatapath   = "UNDERLAY_NOT_IN_DATAPATH"
	NoticeNoSuchAddress   = "UNDERLAY_ADDRESS_ABSENT"
	NoticeConflict        = "CONFLICT"
	NoticeAlteredBySwitch = "ALTERED_BY_SWITCH"
	NoticeRefused         = "REFUSED_BY_SWITCH"
	NoticeForeignPorts    = "FOREIGN_PORTS"
)

// Resolve joins a union of normalised, valid states with the host's facts.
func Resolve(s HostState, f Facts) Resolved {
	r := Resolved{Hops: map[Hop][]ResolvedPath{}, Vteps: s.Vteps, Blocked: map[Ref]Notice{}, Warnings: map[Ref]Notice{}}
	if f.OVS == nil {
		for _, ref := range s.Refs() {
			r.Blocked[ref] = Notice{Reason: NoticeOVSAbsent, Message: "Open vSwitch does not answer"}
		}
		return r
	}
	r.bridges(s, f)
	r.ports(s, f)
	r.segments(s)
	r.tunnels(s)
	r.underlay(s, f)
	return r
}

func (r *Resolved) bridges(s HostState, f Facts) {
	for _, b := range s.Bridges {
		b.Protocols = slices.Compact(slices.Sorted(slices.Values(b.Protocols))) // a set, as OVSDB has it
		if b.Datapath == DatapathAuto {
			b.Datapath = DatapathNetdev
			if f.OVS.SystemDatapath {
				b.Datapath = DatapathSystem
			}
			if have, ok := f.OVS.Bridges[b.Name]; ok {
				b.Datapath = have.Datapath // auto never moves a bridge
			}
		}
		r.Bridges = append(r.Bridges, b)
	}
}

func (r *Resolved) ports(s HostState, f Facts) {
	byIface := map[string][]OVSPort{}
	for _, name := range slices.Sorted(maps.Keys(f.OVS.Ports)) {
		if id := f.OVS.Ports[name].ExternalIDs[IDIface]; id != "" {
			byIface[id] = append(byIface[id], f.OVS.Ports[name])
		}
	}
	taken := map[string]Ref{}
	for _, p := range s.Ports {
		out := ResolvedPort{Port: p, Device: p.Device}
		if p.IfaceID != "" {
			have, ok := bestFor(p, byIface[p.IfaceID])
			if n := bindNotice(p, have, ok); n.Reason != "" {
				r.Blocked[p.Ref()] = n
				continue
			}
			out.Device, out.Bound, out.Ofport = have.Name, true, have.Ofport
		} else {
			have := f.OVS.Ports[p.Device]
			if _, ok := f.Devices[p.Device]; !ok {
				r.Blocked[p.Ref()] = Notice{Reason: NoticeDeviceAbsent, Message: fmt.Sprintf("the host has no device %q yet", p.Device)}
				continue
			}
			out.Ofport = have.Ofport
		}
		if other, ok := taken[out.Device]; ok {
			r.Blocked[p.Ref()] = Notice{Reason: NoticeConflict, Message: fmt.Sprintf("OVS port %s is %s already", out.Device, other), On: []Ref{other}}
			continue
		}
		taken[out.Device] = p.Ref()
		r.Ports = append(r.Ports, out)
	}
}

// bestFor picks among the OVS ports with one iface-id, as there are two for a
// while when a guest is moved: one that can be bound goes first.
func bestFor(p Port, list []OVSPort) (OVSPort, bool) {
	for _, have := range list {
		if bindNotice(p, have, true).Reason == "" {
			return have, true
		}
	}
	if len(list) == 0 {
		return OVSPort{}, false
	}
	return list[0], true
}

// bindNotice says what keeps a port from being bound by its iface-id.
func bindNotice(p Port, have OVSPort, found bool) Notice {
	switch {
	case !found:
		return Notice{Reason: NoticePortAbsent, Message: fmt.Sprintf("no OVS port has external_ids:iface-id=%q yet", p.IfaceID)}
	case have.Bridge != p.Bridge:
		return Notice{Reason: NoticePortElsewhere, Message: fmt.Sprintf("OVS port %s with this iface-id is on bridge %s: have it made on %s", have.Name, have.Bridge, p.Bridge)}
	case have.Ofport <= 0:
		return Notice{Reason: NoticePortAbsent, Message: fmt.Sprintf("the switch does not carry OVS port %s: %s", have.Name, have.Error)}
	}
	if stated := have.ExternalIDs[IDAttachedMAC]; stated != "" && len(p.MACs) > 0 {
		if m, err := ParseMAC(stated); err != nil || !slices.Contains(p.MACs, m) {
			return Notice{Reason: NoticeMACMismatch, Message: fmt.Sprintf("OVS port %s has attached-mac %s, which macs does not list: correct the one or the other", have.Name, stated)}
		}
	}
	return Notice{}
}

func (r *Resolved) segments(s HostState) {
	peers, vteps, members, users := byName(s.Peers), byName(s.Vteps), MembersOf(&s), usersOf(&s)
	attached := map[string][]string{}
	for _, p := range r.Ports {
		for _, a := range p.Attachments {
			attached[a.Segment] = append(attached[a.Segment], p.Name)
		}
	}
	hop := func(peer string, e Encap) Hop {
		p := peers[peer]
		if p.Encap != 0 {
			e = p.Encap
		}
		h := Hop{peer, e}
		if _, ok := r.Hops[h]; !ok {
			for _, w := range p.Paths {
				r.Hops[h] = append(r.Hops[h], ResolvedPath{vteps[w.Vtep].Addr, w.Remote})
			}
		}
		return h
	}
	encaps := map[string]Encap{}
	for _, g := range s.Segments {
		out := ResolvedSegment{Segment: g, Ports: attached[g.Name]}
		for _, m := range members[g.Name] {
			out.Hops = append(out.Hops, hop(m, g.Encap))
		}
		for _, u := range users[g.Name] {
			out.Encaps = append(out.Encaps, hop(u, g.Encap).Encap)
		}
		slices.Sort(out.Encaps)
		out.Encaps = slices.Compact(out.Encaps)
		encaps[g.Name] = g.Encap
		r.Segments = append(r.Segments, out)
	}
	for _, e := range s.Fdb {
		r.Fdb = append(r.Fdb, ResolvedFdb{e, hop(e.Peer, encaps[e.Segment])})
	}
}

func (r *Resolved) tunnels(s HostState) {
	peers, vteps := byName(s.Peers), byName(s.Vteps)
	datapaths := map[string]Datapath{}
	for _, b := range r.Bridges {
		datapaths[b.Name] = b.Datapath
	}
	for _, t := range s.Tunnels {
		// Only now is the datapath known, if Open vSwitch was away when the
		// document was accepted.
		if beyond := t.beyond(datapaths[t.Bridge]); len(beyond) > 0 {
			r.Blocked[t.Ref()] = Notice{Reason: ReasonUnsupported, Message: strings.TrimPrefix(beyond[0].Error(), ".")}
			continue
		}
		local, remote := t.Ends(vteps, peers)
		r.Tunnels = append(r.Tunnels, ResolvedTunnel{Tunnel: t, LocalAddr: local, RemoteAddr: remote})
	}
}

// underlay warns of VTEPs whose address the datapath cannot use. On the
// userspace datapath the address must sit on a port of a netdev bridge.
func (r *Resolved) underlay(s HostState, f Facts) {
	netdev := slices.ContainsFunc(r.Bridges, func(b Bridge) bool { return b.Datapath == DatapathNetdev })
	for _, v := range s.Vteps {
		var devs []string
		for _, d := range f.Devices {
			if slices.Contains(d.Addrs, v.Addr.String()) {
				devs = append(devs, d.Name)
			}
		}
		inDatapath := func(dev string) bool { return onNetdevBridge(f.OVS, dev) }
		if len(devs) == 0 {
			r.Warnings[v.Ref()] = Notice{Reason: NoticeNoSuchAddress, Message: fmt.Sprintf("no device of this host has the address %s: add it with ip addr add, or correct the VTEP", v.Addr)}
		} else if netdev && !slices.ContainsFunc(devs, inDatapath) {
			r.Warnings[v.Ref()] = Notice{Reason: NoticeNotInDatapath, Message: notInDatapath(v.Addr, slices.Min(devs))}
		}
	}
}

func onNetdevBridge(o *OVSHost, dev string) bool {
	return o.Bridges[o.Ports[dev].Bridge].Datapath == DatapathNetdev &&
		(o.Bridges[dev].Name != "" || o.Ports[dev].Type == "internal")
}

func notInDatapath(a netip.Addr, dev string) string {
	return fmt.Sprintf("the userspace datapath sends nothing from %s while it sits on %s; mend it with: "+
		"ovs-vsctl --may-exist add-br br-phy -- set Bridge br-phy datapath_type=netdev; ovs-vsctl add-port br-phy %s; "+
		"then move the address to br-phy: ip addr flush dev %s; ip addr add %s/PREFIX dev br-phy; ip link set br-phy up",
		a, dev, dev, dev, a)
}
