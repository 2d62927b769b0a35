package model

import "net/netip"

// Vtep is a local tunnel endpoint.
type Vtep struct {
	Name string
	Addr netip.Addr // underlay address
}

// Ref implements Object.
func (v Vtep) Ref() Ref { return Ref{KindVtep, v.Name} }

func (v Vtep) check(c *checker, path string) {
	c.idName(path+".name", v.Name)
	c.underlayAddr(path+".address", v.Addr)
}
