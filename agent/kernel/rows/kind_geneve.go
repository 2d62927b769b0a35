package rows

// With external, the kernel takes no id, remote, ttl, tos nor checksum: they must be 0, false or empty.
// It has an udp6zerocsumrx too, which is always true whatever one writes (geneve_nl2info).
var _ = register(Kind{Name: "geneve", Here: true, Module: "geneve", Attrs: []Attr{ // linux/if_link.h, IFLA_GENEVE_*
	{Name: "id", ID: 1, Form: U32, Fixed: true},
	{Name: "remote", ID: 2, Form: IP4, Within: true},
	{Name: "ttl", ID: 3, Form: U8, Default: "64"}, // 0 with "ttl inherit"
	{Name: "tos", ID: 4, Form: TOS, Default: "0"},
	{Name: "dstport", ID: 5, Form: BE16, Default: "6081", Fixed: true},
	{Name: "external", ID: 6, Form: Flag, Default: "false", Fixed: true},
	{Name: "remote6", ID: 7, Form: IP6, Within: true},
	{Name: "udpcsum", ID: 8, Form: Bool, Default: "false", Fixed: true},
	{Name: "udp6zerocsumtx", ID: 9, Form: Bool, Default: "false", Fixed: true},
	{Name: "ttl inherit", ID: 12, Form: Bool, Default: "false"},
	{Name: "df", ID: 13, Form: U8, Default: "1"}, // 0 unset, 1 set, 2 inherit
}})
