package openflow_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
	"github.com/greave-sdn/greave/openflow"
)

// packet is what the pipeline can see or change of a packet.
type packet struct {
	in             openflow.Port
	regs           [openflow.NumRegs]uint32
	tunID          uint64
	tunSrc, tunDst netip.Addr
	src, dst       model.MAC
	tags           tags
	inner          inner
}

// tags are the TCIs of a packet's VLAN tags, the outer one first.
type tags [3]uint16

func (t tags) in(tci uint16) tags { return tags{tci, t[0], t[1]} }
func (t tags) bare() tags         { return tags{t[1], t[2]} }

// copyOut is one packet that leaves: of a local port only the port and the outer
// tag matter.
type copyOut struct {
	port   openflow.Port
	tci    uint16
	tunID  uint64
	local  netip.Addr
	remote netip.Addr
}

func (c copyOut) compare(o copyOut) int {
	return cmp.Or(cmp.Compare(c.port, o.port), cmp.Compare(c.tci, o.tci), cmp.Compare(c.tunID, o.tunID), c.local.Compare(o.local), c.remote.Compare(o.remote))
}

// sw interprets a program as ovs-vswitchd does: resubmit goes on with what was
// set and keeps what is set there, a bucket works on a copy, and output to the
// port of entry is suppressed.
type sw struct {
	fatalf func(string, ...any)
	flows  map[openflow.Table][]openflow.Flow
	groups map[openflow.GroupID]openflow.Group
	tunnel map[openflow.Port]bool
	out    []copyOut
	sent   []packet      // as each left
	drop   openflow.Flow // the last that dropped
	dead   map[openflow.Port]bool
	learns bool // what is learned stays for the next packet
}

func newSwitch(fatalf func(string, ...any), p *openflow.Program, tunnels ...openflow.Port) *sw {
	s := &sw{fatalf: fatalf, flows: map[openflow.Table][]openflow.Flow{}, groups: map[openflow.GroupID]openflow.Group{}, tunnel: map[openflow.Port]bool{}}
	for _, f := range p.Flows {
		s.flows[f.Table] = append(s.flows[f.Table], f)
	}
	for _, g := range p.Groups {
		s.groups[g.ID] = g
	}
	for _, port := range tunnels {
		s.tunnel[port] = true
	}
	return s
}

func (s *sw) send(p packet) []copyOut {
	s.out, s.sent, s.drop = nil, nil, openflow.Flow{}
	if !s.learns {
		delete(s.flows, openflow.TableL2Learned)
	}
	s.table(openflow.TableClassify, &p, 0)
	return s.out
}

func (s *sw) table(t openflow.Table, p *packet, depth int) {
	if depth > 60 {
		s.fatalf("table %s: too deep", t)
	}
	var hit *openflow.Flow
	for i, f := range s.flows[t] {
		if !p.matches(f.Match) {
			continue
		}
		if hit != nil && f.Priority == hit.Priority {
			s.fatalf("packet %+v has two flows of one priority:\n%s\n%s", *p, f, *hit)
		}
		if hit == nil || f.Priority > hit.Priority {
			hit = &s.flows[t][i]
		}
	}
	if hit == nil {
		return
	}
	if len(hit.Actions) == 0 {
		s.drop = *hit
	}
	for _, a := range hit.Actions {
		s.act(a, p, depth)
	}
}

func (s *sw) act(a openflow.Action, p *packet, depth int) {
	switch a := a.(type) {
	case openflow.SetField:
		p.set(a)
	case openflow.Move:
		p.move(a)
	case openflow.Learn:
		s.learn(a, *p)
	case openflow.PushVLAN:
		p.tags = p.tags.in(openflow.VLANPresent)
	case openflow.PopVLAN:
		p.tags = p.tags.bare()
	case openflow.Resubmit:
		s.table(a.Table, p, depth+1)
	case openflow.Output:
		if a.Port == p.in {
			return
		}
		c := copyOut{port: a.Port, tci: p.tags[0]}
		if s.tunnel[a.Port] {
			c.tunID, c.local, c.remote = p.tunID, p.tunSrc, p.tunDst
		}
		s.out, s.sent = append(s.out, c), append(s.sent, *p)
	case openflow.ToGroup:
		g, ok := s.groups[a.Group]
		if !ok {
			s.fatalf("group %#x is missing", a.Group)
		}
		for _, b := range s.chosen(g) {
			q := *p
			for _, set := range b.Sets {
				q.set(set)
			}
			s.act(b.Then, &q, depth+1)
		}
	default:
		s.fatalf("%T in a program", a)
	}
}

