package model

import (
	"cmp"
	"fmt"
	"slices"
)

// Direction is a way through a port, as its bridge sees it.
type Direction uint8

// Directions.
const (
	DirectionBoth Direction = iota + 1
	DirectionIn
	DirectionOut
)

func (d Direction) String() string {
	switch d {
	case DirectionBoth:
		return "both"
	case DirectionIn:
		return "in"
	case DirectionOut:
		return "out"
	}
	return "unspecified"
}

// Mirror sends copies of frames of a bridge to a device, into a VLAN, or through
// a tunnel to a collector.
type Mirror struct {
	Name      string
	Bridge    string
	All       bool
	Ports     []MirrorPort
	VLANs     []uint32 // of the selected frames, 0-4094, 0 being untagged; none: all
	Device    string   // of the copies, one of these three
	VLAN      uint32
	Collector Opt[Tunnel] // its name, bridge and layer are the mirror's to say
	Snaplen   uint32      // bytes of each copy, 14-65535; 0: all
}

// MirrorPort is a port whose frames are selected: one of the two names.
type MirrorPort struct {
	Port, Tunnel string
	Direction    Direction
}

func (p MirrorPort) ref() Ref {
	if p.Tunnel != "" {
		return Ref{KindTunnel, p.Tunnel}
	}
	return Ref{KindPort, p.Port}
}

// MirrorsMax is the most mirrors that Open vSwitch has on a bridge (MAX_MIRRORS).
const MirrorsMax = 32

// Ref implements Object.
func (m Mirror) Ref() Ref { return Ref{KindMirror, m.Name} }

func normalMirror(m Mirror, overlay string) Mirror {
	m.Bridge = cmp.Or(m.Bridge, overlay)
	m.Ports = mapList(m.Ports, func(p MirrorPort) MirrorPort {
		p.Direction = cmp.Or(p.Direction, DirectionBoth)
		return p
	})
	if m.Collector.Set {
		t := m.Collector.V
		t.Name, t.Bridge, t.Layer, t.OfMirror = m.Name, m.Bridge, LayerL2, true
		m.Collector.V = normalTunnel(t)
	}
	return m
}

// withCollectors has the tunnels of mirrors among its tunnels: on the host they
// are the same, and what is said of them is said of their mirrors.
func (s HostState) withCollectors() HostState {
	s.Tunnels = slices.Clone(s.Tunnels)
	for _, m := range s.Mirrors {
		if m.Collector.Set {
			s.Tunnels = append(s.Tunnels, m.Collector.V)
		}
	}
	return s
}

func (m Mirror) check(c *checker, path string) {
	c.createdName(path+".name", m.Name)
	c.ref(path+".bridge", Ref{KindBridge, m.Bridge})
	if c.onKernel(m.Bridge) {
		c.add(path+".bridge", m.Bridge, ReasonUnimplemented, "is of the kernel, and mirrors are built on Open vSwitch alone so far", "use a bridge of Open vSwitch")
		return
	}
	c.notOnForeign(path, m.Bridge, "use a bridge that greave makes")
	m.checkSelect(c, path+".select")
	at := path + ".output"
	switch {
	case m.Collector.Set:
		m.Collector.V.checkCollector(c, at+".collector")
	case m.Device != "":
		c.deviceName(at+".device", m.Device)
	case m.VLAN > 4094:
		c.outOfRange(at+".vlan", uint64(m.VLAN), 1, 4094)
	case m.VLAN != 0 && c.isOverlay(m.Bridge):
		c.add(at+".vlan", fmt.Sprint(m.VLAN), ReasonUnsupported, "does not apply: the overlay bridge has segments, not VLANs", "use a device or a collector")
	case m.VLAN == 0:
		c.add(at, "", ReasonRequired, "a mirror without output copies nothing", "add output: {device: NAME}, {vlan: NUMBER} or {collector: {remote: {address: ADDRESS}}}")
	}
	if m.Snaplen != 0 && (m.Snaplen < 14 || m.Snaplen > 65535) {
		c.outOfRange(path+".snaplen", uint64(m.Snaplen), 14, 65535)
	}
}

func (m Mirror) checkSelect(c *checker, path string) {
	if m.All && len(m.Ports) > 0 {
		c.add(path+".ports", "", ReasonConflict, "stands beside all, which selects them", "keep one of the two")
	}
	if !m.All && len(m.Ports) == 0 {
		c.add(path, "", ReasonRequired, "a mirror that selects no port copies nothing", "add select: {all: true} or {ports: [{port: NAME}]}")
	}
	seen := map[Ref]bool{}
	for i, p := range m.Ports {
		at := index(path+".ports", i)
		ref := p.ref()
		switch {
		case ref.Name == "":
			c.add(at+".port", "", ReasonRequired, "the name of a port or tunnel is missing", "add port: NAME or tunnel: NAME")
		case p.Tunnel == m.Name && m.Collector.Set:
			c.add(at+".tunnel", p.Tunnel, ReasonConflict, "is where this mirror's own copies go", "name another one")
		case seen[ref]:
			c.add(at, ref.Name, ReasonDuplicate, "is selected before", "keep one of the two; direction: both is both")
		default:
			c.ref(at+"."+ref.Kind.String(), ref)
		}
		seen[ref] = true
	}
	for i, v := range m.VLANs {
		if v > 4094 {
			c.outOfRange(index(path+".vlans", i), uint64(v), 0, 4094)
		} else if slices.Contains(m.VLANs[:i], v) {
			c.add(index(path+".vlans", i), fmt.Sprint(v), ReasonDuplicate, "is stated before", "keep one of the two")
		}
	}
}

