package rpc

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/greave-sdn/greave/agent/kernel"
	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// kernelView is one inspection of the kernel's tables, beside what the last pass
// wanted of it.
type kernelView struct {
	kernel.Inspection
	want model.Resolved
	at   *timestamppb.Timestamp

	// Indices, so that a list is one walk however long it is.
	entries map[model.Ref]model.ResolvedFdb
	inSeg   map[string]uint64          // entries of a segment
	uses    map[string][]use           // of a peer, in order of segment
	members map[kernel.LinkAt][]string // ports of a bridge, in order
	addrs   map[kernel.LinkAt][]string // of a device, in order
}

// use is a segment that exchanges packets with a peer.
type use struct {
	segment string
	hop     model.Hop
	member  bool // the peer gets its broadcasts
}

func newKernelView(in kernel.Inspection, want model.Resolved, at *timestamppb.Timestamp) *kernelView {
	v := &kernelView{
		Inspection: in, want: want, at: at,
		entries: make(map[model.Ref]model.ResolvedFdb, len(want.Fdb)), inSeg: map[string]uint64{}, uses: map[string][]use{},
		members: map[kernel.LinkAt][]string{}, addrs: map[kernel.LinkAt][]string{},
	}
	for _, e := range want.Fdb {
		v.entries[e.Ref()] = e
		v.inSeg[e.Segment]++
	}
	for _, s := range want.Segments {
		member := make(map[model.Hop]bool, len(s.Hops))
		for _, h := range s.Hops {
			member[h] = true
		}
		for _, h := range s.Users {
			v.uses[h.Peer] = append(v.uses[h.Peer], use{s.Name, h, member[h]})
		}
	}
	for k, r := range v.Rows {
		switch {
		case k.Table == rows.Address:
			v.addrs[linkAt(k)] = append(v.addrs[linkAt(k)], k.ID)
		case k.Table == rows.Link && r.Fields[rows.FieldMaster] != "":
			bridge := kernel.LinkAt{Netns: k.Netns, Name: r.Fields[rows.FieldMaster]}
			v.members[bridge] = append(v.members[bridge], k.Link)
		}
	}
	for _, list := range []map[kernel.LinkAt][]string{v.members, v.addrs} {
		for _, names := range list {
			slices.Sort(names)
		}
	}
	return v
}

func linkAt(k rows.Key) kernel.LinkAt { return kernel.LinkAt{Netns: k.Netns, Name: k.Link} }

func (v *kernelView) link(name string) (rows.Row, bool) {
	for _, netns := range v.Netns {
		if r, ok := v.Rows[rows.Key{Netns: netns, Table: rows.Link, Link: name}]; ok {
			return r, true
		}
	}
	return rows.Row{}, false
}

func (v *kernelView) counters(r rows.Row) *greavev1.Counters {
	c := v.Counters[kernel.LinkAt{Netns: r.Netns, Name: r.Link}]
	return &greavev1.Counters{
		RxPackets: c.RxPackets, RxBytes: c.RxBytes, RxDropped: c.RxDropped, RxErrors: c.RxErrors,
		TxPackets: c.TxPackets, TxBytes: c.TxBytes, TxDropped: c.TxDropped, TxErrors: c.TxErrors, ReadAt: v.at,
	}
}

// fill adds to an object what the kernel has of it.
func (v *kernelView) fill(o *greavev1.Object, ref model.Ref) {
	switch ref.Kind {
	case model.KindBridge:
		if r, ok := v.link(ref.Name); ok && r.Fields[rows.FieldKind] == "bridge" {
			o.Observed = &greavev1.Object_Bridge{Bridge: v.bridge(r)}
		}
	case model.KindVtep:
		if w := v.vtep(ref.Name); w != nil {
			o.Observed = &greavev1.Object_Vtep{Vtep: w}
		}
	case model.KindPeer:
		o.Observed = &greavev1.Object_Peer{Peer: v.peer(ref.Name)}
	case model.KindSegment:
		if s := v.segment(ref.Name); s != nil {
			o.Observed = &greavev1.Object_Segment{Segment: s}
		}
	case model.KindPort:
		if p := v.port(ref.Name); p != nil {
			o.Observed = &greavev1.Object_Port{Port: p}
		}
	case model.KindFdb:
		if e := v.fdb(ref); e != nil {
			o.Observed = &greavev1.Object_Fdb{Fdb: e}
		}
	case model.KindTunnel:
		if r, ok := v.link(ref.Name); ok {
			o.Observed = &greavev1.Object_Tunnel{Tunnel: v.tunnel(r)}
		}
	}
}

