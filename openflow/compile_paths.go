package openflow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/greave-sdn/greave/model"
)

// ProbeKey is the tunnel key of liveness probes, the first of the reserved ones. A
// port with a fixed remote and another key would take a peer's packets away from
// the flow-based port.
const ProbeKey = model.ReservedKeyMin

// Probe is a tunnel port that carries nothing but BFD over one path of a peer: a
// flow-based port has no far end that could be up or down.
type Probe struct {
	Encap         model.Encap
	Local, Remote netip.Addr
}

// Port is the name of the probe's OVS port.
func (p Probe) Port() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "probe port\x00%s %s %s", p.Encap, p.Local, p.Remote))
	return "gs-" + hex.EncodeToString(sum[:5])
}

// Probes lists the probes that a resolved state needs, in order of hop and path: a
// peer with one path has none, for there is nothing to choose.
func Probes(r model.Resolved) (out []Probe, hops []model.Hop) {
	for _, h := range sortedHops(r.Hops) {
		for _, p := range r.Hops[h] {
			if len(r.Hops[h]) > 1 {
				out, hops = append(out, Probe{h.Encap, p.Local, p.Remote}), append(hops, h)
			}
		}
	}
	return out, hops
}

// way is a path with its numbers.
type way struct {
	model.ResolvedPath
	id          uint32
	port, probe Port // probe is 0 while it has no number
}

func (w way) bucket() Bucket {
	return Bucket{ID: w.id, Sets: []SetField{SetReg(RegPath, w.id)}, Then: Resubmit{TableTunnelOut}}
}

// choice writes the groups that pick one of a peer's paths, and names the first.
// With several it is a fast failover group: a bucket for each tier, alive while a
// path of it is, and a last one that takes the first tier on trust, for a far end
// that does not answer probes.
func (c *compiler) choice(w writer, h model.Hop, ways []way) GroupID {
	top := Group{ID: c.group("peer", h.String()), Type: GroupIndirect}
	if len(ways) == 1 {
		top.Buckets = []Bucket{ways[0].bucket()}
		w.group(top)
		return top.ID
	}
	top.Type = GroupFastFailover
	add := func(b Bucket) {
		b.ID = uint32(len(top.Buckets)) + 1
		top.Buckets = append(top.Buckets, b)
	}
	var tiers [][]way
	for i, p := range ways {
		if i == 0 || p.Tier != ways[i-1].Tier {
			tiers = append(tiers, nil)
		}
		tiers[len(tiers)-1] = append(tiers[len(tiers)-1], p)
	}
	for _, tier := range tiers {
		if p := tier[0]; len(tier) > 1 {
			id := c.share(w, fmt.Sprint(h, " ", p.Tier), "tier", tier, true)
			add(Bucket{WatchGroup: id, Then: ToGroup{id}})
		} else if p.probe != 0 {
			b := p.bucket()
			b.Watch = p.probe
			add(b)
		}
	}
	last := ways[0].bucket()
	if len(tiers[0]) > 1 {
		last = Bucket{Then: ToGroup{c.share(w, h.String(), "blind", tiers[0], false)}}
	}
	last.Watch = ways[0].port
	add(last)
	w.group(top)
	return top.ID
}

// share writes a group that spreads flows over the paths of a tier by their
// weights: those that are alive, or all of them.
func (c *compiler) share(w writer, of, role string, tier []way, watch bool) GroupID {
	g := Group{ID: c.group(role, of), Type: GroupSelect, ByFlow: true}
	for _, p := range tier {
		b := p.bucket()
		b.Weight = p.Weight
		if watch {
			b.Watch = p.probe
		}
		g.Buckets = append(g.Buckets, b)
	}
	w.group(g)
	return g.ID
}
