package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// Open vSwitch finds the tunnel port of a packet by the most exact match first
// (tnl_find in ofproto/tunnel.c, 3.1): ports with a fixed key before those of
// key=flow, then those with a fixed remote before those of remote_ip=flow, then
// those with a local address before those without and those of local_ip=flow. It
// says of none that another gets its packets.

// rank is the place of a tunnel in that order.
func (t tunnelID) rank() int {
	r := 0
	if t.key == "flow" {
		r += 6
	}
	if t.remote == "flow" {
		r += 3
	}
	switch t.local {
	case "":
		r++
	case "flow":
		r += 2
	}
	return r
}

// takes tells whether a tunnel gets packets that are for another.
func (t tunnelID) takes(from tunnelID) bool { return t.rank() < from.rank() && t.meets(from) }

// meets tells whether there are packets that both match.
func (t tunnelID) meets(o tunnelID) bool {
	both := func(a, b string) bool { return a == b || a == "flow" || b == "flow" || a == "" || b == "" }
	return t.kind == o.kind && t.layer == o.layer && t.port == o.port &&
		both(t.key, o.key) && both(t.remote, o.remote) && both(t.local, o.local)
}

// plainAddress and plainNumber bring what others write into greave's own form.
func plainAddress(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	return s
}

func plainNumber(s string) string {
	if n, err := strconv.ParseUint(s, 0, 64); err == nil {
		return fmt.Sprint(n)
	}
	return s
}

// rival is a tunnel port of somebody else that the switch carries.
type rival struct {
	model.OVSPort
	id tunnelID
}

// rivals lists the tunnel ports of others, by the datapath of their bridge, in
// order of name. One that the switch refused because ours was first is no matter.
func (d *differ) rivals() map[model.Datapath][]rival {
	out := map[model.Datapath][]rival{}
	for _, name := range slices.Sorted(maps.Keys(d.Have.Ports)) {
		h := d.Have.Ports[name]
		if h.Options["remote_ip"] == "" || h.Ofport <= 0 || d.owns(h.ExternalIDs) {
			continue
		}
		on := d.Have.Bridges[h.Bridge].Datapath
		out[on] = append(out[on], rival{h, idOf(h.Type, h.Options)})
	}
	return out
}

// String names the row and whose it is.
func (r rival) String() string {
	if owner := r.ExternalIDs[model.MarkOwner]; owner != "" {
		return fmt.Sprintf("OVS port %s on bridge %s, of the greaved named %s,", r.Name, r.Bridge, owner)
	}
	return fmt.Sprintf("OVS port %s on bridge %s, of somebody else,", r.Name, r.Bridge)
}

// clash says why a port cannot be had, or gets no packets, beside those of others.
func clash(p WantPort, rivals []rival) model.Notice {
	if p.Options["remote_ip"] == "" || p.Bound {
		return model.Notice{}
	}
	id, shared := idOf(p.Type, p.Options), p.Object.Kind == model.KindBridge
	for _, r := range rivals {
		text := ""
		switch {
		case r.id == id && shared:
			text = fmt.Sprintf("%s is the flow-based port of %s already, and Open vSwitch takes one a switch: use another encapsulation, or let that one have the segments", r, p.Type)
		case r.Name == p.Name:
			continue // the name is the matter
		case r.id == id:
			text = fmt.Sprintf("%s has the same type and endpoints as %s; Open vSwitch takes only one: remove it with ovs-vsctl del-port %s, or change the tunnel", r, p.Name, r.Name)
		case !shared && r.id.takes(id):
			text = fmt.Sprintf("%s would get the packets of %s, for it says more exactly which it wants: remove it with ovs-vsctl del-port %s, or state `local`", r, p.Name, r.Name)
		}
		if text != "" {
			return model.Notice{Reason: model.NoticeConflict, Message: text}
		}
	}
	return model.Notice{}
}

// stolen warns of segments whose packets from a peer a port of somebody else gets.
func (d *differ) stolen(rivals map[model.Datapath][]rival) {
	overlay := openflow.Overlay(d.Want)
	ours := tunnelID{remote: "flow", local: "flow", key: "flow"}
	for _, s := range d.Want.Segments {
		if s.Bridge != overlay.Name {
			continue
		}
		for _, h := range slices.SortedFunc(slices.Values(s.Users), func(a, b model.Hop) int { return cmp.Compare(a.Peer, b.Peer) }) {
			for _, p := range d.Want.Hops[h] {
				c := openflow.CarrierOf(overlay.Datapath, h.Encap, p.Remote)
				from := tunnelID{
					kind: c.Type, layer: "legacy_l2", port: kinds[h.Encap].port,
					remote: p.Remote.String(), local: p.Local.String(), key: fmt.Sprint(s.Key),
				}
				i := slices.IndexFunc(rivals[overlay.Datapath], func(r rival) bool { return r.id.rank() < ours.rank() && r.id.meets(from) })
				if _, warned := d.plan.Warnings[s.Ref()]; i < 0 || warned {
					continue
				}
				r := rivals[overlay.Datapath][i]
				d.plan.Warnings[s.Ref()] = model.Notice{Reason: model.NoticeConflict, On: []model.Ref{{Kind: model.KindPeer, Name: h.Peer}}, Message: fmt.Sprintf(
					"%s gets what peer %s sends to this segment, for it says more exactly which packets it wants: remove it with ovs-vsctl del-port %s, or give it a key of its own", r, h.Peer, r.Name)}
			}
		}
	}
}
