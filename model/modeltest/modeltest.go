// Package modeltest owns the generators of valid states and of the facts that
// go with them, for property tests in any package. It must not be imported
// outside tests, and has no knowledge of flows or rows beyond package model.
package modeltest

import (
	"fmt"
	"net/netip"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
)

// HostState generates states that Validate accepts on a host whose Open vSwitch
// has no kernel datapath. Segments reuse one another's MAC addresses; what may be
// left out often is.
func HostState() *rapid.Generator[model.HostState] {
	return rapid.Custom(func(t *rapid.T) model.HostState {
		g := generator{t: t}
		g.bridges()
		g.underlay()
		g.segments()
		g.attachments()
		g.created()
		g.tunnels()
		g.mirrors()
		g.samplers()
		return g.s
	})
}

type generator struct {
	t       *rapid.T
	s       model.HostState
	overlay string // "" when implied
	vxlan   bool   // a peer overrides the encapsulation with VXLAN
}

func (g *generator) n(label string, low, high int) int {
	return rapid.IntRange(low, high).Draw(g.t, label)
}

func (g *generator) yes(label string) bool { return rapid.Bool().Draw(g.t, label) }

func (g *generator) bridges() {
	if g.yes("overlay stated") {
		g.overlay = rapid.SampledFrom([]string{"br-greave", "br-ov"}).Draw(g.t, "overlay")
		b := model.Bridge{Name: g.overlay, Forwarding: model.ForwardOverlay}
		if g.yes("protocols") {
			b.Protocols = []string{"OpenFlow15", "OpenFlow13"}
		}
		g.s.Bridges = append(g.s.Bridges, b)
	}
	for i := range g.n("normal bridges", 0, 2) {
		g.s.Bridges = append(g.s.Bridges, model.Bridge{
			Name:     fmt.Sprintf("br%d", i),
			Datapath: rapid.SampledFrom([]model.Datapath{0, model.DatapathAuto, model.DatapathNetdev}).Draw(g.t, "datapath"),
			FailMode: rapid.SampledFrom([]model.FailMode{0, model.FailStandalone, model.FailSecure}).Draw(g.t, "fail mode"),
			MTU:      rapid.SampledFrom([]uint32{0, 1500, 9000}).Draw(g.t, "mtu"),
			Adopt:    g.yes("adopt bridge"),

			SweepOrphans: g.yes("sweep orphans"),
		})
	}
}

func (g *generator) underlay() {
	vteps := g.n("vteps", 1, 2)
	for i := range vteps {
		v := model.Vtep{Name: fmt.Sprintf("v%d", i), Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)})}
		if i > 0 && g.yes("IPv6") {
			v.Addr = host6(0, 1+i)
		}
		g.s.Vteps = append(g.s.Vteps, v)
	}
	for i := range g.n("peers", 0, 5) {
		p := model.Peer{Name: fmt.Sprintf("host-%d.example", i)}
		w := model.Path{Remote: netip.AddrFrom4([4]byte{10, 0, 1, byte(1 + i)})}
		if vteps > 1 || g.yes("vtep stated") {
			v := g.s.Vteps[g.n("vtep", 0, vteps-1)]
			if w.Vtep = v.Name; v.Addr.Is6() {
				w.Remote = host6(1, 1+i)
			}
		}
		p.Paths = g.paths(w, i)
		p.Encap = rapid.SampledFrom([]model.Encap{0, 0, model.EncapGRE, model.EncapVXLAN}).Draw(g.t, "peer encap")
		g.vxlan = g.vxlan || p.Encap == model.EncapVXLAN
		g.s.Peers = append(g.s.Peers, p)
	}
}

// paths adds up to two paths of any role to the first.
func (g *generator) paths(first model.Path, peer int) []model.Path {
	out := []model.Path{first}
	for i := range g.n("further paths", 0, 2) {
		w := first
		w.Remote = netip.AddrFrom4([4]byte{10, 0, byte(2 + i), byte(1 + peer)})
		if first.Remote.Is6() {
			w.Remote = host6(2+i, 1+peer)
		}
		w.Role = rapid.SampledFrom([]model.PathRole{0, model.PathActive, model.PathBackup}).Draw(g.t, "role")
		if g.yes("priority stated") {
			w.Priority = model.Some(uint32(g.n("priority", 0, 1)))
		}
		w.Weight = uint32(g.n("weight", 0, 3))
		out = append(out, w)
	}
	return out
}

