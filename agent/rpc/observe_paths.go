package rpc

import (
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// alive tells which of a hop's paths the far end answers on, and which its group
// uses now: those of the first tier that has one, and of the very first when it
// answers on none. A single path is not probed.
func (v *view) alive(h model.Hop) (up, selected []bool) {
	paths := v.want.Hops[h]
	up, selected = make([]bool, len(paths)), make([]bool, len(paths))
	tier := -1
	for i, w := range paths {
		up[i] = len(paths) == 1 || v.Facts.OVS.Ports[openflow.Probe{Encap: h.Encap, Local: w.Local, Remote: w.Remote}.Port()].BFDState == "up"
		if up[i] && tier < 0 {
			tier = w.Tier
		}
	}
	for i, w := range paths {
		selected[i] = tier < 0 && w.Tier == 0 || up[i] && w.Tier == tier
	}
	return up, selected
}
