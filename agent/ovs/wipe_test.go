package ovs

import (
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// TestWipeCause: what took all flows of a bridge, by what became of its rows and
// of the connection since the pass before.
func TestWipeCause(t *testing.T) {
	owner := model.NewOwner("h1")
	full := openflow.Image{Flows: []openflow.Seen{{Flow: openflow.Flow{Cookie: openflow.MakeCookie(owner.Tag, 1, 1)}}}}
	foreign := openflow.Image{Flows: []openflow.Seen{{Flow: openflow.Flow{Cookie: 7}}}}
	set := func(edit func(*model.OVSBridge)) model.OVSHost {
		b := model.OVSBridge{Name: "br", Datapath: model.DatapathNetdev, FailMode: model.FailSecure}
		if edit != nil {
			edit(&b)
		}
		return model.OVSHost{Bridges: map[string]model.OVSBridge{"br": b}}
	}
	was := set(nil)
	controlled := set(func(b *model.OVSBridge) {
		b.Controllers = []model.OVSController{{Target: "tcp:c", Connected: true, Role: "slave"}}
	})
	loose := set(func(b *model.OVSBridge) { b.FailMode = 0 })
	for _, c := range []struct {
		name   string
		before model.OVSHost
		now    model.OVSHost
		image  openflow.Image
		lost   bool
		later  time.Duration // between the change of the rows and the wipe
		midway bool
		want   string // "": no wipe
	}{
		{name: "untouched", before: was, now: was, image: full},
		{name: "rows alone", before: was, now: controlled, image: full},
		{name: "by hand", before: was, now: was, image: foreign, want: "no controller is set"},
		{name: "by greave itself", before: was, now: was, image: foreign, midway: true},
		{name: "controller set", before: was, now: controlled, want: "controller was set to tcp:c"},
		{name: "controller there", before: controlled, now: controlled, want: "tcp:c (connected, role slave)"},
		{name: "controller set long ago", before: was, now: controlled, later: time.Minute, want: "tcp:c (connected, role slave)"},
		{name: "controller cleared", before: controlled, now: was, want: "controller, which was tcp:c, was cleared"},
		{name: "fail_mode", before: was, now: loose, midway: true, want: "fail_mode was changed from secure to standalone"},
		{name: "restart", before: was, now: was, lost: true, want: "ovs-vswitchd was restarted"},
		{name: "row gone", before: was, now: model.OVSHost{}, midway: true, want: "row br of table Bridge was deleted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			w := newWipes(func() time.Time { return now })
			w.look(c.before)
			w.remember([]string{"br"}, c.before, map[string]openflow.Image{"br": full}, owner, nil)
			if c.lost {
				w.lost("br")
			}
			if suspects := w.look(c.now); len(suspects) > 0 == (c.before.Bridges["br"].Name == c.now.Bridges["br"].Name && wipeRowsOf(c.before.Bridges["br"]) == wipeRowsOf(c.now.Bridges["br"])) {
				t.Errorf("suspects %v", suspects)
			}
			now = now.Add(c.later)
			got := w.cause("br", c.image, c.now, owner, c.midway)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("cause %q, want %q", got, c.want)
			}
		})
	}
}