func (g *generator) segments() {
	for i := range g.n("segments", 0, 4) {
		seg := model.Segment{
			Name: fmt.Sprintf("seg%d", i), Key: uint64(100 + i),
			Encap:    rapid.SampledFrom([]model.Encap{0, model.EncapGRE, model.EncapVXLAN}).Draw(g.t, "encap"),
			Unknown:  rapid.SampledFrom([]model.Unknown{0, model.UnknownFlood, model.UnknownDrop}).Draw(g.t, "unknown"),
			Learning: g.yes("learning"),
		}
		if seg.Suppression.Enabled = g.yes("suppression"); seg.Suppression.Enabled && g.yes("excluded") {
			seg.Suppression.Excluded = []netip.Prefix{netip.PrefixFrom(IP(2, true), 32), netip.PrefixFrom(IP(2, false), 128)}
		}
		if seg.Encap != model.EncapVXLAN && !g.vxlan && g.yes("wide key") {
			seg.Key += 1 << 31
		}
		if g.overlay != "" && g.yes("bridge stated") {
			seg.Bridge = g.overlay
		}
		for j := range g.s.Peers {
			switch g.n("member", 0, 3) {
			case 0:
				seg.Members = append(seg.Members, g.s.Peers[j].Name)
			case 1:
				g.s.Peers[j].Segments = append(g.s.Peers[j].Segments, seg.Name)
			}
		}
		g.s.Segments = append(g.s.Segments, seg)
	}
}

// MAC is the n-th of the addresses that generated states use.
func MAC(n int) model.MAC { return model.MAC{2, 0, 0, 0, 0, byte(n)} }

func (g *generator) attachments() {
	count := 0
	for _, seg := range g.s.Segments {
		macs := 0
		for range g.n("ports", 0, 3) {
			p := model.Port{Name: fmt.Sprintf("port%d", count), Bridge: seg.Bridge, Attachments: []model.Attachment{{Segment: seg.Name}}}
			if g.yes("bound") {
				p.IfaceID = fmt.Sprintf("iface %d", count)
			} else {
				p.Device = fmt.Sprintf("tap%d", count)
			}
			for range g.n("macs", 0, 2) {
				macs++
				p.MACs = append(p.MACs, MAC(macs))
			}
			g.vlans(&p, count)
			p.IPs = g.ips()
			p.Security = g.security(p)
			count++
			g.s.Ports = append(g.s.Ports, p)
		}
		if len(g.s.Peers) == 0 {
			continue
		}
		for range g.n("fdb", 0, 3) {
			macs++
			peer := g.s.Peers[g.n("behind", 0, len(g.s.Peers)-1)].Name
			g.s.Fdb = append(g.s.Fdb, model.FdbEntry{Segment: seg.Name, MAC: MAC(macs), Peer: peer, IPs: g.ips()})
		}
	}
}

func (g *generator) tunnels() {
	count := 0
	for _, b := range g.s.Bridges {
		if b.Forwarding == model.ForwardOverlay || b.Foreign {
			continue
		}
		for range g.n("tunnels", 0, 3) {
			g.s.Tunnels = append(g.s.Tunnels, g.tunnel(count, b.Name))
			count++
		}
	}
}

// vlan draws what a port of a normal bridge of Open vSwitch says of VLANs.
func (g *generator) vlan() model.VLAN {
	v := model.VLAN{Mode: model.VLANMode(g.n("vlan mode", 0, int(model.VLANTunnel)))}
	tags := []uint32{1, 30, 4094}
	if v.Mode == 0 {
		tags = append(tags, 0)
	}
	if v.Mode != model.VLANTrunk {
		v.Tag = rapid.SampledFrom(tags).Draw(g.t, "tag")
	}
	if v.Mode == model.VLANTrunk || v.Mode == model.VLANNativeTagged || v.Mode == model.VLANNativeUntagged {
		v.Trunks = rapid.SampledFrom([][]uint32{nil, {30}, {40, 0, 4094, 40}}).Draw(g.t, "trunks")
	}
	return v
}

func (g *generator) tunnel(i int, bridge string) model.Tunnel {
	t := model.Tunnel{
		Name: fmt.Sprintf("tun%d", i), Bridge: bridge,
		Remote: netip.AddrFrom4([4]byte{10, 0, 2, byte(1 + i)}),
		Encap:  rapid.SampledFrom([]model.Encap{0, model.EncapGRE, model.EncapVXLAN}).Draw(g.t, "tunnel encap"),
		VLAN:   g.vlan(),
		Adopt:  g.yes("adopt tunnel"),
	}
	if g.yes("over IPv6") {
		t.Remote = host6(2, 1+i)
	} else if g.yes("local") {
		t.Vtep = g.s.Vteps[0].Name
	}
	if t.Encap == model.EncapVXLAN || g.yes("keyed") {
		t.KeyIn = model.Some(uint64(500 + i))
		t.KeyOut = model.Some(uint64(500 + i*g.n("same key", 0, 1)))
	}
	if t.Encap != model.EncapVXLAN {
		t.Checksum = g.yes("checksum")
		t.Sequence = !t.Checksum && g.yes("sequence")
	}
	switch g.n("ttl", 0, 2) {
	case 1:
		t.TTL.Inherit = true
	case 2:
		t.TTL.Fixed = model.Some(uint32(g.n("ttl value", 1, 255)))
	}
	if g.yes("tos") {
		t.TOS.Fixed = model.Some(uint32(4 * g.n("dscp", 0, 63)))
	}
	if g.yes("df") {
		t.DF = model.Some(t.Remote.Is6() || g.yes("df value"))
	}
	return t
}

