package openflow_test

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
	"github.com/greave-sdn/greave/openflow"
)

// inner is what the pipeline can see or change above Ethernet.
type inner struct {
	etherType    uint16
	src, dst     netip.Addr // ARP: spa and tpa
	proto, icmp  uint8      // ARP: op
	sport, dport uint16
	target       netip.Addr
	sha, tha     model.MAC // ND: sll and tll
	reserved     uint64
	option       uint64
}

func (i inner) matches(m openflow.Match) bool {
	u := m.Upper
	hw := i.sha
	if i.icmp == openflow.NDAdvert {
		hw = i.tha
	}
	return (m.EthType == 0 || m.EthType == i.etherType) && (!u.Src.IsValid() || u.Src == i.src) && (!u.Dst.IsValid() || u.Dst == i.dst) &&
		(u.Proto == 0 || u.Proto == i.proto) && (u.ICMPType == 0 || u.ICMPType == i.icmp) && (!u.NDTarget.IsValid() || u.NDTarget == i.target) &&
		(u.TPSrc == 0 || u.TPSrc == i.sport) && (u.TPDst == 0 || u.TPDst == i.dport) && (!u.HW.Set || u.HW.MAC == hw)
}

func (p *packet) setInner(f openflow.SetField) {
	switch f.Field {
	case openflow.FieldEthSrc:
		p.src = macOf(f.Value)
	case openflow.FieldEthDst:
		p.dst = macOf(f.Value)
	case openflow.FieldARPOp:
		p.inner.proto = uint8(f.Value)
	case openflow.FieldICMPv6Type:
		p.inner.icmp = uint8(f.Value)
	case openflow.FieldNDReserved:
		p.inner.reserved = f.Value
	case openflow.FieldNDOptionsType:
		p.inner.option = f.Value
	}
}

func macOf(bits uint64) (m model.MAC) {
	for i := range m {
		m[i] = byte(bits >> (40 - 8*i))
	}
	return m
}

func (p *packet) move(m openflow.Move) {
	i := &p.inner
	macs := map[openflow.Part]*model.MAC{openflow.PartEthSrc: &p.src, openflow.PartEthDst: &p.dst,
		openflow.PartARPSHA: &i.sha, openflow.PartARPTHA: &i.tha, openflow.PartNDTLL: &i.tha}
	addrs := map[openflow.Part]*netip.Addr{openflow.PartARPSPA: &i.src, openflow.PartARPTPA: &i.dst,
		openflow.PartIPv6Src: &i.src, openflow.PartIPv6Dst: &i.dst, openflow.PartNDTarget: &i.target}
	out := &p.regs[openflow.RegOut]
	switch {
	case macs[m.From] != nil && macs[m.To] != nil:
		*macs[m.To] = *macs[m.From]
	case addrs[m.From] != nil && addrs[m.To] != nil:
		*addrs[m.To] = *addrs[m.From]
	case m.To == openflow.PartOut:
		b := addrs[m.From].As4()
		*out = uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	case m.From == openflow.PartOut:
		*addrs[m.To] = netip.AddrFrom4([4]byte{byte(*out >> 24), byte(*out >> 16), byte(*out >> 8), byte(*out)})
	case m.From == openflow.PartInPort && m.To == openflow.PartOutPort:
		*out = *out&^0xffff | uint32(p.in)&0xffff
	default:
		panic(m)
	}
}

// asker is a guest that no state has.
var (
	asker   = model.MAC{2, 0xaa, 0, 0, 0, 1}
	asker4  = netip.MustParseAddr("10.20.0.99")
	asker6  = netip.MustParseAddr("2001:db8:20::99")
	nobody6 = netip.IPv6Unspecified()
)

// question asks for an address, as from a guest's own.
func question(in openflow.Port, ip netip.Addr) packet {
	p := packet{in: in, src: asker, dst: destinations[0], inner: inner{
		etherType: openflow.EtherARP, proto: openflow.ARPRequest, src: asker4, dst: ip, sha: asker}}
	if ip.Is6() {
		b := ip.As16()
		p.dst = model.MAC{0x33, 0x33, 0xff, b[13], b[14], b[15]}
		p.inner = inner{etherType: openflow.EtherIPv6, proto: openflow.ProtoICMPv6, icmp: openflow.NDSolicit, src: asker6,
			dst: netip.MustParseAddr("ff02::1:ff00:0"), target: ip, sha: asker, option: 1}
	}
	return p
}

// answer is what the asker is to get.
func answer(q packet, mac model.MAC) (out inner, src, dst model.MAC) {
	i := q.inner
	if i.etherType == openflow.EtherARP {
		i.proto, i.src, i.dst, i.sha, i.tha = openflow.ARPReply, q.inner.dst, q.inner.src, mac, q.inner.sha
	} else {
		i.icmp, i.src, i.dst, i.tha, i.reserved, i.option = openflow.NDAdvert, q.inner.target, q.inner.src, mac, 0x60000000, 2
	}
	return i, mac, q.src
}

