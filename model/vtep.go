package model

import "net/netip"

// Vtep is a local tunnel endpoint.
type Vtep struct {
	Name   string
	Addr   netip.Addr // underlay address …
	Device string     // … or the device that has it: the first global one of the remote's family …
	Routed bool       // … or the source address of the kernel's route to each remote
	VRF    string     // VRF device in which the underlay is routed
	Netns  string     // name under /run/netns of the underlay's namespace; empty: greaved's own
}

// Ref implements Object.
func (v Vtep) Ref() Ref { return Ref{KindVtep, v.Name} }

func (v Vtep) check(c *checker, path string) {
	c.idName(path+".name", v.Name)
	switch {
	case v.Device != "" && v.Addr.IsValid():
		c.add(path+".device", v.Device, ReasonConflict, "stands beside an address, and a VTEP has one or the other", "keep one")
	case v.Routed && (v.Addr.IsValid() || v.Device != ""):
		c.add(path+".route_to_peer", "true", ReasonConflict, "stands beside an address or device", "keep one")
	case v.Device != "":
		c.deviceName(path+".device", v.Device)
	case !v.Routed:
		c.underlayAddr(path+".address", v.Addr)
	}
	if v.VRF != "" {
		c.deviceName(path+".vrf", v.VRF)
	}
	c.netns(path+".netns", v.Netns)
}
