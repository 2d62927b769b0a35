package conformance

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// part is what some cases need of the documents: one that a host refuses leaves the others alone.
type part struct {
	name string
	nets []string // segments, or tunnels with a bridge each; on each is a guest of every host that takes part
	key  uint32   // tunnel key of the first of nets, on all hosts
	doc  func(p place) *greavev1.HostState
	dumb bool                  // guests cannot reach each other, as is right
	vlan func(host int) uint16 // tag of the frames of a host's guest that get through; nil: any
}

// place is what a part's document is for: one of its nets on one host.
type place struct {
	encap Encap
	hosts []*Host
	self  int
	net   string
	key   uint32
}

// The parts. A segment is named as its net; ports, bridges and tunnels have a letter before it.
var parts = []*part{
	{name: "segments", nets: []string{"red", "blue"}, key: 100, doc: place.segment},
	{name: "drop", nets: []string{"drop"}, key: 110, doc: func(p place) *greavev1.HostState {
		s := p.segment()
		s.Segments[0].Unknown = greavev1.UnknownUnicast_UNKNOWN_UNICAST_DROP
		return s
	}},
	{name: "quiet", nets: []string{"quiet"}, key: 120, doc: func(p place) *greavev1.HostState {
		s := p.segment()
		s.Segments[0].Suppression = &greavev1.Suppression{Enabled: proto.Bool(true)}
		for _, f := range s.Fdb {
			f.Ips = []string{p.addressOf(f.Peer)}
		}
		return s
	}},
	{name: "quiet six", nets: []string{"six"}, key: 125, doc: func(p place) *greavev1.HostState {
		s := p.segment()
		s.Segments[0].Suppression = &greavev1.Suppression{Enabled: proto.Bool(true)}
		for _, f := range s.Fdb {
			f.Ips = []string{guestIP6(p.index(f.Peer)).String()}
		}
		return s
	}},
	{name: "learn", nets: []string{"learn"}, key: 130, doc: func(p place) *greavev1.HostState {
		s := p.segment()
		s.Segments[0].Learning, s.Fdb = proto.Bool(true), nil
		return s
	}},
	{name: "strange", nets: []string{"strange"}, key: 140, dumb: true, doc: func(p place) *greavev1.HostState {
		p.key += uint32(p.self) // no two hosts agree
		return p.segment()
	}},
	{name: "trunk", nets: []string{"trunk"}, key: 150, vlan: func(host int) uint16 { return trunkVLAN("red", host) }, doc: place.trunk},
	{name: "tunnel", nets: []string{"tun"}, key: 200, doc: func(p place) *greavev1.HostState { return p.tunnel(nil) }},
	{name: "other key", nets: []string{"okey"}, key: 210, dumb: true, doc: func(p place) *greavev1.HostState {
		p.key += uint32(p.self)
		return p.tunnel(nil)
	}},
	{name: "checksum", nets: []string{"sum"}, key: 220, doc: tunnelWith(func(t *greavev1.Tunnel) {
		t.Checksum = &greavev1.TunnelChecksum{Out: proto.Bool(true)}
	})},
	{name: "sequence", nets: []string{"seq"}, key: 230, doc: tunnelWith(func(t *greavev1.Tunnel) {
		t.Sequence = &greavev1.TunnelSequence{Out: proto.Bool(true)}
	})},
	{name: "header", nets: []string{"head"}, key: 240, doc: tunnelWith(func(t *greavev1.Tunnel) {
		t.Ttl = &greavev1.TunnelTtl{Kind: &greavev1.TunnelTtl_Fixed{Fixed: fixedTTL}}
		t.Tos = &greavev1.TunnelTos{Kind: &greavev1.TunnelTos_Fixed{Fixed: fixedTOS}}
	})},
	{name: "access", nets: []string{"acc"}, key: 250, vlan: func(int) uint16 { return accessVLAN }, doc: tunnelWith(func(t *greavev1.Tunnel) {
		t.Vlan = &greavev1.Vlan{Tag: proto.Uint32(accessVLAN)}
	})},
	{name: "layer 3", nets: []string{"l3"}, key: 260, doc: func(p place) *greavev1.HostState {
		if p.self > 1 {
			return nil
		}
		t := p.tunnel(nil).Tunnels[0]
		t.Bridge, t.Layer = "", greavev1.Layer_LAYER_L3
		t.Addresses = []string{innerAddress(p.self, false).String() + "/30", innerAddress(p.self, true).String() + "/64"}
		return &greavev1.HostState{Tunnels: []*greavev1.Tunnel{t}}
	}},
}

// What the parts state and the cases look for.
const (
	fixedTTL, fixedTOS = 17, 40
	accessVLAN         = 7
)

func tunnelWith(edit func(*greavev1.Tunnel)) func(place) *greavev1.HostState {
	return func(p place) *greavev1.HostState { return p.tunnel(edit) }
}

func partNamed(name string) *part {
	return parts[slices.IndexFunc(parts, func(p *part) bool { return p.name == name })]
}

