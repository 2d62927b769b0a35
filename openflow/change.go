package openflow

import (
	"cmp"
	"slices"
)

// Removal names one flow to delete strictly. MatchText is set instead of
// Key.Match for a flow whose match greave cannot parse.
type Removal struct {
	Key
	MatchText string
	Cookie    Cookie
}

// Change is what one bundle does to one bridge: groups are set before flows are
// added, flows are added before flows are removed, groups go last.
type Change struct {
	Add        []Flow
	Remove     []Removal
	Forget     []Forget  // learned flows, after those that learned them
	SetGroups  []Group   // leaf groups before groups that name them
	DropGroups []GroupID // groups that name others before those
}

// Empty tells whether the change does nothing.
func (c Change) Empty() bool {
	return len(c.Add)+len(c.Remove)+len(c.Forget)+len(c.SetGroups)+len(c.DropGroups) == 0
}

// Image is what a bridge holds, read from the switch. Learned flows are not
// among its flows, but counted.
type Image struct {
	Flows   []Seen
	Groups  []SeenGroup
	Learned Learned // as of the last reading; learning goes on
}

// sortGroups orders leaf groups first: a group that names another comes after it.
// The pipeline nests groups one deep, so "names a group" is the whole order.
func sortGroups(gs []Group) {
	slices.SortStableFunc(gs, func(a, b Group) int {
		if d := cmp.Compare(nests(a), nests(b)); d != 0 {
			return d
		}
		return cmp.Compare(a.ID, b.ID)
	})
}

func nests(g Group) int {
	for _, b := range g.Buckets {
		if _, ok := b.Then.(ToGroup); ok {
			return 1
		}
	}
	return 0
}
