package openflow

import (
	"errors"
	"slices"
	"strings"
)

// ParseGroup reads one line of dump-groups (OpenFlow 1.3-1.5, --no-names). A
// group that greave could not have written has its id and text only; the error
// is for a line that is no group. Below OpenFlow 1.5 a bucket is printed without
// its id: then its position stands for it, and NoIDs is set.
func ParseGroup(line string) (SeenGroup, error) {
	s := SeenGroup{Text: strings.Clone(strings.TrimSpace(line))}
	head, rest, more := strings.Cut(s.Text, ",bucket=")
	id, kind, _ := strings.Cut(head, ",")
	num, ok := strings.CutPrefix(id, "group_id=")
	v, isNum := number(num, 32)
	if !ok || !isNum {
		return SeenGroup{}, errors.New("parse group: no group id")
	}
	s.ID = GroupID(v)
	g := Group{ID: s.ID}
	kind, g.ByFlow = strings.CutSuffix(kind, byFlow)
	name, ok := strings.CutPrefix(kind, "type=")
	if t := slices.Index(groupTypeNames[:], name); ok && t > 0 {
		g.Type = GroupType(t)
	}
	for more {
		var text string
		text, rest, more = strings.Cut(rest, ",bucket=")
		s.NoIDs = s.NoIDs || !strings.HasPrefix(text, "bucket_id:")
		b, ok := parseBucket(text, len(g.Buckets), g.Type)
		if !ok {
			return s, nil
		}
		g.Buckets = append(g.Buckets, b)
	}
	if g.Check() == nil {
		s.Group, s.Parsed = g, true
	}
	return s, nil
}

func parseBucket(text string, position int, t GroupType) (Bucket, bool) {
	b := Bucket{ID: uint32(position)}
	if t == GroupSelect {
		b.Weight = 1 // the one that is not printed
	}
	head, actions, ok := strings.Cut(text, "actions=")
	if !ok {
		return b, false
	}
	for tok := range strings.SplitSeq(strings.TrimRight(head, ","), ",") {
		key, val, _ := strings.Cut(tok, ":")
		var v uint64
		ok := true
		switch key {
		case "":
		case "bucket_id":
			v, ok = number(val, 32)
			b.ID = uint32(v)
		case "weight":
			v, ok = number(val, 16)
			b.Weight = uint16(v)
		case "watch_port":
			v, ok = number(val, 32)
			b.Watch = Port(v)
		case "watch_group":
			v, ok = number(val, 32)
			b.WatchGroup = GroupID(v)
		default:
			return b, false
		}
		if !ok {
			return b, false
		}
	}
	return b, b.parseActions(parseActions(actions))
}

// parseActions splits the list into what is set and where it goes then.
func (b *Bucket) parseActions(as []Action) bool {
	for i, a := range as {
		if i == len(as)-1 {
			b.Then = a
			return true
		}
		s, ok := a.(SetField)
		if !ok {
			return false
		}
		b.Sets = append(b.Sets, s)
	}
	return false
}
