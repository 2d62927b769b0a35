package openflow

import (
	"slices"

	"github.com/greave-sdn/greave/model"
)

// Conflict is a foreign flow where greave wants one of its own.
type Conflict struct {
	Flow    Flow
	Foreign Seen
}

// Diff is the change that turns the image of a bridge into the program. Flows
// without the owner's tag and groups outside greave's range are foreign: never
// removed, never overwritten. A program of nil removes all that is ours.
func Diff(want *Program, have Image, owner model.Owner) (Change, []Conflict) {
	if want == nil {
		want = &Program{}
	}
	var ch Change
	var conflicts []Conflict
	at := make(map[Key]int, len(have.Flows))
	for i, f := range have.Flows {
		if f.Parsed {
			at[f.Key] = i
		}
	}
	wanted := make(map[Key]bool, len(want.Flows))
	for _, f := range want.Flows {
		wanted[f.Key] = true
		i, exists := at[f.Key]
		switch {
		case exists && !ours(have.Flows[i].Cookie, owner):
			conflicts = append(conflicts, Conflict{f, have.Flows[i]})
		case exists && have.Flows[i].Cookie == f.Cookie && slices.Equal(have.Flows[i].Actions, f.Actions):
		default:
			ch.Add = append(ch.Add, f)
		}
	}
	var gone []Seen
	for _, f := range have.Flows {
		if ours(f.Cookie, owner) && f.Cookie.Kind() != KindLearned && (!f.Parsed || !wanted[f.Key]) {
			gone = append(gone, f)
			r := Removal{Key: f.Key, Cookie: f.Cookie}
			if !f.Parsed {
				r.MatchText = f.MatchText
			}
			ch.Remove = append(ch.Remove, r)
		}
	}
	ch.Forget = forget(want, have, gone, owner)
	ch.SetGroups, ch.DropGroups = diffGroups(want.Groups, have.Groups)
	return ch, conflicts
}

func ours(c Cookie, owner model.Owner) bool { return c.Owner() == owner.Tag }

func diffGroups(want []Group, have []SeenGroup) (set []Group, drop []GroupID) {
	at := make(map[GroupID]int, len(have))
	for i, g := range have {
		at[g.ID] = i
	}
	wanted := make(map[GroupID]bool, len(want))
	for _, g := range want {
		wanted[g.ID] = true
		if i, ok := at[g.ID]; !ok || !have[i].Parsed || !equalGroups(have[i].Group, g, !have[i].NoIDs) {
			set = append(set, g)
		}
	}
	sortGroups(set)
	var gone []Group
	for _, g := range have {
		if g.ID >= GroupMin && g.ID <= GroupMax && !wanted[g.ID] {
			gone = append(gone, g.Group)
		}
	}
	sortGroups(gone)
	for _, g := range slices.Backward(gone) {
		drop = append(drop, g.ID)
	}
	return set, drop
}

// equalGroups compares the ids of buckets where they are known; buckets keep the
// order in which they were written.
func equalGroups(a, b Group, ids bool) bool {
	return a.ID == b.ID && a.Type == b.Type && a.ByFlow == b.ByFlow && slices.EqualFunc(a.Buckets, b.Buckets, func(x, y Bucket) bool {
		return (x.ID == y.ID || !ids) && x.Weight == y.Weight && x.Watch == y.Watch && x.WatchGroup == y.WatchGroup && slices.Equal(x.Sets, y.Sets) && x.Then == y.Then
	})
}