// chosen are the buckets of a group that a packet goes through: of a choice the first
// that is alive.
func (s *sw) chosen(g openflow.Group) []openflow.Bucket {
	if g.Type != openflow.GroupSelect && g.Type != openflow.GroupFastFailover {
		return g.Buckets
	}
	for _, b := range g.Buckets {
		if s.alive(b) {
			return []openflow.Bucket{b}
		}
	}
	return nil
}

func (s *sw) alive(b openflow.Bucket) bool {
	return !s.dead[b.Watch] && (b.WatchGroup == 0 || slices.ContainsFunc(s.groups[b.WatchGroup].Buckets, s.alive))
}

// learn adds what a switch would: a second flow of one key replaces the first.
func (s *sw) learn(l openflow.Learn, p packet) {
	f := openflow.Flow{Key: openflow.Key{Table: openflow.TableL2Learned, Priority: 100}, Cookie: l.Cookie}
	f.Match.Regs[openflow.RegSegment] = openflow.Exact32(p.regs[openflow.RegSegment])
	f.Match.EthDst = openflow.MaskedMAC{Value: p.src, Mask: model.MAC{255, 255, 255, 255, 255, 255}}
	f.Actions = []openflow.Action{openflow.SetReg(openflow.RegPeer, p.regs[openflow.RegFrom])}
	if l.Load.To == openflow.PartOutPort {
		f.Actions = []openflow.Action{openflow.SetReg(openflow.RegOut, uint32(p.in))}
	}
	s.flows[f.Table] = append(slices.DeleteFunc(s.flows[f.Table], func(o openflow.Flow) bool { return o.Key == f.Key }), f)
}

func (p *packet) set(f openflow.SetField) {
	switch {
	case f.Field <= openflow.FieldReg6:
		p.regs[f.Field] = uint32(f.Value)
	case f.Field == openflow.FieldTunID:
		p.tunID = f.Value
	case f.Field == openflow.FieldTunSrc || f.Field == openflow.FieldTunIPv6Src:
		p.tunSrc = f.Addr
	case f.Field == openflow.FieldTunDst || f.Field == openflow.FieldTunIPv6Dst:
		p.tunDst = f.Addr
	case f.Field == openflow.FieldInPort:
		p.in = 0
	case f.Field == openflow.FieldVLANVID:
		p.tags[0] = p.tags[0]&0xe000 | uint16(f.Value)
	default:
		p.setInner(f)
	}
}

func (p *packet) matches(m openflow.Match) bool {
	for n, r := range m.Regs {
		if p.regs[n]&r.Mask != r.Value {
			return false
		}
	}
	for i, b := range m.EthDst.Mask {
		if p.dst[i]&b != m.EthDst.Value[i] || p.src[i]&m.EthSrc.Mask[i] != m.EthSrc.Value[i] {
			return false
		}
	}
	return (m.InPort == 0 || m.InPort == p.in) && p.tunID&m.TunID.Mask == m.TunID.Value &&
		(!m.TunSrc.IsValid() || m.TunSrc == p.tunSrc) && (!m.TunDst.IsValid() || m.TunDst == p.tunDst) &&
		p.tags[0]&m.VlanTCI.Mask == m.VlanTCI.Value && p.inner.matches(m)
}

// world is a state with what a host makes of it, and its compiled program.
type world struct {
	s       model.HostState
	r       model.Resolved
	b       *openflow.Bindings
	overlay string
	ports   map[string]openflow.Port // by OVS port
	p       *openflow.Program
	used    openflow.Names
}

var owner = model.NewOwner("host-a")

// resolve gives a state the ports that a host would give it.
func resolve(s model.HostState) world {
	w := world{s: model.Union(model.Normalize(s, model.HostState{})), b: openflow.NewBindings(), ports: map[string]openflow.Port{}}
	w.r = model.Resolve(w.s, modeltest.Facts(w.s))
	next := openflow.Port(openflow.OfportMin)
	for _, kind := range []string{"gre", "vxlan"} {
		w.ports[openflow.Carrier{Type: kind}.Port()] = next
		next++
	}
	probes, _ := openflow.Probes(w.r)
	for _, p := range probes {
		w.ports[p.Port()] = next
		next++
	}
	for _, p := range w.r.Ports {
		if w.ports[p.Device] = openflow.Port(p.Ofport); p.Ofport == 0 {
			w.ports[p.Device] = next
			next++
		}
	}
	for _, b := range w.s.Bridges {
		if b.Forwarding == model.ForwardOverlay {
			w.overlay = b.Name
		}
	}
	return w
}