// owns says whether an object of a document is the part's.
func (p *part) owns(object string) bool {
	if segment, _, fdb := strings.Cut(object, "/"); fdb {
		object = segment
	}
	return slices.ContainsFunc(p.nets, func(n string) bool {
		return object == n || strings.HasSuffix(object, "-"+n)
	})
}

// guests says whether the part has guests on its nets, on the first how many hosts.
func (p *part) guests(encap Encap, hosts []*Host) int {
	for i := range hosts {
		if d := p.doc(place{encap, hosts, i, p.nets[0], p.key}); d == nil || len(d.Ports) == 0 {
			return i
		}
	}
	return len(hosts)
}

// state is the part's share of a host's document.
func (p *part) state(encap Encap, hosts []*Host, self int) *greavev1.HostState {
	all := &greavev1.HostState{}
	for i, n := range p.nets {
		if d := p.doc(place{encap, hosts, self, n, p.key + uint32(i)}); d != nil {
			proto.Merge(all, d)
		}
	}
	return all
}

// base is what every document of a host begins with.
func base(encap Encap, hosts []*Host, self int) *greavev1.HostState {
	s := &greavev1.HostState{Vteps: []*greavev1.Vtep{{Name: "underlay", Endpoint: &greavev1.Vtep_Address{Address: hosts[self].Address.String()}}}}
	for i, h := range hosts {
		if i != self {
			s.Peers = append(s.Peers, &greavev1.Peer{Name: h.Name, Encap: encap.toPeer(self, i), Paths: []*greavev1.PeerPath{{Remote: h.Address.String()}}})
		}
	}
	return s
}

// segment is a segment that all hosts share, with one guest on each and all their addresses known.
func (p place) segment() *greavev1.HostState {
	seg := &greavev1.Segment{Name: p.net, Key: &p.key, Encap: p.encap.wire()}
	s := &greavev1.HostState{Segments: []*greavev1.Segment{seg}}
	s.Ports = []*greavev1.Port{{
		Name: "p-" + p.net, Binding: &greavev1.Port_Device{Device: device(p.net)}, Macs: []string{guestMAC(p.self).String()},
		Attachments: []*greavev1.Attachment{{Segment: p.net}},
	}}
	for i, h := range p.hosts {
		if i != p.self {
			seg.Members = append(seg.Members, h.Name)
			s.Fdb = append(s.Fdb, &greavev1.FdbEntry{Segment: p.net, Mac: guestMAC(i).String(), Peer: h.Name})
		}
	}
	return s
}

// trunk is two segments on one port of each host, on each in VLANs of its own.
func (p place) trunk() *greavev1.HostState {
	all := &greavev1.HostState{}
	var attachments []*greavev1.Attachment
	for i, segment := range []string{"red", "blue"} {
		q := p
		q.net, q.key = segment+"-"+p.net, p.key+uint32(i)
		s := q.segment()
		attachments = append(attachments, &greavev1.Attachment{Segment: q.net, Vlan: proto.Uint32(uint32(trunkVLAN(segment, p.self)))})
		s.Ports = nil
		proto.Merge(all, s)
	}
	all.Ports = []*greavev1.Port{{Name: "p-" + p.net, Binding: &greavev1.Port_Device{Device: device(p.net)}, Macs: []string{guestMAC(p.self).String()}, Attachments: attachments}}
	return all
}

// trunkVLAN is that of a segment on the trunk of a host. Where one host has the one
// segment another has the other.
func trunkVLAN(segment string, host int) uint16 {
	if segment == "blue" {
		host++
	}
	return 10 + uint16(host)
}

// tunnel is a tunnel between the first two hosts, nil on others, with a bridge of its own and a
// guest on that.
func (p place) tunnel(edit func(*greavev1.Tunnel)) *greavev1.HostState {
	if p.self > 1 {
		return nil
	}
	far := 1 - p.self
	in, out := p.key, p.key
	t := &greavev1.Tunnel{
		Name: "t-" + p.net, Bridge: "b-" + p.net, Encap: p.encap.wire(),
		Remote: &greavev1.TunnelRemote{Endpoint: &greavev1.TunnelRemote_Address{Address: p.hosts[far].Address.String()}},
		Key:    &greavev1.TunnelKey{Kind: &greavev1.TunnelKey_Fixed{Fixed: &greavev1.FixedKey{In: &in, Out: &out}}},
	}
	if edit != nil {
		edit(t)
	}
	return &greavev1.HostState{
		Bridges: []*greavev1.Bridge{{Name: t.Bridge}},
		Ports:   []*greavev1.Port{{Name: "p-" + p.net, Binding: &greavev1.Port_Device{Device: device(p.net)}, Bridge: t.Bridge}},
		Tunnels: []*greavev1.Tunnel{t},
	}
}

// device is the host's end of a guest's cable.
func device(net string) string { return "g-" + net }

// addressOf is the address of the guest on a host.
func (p place) addressOf(host string) string {
	return guestIP(p.index(host)).String()
}

func (p place) index(host string) int {
	return slices.IndexFunc(p.hosts, func(h *Host) bool { return h.Name == host })
}
