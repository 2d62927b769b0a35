package model

import "net/netip"

// ERSPAN, for tunnels alone: it carries no segments. Its packets have a sequence
// number always and a checksum never.
var _ = registerOVS(ovsKind{
	encap: EncapERSPAN, slot: protocol47, overIPv6: "ip6erspan",
	cannot: []ovsLimit{
		{
			on: DatapathSystem, stated: func(t Tunnel, _ netip.Addr) bool { return t.ERSPAN.Version == 2 },
			field: ".erspan.version", value: "2", unproven: true,
			message: "is not proven on the kernel datapath yet",
			remedy:  "use version 1, or a netdev bridge",
		},
		{
			on: DatapathSystem, stated: func(_ Tunnel, outer netip.Addr) bool { return outer.Is6() },
			field: ".encap", value: "erspan", unproven: true,
			message: "is not proven over IPv6 on the kernel datapath yet",
			remedy:  "use IPv4, or a netdev bridge",
		},
		noFragments,
	},
})
