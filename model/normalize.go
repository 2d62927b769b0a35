package model

import (
	"cmp"
	"slices"
)

// Normalize fills in what a document leaves out, beside the objects of other
// sources. It keeps the order of lists, so that field paths still fit the
// document. Normalize is idempotent.
func Normalize(s, others HostState) HostState {
	overlay := overlayOf(others.Merge(s))
	s.Bridges = mapList(s.Bridges, normalBridge)
	s.Segments = mapList(s.Segments, func(g Segment) Segment { return normalSegment(g, overlay) })
	s.Ports = mapList(s.Ports, func(p Port) Port {
		if p.Bridge == "" {
			p.Bridge = overlay
		}
		return p
	})
	vtep := onlyVtep(others.Merge(s))
	s.Peers = mapList(s.Peers, func(p Peer) Peer {
		p.Paths = mapList(p.Paths, func(w Path) Path { return normalPath(w, vtep) })
		return p
	})
	s.Tunnels = mapList(s.Tunnels, normalTunnel)
	s.Mirrors = mapList(s.Mirrors, func(m Mirror) Mirror { return normalMirror(m, overlay) })
	s.Samplers = mapList(s.Samplers, func(o Sampler) Sampler { return normalSampler(o, overlay) })
	return s
}

// Union joins normalised states, sorts their lists, and adds the overlay bridge
// when a segment, port, mirror or sampler refers to the default one and none is stated.
func Union(states ...HostState) HostState {
	var u HostState
	for i, s := range states {
		if i == 0 && len(states) == 1 {
			u = s // it has each object once
			continue
		}
		u = u.Merge(s)
	}
	onDefault := slices.ContainsFunc(u.Segments, func(g Segment) bool { return g.Bridge == DefaultOverlayBridge }) ||
		slices.ContainsFunc(u.Ports, func(p Port) bool { return p.Bridge == DefaultOverlayBridge }) ||
		slices.ContainsFunc(u.Mirrors, func(m Mirror) bool { return m.Bridge == DefaultOverlayBridge }) ||
		slices.ContainsFunc(u.Samplers, func(o Sampler) bool { return o.Bridge == DefaultOverlayBridge })
	if onDefault && !slices.ContainsFunc(u.Bridges, func(b Bridge) bool { return b.Name == DefaultOverlayBridge }) {
		u.Bridges = append(u.Bridges, normalBridge(Bridge{Name: DefaultOverlayBridge, Forwarding: ForwardOverlay, Implied: true}))
	}
	u.Bridges, u.Vteps, u.Peers = sorted(u.Bridges), sorted(u.Vteps), sorted(u.Peers)
	u.Segments, u.Ports = sorted(u.Segments), sorted(u.Ports)
	u.Fdb, u.Tunnels, u.Mirrors = sorted(u.Fdb), sorted(u.Tunnels), sorted(u.Mirrors)
	u.Samplers = sorted(u.Samplers)
	return u
}

func overlayOf(s HostState) string {
	for _, b := range s.Bridges {
		if b.Forwarding == ForwardOverlay {
			return b.Name
		}
	}
	return DefaultOverlayBridge
}

// onlyVtep is the name of the one VTEP there is, or empty.
func onlyVtep(s HostState) string {
	if len(s.Vteps) == 1 {
		return s.Vteps[0].Name
	}
	return ""
}

func normalBridge(b Bridge) Bridge {
	if b.Backend == 0 {
		b.Backend = BackendAuto
	}
	if b.Foreign { // what it is otherwise is its owner's to say
		return b
	}
	if b.Datapath == 0 {
		b.Datapath = DatapathAuto
	}
	if b.Forwarding == 0 {
		b.Forwarding = ForwardNormal
		if b.Name == DefaultOverlayBridge {
			b.Forwarding = ForwardOverlay
		}
	}
	if b.FailMode == 0 && b.Backend != BackendKernel { // a Linux bridge has none
		b.FailMode = FailStandalone
		if b.Forwarding == ForwardOverlay {
			b.FailMode = FailSecure
		}
	}
	return b
}

func normalSegment(g Segment, overlay string) Segment {
	if g.Bridge == "" {
		g.Bridge = overlay
	}
	if g.Encap == 0 {
		g.Encap = EncapGRE
	}
	if g.Replication.Mode == 0 {
		g.Replication.Mode = ReplicationHeadEnd
	}
	if g.Unknown == 0 {
		g.Unknown = UnknownFlood
	}
	return g
}

func normalTunnel(t Tunnel) Tunnel {
	if t.Encap == 0 {
		t.Encap = EncapGRE
	}
	if t.Backend == 0 {
		t.Backend = BackendAuto
	}
	if t.Layer == 0 {
		t.Layer = LayerL3
		if t.Bridge != "" || t.Segment != "" {
			t.Layer = LayerL2
		}
	}
	t.DstPort = cmp.Or(t.DstPort, t.Encap.UDPPort())
	if t.Encap != EncapGRE && !t.KeyIn.Set {
		t.KeyIn = t.KeyOut
	}
	if t.Encap == EncapERSPAN {
		t.ERSPAN.Version = cmp.Or(t.ERSPAN.Version, 1)
	}
	return t
}

func mapList[T any](list []T, f func(T) T) []T {
	if list == nil {
		return nil
	}
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}
