package rows

import "slices"

// erspanAttrs are those of an ERSPAN session besides GRE's (IFLA_GRE_ERSPAN_*).
func erspanAttrs() []Attr {
	return []Attr{
		{Name: "erspan_ver", ID: 22, Form: U8, Default: "1"},
		{Name: "erspan", ID: 21, Form: U32, Default: "0"},    // index, version 1
		{Name: "erspan_dir", ID: 23, Form: U8, Default: "0"}, // 0 ingress, 1 egress, version 2
		{Name: "erspan_hwid", ID: 24, Form: U16, Default: "0"},
	}
}

// erspanOver makes attributes of ERSPAN of those of GRE: it has no checksum, always a sequence number,
// and its session's id for a key, of 10 bits and not optional (erspan_validate).
func erspanOver(attrs []Attr) []Attr {
	attrs = slices.DeleteFunc(attrs, func(a Attr) bool { return a.Name == "icsum" || a.Name == "ocsum" })
	attrs = adapt(attrs, func(a *Attr) { a.Default = "true" }, "iseq", "oseq")
	return append(attrs, erspanAttrs()...)
}

var _ = register(
	Kind{Name: "erspan", Whole: true, Module: "ip_gre", Attrs: erspanOver(greOver4())},
	Kind{Name: "ip6erspan", Whole: true, Module: "ip6_gre", Attrs: erspanOver(greOver6())},
)
