package model

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
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
	Tier          int    // 0 is that of the paths which go first, 1 takes over when none of them is up, and so on
	Weight        uint16 // share of the flows of its tier
}

// ResolvedSegment is a segment with its members and local ports known.
type ResolvedSegment struct {
	Segment
	Hops   []Hop    // to the members, in order of peer
	Users  []Hop    // to all that exchange its packets, in order of peer
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
	Device string // the OVS port's name on the host; of a patch that of its near end
	Bound  bool   // somebody else made it: greave writes no more than marks
	Ofport int    // as observed; 0: not there yet
	Staged bool   // in place for a guest that is not here yet: no frame passes
}

// ResolvedTunnel is a tunnel with both ends known.
type ResolvedTunnel struct {
	Tunnel
	LocalAddr, RemoteAddr netip.Addr
	UnderVRF, UnderNetns  string // of its VTEP
	UnderlayMTU           int    // 0: not known
	Loops                 bool   // the way to its far end leads through itself
	Receiver              string // device that gets the packets of an L3 tunnel of Open vSwitch …
	ReceiverMAC           MAC    // … and its address
}

// Resolved is the desired state with the host's facts filled in. What lacks a
// fact is not in the lists but in Blocked.
type Resolved struct {
	Bridges  []Bridge // backend is decided; datapath of an OVS bridge is system or netdev
	Foreign  []Bridge // somebody else's that are there
	Hops     map[Hop][]ResolvedPath
	Segments []ResolvedSegment
	Ports    []ResolvedPort
	Fdb      []ResolvedFdb
	Tunnels  []ResolvedTunnel // those of mirrors among them
	Mirrors  []ResolvedMirror
	Samplers []Sampler
	Vteps    []Vtep
	Blocked  map[Ref]Notice
	Warnings map[Ref]Notice     // built all the same, but something is wrong
	On       map[Ref]Backend    // which backend builds each object
	Why      map[Ref]string     // and the reason
	Underlay map[netip.Addr]int // MTU of the device with each local endpoint
	Tables   map[string]uint32  // routing table of each VRF device
	Orphans  map[string]string  // OVS ports of guests whose devices are gone: the iface-id of each
	OVSUp    bool               // Open vSwitch answers
	OVSAway  string             // why it does not
	OVSHere  bool               // the host has Open vSwitch
}

// For returns what one backend is to build.
func (r Resolved) For(b Backend) Resolved {
	out := r
	out.Bridges = keep(r.Bridges, func(o Bridge) bool { return r.On[o.Ref()] == b })
	out.Foreign = keep(r.Foreign, func(o Bridge) bool { return r.On[o.Ref()] == b })
	out.Segments = keep(r.Segments, func(o ResolvedSegment) bool { return r.On[o.Ref()] == b })
	out.Ports = keep(r.Ports, func(o ResolvedPort) bool { return r.On[o.Ref()] == b })
	out.Fdb = keep(r.Fdb, func(o ResolvedFdb) bool { return r.On[o.Ref()] == b })
	out.Tunnels = keep(r.Tunnels, func(o ResolvedTunnel) bool { return r.On[o.Ref()] == b })
	out.Mirrors = keep(r.Mirrors, func(o ResolvedMirror) bool { return r.On[o.Ref()] == b })
	out.Samplers = keep(r.Samplers, func(o Sampler) bool { return r.On[o.Ref()] == b })
	out.Hops = map[Hop][]ResolvedPath{}
	use := func(h Hop) {
		if paths, ok := r.Hops[h]; ok {
			out.Hops[h] = paths
		}
	}
	for _, s := range out.Segments {
		for _, h := range s.Users {
			use(h)
		}
	}
	for _, e := range out.Fdb {
		use(e.Hop)
	}
	out.Blocked = map[Ref]Notice{}
	for ref, n := range r.Blocked {
		// What waits for Open vSwitch stays as the kernel has it.
		if r.On[ref] == b || b == BackendKernel && n.Reason == NoticeOVSAbsent {
			out.Blocked[ref] = n
		}
	}
	return out
}

func keep[T any](list []T, yes func(T) bool) []T {
	var out []T
	for _, v := range list {
		if yes(v) {
			out = append(out, v)
		}
	}
	return out
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
	NoticeBridgeAbsent    = "BRIDGE_ABSENT"
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
	NoticeKernelRefused   = "REFUSED_BY_KERNEL"
	NoticeDriverMissing   = "DRIVER_MISSING"
	NoticeNoPermission    = "NO_PERMISSION"
	NoticeMoving          = "MOVING"
	NoticeNoRoute         = "NO_ROUTE_TO_PEER"
	NoticeNoAddress       = "NO_LOCAL_ADDRESS"
	NoticeRecursive       = "RECURSIVE_ROUTING"
)

// Refused tells whether a reason says that the host would not take an object: it
// is tried again.
func Refused(reason string) bool {
	switch reason {
	case NoticeRefused, NoticeKernelRefused, NoticeDriverMissing, NoticeNoPermission:
		return true
	}
	return false
}

