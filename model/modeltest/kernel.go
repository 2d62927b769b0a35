package modeltest

import (
	"fmt"
	"net/netip"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
)

// KernelState generates states that Validate accepts on a host without Open
// vSwitch, where backend auto is the kernel: bridges, segments of the three
// encapsulations, layer 2 tunnels of all four, alone, on a bridge or in a
// segment, and layer 3 tunnels to one remote, to neighbours and by flow. The
// underlay is IPv4 for half of the tunnels and IPv6 for the others.
func KernelState() *rapid.Generator[model.HostState] {
	return rapid.Custom(func(t *rapid.T) model.HostState {
		g := kernelGenerator{generator: generator{t: t}}
		g.bridges()
		g.underlay()
		g.segments()
		g.attachments()
		g.tunnels()
		return g.s
	})
}

// kernelGenerator shares the draws of generator, and none of its objects.
type kernelGenerator struct {
	generator
	count int  // of tunnels
	flow4 bool // the namespace has its collect-metadata device over IPv4
	flow6 bool
}

func (g *kernelGenerator) bridges() {
	if g.yes("overlay stated") {
		g.overlay = rapid.SampledFrom([]string{"br-greave", "br-ov"}).Draw(g.t, "overlay")
		g.s.Bridges = append(g.s.Bridges, model.Bridge{Name: g.overlay, Forwarding: model.ForwardOverlay,
			Backend: rapid.SampledFrom([]model.Backend{0, model.BackendAuto, model.BackendKernel}).Draw(g.t, "backend")})
	}
	for i := range g.n("normal bridges", 0, 2) {
		b := model.Bridge{
			Name:    fmt.Sprintf("br%d", i),
			Backend: rapid.SampledFrom([]model.Backend{0, model.BackendAuto, model.BackendKernel}).Draw(g.t, "backend"),
			MTU:     rapid.SampledFrom([]uint32{0, 1400, 9000}).Draw(g.t, "mtu"),
			Adopt:   g.yes("adopt bridge"),
		}
		if g.yes("addresses") {
			b.Addresses = []netip.Prefix{netip.PrefixFrom(host4(20, i, 1), 24), netip.PrefixFrom(host6(0x20+i, 1), 64)}
		}
		if g.yes("hwaddr") {
			b.HWAddr = model.MAC{2, 0, 0, 0, 1, byte(i)}
		}
		g.s.Bridges = append(g.s.Bridges, b)
	}
}

// underlay makes a VTEP of each kind at most, and peers behind them.
func (g *kernelGenerator) underlay() {
	g.s.Vteps = []model.Vtep{{Name: "v4", Addr: host4(0, 0, 1)}, {Name: "v6", Addr: host6(0, 1)}}
	if g.yes("vtep by device") {
		g.s.Vteps = append(g.s.Vteps, model.Vtep{Name: "dev", Device: "eth1"})
	}
	if g.yes("vtep by route") {
		g.s.Vteps = append(g.s.Vteps, model.Vtep{Name: "route", Routed: true})
	}
	for i := range g.n("peers", 0, 5) {
		p := model.Peer{Name: fmt.Sprintf("host-%d.example", i),
			Encap: rapid.SampledFrom([]model.Encap{0, 0, model.EncapGRE, model.EncapGeneve}).Draw(g.t, "peer encap")}
		v := g.s.Vteps[g.n("vtep", 0, len(g.s.Vteps)-1)].Name
		w := model.Path{Vtep: v, Remote: host4(0, 1, 1+i)}
		if v == "v6" || v != "v4" && g.yes("remote over IPv6") {
			w.Remote = host6(1, 1+i)
		}
		p.Paths = []model.Path{w}
		g.s.Peers = append(g.s.Peers, p)
	}
}