// holder says, without a pipeline, whose an address of a segment is; zero when
// nobody is to answer for it.
func (w *world) holder(seg model.ResolvedSegment, ip netip.Addr) model.MAC {
	macs := map[model.MAC]bool{}
	for _, p := range w.r.Ports {
		if attached(p.Port, seg.Name) && slices.Contains(p.IPs, ip) {
			mac := model.MAC{}
			if len(p.MACs) == 1 {
				mac = p.MACs[0]
			}
			macs[mac] = true
		}
	}
	for _, e := range w.r.Fdb {
		if e.Segment == seg.Name && slices.Contains(e.IPs, ip) {
			macs[e.MAC] = true
		}
	}
	excluded := slices.ContainsFunc(seg.Suppression.Excluded, func(p netip.Prefix) bool { return p.Contains(ip) })
	if len(macs) != 1 || excluded || !seg.Suppression.Enabled {
		return model.MAC{}
	}
	for mac := range macs {
		return mac
	}
	return model.MAC{}
}

// TestPipelineAnswers: a question from a local port for an address that one
// object states goes back to that port as its answer and nowhere else; every
// other one goes where a frame of no protocol would: for an address that nobody
// or two state or that is excluded, a probe, an announcement, one to a single
// guest, one in a VLAN, and one from a tunnel.
func TestPipelineAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := modeltest.HostState().Draw(t, "state")
		for i := range state.Ports {
			state.Ports[i].Security = model.PortSecurity{}
		}
		w := resolve(state)
		six := slices.ContainsFunc(state.Vteps, func(v model.Vtep) bool { return v.Addr.Is6() }) // whose ports are others there
		if !six && rapid.Bool().Draw(t, "kernel's datapath") {
			for i := range w.r.Bridges {
				w.r.Bridges[i].Datapath = model.DatapathSystem
			}
		}
		w.compile(t.Fatalf)
		s := w.sw(t.Fatalf)
		for _, seg := range w.r.Segments {
			for _, p := range w.r.Ports {
				if attached(p.Port, seg.Name) {
					for n := range 6 {
						askAll(t, w, s, seg, p, modeltest.IP(1+n, true))
						askAll(t, w, s, seg, p, modeltest.IP(1+n, false))
					}
				}
			}
			for _, h := range seg.Users {
				for n := range 6 {
					q := question(w.tunnelPort(h.Encap), modeltest.IP(1+n, n%2 == 0))
					q.tunID, q.tunSrc, q.tunDst = seg.Key, w.r.Hops[h][0].Remote, w.r.Hops[h][0].Local
					if got, want := s.send(q), w.expect(seg, 0, true, q.dst, 0); !same(got, want) {
						t.Fatalf("question from %s in %s: %v, want %v", h, seg.Name, got, want)
					}
				}
			}
		}
	})
}

func askAll(t *rapid.T, w world, s *sw, seg model.ResolvedSegment, p model.ResolvedPort, ip netip.Addr) {
	in := w.ports[p.Device]
	q := question(in, ip)
	q.tags = enters(p.Port, seg.Name)
	mac := w.holder(seg, ip)
	flooded := w.expect(seg, in, false, q.dst, 0)
	switch got := s.send(q); {
	case !mac.IsZero() && ip.Is6() && openflow.Overlay(w.r).Datapath == model.DatapathSystem:
		if want := w.expect(seg, in, false, mac, 0); !same(got, want) || len(s.sent) > 0 && s.sent[0].inner != q.inner {
			t.Fatalf("%s asked for in %s: %v %+v, want the question at %v", ip, seg.Name, got, s.sent, want)
		}
	case !mac.IsZero():
		want, src, dst := answer(q, mac)
		if len(got) != 1 || got[0] != (copyOut{port: in, tci: q.tags[0]}) || s.sent[0].inner != want || s.sent[0].src != src || s.sent[0].dst != dst {
			t.Fatalf("%s asked for in %s: %v %+v, want %+v", ip, seg.Name, got, s.sent, want)
		}
	case !same(got, flooded):
		t.Fatalf("%s asked for in %s: %v, want %v", ip, seg.Name, got, flooded)
	}
	for name, edit := range map[string]func(*packet){
		"in a VLAN": func(p *packet) { p.tags[1] = 0x1063 },
		"to one":    func(p *packet) { p.dst = model.MAC{2, 9, 9, 9, 9, 9} },
		"probe or DAD": func(p *packet) {
			if p.inner.src = netip.IPv4Unspecified(); ip.Is6() {
				p.inner.src, p.inner.sha = nobody6, model.MAC{}
			}
		},
		"announcement": func(p *packet) {
			if ip.Is4() {
				p.inner.src = ip
			} else {
				p.inner.icmp = openflow.NDAdvert
			}
		},
	} {
		q := question(in, ip)
		q.tags = enters(p.Port, seg.Name)
		edit(&q)
		own := q.tags[1]
		if q.tags[0] == 0 {
			q.tags = q.tags.bare()
		}
		if p.Trunk() && q.tags[0] == 0x1063 {
			continue // its outer tag says of which segment it is
		}
		if got, want := s.send(q), w.expect(seg, in, false, q.dst, own); !same(got, want) {
			t.Fatalf("%s for %s in %s: %v, want %v", name, ip, seg.Name, got, want)
		}
	}
}