func (w *world) compile(fatalf func(string, ...any)) {
	all, err := openflow.Compile(w.r, w.b, owner, func(name string) openflow.Port { return w.ports[name] })
	if err != nil {
		fatalf("compile: %v", err)
	}
	w.used = all.Used
	w.p = all.Bridges[w.overlay]
	if w.p == nil {
		w.p = &openflow.Program{}
	}
}

func newWorld(t *rapid.T) *world {
	w := resolve(modeltest.HostState().Draw(t, "state"))
	w.compile(t.Fatalf)
	return &w
}

func (w *world) sw(fatalf func(string, ...any)) *sw {
	return newSwitch(fatalf, w.p, w.tunnelPort(model.EncapGRE), w.tunnelPort(model.EncapVXLAN))
}

func (w *world) tunnelPort(e model.Encap) openflow.Port {
	return w.ports[openflow.Carrier{Type: e.String()}.Port()]
}

// attached tells whether a port is in a segment.
func attached(p model.Port, segment string) bool {
	return slices.ContainsFunc(p.Attachments, func(a model.Attachment) bool { return a.Segment == segment })
}

// enters is the tag with which frames of a segment come in by a port.
func enters(p model.Port, segment string) (t tags) {
	for _, a := range p.Attachments {
		if a.Segment == segment && a.VLAN != 0 {
			t = t.in(openflow.VLANPresent | uint16(a.VLAN))
		}
	}
	return t
}

// leaves is how a frame of a segment with a tag of its own leaves by a port; none
// when it does not.
func (w *world) leaves(p model.ResolvedPort, segment string, tci uint16) (out []copyOut) {
	for _, a := range p.Attachments {
		c := copyOut{port: w.ports[p.Device], tci: tci}
		if a.VLAN != 0 {
			c.tci = openflow.VLANPresent | uint16(a.VLAN)
		}
		if a.Segment == segment && (a.VLAN != 0 || tci == 0 || !p.Trunk()) {
			out = append(out, c)
		}
	}
	return out
}

// local lists the ports of a segment but one.
func (w *world) local(segment string, but openflow.Port, tci uint16) []copyOut {
	var out []copyOut
	for _, p := range w.r.Ports {
		if w.ports[p.Device] != but {
			out = append(out, w.leaves(p, segment, tci)...)
		}
	}
	return out
}

// via is the copy that goes to a hop.
func (w *world) via(h model.Hop, key uint64, tci uint16) copyOut {
	path := w.r.Hops[h][0]
	return copyOut{w.tunnelPort(h.Encap), tci, key, path.Local, path.Remote}
}

// expect says, without a pipeline, what becomes of a packet of a segment, with a
// VLAN tag of its own where tci is not 0.
func (w *world) expect(seg model.ResolvedSegment, in openflow.Port, fromTunnel bool, dst model.MAC, tci uint16) []copyOut {
	for _, p := range w.r.Ports {
		if attached(p.Port, seg.Name) && slices.Contains(p.MACs, dst) {
			if w.ports[p.Device] == in {
				return nil
			}
			return w.leaves(p, seg.Name, tci)
		}
	}
	for _, e := range w.r.Fdb {
		if e.Segment == seg.Name && e.MAC == dst {
			if fromTunnel {
				return nil
			}
			return []copyOut{w.via(e.Hop, seg.Key, tci)}
		}
	}
	if seg.Unknown == model.UnknownDrop && !dst.IsMulticast() {
		return nil
	}
	out := w.local(seg.Name, in, tci)
	if !fromTunnel {
		for _, h := range seg.Hops {
			out = append(out, w.via(h, seg.Key, tci))
		}
	}
	return out
}

func same(a, b []copyOut) bool {
	sort := func(list []copyOut) []copyOut { return slices.SortedFunc(slices.Values(list), copyOut.compare) }
	return slices.Equal(sort(a), sort(b))
}

var destinations = append([]model.MAC{
	{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x33, 0x33, 0, 0, 0, 1}, {1, 0, 0x5e, 0, 0, 1}, {2, 9, 9, 9, 9, 9}, {},
}, modeltest.MAC(1), modeltest.MAC(2), modeltest.MAC(3), modeltest.MAC(4), modeltest.MAC(6), modeltest.TrunkMAC(1), modeltest.TrunkMAC(2))

