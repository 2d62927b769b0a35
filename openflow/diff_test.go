package openflow_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/openflowtest"
)

// imageOf is the image of a bridge that holds exactly p.
func imageOf(p *openflow.Program) openflow.Image {
	var i openflow.Image
	for _, f := range p.Flows {
		i.Flows = append(i.Flows, openflow.Seen{Flow: f, Parsed: true})
	}
	for _, g := range p.Groups {
		i.Groups = append(i.Groups, openflow.SeenGroup{Group: g, Parsed: true, Text: g.String()})
	}
	return i
}

// text lists an image's flows and groups, for comparison.
func text(i openflow.Image) map[string]int {
	out := map[string]int{}
	for _, f := range i.Flows {
		out[f.String()+" "+f.MatchText]++
	}
	for _, g := range i.Groups {
		out[cmpText(g)]++
	}
	return out
}

func cmpText(g openflow.SeenGroup) string {
	if g.Parsed {
		return g.Group.String()
	}
	return g.Text
}

// strangers is what other people may have put on a bridge.
func strangers() openflow.Image {
	flow := func(table openflow.Table, prio uint16, cookie openflow.Cookie) openflow.Seen {
		return openflow.Seen{Parsed: true, Flow: openflow.Flow{Key: openflow.Key{Table: table, Priority: prio, Match: openflow.Match{EthType: 0x88cc}}, Cookie: cookie, Actions: []openflow.Action{openflow.Normal{}}}}
	}
	return openflow.Image{
		Flows: []openflow.Seen{
			flow(openflow.TableClassify, 300, 0), flow(openflow.TableL2, 100, 7), flow(200, 1, openflow.MakeCookie(owner.Tag+1, 3, 1)),
			{MatchText: "tcp,tp_dst=22", Flow: openflow.Flow{Key: openflow.Key{Table: 0, Priority: 5}, Actions: []openflow.Action{openflow.Opaque{Text: "CONTROLLER:65535"}}}},
			// Learned flows are greave's, and none of the diff's business.
			{Parsed: true, Flow: openflow.Flow{Key: openflow.Key{Table: openflow.TableL2Learned, Priority: 1}, Cookie: openflow.MakeCookie(owner.Tag, openflow.KindLearned, 0)}},
		},
		Groups: []openflow.SeenGroup{
			{Group: openflow.Group{ID: 1}, Text: "group_id=1,type=all,bucket=bucket_id:0,actions=output:1"},
			{Group: openflow.Group{ID: openflow.GroupMin - 1}, Text: "group_id=2,type=all"},
			{Group: openflow.Group{ID: openflow.GroupMax + 1}, Text: "group_id=3,type=all"},
		},
	}
}

func join(a, b openflow.Image) openflow.Image {
	return openflow.Image{Flows: slices.Concat(a.Flows, b.Flows), Groups: slices.Concat(a.Groups, b.Groups)}
}

// TestDiffProperties: from any image to a program in one change; then nothing
// is left to do, and what is foreign was not in it.
func TestDiffProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := newWorld(t), resolve(modeltest.Moving(t, modeltest.HostState().Draw(t, "next state")))
		to.b = from.b // the same daemon, a later document
		to.compile(t.Fatalf)
		foreign := strangers()
		have := join(damage(t, imageOf(from.p)), foreign)
		ch, conflicts := openflow.Diff(to.p, have, owner)
		if len(conflicts) > 0 {
			t.Fatalf("conflicts %v", conflicts)
		}
		after, err := openflowtest.Apply(have, ch)
		if err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(text(join(imageOf(to.p), foreign)), text(after)); d != "" {
			t.Fatalf("the change leads elsewhere (-want +got):\n%s", d)
		}
		if again, _ := openflow.Diff(to.p, after, owner); !again.Empty() {
			t.Fatalf("second diff: %+v", again)
		}
		gone, _ := openflow.Diff(nil, after, owner)
		empty, err := openflowtest.Apply(after, gone)
		if err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(text(foreign), text(empty)); d != "" {
			t.Fatalf("after removal of all (-want +got):\n%s", d)
		}
	})
}

// damage drops, alters and disfigures some of an image.
func damage(t *rapid.T, i openflow.Image) openflow.Image {
	var out openflow.Image
	for _, f := range i.Flows {
		switch rapid.IntRange(0, 7).Draw(t, "flow") {
		case 0:
			continue
		case 1:
			f.Actions = []openflow.Action{openflow.Opaque{Text: "clone(output:1)"}}
		case 2:
			f.Cookie++
		case 3:
			f.Priority++
		case 4:
			f.MatchText, f.Match, f.Parsed = fmt.Sprintf("udp,tp_dst=%d", len(out.Flows)), openflow.Match{}, false
		}
		out.Flows = append(out.Flows, f)
	}
	for _, g := range i.Groups {
		switch rapid.IntRange(0, 5).Draw(t, "group") {
		case 0:
			g.Buckets = nil
			g.Type = openflow.GroupAll
		case 1:
			g = openflow.SeenGroup{Group: openflow.Group{ID: g.ID}, Text: fmt.Sprintf("group_id=%d,type=all,bucket=actions=clone(output:1)", g.ID)}
		}
		out.Groups = append(out.Groups, g)
	}
	return out
}

