package kernel

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Flags of struct bridge_vlan_info (linux/if_bridge.h).
const (
	vlanPVID, vlanUntagged, vlanBegin, vlanEnd = 1 << 1, 1 << 2, 1 << 3, 1 << 4

	bridgeVLANInfo = 2 // IFLA_BRIDGE_VLAN_INFO
	vlanLast       = 4094
)

// vlans are those of a port of a bridge.
type vlans struct {
	pvid             uint16 // 0: none
	untagged, tagged []span
}

// span is a run of VLANs, both ends included.
type span struct{ first, last uint16 }

// String is as in FieldVLANs: "pvid 10 untagged 10 tagged 2-9,20", each part only where there is one.
func (v vlans) String() string {
	var parts []string
	if v.pvid != 0 {
		parts = append(parts, "pvid "+decimal(v.pvid))
	}
	for _, s := range []struct {
		name  string
		spans []span
	}{{"untagged", v.untagged}, {"tagged", v.tagged}} {
		var list []string
		for _, r := range s.spans {
			if r.first == r.last {
				list = append(list, decimal(r.first))
			} else {
				list = append(list, decimal(r.first)+"-"+decimal(r.last))
			}
		}
		if list != nil {
			parts = append(parts, s.name+" "+strings.Join(list, ","))
		}
	}
	return strings.Join(parts, " ")
}

func parseVLANs(text string) (vlans, error) {
	var v vlans
	words := strings.Fields(text)
	if len(words)%2 != 0 {
		return v, fmt.Errorf("vlans %q: a word is alone", text)
	}
	for i := 0; i < len(words); i += 2 {
		var spans []span
		for s := range strings.SplitSeq(words[i+1], ",") {
			a, b, two := strings.Cut(s, "-")
			if !two {
				b = a
			}
			first, err := strconv.ParseUint(a, 10, 12)
			last, err2 := strconv.ParseUint(b, 10, 12)
			if err != nil || err2 != nil || first == 0 || first > last || last > vlanLast {
				return v, fmt.Errorf("vlans %q: %q is no range of 1-%d", text, s, vlanLast)
			}
			spans = append(spans, span{uint16(first), uint16(last)})
		}
		switch words[i] {
		case "pvid":
			v.pvid = spans[0].first
		case "untagged":
			v.untagged = merge(spans)
		case "tagged":
			v.tagged = merge(spans)
		default:
			return v, fmt.Errorf("vlans %q: %q is neither pvid, untagged nor tagged", text, words[i])
		}
	}
	return v, nil
}

// merge sorts runs and joins those that touch.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return int(a.first) - int(b.first) })
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && s.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, s.last)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// decodeVLANs reads IFLA_AF_SPEC of a bridge's dump.
func decodeVLANs(b []byte) vlans {
	var v vlans
	var begin uint16
	for id, info := range attributes(b) {
		if id != bridgeVLANInfo || len(info) < 4 {
			continue
		}
		flags, vid := binary.NativeEndian.Uint16(info), binary.NativeEndian.Uint16(info[2:])
		if flags&vlanBegin != 0 {
			begin = vid
			continue
		}
		s := span{vid, vid}
		if flags&vlanEnd != 0 {
			s.first = begin
		}
		if flags&vlanPVID != 0 {
			v.pvid = vid
		}
		if flags&vlanUntagged != 0 {
			v.untagged = append(v.untagged, s)
		} else {
			v.tagged = append(v.tagged, s)
		}
	}
	v.untagged, v.tagged = merge(v.untagged), merge(v.tagged)
	return v
}

// put writes them as IFLA_BRIDGE_VLAN_INFO. The PVID cannot be within a range.
func (v vlans) put(m *message) {
	for _, s := range []struct {
		flags uint16
		spans []span
	}{{vlanUntagged, v.untagged}, {0, v.tagged}} {
		for _, r := range s.spans {
			putSpan(m, s.flags, r)
			if r.first <= v.pvid && v.pvid <= r.last {
				putVLAN(m, s.flags|vlanPVID, v.pvid)
			}
		}
	}
}

// putOthers writes all VLANs that are not there, to be removed.
func (v vlans) putOthers(m *message) {
	next := uint16(1)
	for _, s := range merge(slices.Concat(v.untagged, v.tagged)) {
		if s.first > next {
			putSpan(m, 0, span{next, s.first - 1})
		}
		next = s.last + 1
	}
	if next <= vlanLast {
		putSpan(m, 0, span{next, vlanLast})
	}
}

func putSpan(m *message, flags uint16, s span) {
	if s.first == s.last {
		putVLAN(m, flags, s.first)
		return
	}
	putVLAN(m, flags|vlanBegin, s.first)
	putVLAN(m, flags|vlanEnd, s.last)
}

func putVLAN(m *message, flags, vid uint16) {
	m.put(bridgeVLANInfo, binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, flags), vid))
}
