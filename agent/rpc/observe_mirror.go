package rpc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/greave-sdn/greave/model"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// attached finds the row of an object that a bridge refers to.
func (v *view) attached(ref model.Ref) (id string, a model.OVSAttached, ok bool) {
	for _, id := range sortedNames(v.Facts.OVS.Attached) {
		a := v.Facts.OVS.Attached[id]
		if v.owns(a.ExternalIDs) && a.ExternalIDs[model.MarkObject] == ref.Mark() {
			return id, a, true
		}
	}
	return "", model.OVSAttached{}, false
}

func words(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func numbersOf(list string) []uint32 {
	var out []uint32
	for _, w := range words(list) {
		if n, err := strconv.ParseUint(w, 10, 32); err == nil {
			out = append(out, uint32(n))
		}
	}
	slices.Sort(out)
	return out
}

// mirror is what the switch has of a mirror; nil when nothing.
func (v *view) mirror(ref model.Ref) *greavev1.ObservedMirror {
	id, a, ok := v.attached(ref)
	if !ok {
		return nil
	}
	out := &greavev1.ObservedMirror{
		Bridge: a.Bridge, All: a.Fields["select_all"] == "true", In: words(a.Fields["select_src_port"]), Out: words(a.Fields["select_dst_port"]),
		Vlans: numbersOf(a.Fields["select_vlan"]), Output: a.Fields["output_port"], Owned: true,
	}
	if n := numbersOf(a.Fields["output_vlan"]); len(n) == 1 {
		out.OutputVlan = n[0]
	}
	if c, counted := v.Copies[id]; counted {
		out.Counters = &greavev1.Counters{TxPackets: c.Packets, TxBytes: c.Bytes, ReadAt: v.at}
	}
	if p, there := v.Facts.OVS.Ports[out.Output]; there {
		out.Remote, out.Ofport, out.Error = p.Options["remote_ip"], int32(p.Ofport), p.Error
	}
	return out
}
