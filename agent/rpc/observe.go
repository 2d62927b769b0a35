package rpc

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/greave-sdn/greave/agent/ovs"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// view is one inspection of the host, beside what is wanted of it, as List
// shows it.
type view struct {
	ovs.Inspection
	want  model.Resolved
	owner model.Owner
	bind  *openflow.Bindings
	at    *timestamppb.Timestamp

	// Indices, so that a list is one walk however long it is.
	entries  map[model.Ref]model.ResolvedFdb
	inSeg    map[string]uint64 // static entries of a segment
	ports    map[string]model.ResolvedPort
	tunnels  map[string]model.ResolvedTunnel
	segments map[string]model.ResolvedSegment
	hops     map[string][]model.Hop  // of a peer, in order
	member   map[string][]string     // segments of a peer, in order
	devices  map[string]model.Device // by address
	flowsOf  map[model.Ref]uint64    // number of flows of an object
	counted  map[flowsAt]*greavev1.Counters
	dropped  map[model.Ref]*greavev1.ObservedPortSecurity // by the guards of a port
	stray    map[model.Ref]*uint64                        // in a VLAN that a port does not name
}

// flowsAt is the flows of one object in one table.
type flowsAt struct {
	object model.Ref
	table  openflow.Table
}

func newView(in ovs.Inspection, want model.HostState, owner model.Owner, bind *openflow.Bindings, at *timestamppb.Timestamp) *view {
	v := &view{
		Inspection: in, want: model.Resolve(want, in.Facts), owner: owner, bind: bind, at: at,
		entries: map[model.Ref]model.ResolvedFdb{}, inSeg: map[string]uint64{}, ports: map[string]model.ResolvedPort{},
		tunnels: map[string]model.ResolvedTunnel{}, segments: map[string]model.ResolvedSegment{}, hops: map[string][]model.Hop{},
		member: map[string][]string{}, devices: map[string]model.Device{},
		flowsOf: map[model.Ref]uint64{}, counted: map[flowsAt]*greavev1.Counters{},
		dropped: map[model.Ref]*greavev1.ObservedPortSecurity{}, stray: map[model.Ref]*uint64{},
	}
	for _, e := range v.want.Fdb {
		v.entries[e.Ref()] = e
		v.inSeg[e.Segment]++
	}
	for _, p := range v.want.Ports {
		v.ports[p.Name] = p
	}
	for _, t := range v.want.Tunnels {
		v.tunnels[t.Name] = t
	}
	for _, s := range v.want.Segments {
		v.segments[s.Name] = s
		for _, h := range s.Sharers() {
			v.member[h.Peer] = append(v.member[h.Peer], s.Name)
		}
	}
	for _, h := range slices.SortedFunc(maps.Keys(v.want.Hops), func(a, b model.Hop) int { return cmp.Compare(a.Encap, b.Encap) }) {
		v.hops[h.Peer] = append(v.hops[h.Peer], h)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Facts.Devices)) {
		for _, a := range in.Facts.Devices[name].Addrs {
			v.devices[a] = in.Facts.Devices[name]
		}
	}
	for _, image := range in.Images {
		v.count(image.Flows)
	}
	return v
}

// count adds up the counters of greave's flows by object and table.
func (v *view) count(flows []openflow.Seen) {
	for _, f := range flows {
		if f.Cookie.Owner() != v.owner.Tag {
			continue
		}
		at := flowsAt{plan.RefOfCookie(v.bind, f.Cookie), f.Table}
		c := v.counted[at]
		if c == nil {
			c = &greavev1.Counters{}
			v.counted[at] = c
		}
		c.RxPackets += f.Packets
		c.RxBytes += f.Bytes
		v.flowsOf[at.object]++
		v.countDrop(at.object, f)
	}
}

// flows is what the flows of an object in a table have counted.
func (v *view) flows(ref model.Ref, t openflow.Table) *greavev1.Counters {
	if c := v.counted[flowsAt{ref, t}]; c != nil {
		return c
	}
	return &greavev1.Counters{}
}

// counters are those of an OVS port.
func (v *view) counters(port string) *greavev1.Counters {
	c, ok := v.Ports[port]
	if !ok {
		return nil
	}
	return &greavev1.Counters{
		RxPackets: c.RxPackets, RxBytes: c.RxBytes, RxDropped: c.RxDropped, RxErrors: c.RxErrors,
		TxPackets: c.TxPackets, TxBytes: c.TxBytes, TxDropped: c.TxDropped, TxErrors: c.TxErrors, ReadAt: v.at,
	}
}

func (v *view) owns(ids map[string]string) bool { return ids[model.MarkOwner] == v.owner.Name }

