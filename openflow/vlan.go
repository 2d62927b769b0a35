package openflow

// PushVLAN puts an 802.1Q tag of VLAN 0 and priority 0 around a frame.
type PushVLAN struct{}

// PopVLAN takes the outer tag off, of whatever type it is.
type PopVLAN struct{}

func (PushVLAN) action() {}
func (PopVLAN) action()  {}

const (
	pushVLANText = "push_vlan:0x8100"
	popVLANText  = "pop_vlan"

	// VLANPresent is the bit of a VLAN id that says that there is a tag
	// (OpenFlow 1.5 §7.2.3.7, OFPVID_PRESENT).
	VLANPresent = vlanCFI
)

// untagged matches frames without a VLAN tag.
var untagged = Masked16{Mask: vlanCFI}

// tagged matches frames whose outer tag is of one VLAN.
func tagged(vid uint32) Masked16 {
	return Masked16{vlanCFI | uint16(vid)&vlanVID, vlanCFI | vlanVID}
}

// setVLAN numbers the outer tag.
func setVLAN(vid uint32) SetField {
	return SetField{Field: FieldVLANVID, Value: VLANPresent | uint64(vid)&vlanVID}
}

// retagged is what is known of a packet of match m once a is done.
func retagged(m Match, a Action) Match {
	switch a.(type) {
	case PushVLAN:
		m.VlanTCI = tagged(0)
	case PopVLAN:
		m.VlanTCI = Masked16{} // there may be another one
	}
	return m
}
