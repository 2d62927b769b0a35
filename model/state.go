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
}

// Object is one member of a HostState's lists.
type Object interface {
	Ref() Ref
}

// Each calls f for every object with its field path ("tunnels[2]"), in the
// order of the document.
func (s *HostState) Each(f func(path string, o Object)) {
	each(s.Bridges, "bridges", f)
	each(s.Vteps, "vteps", f)
	each(s.Peers, "peers", f)
	each(s.Segments, "segments", f)
	each(s.Ports, "ports", f)
	each(s.Fdb, "fdb", f)
	each(s.Tunnels, "tunnels", f)
}

func each[T Object](list []T, field string, f func(string, Object)) {
	for i, o := range list {
		f(index(field, i), o)
	}
}

// Refs lists the references of all objects in the order of the document.
func (s *HostState) Refs() []Ref {
	var refs []Ref
	s.Each(func(_ string, o Object) { refs = append(refs, o.Ref()) })
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
	return s
}

func mergeList[T Object](old, add []T) []T {
	at := make(map[Ref]int, len(old)+len(add))
	out := slices.Clone(old)
	for i, o := range out {
		at[o.Ref()] = i
	}
	for _, o := range add {
		if i, ok := at[o.Ref()]; ok {
			out[i] = o
			continue
		}
		at[o.Ref()] = len(out)
		out = append(out, o)
	}
	return out
}

// sorted returns a copy of list in the order of references.
func sorted[T Object](list []T) []T {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b T) int { return a.Ref().Compare(b.Ref()) })
	return out
}

func sortedBy[T any, K cmp.Ordered](list []T, key func(T) K) []T {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	return out
}
