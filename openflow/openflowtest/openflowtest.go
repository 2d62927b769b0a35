// Package openflowtest owns a simulator of what a switch makes of a bundle, for
// tests of diffs and plans. It must not be imported outside tests.
package openflowtest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/greave-sdn/greave/openflow"
)

// Apply is the image of a bridge after ch, in the order of a bundle: groups,
// new flows, strict removals, groups that go. As a switch does, it refuses what
// names a group that is not there, and a group that goes takes along the flows
// that use it.
func Apply(have openflow.Image, ch openflow.Change) (openflow.Image, error) {
	out := openflow.Image{Flows: slices.Clone(have.Flows), Groups: slices.Clone(have.Groups), Learned: maps.Clone(have.Learned)}
	for _, g := range ch.SetGroups {
		for _, b := range g.Buckets {
			if err := known(out, b.Then); err != nil {
				return have, fmt.Errorf("set group %#x: %w", uint32(g.ID), err)
			}
		}
		out.Groups = slices.DeleteFunc(out.Groups, func(s openflow.SeenGroup) bool { return s.ID == g.ID })
		out.Groups = append(out.Groups, openflow.SeenGroup{Group: g, Parsed: true, Text: g.String()})
	}
	for _, f := range ch.Add {
		for _, a := range f.Actions {
			if err := known(out, a); err != nil {
				return have, fmt.Errorf("add flow %s: %w", f, err)
			}
		}
		out.Flows = slices.DeleteFunc(out.Flows, func(s openflow.Seen) bool { return s.Parsed && s.Key == f.Key })
		out.Flows = append(out.Flows, openflow.Seen{Flow: f, Parsed: true})
	}
	for _, r := range ch.Remove {
		out.Flows = slices.DeleteFunc(out.Flows, func(s openflow.Seen) bool {
			return s.Key == r.Key && s.MatchText == r.MatchText && s.Cookie == r.Cookie
		})
	}
	for _, f := range ch.Forget {
		maps.DeleteFunc(out.Learned, func(b openflow.Behind, _ int) bool { return f.Has(b) })
	}
	for _, id := range ch.DropGroups {
		out.Groups = slices.DeleteFunc(out.Groups, func(g openflow.SeenGroup) bool { return g.ID == id })
		out.Flows = slices.DeleteFunc(out.Flows, func(f openflow.Seen) bool {
			return slices.Contains(f.Actions, openflow.Action(openflow.ToGroup{Group: id}))
		})
	}
	return out, nil
}

func known(i openflow.Image, a openflow.Action) error {
	to, ok := a.(openflow.ToGroup)
	if !ok || slices.ContainsFunc(i.Groups, func(g openflow.SeenGroup) bool { return g.ID == to.Group }) {
		return nil
	}
	return fmt.Errorf("group %#x is not there", uint32(to.Group))
}