// TestDiffConflict: a foreign flow with a wanted key stays, and is told.
func TestDiffConflict(t *testing.T) {
	w := resolve(example())
	w.compile(t.Fatalf)
	have := imageOf(w.p)
	for _, i := range []int{0, len(have.Flows) - 1} {
		have.Flows[i].Cookie = 42
		have.Flows[i].Actions = []openflow.Action{openflow.Normal{}}
	}
	ch, conflicts := openflow.Diff(w.p, have, owner)
	if !ch.Empty() {
		t.Errorf("change %+v", ch)
	}
	if len(conflicts) != 2 || conflicts[0].Foreign.Cookie != 42 || conflicts[0].Flow.Key != have.Flows[0].Key {
		t.Errorf("conflicts %+v", conflicts)
	}
}

// TestDiffOrder: groups that name others come after those, and leave before.
func TestDiffOrder(t *testing.T) {
	w := resolve(example())
	w.compile(t.Fatalf)
	slices.Reverse(w.p.Groups) // switches and compilers owe no order
	in, _ := openflow.Diff(w.p, openflow.Image{}, owner)
	slices.SortFunc(w.p.Groups, func(a, b openflow.Group) int { return len(b.Buckets) - len(a.Buckets) })
	image := imageOf(w.p)
	out, _ := openflow.Diff(nil, image, owner)
	slices.Reverse(image.Groups)
	if again, _ := openflow.Diff(nil, image, owner); !slices.Equal(out.DropGroups, again.DropGroups) {
		t.Errorf("drop %v or %v", out.DropGroups, again.DropGroups)
	}
	parents := map[openflow.GroupID][]openflow.GroupID{}
	for _, g := range w.p.Groups {
		for _, b := range g.Buckets {
			if to, ok := b.Then.(openflow.ToGroup); ok {
				parents[to.Group] = append(parents[to.Group], g.ID)
			}
		}
	}
	if len(parents) != 2 || len(in.SetGroups) != len(w.p.Groups) || len(out.DropGroups) != len(w.p.Groups) {
		t.Fatalf("parents %v, in %v, out %v", parents, in.SetGroups, out.DropGroups)
	}
	set := map[openflow.GroupID]int{}
	for i, g := range in.SetGroups {
		set[g.ID] = i
	}
	for _, leaf := range slices.Sorted(maps.Keys(parents)) {
		for _, parent := range parents[leaf] {
			if set[parent] < set[leaf] || slices.Index(out.DropGroups, parent) > slices.Index(out.DropGroups, leaf) {
				t.Errorf("group %#x and its parent %#x: set %v, drop %v", leaf, parent, in.SetGroups, out.DropGroups)
			}
		}
	}
}

// TestDiffGroupsWithoutIDs: a switch that prints no bucket ids has a group all the
// same when its buckets are in order, and one that prints others has not.
func TestDiffGroupsWithoutIDs(t *testing.T) {
	bucket := func(id uint32, to openflow.Table) openflow.Bucket {
		return openflow.Bucket{ID: id, Then: openflow.Resubmit{Table: to}}
	}
	want := &openflow.Program{Groups: []openflow.Group{{ID: openflow.GroupMin, Type: openflow.GroupAll, Buckets: []openflow.Bucket{bucket(7, 80), bucket(3, 90)}}}}
	line := fmt.Sprintf("group_id=%d,type=all,", openflow.GroupMin)
	for text, same := range map[string]bool{
		"bucket=actions=resubmit(,80),bucket=actions=resubmit(,90)":                         true,
		"bucket=actions=resubmit(,90),bucket=actions=resubmit(,80)":                         false,
		"bucket=bucket_id:7,actions=resubmit(,80),bucket=bucket_id:3,actions=resubmit(,90)": true,
		"bucket=bucket_id:0,actions=resubmit(,80),bucket=bucket_id:1,actions=resubmit(,90)": false,
		"bucket=actions=resubmit(,80)":                                                      false,
	} {
		seen, err := openflow.ParseGroup(line + text)
		if err != nil || !seen.Parsed {
			t.Fatalf("%s: %v, parsed %t", text, err, seen.Parsed)
		}
		ch, _ := openflow.Diff(want, openflow.Image{Groups: []openflow.SeenGroup{seen}}, model.NewOwner("h"))
		if ch.Empty() != same {
			t.Errorf("%s: %+v", text, ch)
		}
	}
}
