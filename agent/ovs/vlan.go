package ovs

import (
	"slices"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/ovsdb"
)

// vlanOf reads the VLAN columns of a port.
func vlanOf(p ovsdb.PortRow) model.VLAN {
	v := model.VLAN{Mode: model.ParseVLANMode(p.VLANMode), Tag: uint32(p.Tag.Value)}
	for _, t := range p.Trunks {
		v.Trunks = append(v.Trunks, uint32(t))
	}
	return v.Normal()
}

func tagColumn(v model.VLAN) ovsdb.Opt[int] { return ovsdb.Opt[int]{Value: int(v.Tag), OK: v.Tag != 0} }

func trunksColumn(v model.VLAN) []int {
	var out []int
	for _, t := range v.Trunks {
		out = append(out, int(t))
	}
	return out
}

// insertVLAN fills in the VLAN columns of a new port.
func insertVLAN(row *ovsdb.PortRow, v model.VLAN) {
	row.Tag, row.Trunks, row.VLANMode = tagColumn(v), trunksColumn(v), plan.VLANModeColumn(v)
}

// changeVLAN turns the VLAN columns of a port into those wanted.
func changeVLAN(ch *ovsdb.PortChange, v model.VLAN, have ovsdb.PortRow) {
	if tag := tagColumn(v); tag != have.Tag {
		ch.Tag = &tag
	}
	if trunks := trunksColumn(v); !slices.Equal(trunks, slices.Sorted(slices.Values(have.Trunks))) {
		ch.Trunks = &trunks
	}
	if mode := plan.VLANModeColumn(v); mode != plan.VLANModeColumn(vlanOf(have)) {
		ch.VLANMode = &mode
	}
}
