package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// station is a guest whose frames a test makes and reads whole.
type station struct {
	*lab.Guest
	*lab.Raw
}

func stationAt(t *testing.T, h *lab.Host, name string, n int) station {
	t.Helper()
	g := guest(t, h, name, "", guestMAC(n), 0)
	raw, err := g.Raw()
	if err != nil {
		t.Fatal(err)
	}
	return station{g, raw}
}

var everybody = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func macOf(n int) [6]byte { return [6]byte{2, 0, 0, 0, 0, byte(n)} }

// tagsText is the tags of a frame as tests write them: "" for none, "10" for a
// tag, "10p5+s20" for one with a priority around a service tag.
func tagsText(tags []lab.Tag) string {
	words := make([]string, len(tags))
	for i, t := range tags {
		if t.Type == 0x88a8 {
			words[i] = "s"
		}
		words[i] += fmt.Sprint(t.VID)
		if t.Priority != 0 {
			words[i] += fmt.Sprint("p", t.Priority)
		}
	}
	return strings.Join(words, "+")
}

// heardBy lists what a station heard of a test's frames since it was last
// asked: data and tags, in order of text.
func heardBy(t *testing.T, s station) []string {
	t.Helper()
	frames, err := s.Heard()
	check(t, err)
	var out []string
	for _, b := range frames {
		if f, ok := lab.ParseFrame(b); ok {
			out = append(out, f.Data+" "+tagsText(f.Tags))
		}
	}
	slices.Sort(out)
	return out
}

// settleTime is how long the first frame of a flow may take through the slow
// path of a busy machine; a wire is quiet after it.
const settleTime = 400 * time.Millisecond

// vlanFrames are what every port of the matrix is sent.
var vlanFrames = []struct {
	name string
	tags []lab.Tag
}{
	{"untagged", nil},
	{"10", []lab.Tag{{VID: 10}}},
	{"20", []lab.Tag{{VID: 20}}},
	{"30", []lab.Tag{{VID: 30}}},
	{"0p5", []lab.Tag{{Priority: 5}}},
	{"10p3", []lab.Tag{{VID: 10, Priority: 3}}},
	{"10+20", []lab.Tag{{VID: 10}, {VID: 20}}},
}

// vlanPort is a port of the matrix, by what ovs-vswitchd.conf.db(5) says of its
// mode.
type vlanPort struct {
	name, vlan string
	mode       string
	tag        uint16
	trunks     []uint16
}

var vlanPorts = []vlanPort{
	{"access10", "{tag: 10}", "access", 10, nil},
	{"access20", "{mode: access, tag: 20}", "access", 20, nil},
	{"any", "", "trunk", 0, nil},
	{"trunk", "{mode: trunk, trunks: [20, 10]}", "trunk", 0, []uint16{10, 20}},
	{"zero", "{trunks: [0, 30]}", "trunk", 0, []uint16{0, 30}},
	{"ntagged", "{mode: native_tagged, tag: 10, trunks: [20]}", "native-tagged", 10, []uint16{10, 20}},
	{"nuntagged", "{mode: native_untagged, tag: 10}", "native-untagged", 10, nil},
	{"tunnel10", "{mode: dot1q_tunnel, tag: 10}", "dot1q-tunnel", 10, nil},
}

func (p vlanPort) carries(vid uint16) bool {
	switch p.mode {
	case "access", "dot1q-tunnel":
		return vid == p.tag
	}
	if vid == 0 && p.tag != 0 { // a native VLAN stands in for VLAN 0
		return false
	}
	return len(p.trunks) == 0 || slices.Contains(p.trunks, vid)
}

// takes is the VLAN of a frame that comes in, and what is left of its tags.
func (p vlanPort) takes(tags []lab.Tag) (outer lab.Tag, inner []lab.Tag, ok bool) {
	own := len(tags) == 0 || tags[0].VID == 0 // untagged, or a priority only
	switch {
	case p.mode == "dot1q-tunnel":
		return lab.Tag{Type: 0x88a8, VID: p.tag}, tags, true
	case !own && p.mode == "access":
		return outer, nil, false
	case !own:
		return tags[0], tags[1:], p.carries(tags[0].VID)
	}
	outer = lab.Tag{VID: p.tag}
	if len(tags) > 0 {
		outer.Priority = tags[0].Priority
	}
	return outer, nil, p.carries(outer.VID)
}

// gives is the tags of a frame that goes out. Open vSwitch looks behind one tag
// only (other_config:vlan-limit), or it would not send a second one out of an
// access port: it does not where it has pushed the first one itself.
func (p vlanPort) gives(outer lab.Tag, inner []lab.Tag) (tags []lab.Tag, ok bool) {
	switch {
	case !p.carries(outer.VID):
		return nil, false
	case p.mode == "access" && outer.Type == 0x88a8 && len(inner) > 0:
		return nil, inner[0].VID == 0
	case outer.VID == 0 && outer.Priority == 0, outer.VID != 0 && p.mode != "trunk" && p.mode != "native-tagged" && outer.VID == p.tag:
		return inner, true
	}
	return append([]lab.Tag{outer}, inner...), true
}

// TestO2VLANModes holds every VLAN mode of a port to the manual, frame by
// frame: each port sends each frame, and each other port hears it as its mode
// says, or does not.
func TestO2VLANModes(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{Hosts: 1})
	start(t, l)
	h := l.Hosts[0]
	doc := "bridges: [{name: br0, datapath: netdev}]\nports:\n"
	var ends []station
	for i, p := range vlanPorts {
		ends = append(ends, stationAt(t, h, p.name, i+1))
		doc += fmt.Sprintf("- {name: %s, device: %s, bridge: br0", p.name, p.name)
		if p.vlan != "" {
			doc += ", vlan: " + p.vlan
		}
		doc += "}\n"
	}
	apply(t, h, doc)
	for i, from := range vlanPorts {
		for _, f := range vlanFrames {
			send(t, ends[i].Raw, lab.Frame{Dst: everybody, Src: macOf(i + 1), Tags: f.tags, Data: from.name + " sends " + f.name + ":"}.Bytes())
		}
	}
	time.Sleep(settleTime)
	for j, to := range vlanPorts {
		var want []string
		for i, from := range vlanPorts {
			if i == j {
				continue
			}
			for _, f := range vlanFrames {
				if outer, inner, ok := from.takes(f.tags); ok {
					if tags, ok := to.gives(outer, inner); ok {
						want = append(want, from.name+" sends "+f.name+": "+tagsText(tags))
					}
				}
			}
		}
		slices.Sort(want)
		if got := heardBy(t, ends[j]); !slices.Equal(got, want) {
			t.Errorf("%s hears (-want +got)\n%s", to.name, lineDiff(strings.Join(want, "\n"), strings.Join(got, "\n")))
		}
	}
}
