package openflow

import "github.com/greave-sdn/greave/model"

// arrive writes how the frames of an attachment come in: a trunk's without the tag
// that says which segment they are of.
func (w writer) arrive(p model.ResolvedPort, port Port, a model.Attachment, into ...Action) {
	m := Match{InPort: port}
	if !p.Trunk() {
		w.flow(TableClassify, prioRule, m, into...)
		return
	}
	if a.VLAN == 0 {
		m.VlanTCI = untagged
		w.flow(TableClassify, prioRule, m, into...)
	}
	m.VlanTCI = tagged(a.VLAN) // of VLAN 0: a priority alone (IEEE 802.1Q §6.9)
	w.flow(TableClassify, prioRule, m, append([]Action{PopVLAN{}}, into...)...)
}

// leave writes the way out by an attachment. A frame's own tag, that of a guest's
// network inside the segment, stays inside the attachment's. Where that has none,
// it would be taken for another segment's: such a frame is dropped.
func (w writer) leave(p model.ResolvedPort, port Port, a model.Attachment, segment uint32) {
	m := matchReg(RegSegment, segment)
	m.Regs[RegOut] = Exact32(uint32(port))
	out := w.outTable(p, m, port)
	switch {
	case !p.Trunk():
		w.flow(out, prioRule, m, Output{port})
	case a.VLAN != 0:
		w.flow(out, prioRule, m, PushVLAN{}, setVLAN(a.VLAN), Output{port})
	default:
		w.flow(out, prioDefault, m)
		m.VlanTCI = untagged
		w.flow(out, prioRule, m, Output{port})
	}
}

// StrayVLAN tells whether a flow drops what comes in by a port in a VLAN that no
// attachment names.
func StrayVLAN(f Flow) bool {
	return len(f.Actions) == 0 && f.Cookie.Kind() == uint8(model.KindPort) && f.Table == TableClassify
}
