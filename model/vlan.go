package model

import (
	"fmt"
	"slices"
)

// VLANMode is how a port of a bridge that switches by NORMAL treats tags.
type VLANMode uint8

// VLAN modes (ovs-vswitchd.conf.db(5), Port.vlan_mode).
const (
	VLANAccess         VLANMode = iota + 1 // untagged frames of one VLAN
	VLANTrunk                              // tagged frames of the stated VLANs
	VLANNativeTagged                       // a trunk whose untagged input is in the native VLAN, tagged on output
	VLANNativeUntagged                     // a trunk whose native VLAN is untagged in and out
	VLANTunnel                             // one service VLAN around the customer's own tags
)

var vlanModeNames = [...]string{
	VLANAccess: "access", VLANTrunk: "trunk", VLANNativeTagged: "native-tagged",
	VLANNativeUntagged: "native-untagged", VLANTunnel: "dot1q-tunnel",
}

// String is the mode as Open vSwitch spells it.
func (m VLANMode) String() string {
	if m != 0 && int(m) < len(vlanModeNames) {
		return vlanModeNames[m]
	}
	return "unspecified"
}

// ParseVLANMode reads a mode as Open vSwitch spells it; 0 for none that is known.
func ParseVLANMode(s string) VLANMode {
	return VLANMode(max(0, slices.Index(vlanModeNames[1:], s)+1))
}

// VLAN is the VLAN behaviour of a port. The zero value is one that was not
// stated: a trunk of all VLANs.
type VLAN struct {
	Mode   VLANMode
	Tag    uint32   // of an access or tunnel port, native VLAN of a native one: 1-4094; 0: none
	Trunks []uint32 // that a trunk or native port carries, 0-4094; none: all
}

// Stated tells whether anything is said of VLANs.
func (v VLAN) Stated() bool { return v.Mode != 0 || v.Tag != 0 || len(v.Trunks) > 0 }

// Normal has the mode filled in as Open vSwitch takes an absent one, and trunks
// in order, each once.
func (v VLAN) Normal() VLAN {
	if v.Mode == 0 {
		v.Mode = VLANTrunk
		if v.Tag != 0 {
			v.Mode = VLANAccess
		}
	}
	if len(v.Trunks) > 0 {
		v.Trunks = slices.Compact(slices.Sorted(slices.Values(v.Trunks)))
	}
	return v
}

// check checks what is said of VLANs, for a bridge of the kernel or of Open
// vSwitch.
func (v VLAN) check(c *checker, path string, kernel bool) {
	if !v.Stated() {
		return
	}
	mode := v.Normal().Mode
	if v.Tag > 4094 {
		c.outOfRange(path+".tag", uint64(v.Tag), 1, 4094)
	}
	for i, t := range v.Trunks {
		if t > 4094 {
			c.outOfRange(index(path+".trunks", i), uint64(t), 0, 4094)
		}
	}
	switch {
	case mode == VLANTrunk && v.Tag != 0:
		c.add(path+".tag", fmt.Sprint(v.Tag), ReasonConflict, "is set, but a trunk has no VLAN of its own", "use mode: access or a native mode, or leave tag out")
	case mode != VLANTrunk && v.Tag == 0:
		c.add(path+".tag", "", ReasonRequired, fmt.Sprintf("a port in mode %s needs a VLAN", mode), "add tag: 1-4094, or leave vlan out to carry all VLANs")
	}
	if len(v.Trunks) > 0 && (mode == VLANAccess || mode == VLANTunnel) {
		c.add(path+".trunks", fmt.Sprint(v.Trunks), ReasonConflict, fmt.Sprintf("are of a trunk, and the mode is %s", mode), "leave them out, or use a native mode")
	}
	if !kernel {
		return
	}
	if mode != VLANAccess && mode != VLANTrunk {
		c.add(path+".mode", mode.String(), ReasonUnsupported, "is of Open vSwitch, and the bridge is of the kernel", "use access with a tag, or leave vlan out to carry all VLANs")
	} else if mode == VLANTrunk && len(v.Trunks) > 0 {
		c.add(path+".trunks", fmt.Sprint(v.Trunks), ReasonUnsupported, "are of Open vSwitch, and the bridge is of the kernel", "leave them out: all VLANs are carried")
	}
}
