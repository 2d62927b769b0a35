package model

import (
	"cmp"
	"slices"
)

// HostState is what one host should have, as one source states it. Lists are
// keyed by name; references are by name.
type HostState struct {
	Host       string // the host it is meant for; empty: any
	AllowEmpty bool   // a state without objects is meant
	// AllowMassRemoval: much of what was stated before may go at once.
	AllowMassRemoval bool
	Vteps            []Vtep
	Peers            []Peer
	Segments         []Segment
	Bridges          []Bridge
	Ports            []Port
	Fdb              []FdbEntry
	Tunnels          []Tunnel
	Mirrors          []Mirror
	Samplers         []Sampler
}

// Object is one member of a HostState's lists.
type Object interface {
	Ref() Ref
}

// Each calls f for every object with its field path ("tunnels[2]"), in the
// order of the document.
func (s *HostState) Each(f func(path string, o Object)) {
	s.walk(func(field string, i int, o Object) { f(index(field, i), o) })
}

// Objects calls f for every object, in the order of the document.
func (s *HostState) Objects(f func(Object)) {
	s.walk(func(_ string, _ int, o Object) { f(o) })
}

// walk knows all lists. It makes no path: with 100,000 objects that shows.
func (s *HostState) walk(f func(field string, i int, o Object)) {
	walk(s.Bridges, "bridges", f)
	walk(s.Vteps, "vteps", f)
	walk(s.Peers, "peers", f)
	walk(s.Segments, "segments", f)
	walk(s.Ports, "ports", f)
	walk(s.Fdb, "fdb", f)
	walk(s.Tunnels, "tunnels", f)
	walk(s.Mirrors, "mirrors", f)
	walk(s.Samplers, "samplers", f)
}

func walk[T Object](list []T, field string, f func(string, int, Object)) {
	for i, o := range list {
		f(field, i, o)
	}
}

// Refs lists the references of all objects in the order of the document.
func (s *HostState) Refs() []Ref {
	var refs []Ref
	s.Objects(func(o Object) { refs = append(refs, o.Ref()) })
	return refs
}

// Empty tells whether the state names no object.
func (s *HostState) Empty() bool { return len(s.Refs()) == 0 }

// Merge returns s with the objects of o added or put in place of those with
// the same reference.
func (s HostState) Merge(o HostState) HostState {
	s.Vteps = mergeList(s.Vteps, o.Vteps)
	s.Peers = mergeList(s.Peers, o.Peers)
	s.Segments = mergeList(s.Segments, o.Segments)
	s.Bridges = mergeList(s.Bridges, o.Bridges)
	s.Ports = mergeList(s.Ports, o.Ports)
	s.Fdb = mergeList(s.Fdb, o.Fdb)
	s.Tunnels = mergeList(s.Tunnels, o.Tunnels)
	s.Mirrors = mergeList(s.Mirrors, o.Mirrors)
	s.Samplers = mergeList(s.Samplers, o.Samplers)
	return s
}

func mergeList[T Object](old, add []T) []T {
	at := make(map[Ref]int, len(old)+len(add))
	out := slices.Clone(old)
	for i, o := range out {
		at[o.Ref()] = i
	}
	for _, o := range add {
		ref := o.Ref()
		if i, ok := at[ref]; ok {
			out[i] = o
			continue
		}
		at[ref] = len(out)
		out = append(out, o)
	}
	return out
}

// sorted returns a copy of list in the order of references.
func sorted[T Object](list []T) []T {
	type place struct {
		ref Ref // made once: that of an FDB entry is a string of its own
		at  int
	}
	places := make([]place, len(list))
	for i, o := range list {
		places[i] = place{o.Ref(), i}
	}
	slices.SortFunc(places, func(a, b place) int { return a.ref.Compare(b.ref) })
	if list == nil {
		return nil
	}
	out := make([]T, len(list))
	for i, p := range places {
		out[i] = list[p.at]
	}
	return out
}

func sortedBy[T any, K cmp.Ordered](list []T, key func(T) K) []T {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	return out
}
