package model

import "net/netip"

// protocol47 is the slot of all that runs in GRE: one datapath port of the
// userspace datapath gets every packet of the protocol, and takes it for its own.
const protocol47 = "IP protocol 47"

// GRE. A copy of a broadcast has 76 bytes of actions over IPv4 and 96 over IPv6.
var _ = registerOVS(ovsKind{
	encap: EncapGRE, slot: protocol47, overIPv6: "ip6gre", flood4: FloodMax, flood6: FloodMaxIPv6,
	cannot: []ovsLimit{
		{
			on: DatapathNetdev, stated: func(t Tunnel, _ netip.Addr) bool { return t.Checksum && t.Sequence },
			field: ".sequence.out", value: "true",
			message: "loses all traffic beside checksum.out on the userspace datapath: OVS computes the checksum before it writes the number",
			remedy:  "keep one of them",
		},
		{
			on: DatapathSystem, stated: func(t Tunnel, _ netip.Addr) bool { return t.Checksum },
			field: ".checksum.out", value: "true",
			message: "loses all traffic on the kernel datapath: Linux drops GRE packets with a checksum there",
			remedy:  "leave it out, or use a netdev bridge",
		},
		{
			on: DatapathSystem, stated: func(t Tunnel, _ netip.Addr) bool { return t.Sequence },
			field: ".sequence.out", value: "true",
			message: "has no effect on the kernel datapath, which sends no sequence numbers",
			remedy:  "leave it out, or use a netdev bridge",
		},
		{
			on: DatapathSystem, stated: func(t Tunnel, _ netip.Addr) bool { return t.Layer == LayerL3 },
			field: ".layer", value: "l3",
			message: "loses packets on the kernel datapath, whose one device for GRE stays of the layer that was first, and over IPv6 is of layer 2 only",
			remedy:  "use a netdev bridge, or a tunnel without a bridge, a device of the kernel",
		},
		noFragments,
	},
})
