package integration

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// trunkPort is a local port by the segments that it has, by VLAN; one that names
// no VLAN carries all frames of its guest.
type trunkPort struct {
	name     string
	host     int
	segments map[uint16]string
}

var trunkPorts = []trunkPort{
	{"trunk1", 0, map[uint16]string{10: "red", 20: "blue", 0: "green"}},
	{"red1", 0, map[uint16]string{0: "red"}},
	{"blue1", 0, map[uint16]string{4094: "blue"}},
	{"trunk2", 1, map[uint16]string{30: "red", 10: "blue"}},
	{"red2", 1, map[uint16]string{0: "red"}},
	{"green2", 1, map[uint16]string{0: "green"}},
}

func (p trunkPort) trunk() bool { return len(p.segments) != 1 || p.segments[0] == "" }

func (p trunkPort) in(segment string) bool {
	return slices.Contains(slices.Collect(maps.Values(p.segments)), segment)
}

// takes is the segment of a frame that comes in, and what is left of its tags.
func (p trunkPort) takes(tags []lab.Tag) (segment string, inner []lab.Tag) {
	switch {
	case !p.trunk():
		return p.segments[0], tags
	case len(tags) == 0:
		return p.segments[0], nil
	}
	return p.segments[tags[0].VID], tags[1:]
}

// gives is the tags of a frame of a segment that goes out.
func (p trunkPort) gives(segment string, inner []lab.Tag) ([]lab.Tag, bool) {
	for vid, s := range p.segments {
		switch {
		case s != segment:
		case vid != 0:
			return append([]lab.Tag{{VID: vid}}, inner...), true
		default:
			return inner, !p.trunk() || len(inner) == 0
		}
	}
	return nil, false
}

// document is what a port says in a document.
func (p trunkPort) document(n int, fields string) string {
	var list []string
	for vid, s := range p.segments {
		list = append(list, fmt.Sprintf("{segment: %s, vlan: %d}", s, vid))
	}
	return fmt.Sprintf("- {name: %s, device: %s, macs: [%q], attachments: [%s]%s}\n", p.name, p.name, guestMAC(n), strings.Join(list, ", "), fields)
}

var trunkFrames = []struct {
	name string
	tags []lab.Tag
}{
	{"untagged", nil},
	{"10", []lab.Tag{{VID: 10}}},
	{"20", []lab.Tag{{VID: 20}}},
	{"30", []lab.Tag{{VID: 30}}},
	{"4094", []lab.Tag{{VID: 4094}}},
	{"0p5", []lab.Tag{{Priority: 5}}},
	{"10p3", []lab.Tag{{VID: 10, Priority: 3}}},
	{"10+20p6", []lab.Tag{{VID: 10}, {VID: 20, Priority: 6}}},
	{"s30+10", []lab.Tag{{Type: 0x88a8, VID: 30}, {VID: 10}}},
	{"10+20+99", []lab.Tag{{VID: 10}, {VID: 20}, {VID: 99}}},
}

// trunkLab is two hosts with the ports above in three segments that reuse one
// another's VLANs.
type trunkLab struct {
	*lab.Lab
	ends []station
}

func startTrunks(t *testing.T) trunkLab {
	t.Helper()
	l := trunkLab{Lab: lab.ForTest(t, lab.Options{})}
	start(t, l.Lab)
	for i, p := range trunkPorts {
		l.ends = append(l.ends, stationAt(t, l.Hosts[p.host], p.name, i+1))
	}
	for _, h := range l.Hosts {
		apply(t, h, l.document(h, "", ""))
	}
	crossing(t, l.ends[1].Raw, l.ends[4].Raw, guestMAC(2))
	crossing(t, l.ends[4].Raw, l.ends[1].Raw, guestMAC(5))
	for _, e := range l.ends {
		heardBy(t, e)
	}
	return l
}

// document is that of a host; segment and port are further fields of each.
func (l trunkLab) document(h *lab.Host, segment, port string) string {
	doc := vtepOf(h) + "segments:\n"
	for i, s := range []string{"red", "blue", "green"} {
		doc += fmt.Sprintf("- {name: %s, key: %d%s}\n", s, 100*(i+1), segment)
	}
	doc += "peers:\n" + peersOf(l.Hosts, h, ", segments: [red, blue, green]") + "ports:\n"
	for i, p := range trunkPorts {
		if l.Hosts[p.host] == h {
			doc += p.document(i+1, port)
		}
	}
	doc += "fdb:\n"
	for i, p := range trunkPorts {
		if l.Hosts[p.host] == h {
			continue
		}
		for _, s := range p.segments {
			doc += fmt.Sprintf("- {segment: %s, mac: %q, peer: %s, ips: [10.0.0.%d]}\n", s, guestMAC(i+1), l.Hosts[p.host].Name, i+1)
		}
	}
	return doc
}

// sends has every port send every frame to each of the addresses, and holds what
// every other port hears to what its attachments say, copy by copy.
func (l trunkLab) sends(t *testing.T, to func(from int) []int) {
	t.Helper()
	want := make([][]string, len(trunkPorts))
	for i, from := range trunkPorts {
		for _, f := range trunkFrames {
			for _, dst := range to(i) {
				name := fmt.Sprintf("%s sends %s to %d:", from.name, f.name, dst)
				frame := lab.Frame{Dst: everybody, Src: macOf(i + 1), Tags: f.tags, Data: name}
				if dst >= 0 {
					frame.Dst = macOf(dst + 1)
				}
				send(t, l.ends[i].Raw, frame.Bytes())
				segment, inner := from.takes(f.tags)
				known := dst >= 0 && trunkPorts[dst].in(segment) // else it is flooded
				for j, p := range trunkPorts {
					if tags, ok := p.gives(segment, inner); ok && segment != "" && j != i && (!known || dst == j) {
						want[j] = append(want[j], name+" "+tagsText(tags))
					}
				}
			}
		}
	}
	time.Sleep(settleTime)
	for j, p := range trunkPorts {
		slices.Sort(want[j])
		if got := heardBy(t, l.ends[j]); !slices.Equal(got, want[j]) {
			t.Errorf("%s hears (-want +got)\n%s", p.name, lineDiff(strings.Join(want[j], "\n"), strings.Join(got, "\n")))
		}
	}
}

