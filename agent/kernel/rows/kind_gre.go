package rows

// Attributes of GRE devices (linux/if_tunnel.h, IFLA_GRE_*), and the flags of
// IFLAGS and OFLAGS (GRE_CSUM, GRE_KEY, GRE_SEQ).
const (
	greIFlags, greOFlags = 2, 3

	greCsum, greKey, greSeq = 0x8000, 0x2000, 0x1000
)

// greAttrs are those of gre and gretap over either family.
func greAttrs() []Attr {
	return []Attr{
		{Name: "dev", ID: 1, Form: Device},
		{Name: "ikey", ID: 4, Form: KeyBE32, Of: greIFlags, Bit: greKey},
		{Name: "okey", ID: 5, Form: KeyBE32, Of: greOFlags, Bit: greKey},
		{Name: "icsum", Form: Bit, Of: greIFlags, Bit: greCsum, Default: "false"},
		{Name: "ocsum", Form: Bit, Of: greOFlags, Bit: greCsum, Default: "false"},
		{Name: "iseq", Form: Bit, Of: greIFlags, Bit: greSeq, Default: "false"},
		{Name: "oseq", Form: Bit, Of: greOFlags, Bit: greSeq, Default: "false"},
		{Name: "encap", ID: 14, Form: U16, Default: "0"}, // 1 fou, 2 gue
		{Name: "encap-flags", ID: 15, Form: U16, Default: "0"},
		{Name: "encap-sport", ID: 16, Form: BE16, Default: "0"},
		{Name: "encap-dport", ID: 17, Form: BE16, Default: "0"},
		{Name: "external", ID: 18, Form: Flag, Default: "false", Fixed: true},
		{Name: "fwmark", ID: 20, Form: U32, Default: "0"},
	}
}

func greOver4() []Attr {
	return append(greAttrs(),
		Attr{Name: "local", ID: 6, Form: IP4},
		Attr{Name: "remote", ID: 7, Form: IP4},
		Attr{Name: "ttl", ID: 8, Form: TTL, Default: "64"},
		Attr{Name: "tos", ID: 9, Form: TOS, Default: "0"},
		Attr{Name: "pmtudisc", ID: 10, Form: Bool, Default: "true"},
	)
}

// Flags of GRE over IPv6 (linux/ip6_tunnel.h, IP6_TNL_F_*).
const (
	gre6Flags = 13

	noEncapLimit, copyTClass = 0x1, 0x2
)

func greOver6() []Attr {
	return append(greAttrs(),
		Attr{Name: "local", ID: 6, Form: IP6},
		Attr{Name: "remote", ID: 7, Form: IP6},
		Attr{Name: "hoplimit", ID: 8, Form: U8, Default: "64"},
		Attr{Name: "encaplimit", ID: 11, Form: U8, Default: "0"}, // counts unless "no encaplimit"
		Attr{Name: "flowinfo", ID: 12, Form: BE32, Default: "0"}, // traffic class and flow label
		Attr{Name: "no encaplimit", Form: Bit, Of: gre6Flags, Bit: noEncapLimit, Default: "true"},
		Attr{Name: "tclass inherit", Form: Bit, Of: gre6Flags, Bit: copyTClass, Default: "false"},
	)
}

// ignoreDF excludes pmtudisc.
var ignoreDF = Attr{Name: "ignore-df", ID: 19, Form: Bool, Default: "false"}

var _ = register(
	// A device without Ethernet is point-to-point or not by its remote, and stays so (ip_tunnel_changelink).
	Kind{Name: "gre", Whole: true, Module: "ip_gre",
		Attrs: append(adapt(greOver4(), func(a *Attr) { a.Within = true }, "remote"), ignoreDF)},
	Kind{Name: "gretap", Whole: true, Module: "ip_gre", Attrs: append(greOver4(), ignoreDF)},
	Kind{Name: "ip6gre", Whole: true, Module: "ip6_gre", Attrs: greOver6()},
	Kind{Name: "ip6gretap", Whole: true, Module: "ip6_gre", Attrs: greOver6()},
)
