package kernel

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Flags of struct bridge_vlan_info (linux/if_bridge.h).
const (
	vlanPVID, vlanUntagged     = 1 << 1, 1 << 2
	vlanRangeBegin, vlanRangeE = 1 << 3, 1 << 4
)

// vlanSet is the VLANs of a port of a bridge: of each its flags, and whether it has it.
type vlanSet struct {
	has   [4096]bool
	flags [4096]uint16
	begin uint16
}

// add takes one entry as the kernel lists them: a VLAN, or the begin or end of a range.
func (s *vlanSet) add(flags, vid uint16) {
	from := vid
	switch {
	case vid > 4094:
		return
	case flags&vlanRangeBegin != 0:
		s.begin = vid
		return
	case flags&vlanRangeE != 0:
		from = s.begin
	}
	for v := from; v <= vid; v++ {
		s.has[v], s.flags[v] = true, flags&(vlanPVID|vlanUntagged)
	}
}

// String is the field's text: "pvid 10 untagged 10 tagged 2-4094".
func (s *vlanSet) String() string {
	var parts []string
	for v := range s.has {
		if s.has[v] && s.flags[v]&vlanPVID != 0 {
			parts = append(parts, "pvid "+strconv.Itoa(v))
		}
	}
	for _, kind := range []struct {
		name string
		flag uint16
	}{{"untagged", vlanUntagged}, {"tagged", 0}} {
		if list := s.ranges(kind.flag); list != "" {
			parts = append(parts, kind.name+" "+list)
		}
	}
	return strings.Join(parts, " ")
}

func (s *vlanSet) ranges(untagged uint16) string {
	var out []string
	for v := 0; v < len(s.has); v++ {
		if !s.has[v] || s.flags[v]&vlanUntagged != untagged {
			continue
		}
		end := v
		for end+1 < len(s.has) && s.has[end+1] && s.flags[end+1]&vlanUntagged == untagged {
			end++
		}
		if end == v {
			out = append(out, strconv.Itoa(v))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", v, end))
		}
		v = end
	}
	return strings.Join(out, ",")
}

// parseVLANs reads the field's text.
func parseVLANs(text string) *vlanSet {
	s := &vlanSet{}
	words := strings.Fields(text)
	for i := 0; i+1 < len(words); i += 2 {
		for part := range strings.SplitSeq(words[i+1], ",") {
			low, high, isRange := strings.Cut(part, "-")
			from, _ := strconv.ParseUint(low, 10, 12)
			to := from
			if isRange {
				to, _ = strconv.ParseUint(high, 10, 12)
			}
			for v := from; v <= to; v++ {
				s.has[v] = true
				switch words[i] {
				case "pvid":
					s.flags[v] |= vlanPVID
				case "untagged":
					s.flags[v] |= vlanUntagged
				}
			}
		}
	}
	return s
}

func (s *vlanSet) without(o *vlanSet) *vlanSet {
	out := *s
	for v := range out.has {
		out.has[v] = out.has[v] && !o.has[v]
	}
	return &out
}

// infos are the entries that write the set, ranges as two of them each.
func (s *vlanSet) infos() (out [][2]uint16) {
	for v := 0; v < len(s.has); v++ {
		if !s.has[v] {
			continue
		}
		end, flags := v, s.flags[v]
		for flags&vlanPVID == 0 && end+1 < len(s.has) && s.has[end+1] && s.flags[end+1] == flags {
			end++
		}
		if end == v {
			out = append(out, [2]uint16{flags, uint16(v)})
		} else {
			out = append(out, [2]uint16{flags | vlanRangeBegin, uint16(v)}, [2]uint16{flags | vlanRangeE, uint16(end)})
		}
		v = end
	}
	return out
}

func (m *message) vlan(flags, vid uint16) {
	*m = binary.NativeEndian.AppendUint16(*m, flags)
	*m = binary.NativeEndian.AppendUint16(*m, vid)
}
