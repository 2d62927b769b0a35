package reconcile

import (
	"maps"
	"slices"

	"github.com/greave-sdn/greave/model"
)

// states is what each source states.
type states map[string]model.HostState

// others is what all sources but one state.
func (s states) others(but string) model.Others {
	out := model.Others(maps.Clone(s))
	delete(out, but)
	return out
}

// normal normalises each state beside the others.
func (s states) normal() states {
	out := make(states, len(s))
	for name, one := range s {
		out[name] = model.Normalize(one, s.others(name).Merge())
	}
	return out
}

// with returns s with one state put in.
func (s states) with(name string, one model.HostState) states {
	out := maps.Clone(s)
	out[name] = one
	return out
}

// desired is what the host should have.
type desired struct {
	union   model.HostState
	objects map[model.Ref]model.Object
	source  map[model.Ref]string
}

func (s states) desired() desired {
	normal := s.normal()
	d := desired{objects: map[model.Ref]model.Object{}, source: map[model.Ref]string{}}
	var list []model.HostState
	for _, name := range slices.Sorted(maps.Keys(normal)) {
		one := normal[name]
		list = append(list, one)
		for _, ref := range one.Refs() {
			d.source[ref] = name
		}
	}
	d.union = model.Union(list...)
	d.union.Objects(func(o model.Object) { d.objects[o.Ref()] = o })
	return d
}

// inForce is the desired of one acceptance.
type inForce struct {
	gen uint64
	desired
}

// desired is what all sources together want. It is worked out once for each
// acceptance, gen: with 100,000 objects that takes longer than the rest of a pass.
func (l *Loop) desired(gen uint64, all states) desired {
	if f := l.inForce.Load(); f != nil && f.gen == gen {
		return f.desired
	}
	d := all.desired()
	l.inForce.Store(&inForce{gen, d})
	return d
}

// dependsOn lists the objects that o names. Kinds come after those that they
// depend on, in order of their numbers.
func dependsOn(o model.Object) []model.Ref {
	switch o := o.(type) {
	case model.Peer:
		return peerDeps(o)
	case model.Segment:
		return segmentDeps(o)
	case model.Port:
		return portDeps(o)
	case model.FdbEntry:
		return []model.Ref{{Kind: model.KindSegment, Name: o.Segment}, {Kind: model.KindPeer, Name: o.Peer}}
	case model.Tunnel:
		return tunnelDeps(o)
	case model.Sampler:
		return tunnelDeps(model.Tunnel{Bridge: o.Bridge})
	case model.Mirror:
		return tunnelDeps(model.Tunnel{Bridge: o.Bridge, Vtep: o.Collector.V.Vtep, Peer: o.Collector.V.Peer})
	}
	return nil
}

func peerDeps(p model.Peer) []model.Ref {
	var out []model.Ref
	for _, w := range p.Paths {
		if v := (model.Ref{Kind: model.KindVtep, Name: w.Vtep}); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func segmentDeps(g model.Segment) []model.Ref {
	out := []model.Ref{{Kind: model.KindBridge, Name: g.Bridge}}
	for _, m := range g.Members {
		out = append(out, model.Ref{Kind: model.KindPeer, Name: m})
	}
	return out
}

func portDeps(p model.Port) []model.Ref {
	out := []model.Ref{{Kind: model.KindBridge, Name: p.Bridge}}
	if p.Patch.Bridge != "" {
		out = append(out, model.Ref{Kind: model.KindBridge, Name: p.Patch.Bridge})
	}
	for _, a := range p.Attachments {
		out = append(out, model.Ref{Kind: model.KindSegment, Name: a.Segment})
	}
	return out
}

func tunnelDeps(t model.Tunnel) []model.Ref {
	var out []model.Ref
	if t.Bridge != "" {
		out = append(out, model.Ref{Kind: model.KindBridge, Name: t.Bridge})
	}
	if t.Segment != "" {
		out = append(out, model.Ref{Kind: model.KindSegment, Name: t.Segment})
	}
	if t.Vtep != "" {
		out = append(out, model.Ref{Kind: model.KindVtep, Name: t.Vtep})
	}
	if t.Peer != "" {
		out = append(out, model.Ref{Kind: model.KindPeer, Name: t.Peer})
	}
	return out
}
