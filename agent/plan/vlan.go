package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/model"
)

// vlan adds what differs of two normal VLAN behaviours, column by column.
func (c *changes) vlan(w, h model.VLAN) {
	c.add("vlan_mode", VLANModeColumn(h), VLANModeColumn(w))
	c.add("tag", unset(h.Tag, fmt.Sprint(h.Tag)), unset(w.Tag, fmt.Sprint(w.Tag)))
	c.add("trunks", vlanList(h.Trunks), vlanList(w.Trunks))
}

// VLANModeColumn is Port.vlan_mode: empty where Open vSwitch takes the mode by
// itself.
func VLANModeColumn(v model.VLAN) string {
	if v.Mode == 0 || v.Mode == (model.VLAN{Tag: v.Tag}).Normal().Mode {
		return ""
	}
	return v.Mode.String()
}

func vlanList(list []uint32) string {
	words := make([]string, len(list))
	for i, v := range slices.Sorted(slices.Values(list)) {
		words[i] = fmt.Sprint(v)
	}
	return strings.Join(words, "+")
}
