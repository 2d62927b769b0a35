package model

import (
	"cmp"
	"fmt"
)

// Layer3MAC is the Ethernet address of every layer 3 tunnel of Open vSwitch on its
// bridge: what a port sends to it leaves as IP packets. It is one for all, so that
// who routes into a tunnel can state it as a permanent neighbour; therefore a
// bridge has one such tunnel.
var Layer3MAC = MAC{0x02, 0x67, 0x72, 0x65, 0x00, 0x03}

// receivers lists by bridge the ports that a layer 3 tunnel may hand its packets
// to: those whose Ethernet address is stated.
func receivers(s *HostState) map[string][]Port {
	out := map[string][]Port{}
	for _, p := range s.Ports {
		if len(p.MACs) > 0 {
			out[p.Bridge] = append(out[p.Bridge], p)
		}
	}
	return out
}

// checkOVSLayer3 refuses what only a device has: the IP packets of a port of Open
// vSwitch are those of the port behind it.
func (t Tunnel) checkOVSLayer3(c *checker, path string) {
	for _, f := range []struct {
		n     int
		field string
	}{{len(t.Addresses), ".addresses"}, {len(t.Routes), ".routes"}, {len(t.Neighbours), ".neighbours"}} {
		if f.n > 0 {
			c.add(path+f.field, "", ReasonUnsupported, "is of a device, and a layer 3 tunnel on an Open vSwitch bridge is none: it hands its packets to the bridge's port that states macs", "put it on the device of that port, or leave bridge out")
		}
	}
}

// layer3Bridges refuses layer 3 tunnels of Open vSwitch that have nobody to hand
// packets to, or more than one.
func (c *checker) layer3Bridges(s, union *HostState) {
	paths, ports, first := pathsOf(s), receivers(union), map[string]Ref{}
	for _, t := range union.Tunnels {
		if t.Layer != LayerL3 || t.Bridge == "" || c.onKernel(t.Bridge) {
			continue
		}
		at := paths[t.Ref()]
		if other, taken := first[t.Bridge]; taken {
			if at = cmp.Or(at, paths[other]); at != "" {
				c.add(at+".bridge", t.Bridge, ReasonConflict, fmt.Sprintf("has a layer 3 tunnel already, %s, and what is sent to %s can go into one", other, Layer3MAC), "give each a bridge of its own")
			}
			continue
		}
		first[t.Bridge] = t.Ref()
		list := ports[t.Bridge]
		if len(list) == 1 && len(list[0].MACs) == 1 {
			continue
		}
		if at == "" && len(list) > 0 {
			at = paths[list[0].Ref()]
		}
		at = cmp.Or(at, paths[Ref{KindBridge, t.Bridge}], "ports")
		c.add(at, t.Name, ReasonRequired, fmt.Sprintf("needs one port of bridge %s that states one address in macs, to hand IP packets to; there are %d", t.Bridge, len(list)), "add macs: [ADDRESS] to the port of who is behind the tunnel, and to no other of that bridge")
	}
}

// hand finds who gets the packets of a layer 3 tunnel of Open vSwitch.
func (r *Resolved) hand(t *ResolvedTunnel, s *HostState) bool {
	for _, p := range receivers(s)[t.Bridge] {
		ref := p.Ref()
		for _, have := range r.Ports {
			if have.Name == p.Name {
				t.Receiver, t.ReceiverMAC = have.Device, p.MACs[0]
				return true
			}
		}
		r.Blocked[t.Ref()] = Notice{Reason: NoticeBlockedOn, Message: "waits for " + ref.String(), On: []Ref{ref}}
	}
	return false
}