// Resolve joins a union of normalised, valid states with the host's facts.
func Resolve(s HostState, f Facts) Resolved {
	r := Resolved{
		Hops: map[Hop][]ResolvedPath{}, Vteps: s.Vteps, Blocked: map[Ref]Notice{}, Warnings: map[Ref]Notice{},
		On: map[Ref]Backend{}, Why: map[Ref]string{}, Underlay: map[netip.Addr]int{}, Tables: map[string]uint32{},
		OVSUp: f.OVS != nil, OVSAway: f.OVSAway, OVSHere: f.OVSHere || f.OVS != nil,
	}
	for _, d := range f.Devices {
		for _, a := range d.Addrs {
			if addr, err := netip.ParseAddr(a); err == nil {
				r.Underlay[addr] = d.MTU
			}
		}
		if d.Table != 0 {
			r.Tables[d.Name] = uint32(d.Table)
		}
	}
	s = s.withCollectors()
	r.place(s, f)
	datapaths := r.bridges(s, f)
	r.Orphans = orphans(f)
	r.ports(s, f, datapaths)
	r.segments(s, f)
	r.mtuOfSegments()
	r.tunnels(s, f)
	r.stolen(f)
	r.mirrors(s, f)
	r.samplers(s, f)
	r.underlay(s, f)
	return r
}

// away blocks an object whose backend cannot be reached.
func (r *Resolved) away(ref Ref, f Facts) bool {
	if r.On[ref] != BackendOVS || f.OVS != nil {
		return false
	}
	message := f.OVSAway
	if message == "" {
		message = "Open vSwitch does not answer"
	}
	r.Blocked[ref] = Notice{Reason: NoticeOVSAbsent, Message: message}
	return true
}

func (r *Resolved) bridges(s HostState, f Facts) map[string]Datapath {
	datapaths := r.datapaths(s, f)
	for _, b := range s.Bridges {
		b.Backend = r.On[b.Ref()]
		b.Protocols = slices.Compact(slices.Sorted(slices.Values(b.Protocols))) // a set, as OVSDB has it
		if r.away(b.Ref(), f) {
			continue
		}
		if b.Foreign {
			r.foreign(b, f)
			continue
		}
		if b.Datapath == DatapathAuto && b.Backend == BackendOVS {
			b.Datapath = datapaths[b.Name]
		}
		r.Bridges = append(r.Bridges, b)
	}
	return datapaths
}

func (r *Resolved) ports(s HostState, f Facts, datapaths map[string]Datapath) {
	byIface, ovsPorts := map[string][]OVSPort{}, map[string]OVSPort{}
	if f.OVS != nil {
		ovsPorts = f.OVS.Ports
	}
	for _, name := range slices.Sorted(maps.Keys(ovsPorts)) {
		if id := ovsPorts[name].ExternalIDs[IDIface]; id != "" {
			byIface[id] = append(byIface[id], ovsPorts[name])
		}
	}
	taken := map[string]Ref{}
	for _, p := range s.Ports {
		if r.away(p.Ref(), f) {
			continue
		}
		out := ResolvedPort{Port: p, Device: p.Device}
		switch {
		case p.Created():
			if n := r.joinNotice(p, datapaths); n.Reason != "" {
				r.Blocked[p.Ref()] = n
				continue
			}
			out.Device, out.Ofport = p.Name, ovsPorts[p.Name].Ofport
		case p.IfaceID != "":
			have, ok := bestFor(p, byIface[p.IfaceID])
			if n := bindNotice(p, have, ok); n.Reason != "" {
				r.Blocked[p.Ref()] = n
				continue
			}
			if _, gone := r.Orphans[have.Name]; gone {
				r.Blocked[p.Ref()] = Notice{Reason: NoticeDeviceAbsent, Message: fmt.Sprintf("OVS port %s is there, but its device is gone", have.Name)}
				continue
			}
			out.Device, out.Bound, out.Ofport = have.Name, true, have.Ofport
		default:
			have := ovsPorts[p.Device]
			if r.On[p.Ref()] == BackendKernel && have.Name != "" {
				r.Blocked[p.Ref()] = inOVS(have)
				continue
			}
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
		out.Staged = p.Activation != 0 && !ovsPorts[out.Device].Activated(f.Owner)
		r.Ports = append(r.Ports, out)
	}
}

// inOVS says why a device cannot be the kernel's port while it is one of Open
// vSwitch: greave's own goes in the same pass, somebody else's is left to them.
func inOVS(have OVSPort) Notice {
	if have.ExternalIDs[MarkOwner] != "" {
		return Notice{Reason: NoticeMoving, Message: fmt.Sprintf("device %s leaves OVS bridge %s first", have.Name, have.Bridge)}
	}
	return Notice{Reason: NoticeConflict, Message: fmt.Sprintf("device %s is a port of OVS bridge %s: take it out with ovs-vsctl del-port %s", have.Name, have.Bridge, have.Name)}
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