// Devices lists the devices that a state refers to and some more, the VTEPs'
// addresses among them: what facts need so that nothing is blocked on a device.
func Devices(s model.HostState) map[string]model.Device {
	out := map[string]model.Device{"eth0": {Name: "eth0", MTU: 1500}}
	under := model.Device{Name: "br-phy", MTU: 1500}
	for _, v := range s.Vteps {
		under.Addrs = append(under.Addrs, v.Addr.String())
	}
	out[under.Name] = under
	for _, p := range s.Ports {
		if p.Device != "" {
			out[p.Device] = model.Device{Name: p.Device, MTU: 1500}
		}
	}
	for _, m := range s.Mirrors {
		if m.Device != "" {
			out[m.Device] = model.Device{Name: m.Device, MTU: 1500}
		}
	}
	return out
}

// Facts are facts of a host without kernel datapath on which nothing of a union
// is blocked: its devices, its foreign bridges, and an OVS port for each iface-id,
// which stands in for what libvirt makes.
func Facts(union model.HostState) model.Facts {
	o := model.OVSHost{Version: "3.1.0", Bridges: map[string]model.OVSBridge{}, Ports: map[string]model.OVSPort{}}
	for i, p := range union.Ports {
		if p.IfaceID == "" {
			continue
		}
		name := fmt.Sprintf("vnet%d", i)
		ids := map[string]string{model.IDIface: p.IfaceID, "vm-uuid": name}
		if len(p.MACs) > 0 {
			ids[model.IDAttachedMAC] = p.MACs[0].String()
		}
		o.Ports[name] = model.OVSPort{Name: name, Bridge: p.Bridge, Ofport: 1 + i, ExternalIDs: ids}
	}
	for _, b := range union.Bridges {
		if b.Foreign {
			o.Bridges[b.Name] = model.OVSBridge{Name: b.Name, Datapath: model.DatapathNetdev}
		}
	}
	return model.Facts{OVS: &o, Devices: Devices(union)}
}

// Shuffle returns s with all its lists in another order.
func Shuffle(t *rapid.T, s model.HostState) model.HostState {
	s.Bridges = shuffle(t, s.Bridges)
	s.Vteps = shuffle(t, s.Vteps)
	s.Peers = shuffle(t, s.Peers)
	s.Segments = shuffle(t, s.Segments)
	s.Ports = shuffle(t, s.Ports)
	s.Fdb = shuffle(t, s.Fdb)
	s.Tunnels = shuffle(t, s.Tunnels)
	s.Mirrors = shuffle(t, s.Mirrors)
	s.Samplers = shuffle(t, s.Samplers)
	return s
}

func shuffle[T any](t *rapid.T, list []T) []T {
	if len(list) < 2 {
		return list
	}
	return rapid.Permutation(list).Draw(t, "order")
}

// Split deals the objects of s to n sources.
func Split(t *rapid.T, s model.HostState, n int) []model.HostState {
	out := make([]model.HostState, n)
	pick := func() *model.HostState { return &out[rapid.IntRange(0, n-1).Draw(t, "source")] }
	deal(s.Bridges, func() *[]model.Bridge { return &pick().Bridges })
	deal(s.Vteps, func() *[]model.Vtep { return &pick().Vteps })
	deal(s.Peers, func() *[]model.Peer { return &pick().Peers })
	deal(s.Segments, func() *[]model.Segment { return &pick().Segments })
	deal(s.Ports, func() *[]model.Port { return &pick().Ports })
	deal(s.Fdb, func() *[]model.FdbEntry { return &pick().Fdb })
	deal(s.Tunnels, func() *[]model.Tunnel { return &pick().Tunnels })
	deal(s.Mirrors, func() *[]model.Mirror { return &pick().Mirrors })
	deal(s.Samplers, func() *[]model.Sampler { return &pick().Samplers })
	return out
}

func deal[T any](list []T, to func() *[]T) {
	for _, o := range list {
		at := to()
		*at = append(*at, o)
	}
}
