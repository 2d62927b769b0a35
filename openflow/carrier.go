package openflow

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"

	"github.com/greave-sdn/greave/model"
)

// Carrier is one flow-based tunnel port of the overlay bridge: an encapsulation
// under one Interface.type, which for GRE on the kernel datapath is another one
// for each address family.
type Carrier struct {
	Encap model.Encap
	Type  string
}

// CarrierOf is the carrier of packets to a remote on a datapath.
func CarrierOf(d model.Datapath, e model.Encap, remote netip.Addr) Carrier {
	return Carrier{e, e.OVSType(d, remote.Is6())}
}

// Port is the name of the carrier's OVS port.
func (c Carrier) Port() string {
	sum := sha256.Sum256([]byte("flow-based tunnel port\x00" + c.Type))
	return "gs-" + hex.EncodeToString(sum[:5])
}

// Carriers lists the carriers that a resolved state's hops use, in order: each
// needs its flow-based port on the overlay bridge.
func Carriers(r model.Resolved) []Carrier {
	d, seen := Overlay(r).Datapath, map[Carrier]bool{}
	var out []Carrier
	for h, paths := range r.Hops {
		for _, p := range paths {
			if c := CarrierOf(d, h.Encap, p.Remote); !seen[c] {
				seen[c] = true
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b Carrier) int {
		return cmp.Or(cmp.Compare(a.Encap, b.Encap), cmp.Compare(a.Type, b.Type))
	})
	return out
}

// Overlay is the bridge that runs the pipeline, the zero one when there is none.
func Overlay(r model.Resolved) model.Bridge {
	for _, b := range r.Bridges {
		if b.Forwarding == model.ForwardOverlay {
			return b
		}
	}
	return model.Bridge{}
}

// toward is the port that packets to a remote leave by, 0 when it has no number.
func (c *compiler) toward(e model.Encap, remote netip.Addr) Port {
	return c.ofport(CarrierOf(c.datapath, e, remote).Port())
}

// leads tells whether any path of a hop has its port.
func (c *compiler) leads(h model.Hop) bool {
	return slices.ContainsFunc(c.r.Hops[h], func(p model.ResolvedPath) bool { return c.toward(h.Encap, p.Remote) != 0 })
}

// setTunnel writes both ends of the outer header.
func setTunnel(p model.ResolvedPath) (src, dst SetField) {
	if p.Remote.Is6() {
		return SetField{Field: FieldTunIPv6Src, Addr: p.Local}, SetField{Field: FieldTunIPv6Dst, Addr: p.Remote}
	}
	return SetField{Field: FieldTunSrc, Addr: p.Local}, SetField{Field: FieldTunDst, Addr: p.Remote}
}
