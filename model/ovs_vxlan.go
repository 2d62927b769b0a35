package model

// VXLAN. A copy of a broadcast has 84 bytes of actions over IPv4 and 104 over IPv6.
var _ = registerOVS(ovsKind{encap: EncapVXLAN, flood4: FloodMaxVXLAN, flood6: FloodMaxVXLANIPv6, cannot: []ovsLimit{noFragments}})