// fill adds to an object what the host has of it.
func (v *view) fill(o *greavev1.Object, ref model.Ref) {
	switch ref.Kind {
	case model.KindBridge:
		if b, ok := v.Facts.OVS.Bridges[ref.Name]; ok {
			o.Observed = &greavev1.Object_Bridge{Bridge: v.bridge(b)}
		}
	case model.KindVtep:
		o.Observed = &greavev1.Object_Vtep{Vtep: v.vtep(ref.Name)}
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
		if p, ok := v.Facts.OVS.Ports[ref.Name]; ok {
			o.Observed = &greavev1.Object_Tunnel{Tunnel: v.tunnel(p)}
		}
	case model.KindMirror:
		if m := v.mirror(ref); m != nil {
			o.Observed = &greavev1.Object_Mirror{Mirror: m}
		}
	case model.KindSampler:
		if _, a, ok := v.attached(ref); ok {
			o.Observed = &greavev1.Object_Sampler{Sampler: &greavev1.ObservedSampler{Bridge: a.Bridge, Table: a.Table, Columns: a.Fields, Owned: true}}
		}
	}
}

func (v *view) bridge(b model.OVSBridge) *greavev1.ObservedBridge {
	out := &greavev1.ObservedBridge{
		Type: "ovs", Datapath: b.Datapath.String(), Protocols: b.Protocols,
		Mtu: uint32(v.Facts.Devices[b.Name].MTU), Addresses: v.Facts.Devices[b.Name].Addrs,
		Owned: v.owns(b.ExternalIDs), Counters: v.counters(b.Name),
	}
	if b.FailMode != 0 {
		out.FailMode = b.FailMode.String()
	}
	for _, c := range b.Controllers {
		out.Controllers = append(out.Controllers, c.Target)
	}
	if !b.HWAddr.IsZero() {
		out.Hwaddr = b.HWAddr.String()
	}
	if b.DatapathID.Set {
		out.DatapathId = fmt.Sprintf("%016x", b.DatapathID.V)
	}
	for _, p := range v.Facts.OVS.Ports {
		if p.Bridge == b.Name && p.Name != b.Name {
			out.Ports = append(out.Ports, p.Name)
		}
	}
	slices.Sort(out.Ports)
	for _, f := range v.Images[b.Name].Flows {
		if f.Cookie.Owner() == v.owner.Tag {
			out.Flows++
		} else if !switchsOwn(f) {
			out.ForeignFlows++
		}
	}
	for _, g := range v.Images[b.Name].Groups {
		if g.ID >= openflow.GroupMin && g.ID <= openflow.GroupMax {
			out.Groups++
		} else {
			out.ForeignGroups++
		}
	}
	return out
}

// switchsOwn tells whether a flow is the one that OVS itself puts into a bridge
// that switches by NORMAL.
func switchsOwn(f openflow.Seen) bool {
	return f.Parsed && f.Cookie == 0 && f.Key == openflow.Key{} && slices.Equal(f.Actions, []openflow.Action{openflow.Normal{}})
}

func (v *view) vtep(name string) *greavev1.ObservedVtep {
	out := &greavev1.ObservedVtep{}
	for _, t := range v.want.Vteps {
		if t.Name != name {
			continue
		}
		if d, ok := v.devices[t.Addr.String()]; ok {
			out.Addresses, out.Device, out.Mtu = []string{t.Addr.String()}, d.Name, uint32(d.MTU)
		}
	}
	return out
}

// peer counts what came from a peer at its source check, and what went to it at
// its tunnel-out flows.
func (v *view) peer(name string) *greavev1.ObservedPeer {
	ref := model.Ref{Kind: model.KindPeer, Name: name}
	in, out := v.flows(ref, openflow.TableTunnelSource), v.flows(ref, openflow.TableTunnelOut)
	p := &greavev1.ObservedPeer{Counters: &greavev1.Counters{
		RxPackets: in.RxPackets, RxBytes: in.RxBytes, TxPackets: out.RxPackets, TxBytes: out.RxBytes, ReadAt: v.at,
	}}
	for _, h := range v.hops[name] {
		id, _ := v.bind.Pool(openflow.PoolPeers).Lookup(h.String())
		p.Id = uint32(id)
		up, selected := v.alive(h)
		for i, w := range v.want.Hops[h] {
			port := v.Facts.OVS.Ports[openflow.CarrierOf(openflow.Overlay(v.want).Datapath, h.Encap, w.Remote).Port()]
			p.Paths = append(p.Paths, &greavev1.ObservedPath{
				Local: w.Local.String(), Remote: w.Remote.String(), Device: port.Name, Ofport: int32(port.Ofport),
				Selected: selected[i], Up: up[i] && carries(port), UnderlayMtu: v.underlayMTU(w.Local), Mtu: v.innerMTU(h.Encap, w.Local),
			})
		}
	}
	p.Segments = v.member[name]
	return p
}

