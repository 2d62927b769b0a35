package rows

// erspanAttrs are those of an ERSPAN session besides GRE's (IFLA_GRE_ERSPAN_*).
func erspanAttrs() []Attr {
	return []Attr{
		{Name: "erspan_ver", ID: 22, Form: U8, Default: "1"},
		{Name: "erspan", ID: 21, Form: U32, Default: "0"},    // index, version 1
		{Name: "erspan_dir", ID: 23, Form: U8, Default: "0"}, // 0 ingress, 1 egress, version 2
		{Name: "erspan_hwid", ID: 24, Form: U16, Default: "0"},
	}
}

var _ = register(
	Kind{Name: "erspan", Whole: true, Module: "ip_gre", Attrs: append(greOver4(), erspanAttrs()...)},
	Kind{Name: "ip6erspan", Whole: true, Module: "ip6_gre", Attrs: append(greOver6(), erspanAttrs()...)},
)
