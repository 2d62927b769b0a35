package model

import (
	"cmp"
	"fmt"
	"strings"
)

// Kind is the kind of an object of a HostState. Its number is part of flow
// cookies: never renumber.
type Kind uint8

// Kinds of objects.
const (
	KindBridge  Kind = 1
	KindVtep    Kind = 2
	KindPeer    Kind = 3
	KindSegment Kind = 4
	KindPort    Kind = 5
	KindFdb     Kind = 6
	KindTunnel  Kind = 7
	KindMirror  Kind = 8
	KindSampler Kind = 9
)

var kindNames = map[Kind]string{
	KindBridge: "bridge", KindVtep: "vtep", KindPeer: "peer", KindSegment: "segment",
	KindPort: "port", KindFdb: "fdb", KindTunnel: "tunnel", KindMirror: "mirror", KindSampler: "sampler",
}

func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// ParseKind reads a kind as people write it: singular or plural, any case.
func ParseKind(s string) (Kind, bool) {
	s = strings.ToLower(s)
	for k, n := range kindNames {
		if s == n || s == n+"s" {
			return k, true
		}
	}
	return 0, false
}

// Kinds lists all kinds in order.
func Kinds() []Kind {
	return []Kind{KindBridge, KindVtep, KindPeer, KindSegment, KindPort, KindFdb, KindTunnel, KindMirror, KindSampler}
}

// Ref names one object of the desired state. The name of an FDB entry is
// "segment/mac".
type Ref struct {
	Kind Kind
	Name string
}

func (r Ref) String() string { return r.Kind.String() + " " + r.Name }

// Compare orders references by kind, then name.
func (r Ref) Compare(o Ref) int {
	if r.Kind != o.Kind {
		return cmp.Compare(r.Kind, o.Kind)
	}
	return strings.Compare(r.Name, o.Name)
}

// ParseRef reads "kind name" or "kind/name", the form that owner marks carry.
func ParseRef(s string) (Ref, bool) {
	i := strings.IndexAny(s, "/ ") // the name of an FDB entry has a slash of its own
	if i < 0 {
		return Ref{}, false
	}
	k, known := ParseKind(s[:i])
	return Ref{k, s[i+1:]}, known && i+1 < len(s)
}

// Mark is the form of the reference in owner marks: "kind/name".
func (r Ref) Mark() string { return r.Kind.String() + "/" + r.Name }