// TestL10VLANs: a port is in several segments by VLAN. Frame by frame: the tag
// says the segment and is gone in it, a second one passes unharmed, each port
// gets one copy in its own VLAN, and what no attachment names is dropped, counted.
func TestL10VLANs(t *testing.T) {
	t.Parallel()
	l := startTrunks(t)
	t.Run("counted", func(t *testing.T) {
		s := site{Host: l.Hosts[0], client: dial(t, l.Hosts[0]), t: t}
		stray := func(port string) uint64 { return s.observedPort(port).GetStrayVlan() }
		for range 3 {
			send(t, l.ends[0].Raw, lab.Frame{Dst: everybody, Src: macOf(1), Tags: []lab.Tag{{VID: 77}}, Data: "stray"}.Bytes())
		}
		eventually(t, promise, "3 frames are counted", func() bool { return stray("trunk1") == 3 })
		if p := s.observedPort("red1"); p.StrayVlan != nil {
			t.Errorf("a port that names no VLAN counts %d", p.GetStrayVlan())
		}
		time.Sleep(settleTime / 4)
		for j, p := range trunkPorts {
			if got := heardBy(t, l.ends[j]); len(got) > 0 {
				t.Errorf("%s hears %q", p.name, got)
			}
		}
	})
	t.Run("broadcast", func(t *testing.T) { l.sends(t, func(int) []int { return []int{-1} }) })
	t.Run("unicast", func(t *testing.T) {
		l.sends(t, func(from int) (out []int) {
			for j := range trunkPorts {
				if j != from {
					out = append(out, j)
				}
			}
			return out
		})
	})
	t.Run("learned", func(t *testing.T) { // without a stated address: the one of a port is learned in each of its VLANs
		macs := regexp.MustCompile(`macs: \[[^]]*\], `)
		for _, h := range l.Hosts {
			doc, _, _ := strings.Cut(l.document(h, ", learning: true", ""), "fdb:\n")
			apply(t, h, macs.ReplaceAllString(doc, ""))
		}
		l.sends(t, func(int) []int { return []int{-1} })
		l.sends(t, func(from int) []int {
			return slices.DeleteFunc([]int{0, 1, 2, 3, 4, 5}, func(j int) bool { return j == from })
		})
		for _, h := range l.Hosts {
			apply(t, h, l.document(h, "", ""))
		}
	})
	t.Run("answered", func(t *testing.T) {
		apply(t, l.Hosts[0], l.document(l.Hosts[0], ", suppression: {}", ""))
		request := arp(1, guestMAC(1), addr("10.0.0.1"), nobodyMAC, addr("10.0.0.5"))
		for vid, known := range map[uint16]bool{10: true, 20: false} { // red2 is not of blue
			for _, e := range l.ends {
				count(t, e.Raw, nil)
			}
			question := ethernet(everyone, guestMAC(1), 0x0806, request, 0x8100, vid)
			answer := ethernet(guestMAC(1), guestMAC(5), 0x0806, arp(2, guestMAC(5), addr("10.0.0.5"), guestMAC(1), addr("10.0.0.1")), 0x8100, vid)
			wire := capture(t, l.Hosts[0], "", "proto gre")
			send(t, l.ends[0].Raw, question)
			time.Sleep(delivery)
			asked := inside(wire(), l.Hosts[0].VTEP, ethernet(everyone, guestMAC(1), 0x0806, request))
			if n := count(t, l.ends[0].Raw, answer); (n == 1) != known || (asked == 1) == known || n+asked != 1 {
				t.Errorf("VLAN %d: %d answers, %d questions on the wire; known: %v", vid, n, asked, known)
			}
		}
	})
	t.Run("guarded", func(t *testing.T) {
		apply(t, l.Hosts[0], l.document(l.Hosts[0], "", ", security: {mac: true, ra_guard: true}"))
		for _, e := range l.ends {
			heardBy(t, e)
		}
		put := func(src int, tags ...lab.Tag) int {
			send(t, l.ends[0].Raw, lab.Frame{Dst: everybody, Src: macOf(src), Tags: tags, Data: "guarded"}.Bytes())
			time.Sleep(delivery)
			return len(heardBy(t, l.ends[1])) + len(heardBy(t, l.ends[3])) + len(heardBy(t, l.ends[4]))
		}
		for _, c := range []struct {
			name string
			src  int
			tags []lab.Tag
			want int
		}{
			{"its own", 1, []lab.Tag{{VID: 10}}, 3},
			{"another's source", 9, []lab.Tag{{VID: 10}}, 0},
			{"a tag that the guards do not look behind", 1, []lab.Tag{{VID: 10}, {VID: 20}}, 0},
		} {
			if n := put(c.src, c.tags...); n != c.want {
				t.Errorf("%s: heard %d times, want %d", c.name, n, c.want)
			}
		}
		s := site{Host: l.Hosts[0], client: dial(t, l.Hosts[0]), t: t}
		eventually(t, promise, "the guards count 1 for mac and 1 for tags", func() bool {
			d := s.observedPort("trunk1").GetSecurity()
			return d.GetMac() == 1 && d.GetTags() == 1
		})
	})
}
