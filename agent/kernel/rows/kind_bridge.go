package rows

// A bridge of greave's never takes part in spanning tree, nor listens to
// multicast membership: it floods, as OVS does by NORMAL.
var _ = register(Kind{Name: "bridge", Module: "bridge", Attrs: []Attr{ // linux/if_link.h, IFLA_BR_*
	{Name: "stp_state", ID: 5, Form: U32, Default: "0"},
	{Name: "vlan_filtering", ID: 7, Form: U8, Default: "0"},
	{Name: "mcast_snooping", ID: 23, Form: U8, Default: "0"},
}})

// PortAttrs are the attributes of a port of a bridge (IFLA_BRPORT_*), fields
// with PortPrefix.
var PortAttrs = []Attr{
	{Name: "hairpin", ID: 4, Form: Bool, Default: "false"},
	{Name: "learning", ID: 8, Form: Bool, Default: "true"},
	{Name: "flood", ID: 9, Form: Bool, Default: "true"}, // unknown unicast
	{Name: "mcast_flood", ID: 27, Form: Bool, Default: "true"},
	{Name: "bcast_flood", ID: 30, Form: Bool, Default: "true"},
	{Name: "neigh_suppress", ID: 32, Form: Bool, Default: "false"},
	{Name: "isolated", ID: 33, Form: Bool, Default: "false"},
}

// PortDefault is what an attribute is on a new port of a bridge.
func PortDefault(name string) string {
	for _, a := range PortAttrs {
		if a.Name == name {
			return a.Default
		}
	}
	return ""
}

var _ = register(
	Kind{Name: "vlan", Module: "8021q", Attrs: []Attr{ // linux/if_link.h, IFLA_VLAN_*
		{Name: "id", ID: 1, Form: U16, Fixed: true},
		{Name: "dev", Form: Device, Fixed: true}, // IFLA_LINK
	}},
)