// checkCollector checks the tunnel of a mirror.
func (t Tunnel) checkCollector(c *checker, path string) {
	if t.Far != FarFixed {
		c.add(path+".remote."+t.Far.String(), "true", ReasonUnsupported, "does not apply: all copies go to one collector", "state its address")
		return
	}
	t.checkEndpoints(c, path)
	t.checkKeys(c, path)
	t.checkRanges(c, path)
	t.checkEncap(c, path)
	t.checkOVS(c, path)
}

// mirrors refuses mirrors of ports of another bridge, and more of them than a
// bridge has.
func (c *checker) mirrors(s, union *HostState) {
	on, count := map[Ref]string{}, map[string]int{}
	for _, p := range union.Ports {
		on[p.Ref()] = p.Bridge
	}
	for _, t := range union.Tunnels {
		on[t.Ref()] = t.Bridge
	}
	paths := pathsOf(s)
	for _, m := range union.Mirrors {
		path, own := paths[m.Ref()]
		for i, p := range m.Ports {
			at := path + "." + index("select.ports", i)
			if !own {
				at = paths[p.ref()]
			}
			if b, known := on[p.ref()]; known && b != m.Bridge && at != "" {
				c.add(at, p.ref().Name, ReasonConflict, fmt.Sprintf("is not on bridge %s, whose frames %s copies", m.Bridge, m.Ref()), "name a port of that bridge, or another bridge")
			}
		}
		if count[m.Bridge]++; count[m.Bridge] > MirrorsMax && own {
			c.add(path+".bridge", m.Bridge, ReasonOutOfRange, fmt.Sprintf("has %d mirrors already, and Open vSwitch no room for more", MirrorsMax), "leave one out")
		}
	}
}

// ResolvedMirror is a mirror with its ports known by their names on the switch.
type ResolvedMirror struct {
	Mirror
	In, Out []string // selected, in order
	Output  string   // empty: into the VLAN
}

func (r *Resolved) mirrors(s HostState, f Facts) {
	names := map[Ref]string{}
	for _, p := range r.Ports {
		names[p.Ref()] = p.Device
	}
	carried := map[Ref]ResolvedTunnel{}
	for _, t := range r.Tunnels {
		names[t.Ref()] = t.Name
		carried[t.Ref()] = t
	}
	for _, m := range s.Mirrors {
		ref := m.Ref()
		if _, blocked := r.Blocked[ref]; blocked || r.away(ref, f) {
			continue
		}
		out := ResolvedMirror{Mirror: m}
		switch {
		case m.Collector.Set:
			out.Output = m.Name
			if why := m.loops(f, carried[ref]); why != "" {
				r.Blocked[ref] = Notice{Reason: NoticeRecursive, Message: why}
				continue
			}
		case m.Device != "":
			if _, ok := f.Devices[m.Device]; !ok {
				r.Blocked[ref] = Notice{Reason: NoticeDeviceAbsent, Message: fmt.Sprintf("the host has no device %q yet", m.Device)}
				continue
			}
			out.Output = m.Device
		}
		for _, p := range m.Ports {
			name, here := names[p.ref()]
			if !here {
				r.Warnings[ref] = Notice{Reason: NoticeBlockedOn, Message: "waits for " + p.ref().String() + ", and copies the others", On: []Ref{p.ref()}}
				continue
			}
			if p.Direction != DirectionOut {
				out.In = append(out.In, name)
			}
			if p.Direction != DirectionIn {
				out.Out = append(out.Out, name)
			}
		}
		slices.Sort(out.In)
		slices.Sort(out.Out)
		r.Mirrors = append(r.Mirrors, out)
	}
	// A mirror that is not built has no tunnel either.
	r.Tunnels = slices.DeleteFunc(r.Tunnels, func(t ResolvedTunnel) bool {
		_, blocked := r.Blocked[t.Ref()]
		return t.OfMirror && blocked
	})
}

// loops says why a mirror would copy its own copies: they leave by its bridge.
func (m Mirror) loops(f Facts, t ResolvedTunnel) string {
	way, known := f.Ways[WayAsk{Remote: t.RemoteAddr}]
	if !known || way.Device == "" || f.OVS == nil {
		return ""
	}
	if way.Device != m.Bridge && f.OVS.Ports[way.Device].Bridge != m.Bridge {
		return ""
	}
	return fmt.Sprintf("the copies leave by device %s of bridge %s and would be copied again: mirror another bridge, or reach the collector %s by another way", way.Device, m.Bridge, t.RemoteAddr)
}