func (g *kernelGenerator) segments() {
	for i := range g.n("segments", 0, 4) {
		seg := model.Segment{
			Name: fmt.Sprintf("seg%d", i), Key: uint64(100 + i),
			Encap:    rapid.SampledFrom([]model.Encap{0, model.EncapGRE, model.EncapVXLAN, model.EncapGeneve}).Draw(g.t, "encap"),
			Unknown:  rapid.SampledFrom([]model.Unknown{0, model.UnknownFlood, model.UnknownDrop}).Draw(g.t, "unknown"),
			Learning: g.yes("learning"),
			MTU:      rapid.SampledFrom([]uint32{0, 1400}).Draw(g.t, "segment mtu"),
		}
		if g.yes("suppression") {
			seg.Suppression.Enabled = true
			if g.yes("excluded") {
				seg.Suppression.Excluded = []netip.Prefix{netip.MustParsePrefix("10.30.0.128/25"), netip.MustParsePrefix("2001:db8:30:80::/64")}
			}
		}
		for j := range g.s.Peers {
			if !g.fits(seg, g.s.Peers[j]) {
				continue
			}
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

// fits tells whether a peer can be in a segment: one device of the kernel is all
// of a VXLAN segment, so it has the peers of one VTEP and family.
func (g *kernelGenerator) fits(seg model.Segment, p model.Peer) bool {
	return seg.Encap != model.EncapVXLAN || p.Encap != 0 || p.Paths[0].Vtep == "v4"
}

func (g *kernelGenerator) attachments() {
	count := 0
	for i, seg := range g.s.Segments {
		macs := 0
		for range g.n("ports", 0, 2) {
			p := model.Port{Name: fmt.Sprintf("port%d", count), Device: fmt.Sprintf("tap%d", count),
				MTU: rapid.SampledFrom([]uint32{0, 1400}).Draw(g.t, "port mtu"), Adopt: g.yes("adopt port")}
			vlan := uint32(rapid.SampledFrom([]int{0, 7, 4094}).Draw(g.t, "attachment vlan"))
			p.Attachments = []model.Attachment{{Segment: seg.Name, VLAN: vlan}}
			if i > 0 && g.yes("second attachment") {
				p.Attachments = append(p.Attachments, model.Attachment{Segment: g.s.Segments[0].Name, VLAN: 100})
			}
			if len(p.Attachments) == 1 && g.yes("guest") {
				macs++
				p.MACs = []model.MAC{MAC(macs)}
				p.IPs = []netip.Addr{host4(30, i, macs), host6(0x30, macs)}
			}
			count++
			g.s.Ports = append(g.s.Ports, p)
		}
		for range g.n("fdb", 0, 3) {
			if len(g.s.Peers) == 0 {
				break
			}
			p := g.s.Peers[g.n("behind", 0, len(g.s.Peers)-1)]
			if !g.fits(seg, p) {
				continue
			}
			macs++
			e := model.FdbEntry{Segment: seg.Name, MAC: MAC(macs), Peer: p.Name}
			if g.yes("guest address") {
				e.IPs = []netip.Addr{host4(30, i, macs), host6(0x30, macs)}
			}
			g.s.Fdb = append(g.s.Fdb, e)
		}
	}
	for _, b := range g.s.Bridges {
		if b.Name != g.overlay && g.yes("port of a normal bridge") {
			g.s.Ports = append(g.s.Ports, model.Port{Name: fmt.Sprintf("port%d", count), Device: fmt.Sprintf("tap%d", count), Bridge: b.Name,
				VLAN: model.VLAN{Tag: uint32(rapid.SampledFrom([]int{0, 1, 4094}).Draw(g.t, "port vlan"))}})
			count++
		}
	}
}

func (g *kernelGenerator) tunnels() {
	for _, b := range g.s.Bridges {
		if b.Name == g.overlay {
			continue
		}
		for range g.n("bridged tunnels", 0, 2) {
			t := g.layer2()
			t.Bridge = b.Name
			t.VLAN.Tag = uint32(rapid.SampledFrom([]int{0, 1, 4094}).Draw(g.t, "vlan"))
			g.s.Tunnels = append(g.s.Tunnels, t)
		}
	}
	for range g.n("layer 2 tunnels", 0, 3) {
		t := g.layer2()
		if len(g.s.Segments) > 0 && g.yes("in a segment") {
			t.Segment = g.s.Segments[0].Name
		} else {
			t.Layer = model.LayerL2
			t.Netns = rapid.SampledFrom([]string{"", "blue"}).Draw(g.t, "netns")
		}
		g.s.Tunnels = append(g.s.Tunnels, t)
	}
	for range g.n("layer 3 tunnels", 0, 4) {
		g.s.Tunnels = append(g.s.Tunnels, g.layer3())
	}
}

// layer2 makes a tunnel that is nowhere yet.
func (g *kernelGenerator) layer2() model.Tunnel {
	e := rapid.SampledFrom([]model.Encap{0, model.EncapGRE, model.EncapVXLAN, model.EncapGeneve, model.EncapERSPAN}).Draw(g.t, "tunnel encap")
	t, v6 := g.tunnel(e)
	switch e {
	case model.EncapERSPAN:
		if g.yes("erspan 2") {
			t.ERSPAN = model.ERSPAN{Version: 2, Egress: g.yes("egress"), HardwareID: uint32(g.n("engine", 0, 63))}
		} else {
			t.ERSPAN.Index = uint32(g.n("index", 0, 1<<20-1))
		}
	case model.EncapVXLAN:
		t.GroupPolicy = g.yes("gbp")
	}
	if e == 0 || e == model.EncapGRE {
		g.gre(&t, v6)
	}
	return t
}

func (g *kernelGenerator) layer3() model.Tunnel {
	t, v6 := g.tunnel(rapid.SampledFrom([]model.Encap{0, model.EncapGRE}).Draw(g.t, "encap of layer 3"))
	n := g.count
	t.Layer = rapid.SampledFrom([]model.Layer{0, model.LayerL3}).Draw(g.t, "layer")
	t.Backend = rapid.SampledFrom([]model.Backend{0, model.BackendAuto, model.BackendKernel}).Draw(g.t, "backend")
	t.Addresses = []netip.Prefix{netip.PrefixFrom(host4(40, n, 1), 24), netip.PrefixFrom(host6(0x40+n, 1), 64)}
	t.Netns = rapid.SampledFrom([]string{"", "blue"}).Draw(g.t, "netns")
	t.VRF = rapid.SampledFrom([]string{"", "vrf-red"}).Draw(g.t, "vrf")
	g.routes(&t, n)
	g.gre(&t, v6)
	switch g.n("far", 0, 3) {
	case 1:
		g.neighbours(&t, n, v6)
		t.Far, t.KeyIn = model.FarAny, model.Some(uint64(700+n)) // two hubs of one address differ by their keys
	case 2:
		if v6 && g.flow6 || !v6 && g.flow4 {
			break
		}
		g.flow4, g.flow6 = g.flow4 || !v6, g.flow6 || v6
		g.neighbours(&t, n, v6)
		t.Far, t.KeyIn, t.Checksum, t.ChecksumIn, t.Sequence, t.SequenceIn = model.FarFlow, model.Opt[uint64]{}, false, model.Opt[bool]{}, false, false
		if t.KeyFlow = g.yes("key by flow"); t.KeyFlow {
			t.KeyOut = model.Opt[uint64]{}
		}
	case 3:
		t.Remote = netip.AddrFrom4([4]byte{239, 0, 0, byte(n)})
		if v6 {
			t.Remote = netip.MustParseAddr(fmt.Sprintf("ff05::%x", n))
		}
		t.Multicast = model.Some(true)
	}
	return t
}

// routes go into the n-th tunnel, on-link and by way of the far end.
func (g *kernelGenerator) routes(t *model.Tunnel, n int) {
	if g.yes("IPv4 route") {
		r := model.Route{Destination: netip.PrefixFrom(host4(50, n, 0), 24)}
		if g.yes("via") {
			r.Via, r.Source = host4(40, n, 2), host4(40, n, 1)
		}
		if g.yes("metric") {
			r.Metric = model.Some(uint32(g.n("metric value", 0, 5)))
		}
		t.Routes = append(t.Routes, r)
	}
	if g.yes("IPv6 route") {
		t.Routes = append(t.Routes, model.Route{Destination: netip.PrefixFrom(host6(0x50+n, 0), 64), Via: host6(0x40+n, 2)})
	}
	if g.yes("default route in a table") {
		t.Routes = append(t.Routes, model.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Table: uint32(1000 + n)})
	}
}

// neighbours take the place of the remote. Overlay addresses ending in 2 are
// those that routes go by.
func (g *kernelGenerator) neighbours(t *model.Tunnel, n int, v6 bool) {
	t.Remote = netip.Addr{}
	t.Multicast = rapid.SampledFrom([]model.Opt[bool]{{}, model.Some(false)}).Draw(g.t, "multicast")
	for i := range g.n("neighbours", 1, 3) {
		under := host4(0, 3, 1+i)
		if v6 {
			under = host6(3, 1+i)
		}
		t.Neighbours = append(t.Neighbours, model.Neighbour{Overlay: host4(40, n, 2+i), Underlay: under},
			model.Neighbour{Overlay: host6(0x40+n, 2+i), Underlay: under})
	}
}

// tunnel makes the outer side of a tunnel to one remote, and its keys.
func (g *kernelGenerator) tunnel(e model.Encap) (t model.Tunnel, v6 bool) {
	g.count++
	n := g.count
	v6 = g.yes("over IPv6")
	t = model.Tunnel{Name: fmt.Sprintf("tun%d", n), Encap: e, Remote: host4(0, 2, n),
		MTU: rapid.SampledFrom([]uint32{0, 1280}).Draw(g.t, "tunnel mtu"), Down: g.yes("down"), Adopt: g.yes("adopt tunnel")}
	local := "v4"
	if v6 {
		t.Remote, local = host6(2, n), "v6"
	}
	if e != model.EncapGeneve { // which has no local address
		t.Vtep = local
		if g.yes("bound") {
			t.Device = "eth1"
		}
	}
	if e != 0 && e != model.EncapGRE || g.yes("keyed") {
		t.KeyOut = model.Some(uint64(500 + n))
		if (e == 0 || e == model.EncapGRE) && g.yes("two keys") {
			t.KeyIn = model.Some(uint64(700 + n))
		}
	}
	if g.yes("tos") {
		t.TOS.Fixed = model.Some(uint32(4 * g.n("dscp", 0, 63)))
	}
	if g.yes("ttl") {
		t.TTL.Fixed = model.Some(uint32(g.n("ttl value", 1, 255)))
	}
	return t, v6
}

// gre draws what only GRE has.
func (g *kernelGenerator) gre(t *model.Tunnel, v6 bool) {
	t.Checksum = g.yes("checksum")
	if g.yes("checksum in stated") {
		t.ChecksumIn = model.Some(g.yes("checksum in"))
	}
	t.Sequence, t.SequenceIn = g.yes("sequence"), g.yes("sequence in")
	if g.yes("fwmark") {
		t.FwMark = uint32(g.n("mark", 1, 1<<16))
	}
	if g.yes("udp") {
		t.UDP = model.UDPEncap{Type: model.UDPEncapType(g.n("format", 1, 2)), DstPort: uint32(5000 + g.count), Checksum: g.yes("udp checksum")}
	}
	switch {
	case v6 && g.yes("encap limit"):
		t.EncapLimit = model.Some(uint32(g.n("limit", 0, 255)))
	case !v6 && g.yes("no DF"):
		t.TTL = model.Inheritable{Inherit: true}
		t.DF, t.IgnoreDF = model.Some(false), g.yes("ignore DF")
	}
}

func host4(a, b, c int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(a), byte(b), byte(c)}) }

func host6(net, host int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::%x", net, host))
}
