package reconcile

import (
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// The value of an object is all that its rows follow from. What the kernel has for it follows from
// other objects too: a peer's devices from the segments that it is in, a port's VLANs from whether
// its bridge tells VLANs apart. Values hold of those what the rows use and no more: else an object
// would count as asked for anew with each change of another, and no repair of it be told.

// bridgeValue: the shared tunnel ports of an OVS bridge come with the encapsulations and address families in use.
type bridgeValue struct {
	model.Bridge
	carriers []openflow.Carrier
	tagged   bool
}

type portValue struct {
	model.ResolvedPort
	tagged   bool
	segments []*segmentPart // that it is attached to
}

type tunnelValue struct {
	model.ResolvedTunnel
	tagged  bool
	table   uint32
	segment *segmentPart
}

// mirrorValue has the tunnel to the collector, where there is one.
type mirrorValue struct {
	model.ResolvedMirror
	tunnel model.ResolvedTunnel
}

// segmentValue is that of a segment in the kernel.
type segmentValue struct {
	model.Segment
	part *segmentPart
}

type peerValue struct {
	model.Peer
	in []membership
}

type fdbValue struct {
	model.ResolvedFdb
	in membership
}

// membership is a way into a segment.
type membership struct {
	hop     model.Hop
	way     way
	member  bool // gets the segment's broadcasts
	segment *segmentPart
}

// way is the underlay path of a hop. An invalid one is not known.
type way struct {
	model.ResolvedPath
	mtu int // of the underlay, bytes; 0: not known
}

// segmentPart is what of a segment in the kernel shows in the rows of others. Its VXLAN device is
// that of all members, and goes by the way of the first.
type segmentPart struct {
	model.Segment // without members, of whom there may be 10,000
	vxlan         way
}

// valuesOf is what the rows of each object follow from.
func valuesOf(d desired, r model.Resolved) map[model.Ref]any {
	out := make(map[model.Ref]any, len(d.objects))
	for ref, o := range d.objects {
		out[ref] = o
	}
	v := valuer{r: r, tagged: taggedBridges(r), segments: map[string]*segmentPart{}}
	v.overlay(out)
	var carriers []openflow.Carrier
	if len(r.Bridges) > 0 {
		carriers = openflow.Carriers(r)
	}
	for _, b := range r.Bridges {
		out[b.Ref()] = bridgeValue{b, carriers, v.tagged[b.Name]}
	}
	for _, p := range r.Ports {
		out[p.Ref()] = v.port(p)
	}
	for _, m := range r.Mirrors {
		out[m.Ref()] = mirrorValue{ResolvedMirror: m}
	}
	for _, t := range r.Tunnels {
		if m, ok := out[t.Ref()].(mirrorValue); ok {
			m.tunnel = t
			out[t.Ref()] = m
			continue
		}
		out[t.Ref()] = tunnelValue{t, v.tagged[t.Bridge], r.Tables[t.VRF], v.segments[t.Segment]}
	}
	return out
}

type valuer struct {
	r        model.Resolved
	tagged   map[string]bool         // kernel bridges that tell VLANs apart
	segments map[string]*segmentPart // of the kernel, by name
}

// taggedBridges are the kernel's of which a port has a VLAN of its own.
func taggedBridges(r model.Resolved) map[string]bool {
	out := map[string]bool{}
	for _, p := range r.Ports {
		if p.VLAN.Tag != 0 && r.On[p.Ref()] == model.BackendKernel {
			out[p.Bridge] = true
		}
	}
	for _, t := range r.Tunnels {
		if t.VLAN.Tag != 0 && r.On[t.Ref()] == model.BackendKernel {
			out[t.Bridge] = true
		}
	}
	return out
}

func (v *valuer) way(h model.Hop) way {
	paths := v.r.Hops[h]
	if len(paths) == 0 {
		return way{}
	}
	return way{paths[0], v.r.Underlay[paths[0].Local]}
}

// overlay enters the segments of the kernel, and what is in them.
func (v *valuer) overlay(out map[model.Ref]any) {
	for _, s := range v.r.Segments {
		if v.r.On[s.Ref()] == model.BackendKernel {
			v.segment(out, s)
		}
	}
	for _, e := range v.r.Fdb {
		if seg := v.segments[e.Segment]; seg != nil {
			out[e.Ref()] = fdbValue{e, membership{hop: e.Hop, way: v.way(e.Hop), segment: seg}}
		}
	}
}

func (v *valuer) segment(out map[model.Ref]any, s model.ResolvedSegment) {
	part := &segmentPart{Segment: s.Segment}
	part.Members = nil
	v.segments[s.Name] = part
	members := make(map[model.Hop]bool, len(s.Hops))
	for _, h := range s.Hops {
		members[h] = true
	}
	for _, h := range s.Users {
		w := v.way(h)
		if h.Encap == model.EncapVXLAN && !part.vxlan.Remote.IsValid() {
			part.vxlan = w
		}
		ref := model.Ref{Kind: model.KindPeer, Name: h.Peer}
		m := membership{h, w, members[h], part}
		switch p := out[ref].(type) {
		case model.Peer:
			out[ref] = peerValue{p, []membership{m}}
		case peerValue:
			out[ref] = peerValue{p.Peer, append(p.in, m)}
		}
	}
	out[s.Ref()] = segmentValue{s.Segment, part}
}

func (v *valuer) port(p model.ResolvedPort) portValue {
	p.Ofport = 0 // the host's to choose
	out := portValue{ResolvedPort: p, tagged: v.tagged[p.Bridge]}
	for _, a := range p.Attachments {
		out.segments = append(out.segments, v.segments[a.Segment])
	}
	return out
}
