package rows

var _ = register(Kind{Name: "vxlan", Module: "vxlan", Attrs: []Attr{ // linux/if_link.h, IFLA_VXLAN_*
	{Name: "id", ID: 1, Form: U32, Fixed: true},
	{Name: "remote", ID: 2, Form: IP4},
	{Name: "dev", ID: 3, Form: Device, Sticks: true}, // none for a device is overlooked (vxlan_config_apply)
	{Name: "local", ID: 4, Form: IP4},
	{Name: "ttl", ID: 5, Form: U8, Default: "64"}, // 0 with "ttl inherit"
	{Name: "tos", ID: 6, Form: TOS, Default: "0"},
	{Name: "learning", ID: 7, Form: Bool, Default: "false"},
	{Name: "dstport", ID: 15, Form: BE16, Default: "4789", Fixed: true},
	{Name: "remote6", ID: 16, Form: IP6, Within: true},
	{Name: "local6", ID: 17, Form: IP6, Within: true},
	{Name: "udpcsum", ID: 18, Form: Bool, Default: "false", Fixed: true},
	{Name: "udp6zerocsumtx", ID: 19, Form: Bool, Default: "false", Fixed: true},
	{Name: "udp6zerocsumrx", ID: 20, Form: Bool, Default: "false", Fixed: true},
	{Name: "gbp", ID: 23, Form: Flag, Default: "false", Fixed: true},
	{Name: "external", ID: 25, Form: Bool, Default: "false", Fixed: true},
	{Name: "ttl inherit", ID: 28, Form: Flag, Default: "false", Fixed: true}, // reads back as a byte
	{Name: "df", ID: 29, Form: U8, Default: "1"},                             // 0 unset, 1 set, 2 inherit
}})
