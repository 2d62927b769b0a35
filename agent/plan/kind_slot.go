package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/greave-sdn/greave/model"
)

// foreignSlots lists by slot the ports of others that the userspace datapath
// carries, one of each type, in order of name.
func (d *differ) foreignSlots() map[string][]model.OVSPort {
	out := map[string][]model.OVSPort{}
	for _, name := range slices.Sorted(maps.Keys(d.Have.Ports)) {
		h := d.Have.Ports[name]
		slot := kindTypes[h.Type].encap.OVSSlot()
		if slot == "" || h.Ofport <= 0 || d.owns(h.ExternalIDs) || d.Have.Bridges[h.Bridge].Datapath != model.DatapathNetdev {
			continue
		}
		if !slices.ContainsFunc(out[slot], func(o model.OVSPort) bool { return o.Type == h.Type }) {
			out[slot] = append(out[slot], h)
		}
	}
	return out
}

// slotTaken tells whether somebody else's port has the place of the userspace
// datapath where a tunnel's packets would come in: then only one of the two gets
// any, whichever was there first.
func slotTaken(p WantPort, datapath model.Datapath, foreign map[string][]model.OVSPort) model.Notice {
	slot := kindTypes[p.Type].encap.OVSSlot()
	if slot == "" || datapath != model.DatapathNetdev {
		return model.Notice{}
	}
	for _, h := range foreign[slot] {
		if h.Type != p.Type {
			return model.Notice{Reason: model.NoticeConflict, Message: fmt.Sprintf(
				"OVS port %s of somebody else is of type %s: beside it the userspace datapath gives no packet of %s to %s: remove it, or use vxlan or geneve",
				h.Name, h.Type, slot, p.Name)}
		}
	}
	return model.Notice{}
}