func mtuOf(r rows.Row) uint32 {
	n, err := strconv.ParseUint(r.Fields[rows.FieldMTU], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func (v *kernelView) bridge(r rows.Row) *greavev1.ObservedBridge {
	return &greavev1.ObservedBridge{
		Type: "linux", Hwaddr: r.Fields[rows.FieldMAC], Mtu: mtuOf(r), Owned: r.Owned,
		Addresses: v.addresses(r), Ports: v.members[linkAt(r.Key)], Counters: v.counters(r),
	}
}

func (v *kernelView) addresses(r rows.Row) []string { return v.addrs[linkAt(r.Key)] }

func (v *kernelView) vtep(name string) *greavev1.ObservedVtep {
	out := &greavev1.ObservedVtep{}
	for _, t := range v.want.Vteps {
		if t.Name == name && t.Addr.IsValid() {
			out.Addresses, out.Mtu = []string{t.Addr.String()}, uint32(v.want.Underlay[t.Addr])
		} else if t.Name == name && t.Device != "" {
			if r, ok := v.link(t.Device); ok {
				out.Device, out.Addresses, out.Mtu = t.Device, v.addresses(r), mtuOf(r)
			}
		}
	}
	return out
}

// peer lists the devices that lead to a peer, one for each segment, and adds up
// what they carried. A VXLAN device is shared by all peers of its segment: its
// counters are the segment's.
func (v *kernelView) peer(name string) *greavev1.ObservedPeer {
	p := &greavev1.ObservedPeer{Counters: &greavev1.Counters{ReadAt: v.at}}
	for _, u := range v.uses[name] {
		if u.member {
			p.Segments = append(p.Segments, u.segment)
		}
		r, up := v.link(rows.MemberDevice(u.segment, u.hop))
		for _, w := range v.want.Hops[u.hop] {
			p.Paths = append(p.Paths, &greavev1.ObservedPath{
				Local: w.Local.String(), Remote: w.Remote.String(), Device: r.Link, Selected: true,
				Up: up && r.Fields[rows.FieldUp] == "true", Mtu: mtuOf(r), UnderlayMtu: uint32(v.want.Underlay[w.Local]),
			})
		}
		if u.hop.Encap != model.EncapVXLAN {
			add(p.Counters, v.counters(r))
		}
	}
	return p
}

func add(sum, c *greavev1.Counters) {
	sum.RxPackets += c.RxPackets
	sum.RxBytes += c.RxBytes
	sum.RxDropped += c.RxDropped
	sum.RxErrors += c.RxErrors
	sum.TxPackets += c.TxPackets
	sum.TxBytes += c.TxBytes
	sum.TxDropped += c.TxDropped
	sum.TxErrors += c.TxErrors
}

// segment adds up the counters of the tunnel ports of its bridge.
func (v *kernelView) segment(name string) *greavev1.ObservedSegment {
	i := slices.IndexFunc(v.want.Segments, func(s model.ResolvedSegment) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	s := v.want.Segments[i]
	out := &greavev1.ObservedSegment{
		Key: uint32(s.Key), Encap: wireEncap(s.Encap), Bridge: rows.SegmentDevice(name), Ports: s.Ports,
		Counters: &greavev1.Counters{ReadAt: v.at}, FdbStatic: v.inSeg[name],
	}
	for _, h := range s.Hops {
		out.Members = append(out.Members, h.Peer)
	}
	for _, port := range v.members[kernel.LinkAt{Name: out.Bridge}] {
		r, _ := v.link(port)
		if m := mtuOf(r); r.Owned && (out.Mtu == 0 || m < out.Mtu) {
			out.Mtu = m
		}
		if r.Owned {
			add(out.Counters, v.counters(r))
		}
	}
	return out
}

func (v *kernelView) port(name string) *greavev1.ObservedPort {
	for _, p := range v.want.Ports {
		if p.Name != name {
			continue
		}
		r, ok := v.link(p.Device)
		if !ok {
			return nil
		}
		out := &greavev1.ObservedPort{
			Device: p.Device, Type: cmp.Or(r.Fields[rows.FieldKind], "system"), Bridge: r.Fields[rows.FieldMaster],
			Mac: r.Fields[rows.FieldMAC], Mtu: mtuOf(r), Addresses: v.addresses(r), Up: r.Fields[rows.FieldUp] == "true", Counters: v.counters(r),
		}
		for _, a := range p.Attachments {
			out.Segments = append(out.Segments, a.Segment)
		}
		return out
	}
	return nil
}

func (v *kernelView) fdb(ref model.Ref) *greavev1.ObservedFdbEntry {
	e, known := v.entries[ref]
	k := rows.Key{Table: rows.FDB, Link: rows.MemberDevice(e.Segment, e.Hop), ID: "master " + e.MAC.String()}
	if _, there := v.Rows[k]; !known || !there {
		return nil
	}
	out := &greavev1.ObservedFdbEntry{Segment: e.Segment, Mac: e.MAC.String(), Peer: e.Peer}
	for _, ip := range e.IPs {
		if _, ok := v.Rows[rows.Key{Table: rows.Neighbour, Link: rows.SegmentDevice(e.Segment), ID: ip.String()}]; ok {
			out.Ips = append(out.Ips, ip.String())
		}
	}
	return out
}

func (v *kernelView) tunnel(r rows.Row) *greavev1.ObservedTunnel {
	f := r.Fields
	out := &greavev1.ObservedTunnel{
		Device: r.Link, Type: f[rows.FieldKind], Mtu: mtuOf(r), Owned: r.Owned, Up: f[rows.FieldUp] == "true",
		Local: cmp.Or(f["local"], f["local6"]), Remote: cmp.Or(f["remote"], f["remote6"]),
		KeyIn: cmp.Or(f["ikey"], f["id"]), KeyOut: cmp.Or(f["okey"], f["id"]),
		Bridge: f[rows.FieldMaster], Addresses: v.addresses(r), Counters: v.counters(r), Options: map[string]string{},
	}
	if f["external"] == "true" {
		out.Remote, out.KeyIn = "flow", "flow"
	}
	if port, err := strconv.ParseUint(f["dstport"], 10, 16); err == nil {
		out.UdpPort = uint32(port)
	}
	for name, value := range f {
		if _, own := rows.Kinds[f[rows.FieldKind]].Attr(name); own && value != "" && !strings.Contains(name, " ") {
			out.Options[name] = value
		}
	}
	return out
}

// foreign lists the tunnels and bridges of the kernel that are not greave's, in
// order. The devices that a driver makes by itself are not worth a line.
func (v *kernelView) foreign() []reconcile.ObjectStatus {
	var out []reconcile.ObjectStatus
	for _, k := range slices.SortedFunc(maps.Keys(v.Rows), rows.Key.Compare) {
		r := v.Rows[k]
		kind := r.Fields[rows.FieldKind]
		_, known := rows.Kinds[kind]
		if k.Table != rows.Link || k.Netns != "" || r.Owned || !known || kind == "vlan" || rows.Fallback(k.Link) {
			continue
		}
		ref := model.Ref{Kind: model.KindTunnel, Name: k.Link}
		if kind == "bridge" {
			ref.Kind = model.KindBridge
		}
		out = append(out, reconcile.ObjectStatus{Ref: ref, Backend: model.BackendKernel.String(), State: reconcile.Foreign})
	}
	return out
}
