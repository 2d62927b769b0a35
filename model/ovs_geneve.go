package model

// Geneve without options. A copy of a broadcast is as long as one of VXLAN.
var _ = registerOVS(ovsKind{encap: EncapGeneve, flood4: FloodMaxGeneve, flood6: FloodMaxGeneveIPv6, cannot: []ovsLimit{noFragments}})