// TestPipelineFromLocalPort: a frame of a local port goes where the document
// says and nowhere else: one copy a member, none to non-members, nothing of
// another segment although all segments use the same addresses, and broadcasts
// to local ports first.
func TestPipelineFromLocalPort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		s := w.sw(t.Fatalf)
		for _, seg := range w.r.Segments {
			for _, p := range w.r.Ports {
				if !attached(p.Port, seg.Name) {
					continue
				}
				in, own := w.ports[p.Device], rapid.SampledFrom([]uint16{0, 0, 0x1063}).Draw(t, "own tag")
				if p.Trunk() && own != 0 && enters(p.Port, seg.Name) == (tags{}) {
					own = 0 // its outer tag says of which segment it is
				}
				inside := tags{own}
				if at := enters(p.Port, seg.Name); at[0] != 0 {
					inside = inside.in(at[0])
				}
				for _, dst := range destinations {
					got, want := s.send(packet{in: in, src: sole(p.MACs), dst: dst, tags: inside}), w.expect(seg, in, false, dst, own)
					if !same(got, want) {
						t.Fatalf("%s from %s in %s: %v, want %v", dst, p.Name, seg.Name, got, want)
					}
					if !slices.IsSortedFunc(got, func(a, b copyOut) int { return cmp.Compare(rank(s.tunnel[a.port]), rank(s.tunnel[b.port])) }) {
						t.Fatalf("%s from %s: members before local ports: %v", dst, p.Name, got)
					}
				}
			}
		}
	})
}

// TestPipelineTrunk: a frame whose tag no attachment of a trunk names goes nowhere,
// and is counted with the port; a priority alone is no VLAN.
func TestPipelineTrunk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		s := w.sw(t.Fatalf)
		for _, p := range w.r.Ports {
			if p.Bridge != w.overlay || !p.Trunk() {
				continue
			}
			of := map[uint16]string{}
			for _, a := range p.Attachments {
				of[uint16(a.VLAN)] = a.Segment
			}
			for _, tci := range []uint16{0, 0x1000, 0xb000, 0x1001, 0x1007, 0xf007, 0x1064, 0x1ffe} {
				x := packet{in: w.ports[p.Device], src: sole(p.MACs), dst: destinations[0], tags: tags{tci}}
				got := s.send(x)
				i := slices.IndexFunc(w.r.Segments, func(g model.ResolvedSegment) bool { return g.Name == of[tci&0xfff] })
				if i < 0 {
					if len(got) > 0 || !openflow.StrayVLAN(s.drop) || w.object(s.drop.Cookie) != p.Ref() {
						t.Fatalf("TCI %#x from %s: %v, dropped by %s", tci, p.Name, got, s.drop)
					}
				} else if want := w.expect(w.r.Segments[i], x.in, false, x.dst, 0); !same(got, want) {
					t.Fatalf("TCI %#x from %s: %v, want %v", tci, p.Name, got, want)
				}
			}
		}
	})
}

// sole is the first MAC of a port, for a frame that its guards let pass.
func sole(macs []model.MAC) (m model.MAC) {
	for _, m := range macs {
		return m
	}
	return m
}

func rank(tunnel bool) int {
	if tunnel {
		return 1
	}
	return 0
}

// TestPipelineFromTunnel: a frame from a tunnel goes to local ports of its
// segment only, never to a tunnel, in whatever encapsulation; frames of unknown
// hosts, to other addresses of this host and with other keys go nowhere.
func TestPipelineFromTunnel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		s := w.sw(t.Fatalf)
		for h, paths := range w.r.Hops {
			from := packet{in: w.tunnelPort(h.Encap), tunSrc: paths[0].Remote, tunDst: paths[0].Local}
			for _, seg := range w.r.Segments {
				uses := slices.Contains(seg.Hops, h) ||
					slices.ContainsFunc(w.r.Fdb, func(e model.ResolvedFdb) bool { return e.Segment == seg.Name && e.Hop == h }) ||
					slices.ContainsFunc(w.s.Peers, func(p model.Peer) bool {
						return p.Name == h.Peer && slices.Contains(p.Segments, seg.Name) && h.Encap == cmp.Or(p.Encap, seg.Encap)
					})
				from.tunID = seg.Key
				for _, from.dst = range destinations {
					got := s.send(from)
					if want := w.expect(seg, from.in, true, from.dst, 0); uses && !same(got, want) {
						t.Fatalf("%s from %s in %s: %v, want %v", from.dst, h, seg.Name, got, want)
					}
					for _, c := range got {
						if s.tunnel[c.port] {
							t.Fatalf("%s from %s goes on to a tunnel: %v", from.dst, h, c)
						}
						if !slices.Contains(w.local(seg.Name, 0, 0), c) {
							t.Fatalf("%s from %s with the key of %s reaches %v", from.dst, h, seg.Name, c)
						}
					}
				}
			}
			for name, edit := range map[string]func(*packet){
				"unknown host":  func(p *packet) { p.tunSrc = netip.MustParseAddr("10.9.9.9") },
				"other address": func(p *packet) { p.tunDst = netip.MustParseAddr("10.9.9.9") },
				"unknown key":   func(p *packet) { p.tunID = 99 },
				"no key":        func(p *packet) { p.tunID = 0 },
				"unknown port":  func(p *packet) { p.in = 999 },
			} {
				p := from
				p.dst = destinations[0]
				edit(&p)
				if got := s.send(p); len(got) > 0 {
					t.Fatalf("%s from %s: %v", name, h, got)
				}
			}
		}
	})
}