// segment counts what its members sent at the tunnel key, and what its local
// ports sent at their classification.
func (v *view) segment(name string) *greavev1.ObservedSegment {
	s, ok := v.segments[name]
	if !ok {
		return nil
	}
	in := v.flows(s.Ref(), openflow.TableTunnelKey)
	c := &greavev1.Counters{RxPackets: in.RxPackets, RxBytes: in.RxBytes, ReadAt: v.at}
	out := &greavev1.ObservedSegment{
		Key: uint32(s.Key), Encap: wireEncap(s.Encap), Bridge: s.Bridge, Ports: s.Ports, Counters: c,
		Flows: v.flowsOf[s.Ref()], FdbStatic: v.inSeg[name], FdbLearned: v.learned(s),
	}
	for _, h := range s.Hops {
		out.Members = append(out.Members, h.Peer)
	}
	for _, h := range s.Sharers() {
		for _, w := range v.want.Hops[h] {
			if m := v.innerMTU(h.Encap, w.Local); out.Mtu == 0 || m < out.Mtu {
				out.Mtu = m
			}
		}
	}
	for _, p := range s.Ports {
		sent := v.flows(model.Ref{Kind: model.KindPort, Name: p}, openflow.TableClassify)
		c.TxPackets += sent.RxPackets
		c.TxBytes += sent.RxBytes
	}
	return out
}

// learned is how many addresses of a segment the switch has learned.
func (v *view) learned(s model.ResolvedSegment) (n uint64) {
	id, _ := v.bind.Pool(openflow.PoolSegments).Lookup(s.Name)
	for at, count := range v.Images[s.Bridge].Learned {
		if uint64(at.Segment) == id {
			n += uint64(count)
		}
	}
	return n
}

func wireEncap(e model.Encap) greavev1.Encap {
	switch e {
	case model.EncapVXLAN:
		return greavev1.Encap_ENCAP_VXLAN
	case model.EncapGeneve:
		return greavev1.Encap_ENCAP_GENEVE
	case model.EncapERSPAN:
		return greavev1.Encap_ENCAP_ERSPAN
	}
	return greavev1.Encap_ENCAP_GRE
}

func (v *view) port(name string) *greavev1.ObservedPort {
	p := v.ports[name]
	have, ok := v.Facts.OVS.Ports[cmp.Or(p.Device, name)] // a foreign port has the name of its device
	if !ok {
		return nil
	}
	out := &greavev1.ObservedPort{
		Device: have.Name, Type: cmp.Or(have.Type, "system"), Bridge: have.Bridge,
		Datapath: v.Facts.OVS.Bridges[have.Bridge].Datapath.String(),
		Ofport:   int32(have.Ofport), Error: have.Error, IfaceId: have.ExternalIDs[model.IDIface],
		Mac: have.ExternalIDs[model.IDAttachedMAC], Mtu: uint32(v.Facts.Devices[have.Name].MTU),
		Addresses: v.Facts.Devices[have.Name].Addrs, Owned: v.owns(have.ExternalIDs), Up: carries(have), Counters: v.counters(have.Name),
		Security: v.dropped[model.Ref{Kind: model.KindPort, Name: name}],
	}
	v.portVLANs(out, have, p)
	for _, a := range p.Attachments {
		out.Segments = append(out.Segments, a.Segment)
	}
	return out
}

func (v *view) fdb(ref model.Ref) *greavev1.ObservedFdbEntry {
	e, ok := v.entries[ref]
	if !ok {
		return nil
	}
	hits := v.flows(ref, openflow.TableL2)
	return &greavev1.ObservedFdbEntry{Segment: e.Segment, Mac: e.MAC.String(), Peer: e.Peer, Counters: &greavev1.Counters{
		TxPackets: hits.RxPackets, TxBytes: hits.RxBytes, ReadAt: v.at,
	}}
}

func (v *view) tunnel(p model.OVSPort) *greavev1.ObservedTunnel {
	out := &greavev1.ObservedTunnel{
		Device: p.Name, Type: p.Type, Bridge: p.Bridge, Datapath: v.Facts.OVS.Bridges[p.Bridge].Datapath.String(),
		Ofport: int32(p.Ofport), Error: p.Error, Local: p.Options["local_ip"], Remote: p.Options["remote_ip"],
		KeyIn: cmp.Or(p.Options["in_key"], p.Options["key"]), KeyOut: cmp.Or(p.Options["out_key"], p.Options["key"]),
		Owned: v.owns(p.ExternalIDs), Options: p.Options, Counters: v.counters(p.Name), Up: carries(p),
	}
	if t, ok := v.tunnels[p.Name]; ok {
		out.Mtu = v.tunnelMTU(t)
	}
	if port, err := strconv.ParseUint(p.Options["dst_port"], 10, 16); err == nil {
		out.UdpPort = uint32(port)
	}
	return out
}