// TestSplitHorizonTwoEncapsulations pins the case that suppression of the port
// of entry would hide: a member by GRE, a member by VXLAN, one segment.
func TestSplitHorizonTwoEncapsulations(t *testing.T) {
	w := resolve(example())
	w.compile(t.Fatalf)
	s := w.sw(t.Fatalf)
	red := w.r.Segments[slices.IndexFunc(w.r.Segments, func(g model.ResolvedSegment) bool { return g.Name == "red" })]
	if len(red.Hops) != 2 || red.Hops[0].Encap == red.Hops[1].Encap {
		t.Fatalf("hops %v", red.Hops)
	}
	for _, h := range red.Hops {
		path := w.r.Hops[h][0]
		for _, dst := range destinations {
			got := s.send(packet{in: w.tunnelPort(h.Encap), tunSrc: path.Remote, tunDst: path.Local, tunID: red.Key, dst: dst})
			if want := w.expect(red, 0, true, dst, 0); !same(got, want) {
				t.Errorf("%s from %s: %v, want %v", dst, h, got, want)
			}
		}
	}
	// Without the guard the FDB would send it on: the test can fail.
	w.p.Flows = slices.DeleteFunc(w.p.Flows, func(f openflow.Flow) bool { return f.Table == openflow.TablePath && f.Priority == 200 })
	path := w.r.Hops[red.Hops[1]][0]
	got := w.sw(t.Fatalf).send(packet{in: w.tunnelPort(red.Hops[1].Encap), tunSrc: path.Remote, tunDst: path.Local, tunID: red.Key, dst: model.MAC{2, 0, 0, 0, 0, 0xb}})
	if len(got) != 1 || got[0].port != w.tunnelPort(red.Hops[0].Encap) {
		t.Errorf("without split horizon: %v", got)
	}
}

// example is the state of docs/pipeline.md: two segments with the same guest
// addresses, two peers, one of them with two paths, the other by VXLAN.
func example() model.HostState {
	a, b, c := model.MAC{2, 0, 0, 0, 0, 0xa}, model.MAC{2, 0, 0, 0, 0, 0xb}, model.MAC{2, 0, 0, 0, 0, 0xc}
	in := func(segment string) []model.Attachment { return []model.Attachment{{Segment: segment}} }
	return model.HostState{
		Vteps: []model.Vtep{{Name: "underlay", Addr: netip.MustParseAddr("192.0.2.1")}},
		Peers: []model.Peer{
			{Name: "host-b", Paths: []model.Path{{Remote: netip.MustParseAddr("192.0.2.2")}, {Remote: netip.MustParseAddr("198.51.100.2"), Role: model.PathBackup}}, Segments: []string{"red", "blue"}},
			{Name: "host-c", Paths: []model.Path{{Remote: netip.MustParseAddr("192.0.2.3")}}, Segments: []string{"red"}, Encap: model.EncapVXLAN},
		},
		Segments: []model.Segment{{Name: "red", Key: 100, Suppression: model.Suppression{Enabled: true, Excluded: []netip.Prefix{netip.MustParsePrefix("10.0.0.128/25")}}}, {Name: "blue", Key: 200, Unknown: model.UnknownDrop, Learning: true}},
		Ports: []model.Port{
			{Name: "red-a", Device: "tap-red", MACs: []model.MAC{a}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Attachments: in("red"),
				Security: model.PortSecurity{MAC: true, IP: true, ARP: true, DHCPGuard: true, RAGuard: true}},
			{Name: "blue-a", Device: "tap-blue", MACs: []model.MAC{a}, Attachments: in("blue")},
		},
		Fdb: []model.FdbEntry{
			{Segment: "red", MAC: b, Peer: "host-b", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")}},
			{Segment: "red", MAC: c, Peer: "host-c"},
			{Segment: "blue", MAC: b, Peer: "host-b"},
		},
	}
}

func (c copyOut) String() string {
	if !c.remote.IsValid() {
		return fmt.Sprintf("port %d", c.port)
	}
	return fmt.Sprintf("port %d key %d %s>%s", c.port, c.tunID, c.local, c.remote)
}
