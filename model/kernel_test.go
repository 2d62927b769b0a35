package model_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/greave-sdn/greave/model"
)

// noOVS is a host without Open vSwitch.
var noOVS = model.Capabilities{Choice: model.Choice{Auto: model.BackendKernel}}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// l3 puts a valid layer 3 tunnel in the place of base's, and edits it, then the
// state.
func l3(f func(*model.Tunnel), then ...func(*model.HostState)) func(*model.HostState) {
	return func(s *model.HostState) {
		s.Tunnels = []model.Tunnel{{Name: "gre-7", Local: addr("10.0.0.1"), Remote: addr("10.0.0.7"),
			Addresses: []netip.Prefix{prefix("192.0.2.1/30")},
			Routes:    []model.Route{{Destination: prefix("198.51.100.0/24"), Via: addr("192.0.2.2")}}}}
		f(&s.Tunnels[0])
		for _, edit := range then {
			edit(s)
		}
	}
}

// hub is one with neighbours instead of a remote.
func hub(far model.Far, f func(*model.Tunnel), then ...func(*model.HostState)) func(*model.HostState) {
	return l3(func(t *model.Tunnel) {
		t.Remote, t.Far, t.KeyOut = netip.Addr{}, far, key(7)
		t.Neighbours = []model.Neighbour{{Overlay: addr("192.0.2.2"), Underlay: addr("10.0.0.7")}}
		f(t)
	}, then...)
}

// over6 is one over IPv6.
func over6(f func(*model.Tunnel)) func(*model.HostState) {
	return l3(func(t *model.Tunnel) {
		t.Local, t.Remote = addr("2001:db8::1"), addr("2001:db8::7")
		f(t)
	})
}

// encapsulated is base's tunnel in another encapsulation, on its bridge.
func encapsulated(e model.Encap, f func(*model.Tunnel), then ...func(*model.HostState)) func(*model.HostState) {
	return func(s *model.HostState) {
		s.Tunnels[0].Encap, s.Tunnels[0].Layer = e, model.LayerL2
		f(&s.Tunnels[0])
		for _, edit := range then {
			edit(s)
		}
	}
}

func bridge(f func(*model.Bridge)) func(*model.HostState) {
	return func(s *model.HostState) { f(&s.Bridges[0]) }
}

func alone(e model.Encap, f func(*model.Tunnel)) func(*model.HostState) {
	return encapsulated(e, func(t *model.Tunnel) {
		t.Bridge = ""
		f(t)
	})
}

// members gives the segment n peers in all.
func members(n int, e model.Encap) func(*model.HostState) {
	return func(s *model.HostState) {
		s.Segments[0].Encap = e
		for i := range n - 1 {
			a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
			s.Peers = append(s.Peers, model.Peer{Name: fmt.Sprint("m", i), Paths: []model.Path{{Remote: a}}, Segments: []string{"s1"}})
		}
	}
}

func fixed(v uint32) model.Inheritable { return model.Inheritable{Fixed: model.Some(v)} }

var inherit = model.Inheritable{Inherit: true}

// guarded gives base's port guards, then edits the state.
func guarded(security model.PortSecurity, then ...func(*model.HostState)) func(*model.HostState) {
	return func(s *model.HostState) {
		s.Ports[0].Security = security
		for _, edit := range then {
			edit(s)
		}
	}
}

// Guards without what they compare with, or where nothing drops.
var unguarded = []refusal{
	{name: "MAC guard without MACs", reason: model.ReasonRequired, path: "ports[0].security.mac", edit: guarded(model.PortSecurity{MAC: true}, func(s *model.HostState) { s.Ports[0].MACs = nil })},
	{name: "IP guard without IPs", reason: model.ReasonRequired, path: "ports[0].security.ip", edit: guarded(model.PortSecurity{IP: true})},
	{name: "ARP guard without IPs", reason: model.ReasonRequired, path: "ports[0].security.arp", edit: guarded(model.PortSecurity{ARP: true})},
	{name: "guard of an IPv4-compatible address", reason: model.ReasonUnsupported, path: "ports[0].ips[0]", edit: guarded(model.PortSecurity{IP: true}, func(s *model.HostState) { s.Ports[0].IPs = []netip.Addr{addr("::10.0.0.1")} })},
	{name: "guard on a normal bridge", reason: model.ReasonConflict, path: "ports[0].security", edit: guarded(model.PortSecurity{RAGuard: true}, func(s *model.HostState) { s.Ports[0].Bridge, s.Ports[0].Attachments = "br0", nil })},
}

// What Open vSwitch does not do, or not yet.
var notOnOVS = []refusal{
	{name: "layer 3 on an OVS bridge without a receiver", reason: model.ReasonRequired, path: "tunnels[0]", edit: tunnel(func(t *model.Tunnel) { t.Layer = model.LayerL3 })},
	{name: "layer 3 on an OVS bridge with two receivers", reason: model.ReasonRequired, path: "tunnels[0]", edit: onLayer3(func(s *model.HostState) {
		s.Ports = append(s.Ports, model.Port{Name: "vm2", Device: "vm2", Bridge: "br0", MACs: []model.MAC{{2, 2}}})
	})},
	{name: "two tunnels of layer 3 on an OVS bridge", reason: model.ReasonConflict, path: "tunnels[1].bridge", edit: onLayer3(func(s *model.HostState) {
		s.Tunnels = append(s.Tunnels, model.Tunnel{Name: "zz", Layer: model.LayerL3, Bridge: "br0", Remote: addr("10.0.0.99")})
	})},
	{name: "address of a layer 3 tunnel on an OVS bridge", reason: model.ReasonUnsupported, path: "tunnels[0].addresses", edit: onLayer3(func(s *model.HostState) {
		s.Tunnels[0].Addresses = []netip.Prefix{netip.MustParsePrefix("10.9.0.1/30")}
	})},
	{name: "layer 3 over IPv6 on the kernel datapath", reason: model.ReasonUnsupported, path: "tunnels[0].layer", edit: onLayer3(func(s *model.HostState) {
		s.Bridges[0].Datapath, s.Tunnels[0].Remote = model.DatapathSystem, addr("2001:db8::1")
	}), caps: model.Capabilities{OVS: true, SystemDatapath: true}},
	{name: "ERSPAN beside segments of GRE", reason: model.ReasonConflict, path: "tunnels[0].encap", edit: encapsulated(model.EncapERSPAN, func(*model.Tunnel) {})},
	{name: "ERSPAN version 2 on the kernel datapath", reason: model.ReasonUnimplemented, path: "tunnels[0].erspan.version", edit: encapsulated(model.EncapERSPAN, func(t *model.Tunnel) { t.ERSPAN.Version = 2 }), caps: model.Capabilities{OVS: true, SystemDatapath: true}},
	{name: "ERSPAN over IPv6 on the kernel datapath", reason: model.ReasonUnimplemented, path: "tunnels[0].encap", edit: encapsulated(model.EncapERSPAN, func(t *model.Tunnel) { t.Remote = addr("2001:db8::1") }), caps: model.Capabilities{OVS: true, SystemDatapath: true}},
	{name: "replicator in the kernel", reason: model.ReasonUnimplemented, path: "segments[0].replication.mode", edit: func(s *model.HostState) {
		s.Bridges = append(s.Bridges, model.Bridge{Name: "br-greave", Backend: model.BackendKernel})
		s.Segments[0].Replication = model.Replication{Mode: model.ReplicationReplicator, Replicators: []string{s.Peers[0].Name}}
	}},
	{name: "tunnel to a peer of two paths", reason: model.ReasonUnimplemented, path: "tunnels[0].remote.peer", edit: func(s *model.HostState) {
		s.Tunnels[0].Peer, s.Tunnels[0].Remote = s.Peers[0].Name, netip.Addr{}
		s.Peers[0].Paths = append(s.Peers[0].Paths, model.Path{Remote: addr("10.0.0.3"), Role: model.PathBackup})
	}},
	{name: "two paths in the kernel", reason: model.ReasonUnimplemented, path: "peers[0]", edit: func(s *model.HostState) {
		s.Bridges = append(s.Bridges, model.Bridge{Name: "br-greave", Backend: model.BackendKernel})
		s.Peers[0].Paths = append(s.Peers[0].Paths, model.Path{Remote: addr("10.0.0.3"), Role: model.PathBackup})
	}},
	{name: "tunnel in a segment on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0].segment", edit: tunnel(func(t *model.Tunnel) { t.Bridge, t.Segment = "", "s1" })},
	{name: "flow remote on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0].remote.flow", edit: tunnel(func(t *model.Tunnel) { t.Remote, t.Far = netip.Addr{}, model.FarFlow })},
	{name: "device on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0].device", edit: tunnel(func(t *model.Tunnel) { t.Device = "eth0" })},
	{name: "checksum demanded on OVS", reason: model.ReasonUnsupported, path: "tunnels[0].checksum.in", edit: tunnel(func(t *model.Tunnel) { t.ChecksumIn = model.Some(true) })},
	{name: "sequence demanded on OVS", reason: model.ReasonUnsupported, path: "tunnels[0].sequence.in", edit: tunnel(func(t *model.Tunnel) { t.SequenceIn = true })},
	{name: "ignore_df on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0].ignore_df", edit: tunnel(func(t *model.Tunnel) { t.IgnoreDF = true })},
	{name: "fwmark on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0].fwmark", edit: tunnel(func(t *model.Tunnel) { t.FwMark = 7 })},
	{name: "encap_limit on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0].encap_limit", edit: tunnel(func(t *model.Tunnel) { t.EncapLimit = model.Some[uint32](4) })},
	{name: "GRE in UDP on OVS", reason: model.ReasonUnsupported, path: "tunnels[0].udp_encap", edit: tunnel(func(t *model.Tunnel) { t.UDP = model.UDPEncap{Type: model.UDPEncapFOU, DstPort: 5555} })},
	{name: "gbp on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0].gbp", edit: vxlan(func(t *model.Tunnel) { t.GroupPolicy = true })},
	{name: "tunnel MTU on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0].mtu", edit: tunnel(func(t *model.Tunnel) { t.MTU = 1400 })},
	{name: "no multicast on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0].multicast", edit: tunnel(func(t *model.Tunnel) { t.Multicast = model.Some(false) })},
	{name: "tunnel down on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0].admin", edit: tunnel(func(t *model.Tunnel) { t.Down = true })},
	{name: "VRF at layer 2", reason: model.ReasonConflict, path: "tunnels[0].vrf", edit: tunnel(func(t *model.Tunnel) { t.VRF = "red" })},
	{name: "namespace of a tunnel on a bridge", reason: model.ReasonConflict, path: "tunnels[0].netns", edit: tunnel(func(t *model.Tunnel) { t.Netns = "red" })},
	{name: "VTEP in a VRF on OVS", reason: model.ReasonUnimplemented, path: "vteps[0].vrf", edit: func(s *model.HostState) { s.Vteps[0].VRF = "red" }},
	{name: "VTEP in a namespace on OVS", reason: model.ReasonUnimplemented, path: "vteps[0].netns", edit: func(s *model.HostState) { s.Vteps[0].Netns = "red" }},
	{name: "another source's VTEP in a namespace on OVS", reason: model.ReasonUnimplemented, path: "tunnels[0]", edit: func(s *model.HostState) {
		s.Tunnels[0].Vtep, s.Peers[0].Paths[0].Vtep = "v0", "v1"
	},
		others: fabric(model.HostState{Vteps: []model.Vtep{{Name: "v0", Addr: addr("10.0.9.9"), Netns: "red"}}})},
	{name: "segment MTU on OVS", reason: model.ReasonUnimplemented, path: "segments[0].mtu", edit: func(s *model.HostState) { s.Segments[0].MTU = 1400 }},
	{name: "port MTU on OVS", reason: model.ReasonUnimplemented, path: "ports[0].mtu", edit: func(s *model.HostState) { s.Ports[0].MTU = 1400 }},
	{name: "two VLANs of a port in one segment on OVS", reason: model.ReasonUnimplemented, path: "ports[0].attachments[1].segment", edit: func(s *model.HostState) {
		s.Ports[0].Attachments = append(s.Ports[0].Attachments, model.Attachment{Segment: "s1", VLAN: 7})
	}},
	{name: "bridge addresses on OVS", reason: model.ReasonUnimplemented, path: "bridges[0].addresses", edit: bridge(func(b *model.Bridge) { b.Addresses = []netip.Prefix{prefix("192.0.2.9/24")} })},
	{name: "721 members over Geneve", reason: model.ReasonOutOfRange, path: "segments[0]", edit: members(model.FloodMaxGeneve+1, model.EncapGeneve)},
	{name: "tunnel of OVS without bridge", reason: model.ReasonRequired, path: "tunnels[0].bridge", edit: tunnel(func(t *model.Tunnel) { t.Bridge, t.Layer, t.Backend = "", model.LayerL2, model.BackendOVS })},
	{name: "tunnel of the kernel on an OVS bridge", reason: model.ReasonConflict, path: "tunnels[0].backend", edit: tunnel(func(t *model.Tunnel) { t.Backend = model.BackendKernel })},
}

// What Linux cannot do with bridges, ports and segments.
var notInKernel = []refusal{
	{name: "port security in the kernel", reason: model.ReasonUnimplemented, path: "ports[0].security", edit: guarded(model.PortSecurity{MAC: true})},
	{name: "iface_id in the kernel", reason: model.ReasonUnsupported, path: "ports[0].iface_id", edit: func(s *model.HostState) { s.Ports[0].Device, s.Ports[0].IfaceID = "", "vm-1" }},
	{name: "datapath in the kernel", reason: model.ReasonUnsupported, path: "bridges[0].datapath", edit: bridge(func(b *model.Bridge) { b.Datapath = model.DatapathNetdev })},
	{name: "protocols in the kernel", reason: model.ReasonUnsupported, path: "bridges[0].protocols", edit: bridge(func(b *model.Bridge) { b.Protocols = []string{"OpenFlow15"} })},
	{name: "fail_mode secure in the kernel", reason: model.ReasonUnsupported, path: "bridges[0].fail_mode", edit: bridge(func(b *model.Bridge) { b.FailMode = model.FailSecure })},
	{name: "fail_mode secure of an overlay bridge of the kernel", reason: model.ReasonUnsupported, path: "bridges[1].fail_mode", edit: func(s *model.HostState) {
		s.Bridges = append(s.Bridges, model.Bridge{Name: "br-greave", Backend: model.BackendKernel, FailMode: model.FailSecure})
	}},
	{name: "datapath_id in the kernel", reason: model.ReasonUnsupported, path: "bridges[0].datapath_id", edit: bridge(func(b *model.Bridge) { b.DatapathID = key(7) })},
	{name: "bridge address twice", reason: model.ReasonDuplicate, path: "bridges[0].addresses[1]", edit: bridge(func(b *model.Bridge) {
		b.Addresses = []netip.Prefix{prefix("192.0.2.9/24"), prefix("192.0.2.9/24")}
	})},
	{name: "bridge address that is multicast", reason: model.ReasonInvalid, path: "bridges[0].addresses[0]", edit: bridge(func(b *model.Bridge) { b.Addresses = []netip.Prefix{prefix("224.0.0.1/24")} })},
	{name: "513 peers over GRE in the kernel", reason: model.ReasonOutOfRange, path: "segments[0]", edit: members(model.MembersMaxKernel+1, model.EncapGRE)},
	{name: "513 peers over Geneve in the kernel", reason: model.ReasonOutOfRange, path: "segments[0]", edit: members(model.MembersMaxKernel+1, model.EncapGeneve)},
	{name: "10001 peers over VXLAN in the kernel", reason: model.ReasonOutOfRange, path: "segments[0]", edit: members(model.MembersMaxVXLAN+1, model.EncapVXLAN)},
	{name: "VXLAN segment of two VTEPs", reason: model.ReasonUnsupported, path: "segments[0]", edit: func(s *model.HostState) {
		s.Vteps = append(s.Vteps, model.Vtep{Name: "v2", Addr: addr("10.0.0.9")})
		s.Segments[0].Encap, s.Peers[0].Paths[0].Vtep = model.EncapVXLAN, "v1"
		s.Peers = append(s.Peers, model.Peer{Name: "p2", Paths: []model.Path{{Vtep: "v2", Remote: addr("10.0.0.3")}}, Segments: []string{"s1"}})
	}},
	{name: "VXLAN segment of two families", reason: model.ReasonUnsupported, path: "segments[0]", edit: func(s *model.HostState) {
		s.Segments[0].Encap, s.Vteps[0] = model.EncapVXLAN, model.Vtep{Name: "v1", Device: "eth1"}
		s.Peers = append(s.Peers, model.Peer{Name: "p2", Paths: []model.Path{{Remote: addr("2001:db8::3")}}, Segments: []string{"s1"}})
	}},
	{name: "segment of ERSPAN", reason: model.ReasonUnsupported, path: "segments[0].encap", edit: func(s *model.HostState) { s.Segments[0].Encap = model.EncapERSPAN }},
	{name: "excluded prefix with host bits", reason: model.ReasonInvalid, path: "segments[0].suppression.excluded[0]", edit: func(s *model.HostState) {
		s.Segments[0].Suppression = model.Suppression{Enabled: true, Excluded: []netip.Prefix{prefix("192.0.2.1/24")}}
	}},
	{name: "segment MTU 67", reason: model.ReasonOutOfRange, path: "segments[0].mtu", edit: func(s *model.HostState) { s.Segments[0].MTU = 67 }},
	{name: "one VLAN in two segments", reason: model.ReasonDuplicate, path: "ports[0].attachments[1].vlan", edit: func(s *model.HostState) {
		s.Segments = append(s.Segments, model.Segment{Name: "s2", Key: 101})
		s.Ports[0].Attachments = []model.Attachment{{Segment: "s1", VLAN: 7}, {Segment: "s2", VLAN: 7}}
	}},
	{name: "attachment VLAN 4095", reason: model.ReasonOutOfRange, path: "ports[0].attachments[0].vlan", edit: func(s *model.HostState) { s.Ports[0].Attachments[0].VLAN = 4095 }},
	{name: "access VLAN of an overlay port", reason: model.ReasonConflict, path: "ports[0].vlan", edit: func(s *model.HostState) { s.Ports[0].VLAN.Tag = 7 }},
	{name: "guest address that is multicast", reason: model.ReasonInvalid, path: "fdb[0].ips[0]", edit: func(s *model.HostState) { s.Fdb[0].IPs = []netip.Addr{addr("224.0.0.1")} }},
	{name: "VTEP without endpoint", reason: model.ReasonRequired, path: "vteps[0].address", edit: func(s *model.HostState) { s.Vteps[0].Addr = netip.Addr{} }},
	{name: "VTEP of two endpoints", reason: model.ReasonConflict, path: "vteps[0].device", edit: func(s *model.HostState) { s.Vteps[0].Device = "eth1" }},
	{name: "VTEP by route and address", reason: model.ReasonConflict, path: "vteps[0].route_to_peer", edit: func(s *model.HostState) { s.Vteps[0].Routed = true }},
	{name: "VTEP's VRF with a slash", reason: model.ReasonInvalidName, path: "vteps[0].vrf", edit: func(s *model.HostState) { s.Vteps[0].VRF = "a/b" }},
	{name: "VTEP's namespace with a slash", reason: model.ReasonInvalidName, path: "vteps[0].netns", edit: func(s *model.HostState) { s.Vteps[0].Netns = "../a" }},
	{name: "VTEP's namespace is a directory", reason: model.ReasonInvalidName, path: "vteps[0].netns", edit: func(s *model.HostState) { s.Vteps[0].Netns = ".." }},
	{name: "peer of another family than its VTEP", reason: model.ReasonConflict, path: "peers[0].paths[0].remote", edit: func(s *model.HostState) { s.Peers[0].Paths[0].Remote = addr("2001:db8::2") }},
}

// What Linux cannot do with a layer 2 tunnel.
var notInKernelL2 = []refusal{
	{name: "tunnel of OVS on a kernel bridge", reason: model.ReasonConflict, path: "tunnels[0].backend", edit: tunnel(func(t *model.Tunnel) { t.Backend = model.BackendOVS })},
	{name: "Geneve with a local address", reason: model.ReasonUnsupported, path: "tunnels[0].local.address", edit: encapsulated(model.EncapGeneve, func(t *model.Tunnel) { t.Local = addr("10.0.0.1") })},
	{name: "Geneve with a VTEP", reason: model.ReasonUnsupported, path: "tunnels[0].local.vtep", edit: encapsulated(model.EncapGeneve, func(t *model.Tunnel) { t.Vtep = "v1" })},
	{name: "Geneve with a device", reason: model.ReasonUnsupported, path: "tunnels[0].device", edit: encapsulated(model.EncapGeneve, func(t *model.Tunnel) { t.Device = "eth0" })},
	{name: "Geneve without VNI", reason: model.ReasonRequired, path: "tunnels[0].key", edit: encapsulated(model.EncapGeneve, func(t *model.Tunnel) { t.KeyIn, t.KeyOut = model.Opt[uint64]{}, model.Opt[uint64]{} })},
	{name: "VXLAN of two VNIs", reason: model.ReasonUnsupported, path: "tunnels[0].key.fixed.out", edit: vxlan(func(t *model.Tunnel) { t.KeyOut = key(8) })},
	{name: "VXLAN with fwmark", reason: model.ReasonUnsupported, path: "tunnels[0].fwmark", edit: vxlan(func(t *model.Tunnel) { t.FwMark = 7 })},
	{name: "VXLAN with ignore_df", reason: model.ReasonUnsupported, path: "tunnels[0].ignore_df", edit: vxlan(func(t *model.Tunnel) { t.IgnoreDF = true })},
	{name: "VXLAN with encap_limit", reason: model.ReasonUnsupported, path: "tunnels[0].encap_limit", edit: vxlan(func(t *model.Tunnel) { t.EncapLimit = model.Some[uint32](4) })},
	{name: "VXLAN that demands a checksum", reason: model.ReasonUnsupported, path: "tunnels[0].checksum.in", edit: vxlan(func(t *model.Tunnel) { t.ChecksumIn = model.Some(true) })},
	{name: "gbp of GRE", reason: model.ReasonUnsupported, path: "tunnels[0].gbp", edit: tunnel(func(t *model.Tunnel) { t.GroupPolicy = true })},
	{name: "UDP around VXLAN", reason: model.ReasonUnsupported, path: "tunnels[0].udp_encap", edit: vxlan(func(t *model.Tunnel) { t.UDP = model.UDPEncap{Type: model.UDPEncapFOU, DstPort: 5555} })},
	{name: "UDP around GRE without port", reason: model.ReasonRequired, path: "tunnels[0].udp_encap.dst_port", edit: tunnel(func(t *model.Tunnel) { t.UDP.Type = model.UDPEncapGUE })},
	{name: "UDP around GRE from port 70000", reason: model.ReasonOutOfRange, path: "tunnels[0].udp_encap.src_port", edit: tunnel(func(t *model.Tunnel) {
		t.UDP = model.UDPEncap{Type: model.UDPEncapGUE, SrcPort: 70000, DstPort: 5555}
	})},
	{name: "any at layer 2", reason: model.ReasonUnsupported, path: "tunnels[0].remote.any", edit: alone(model.EncapGRE, func(t *model.Tunnel) {
		t.Remote, t.Far, t.Local = netip.Addr{}, model.FarAny, addr("10.0.0.1")
	})},
	{name: "flow at layer 2", reason: model.ReasonUnsupported, path: "tunnels[0].remote.flow", edit: tunnel(func(t *model.Tunnel) { t.Remote, t.Far = netip.Addr{}, model.FarFlow })},
	{name: "key by flow to one remote", reason: model.ReasonUnsupported, path: "tunnels[0].key.flow", edit: tunnel(func(t *model.Tunnel) {
		t.KeyIn, t.KeyOut, t.KeyFlow = model.Opt[uint64]{}, model.Opt[uint64]{}, true
	})},
	{name: "tunnel on a bridge and in a segment", reason: model.ReasonConflict, path: "tunnels[0].segment", edit: tunnel(func(t *model.Tunnel) { t.Segment = "s1" })},
	{name: "VLAN without bridge", reason: model.ReasonConflict, path: "tunnels[0].vlan", edit: alone(model.EncapGRE, func(t *model.Tunnel) { t.VLAN.Tag = 7 })},
	{name: "addresses at layer 2", reason: model.ReasonConflict, path: "tunnels[0].addresses", edit: tunnel(func(t *model.Tunnel) { t.Addresses = []netip.Prefix{prefix("192.0.2.1/30")} })},
	{name: "routes at layer 2", reason: model.ReasonConflict, path: "tunnels[0].routes", edit: tunnel(func(t *model.Tunnel) { t.Routes = []model.Route{{Destination: prefix("198.51.100.0/24")}} })},
	{name: "neighbours at layer 2", reason: model.ReasonConflict, path: "tunnels[0].neighbours", edit: tunnel(func(t *model.Tunnel) { t.Neighbours = make([]model.Neighbour, 1) })},
	{name: "multicast remote at layer 2", reason: model.ReasonInvalid, path: "tunnels[0].remote.address", edit: tunnel(func(t *model.Tunnel) { t.Remote = addr("239.0.0.1") })},
	{name: "ERSPAN session 1024", reason: model.ReasonOutOfRange, path: "tunnels[0].key.fixed.in", edit: alone(model.EncapERSPAN, func(t *model.Tunnel) { t.KeyIn = key(1024) })},
	{name: "ERSPAN without session", reason: model.ReasonRequired, path: "tunnels[0].key", edit: alone(model.EncapERSPAN, func(t *model.Tunnel) { t.KeyIn, t.KeyOut = model.Opt[uint64]{}, model.Opt[uint64]{} })},
	{name: "ERSPAN version 3", reason: model.ReasonOutOfRange, path: "tunnels[0].erspan.version", edit: alone(model.EncapERSPAN, func(t *model.Tunnel) { t.ERSPAN.Version = 3 })},
	{name: "ERSPAN index 2^20", reason: model.ReasonOutOfRange, path: "tunnels[0].erspan.index", edit: alone(model.EncapERSPAN, func(t *model.Tunnel) { t.ERSPAN.Index = 1 << 20 })},
	{name: "ERSPAN engine 64", reason: model.ReasonOutOfRange, path: "tunnels[0].erspan.hardware_id", edit: alone(model.EncapERSPAN, func(t *model.Tunnel) { t.ERSPAN = model.ERSPAN{Version: 2, HardwareID: 64} })},
	{name: "ERSPAN engine of version 1", reason: model.ReasonConflict, path: "tunnels[0].erspan.hardware_id", edit: alone(model.EncapERSPAN, func(t *model.Tunnel) { t.ERSPAN.HardwareID = 6 })},
	{name: "ERSPAN direction of version 1", reason: model.ReasonConflict, path: "tunnels[0].erspan.direction", edit: alone(model.EncapERSPAN, func(t *model.Tunnel) { t.ERSPAN.Egress = true })},
	{name: "ERSPAN index of version 2", reason: model.ReasonConflict, path: "tunnels[0].erspan.index", edit: alone(model.EncapERSPAN, func(t *model.Tunnel) { t.ERSPAN = model.ERSPAN{Version: 2, Index: 1} })},
	{name: "ERSPAN with checksum", reason: model.ReasonUnsupported, path: "tunnels[0].checksum.out", edit: alone(model.EncapERSPAN, func(t *model.Tunnel) { t.Checksum = true })},
	{name: "ERSPAN with ignore_df", reason: model.ReasonUnsupported, path: "tunnels[0].ignore_df", edit: alone(model.EncapERSPAN, func(t *model.Tunnel) { t.IgnoreDF = true })},
	{name: "erspan of GRE", reason: model.ReasonUnsupported, path: "tunnels[0].erspan", edit: tunnel(func(t *model.Tunnel) { t.ERSPAN.Index = 1 })},
	{name: "one VNI to two remotes", reason: model.ReasonConflict, path: "tunnels[1]", edit: encapsulated(model.EncapVXLAN, func(*model.Tunnel) {}, func(s *model.HostState) {
		t := s.Tunnels[0]
		t.Name, t.Remote = "vx-8", addr("10.0.0.8")
		s.Tunnels = append(s.Tunnels, t)
	})},
	{name: "VNI of a VXLAN segment", reason: model.ReasonConflict, path: "tunnels[0]", edit: func(s *model.HostState) {
		s.Segments[0].Encap, s.Tunnels[0].Encap, s.Tunnels[0].KeyIn, s.Tunnels[0].KeyOut = model.EncapVXLAN, model.EncapVXLAN, key(100), key(100)
	}},
	{name: "key of a GRE segment to its peer", reason: model.ReasonConflict, path: "tunnels[0]", edit: tunnel(func(t *model.Tunnel) { t.Remote, t.KeyIn = addr("10.0.0.2"), key(100) })},
	{name: "two kernel tunnels alike", reason: model.ReasonConflict, path: "tunnels[1]", edit: func(s *model.HostState) {
		t := s.Tunnels[0]
		t.Name, t.Bridge, t.Layer = "gre-8", "", model.LayerL2
		s.Tunnels = append(s.Tunnels, t)
	}},
}

// What Linux cannot do with a layer 3 tunnel.
var notInKernelL3 = []refusal{
	{name: "layer 3 on a Linux bridge", reason: model.ReasonUnsupported, path: "tunnels[0].bridge", edit: l3(func(t *model.Tunnel) { t.Layer, t.Bridge = model.LayerL3, "br0" })},
	{name: "layer 3 in a segment", reason: model.ReasonConflict, path: "tunnels[0].segment", edit: l3(func(t *model.Tunnel) { t.Layer, t.Segment = model.LayerL3, "s1" })},
	{name: "VXLAN at layer 3", reason: model.ReasonUnsupported, path: "tunnels[0].layer", edit: l3(func(t *model.Tunnel) { t.Encap, t.KeyOut = model.EncapVXLAN, key(7) })},
	{name: "no DF with a fixed ttl", reason: model.ReasonUnsupported, path: "tunnels[0].df", edit: l3(func(t *model.Tunnel) { t.DF, t.TTL = model.Some(false), fixed(64) })},
	{name: "no DF with the default ttl", reason: model.ReasonUnsupported, path: "tunnels[0].df", edit: l3(func(t *model.Tunnel) { t.DF = model.Some(false) })},
	{name: "ignore_df with DF", reason: model.ReasonConflict, path: "tunnels[0].ignore_df", edit: l3(func(t *model.Tunnel) { t.IgnoreDF = true })},
	{name: "encap_limit over IPv4", reason: model.ReasonUnsupported, path: "tunnels[0].encap_limit", edit: l3(func(t *model.Tunnel) { t.EncapLimit = model.Some[uint32](4) })},
	{name: "encap_limit 256", reason: model.ReasonOutOfRange, path: "tunnels[0].encap_limit", edit: over6(func(t *model.Tunnel) { t.EncapLimit = model.Some[uint32](256) })},
	{name: "ttl inherited over IPv6", reason: model.ReasonUnsupported, path: "tunnels[0].ttl.inherit", edit: over6(func(t *model.Tunnel) { t.TTL = inherit })},
	{name: "ignore_df over IPv6", reason: model.ReasonUnsupported, path: "tunnels[0].ignore_df", edit: over6(func(t *model.Tunnel) { t.IgnoreDF = true })},
	{name: "no DF over IPv6", reason: model.ReasonUnsupported, path: "tunnels[0].df", edit: over6(func(t *model.Tunnel) { t.DF = model.Some(false) })},
	{name: "ends of two families", reason: model.ReasonConflict, path: "tunnels[0].remote.address", edit: over6(func(t *model.Tunnel) { t.Local = addr("10.0.0.1") })},
	{name: "multicast remote on no device", reason: model.ReasonRequired, path: "tunnels[0].remote.address", edit: l3(func(t *model.Tunnel) { t.Local, t.Remote = netip.Addr{}, addr("239.0.0.1") })},
	{name: "device with a slash", reason: model.ReasonInvalidName, path: "tunnels[0].device", edit: l3(func(t *model.Tunnel) { t.Device = "a/b" })},
	{name: "VRF with a slash", reason: model.ReasonInvalidName, path: "tunnels[0].vrf", edit: l3(func(t *model.Tunnel) { t.VRF = "a/b" })},
	{name: "namespace with a slash", reason: model.ReasonInvalidName, path: "tunnels[0].netns", edit: l3(func(t *model.Tunnel) { t.Netns = "a/b" })},
	{name: "tunnel MTU 67", reason: model.ReasonOutOfRange, path: "tunnels[0].mtu", edit: l3(func(t *model.Tunnel) { t.MTU = 67 })},
	{name: "neighbours beside a remote", reason: model.ReasonConflict, path: "tunnels[0].neighbours", edit: l3(func(t *model.Tunnel) { t.Neighbours = make([]model.Neighbour, 1) })},
	{name: "route without destination", reason: model.ReasonRequired, path: "tunnels[0].routes[0].destination", edit: l3(func(t *model.Tunnel) { t.Routes[0].Destination = netip.Prefix{} })},
	{name: "route with host bits", reason: model.ReasonInvalid, path: "tunnels[0].routes[0].destination", edit: l3(func(t *model.Tunnel) { t.Routes[0].Destination = prefix("198.51.100.1/24") })},
	{name: "route via nowhere", reason: model.ReasonInvalid, path: "tunnels[0].routes[0].via", edit: l3(func(t *model.Tunnel) { t.Routes[0].Via = addr("192.0.2.9") })},
	{name: "route via another family", reason: model.ReasonConflict, path: "tunnels[0].routes[0].via", edit: l3(func(t *model.Tunnel) {
		t.Routes[0].Destination = prefix("2001:db8::/48")
	})},
	{name: "route from another family", reason: model.ReasonConflict, path: "tunnels[0].routes[0].preferred_source", edit: l3(func(t *model.Tunnel) { t.Routes[0].Source = addr("2001:db8::1") })},
	{name: "route twice", reason: model.ReasonDuplicate, path: "tunnels[0].routes[1]", edit: l3(func(t *model.Tunnel) {
		t.Routes = append(t.Routes, model.Route{Destination: t.Routes[0].Destination, Table: 254, Metric: model.Some[uint32](0)})
	})},
	{name: "recursive routing by a route", reason: model.ReasonConflict, path: "tunnels[0].routes[0].destination", edit: l3(func(t *model.Tunnel) { t.Routes[0].Destination = prefix("10.0.0.0/8") })},
	{name: "recursive routing by a route of table main, out of a VRF", reason: model.ReasonConflict, path: "tunnels[0].routes[0].destination", edit: l3(func(t *model.Tunnel) {
		t.VRF, t.Routes[0].Destination, t.Routes[0].Table = "red", prefix("10.0.0.0/8"), 254
	})},
	{name: "recursive routing by an address", reason: model.ReasonConflict, path: "tunnels[0].addresses[0]", edit: l3(func(t *model.Tunnel) {
		t.Addresses, t.Routes = []netip.Prefix{prefix("10.0.0.1/24")}, nil
	})},
	{name: "hub without address", reason: model.ReasonRequired, path: "tunnels[0].local", edit: hub(model.FarAny, func(t *model.Tunnel) { t.Local = netip.Addr{} })},
	{name: "hub without neighbours", reason: model.ReasonRequired, path: "tunnels[0].neighbours", edit: hub(model.FarAny, func(t *model.Tunnel) { t.Neighbours, t.Routes = nil, nil })},
	{name: "hub's multicast", reason: model.ReasonUnsupported, path: "tunnels[0].multicast", edit: hub(model.FarAny, func(t *model.Tunnel) { t.Multicast = model.Some(true) })},
	{name: "hub's neighbour of another family", reason: model.ReasonConflict, path: "tunnels[0].neighbours[0].underlay", edit: hub(model.FarAny, func(t *model.Tunnel) { t.Neighbours[0].Underlay = addr("2001:db8::7") })},
	{name: "hub's neighbour twice", reason: model.ReasonDuplicate, path: "tunnels[0].neighbours[1].overlay", edit: hub(model.FarAny, func(t *model.Tunnel) { t.Neighbours = append(t.Neighbours, t.Neighbours[0]) })},
	{name: "recursive routing to a neighbour", reason: model.ReasonConflict, path: "tunnels[0].routes[0].destination", edit: hub(model.FarAny, func(t *model.Tunnel) { t.Routes[0].Destination = prefix("10.0.0.0/8") })},
	{name: "flow without neighbours", reason: model.ReasonRequired, path: "tunnels[0].neighbours", edit: hub(model.FarFlow, func(t *model.Tunnel) { t.Neighbours, t.Routes = nil, nil })},
	{name: "flow with checksum", reason: model.ReasonUnsupported, path: "tunnels[0].checksum.out", edit: hub(model.FarFlow, func(t *model.Tunnel) { t.Checksum = true })},
	{name: "flow that demands a checksum", reason: model.ReasonUnsupported, path: "tunnels[0].checksum.in", edit: hub(model.FarFlow, func(t *model.Tunnel) { t.ChecksumIn = model.Some(true) })},
	{name: "flow with sequence", reason: model.ReasonUnsupported, path: "tunnels[0].sequence.out", edit: hub(model.FarFlow, func(t *model.Tunnel) { t.Sequence = true })},
	{name: "flow that demands a sequence", reason: model.ReasonUnsupported, path: "tunnels[0].sequence.in", edit: hub(model.FarFlow, func(t *model.Tunnel) { t.SequenceIn = true })},
	{name: "flow with an incoming key", reason: model.ReasonUnsupported, path: "tunnels[0].key.fixed.in", edit: hub(model.FarFlow, func(t *model.Tunnel) { t.KeyIn = key(7) })},
	{name: "two flow tunnels", reason: model.ReasonConflict, path: "tunnels[1]", edit: hub(model.FarFlow, func(*model.Tunnel) {}, func(s *model.HostState) {
		t := s.Tunnels[0]
		t.Name = "gre-8"
		s.Tunnels = append(s.Tunnels, t)
	})},
}

// kernelRefusals are those of a host without Open vSwitch.
func kernelRefusals() []refusal {
	var out []refusal
	for _, list := range [][]refusal{notInKernel, notInKernelL2, notInKernelL3} {
		for _, r := range list {
			r.caps = noOVS
			out = append(out, r)
		}
	}
	return out
}

// What looks like a refusal above and is none, on a host without Open vSwitch.
var takenInKernel = map[string]func(*model.HostState){
	"base": func(*model.HostState) {},
	"checksum and sequence": tunnel(func(t *model.Tunnel) {
		t.Checksum, t.Sequence, t.ChecksumIn, t.SequenceIn = true, true, model.Some(true), true
	}),
	"overlay bridge stated": func(s *model.HostState) {
		s.Bridges = append(s.Bridges, model.Bridge{Name: "br-greave", Backend: model.BackendKernel, MTU: 9000, HWAddr: mac(9)})
	},
	"bridge addresses": bridge(func(b *model.Bridge) { b.Addresses = []netip.Prefix{prefix("192.0.2.9/24"), prefix("2001:db8::9/64")} }),
	"segment options": func(s *model.HostState) {
		s.Segments[0].MTU, s.Segments[0].Learning = 1400, true
		s.Segments[0].Suppression = model.Suppression{Enabled: true, Excluded: []netip.Prefix{prefix("192.0.2.0/24")}}
		s.Fdb[0].IPs = []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")}
	},
	"VLANs": func(s *model.HostState) {
		s.Ports[0].Attachments = append(s.Ports[0].Attachments, model.Attachment{Segment: "s1", VLAN: 7})
		s.Ports = append(s.Ports, model.Port{Name: "port2", Device: "tap2", Bridge: "br0", VLAN: model.VLAN{Tag: 4094}, MTU: 1400})
	},
	"512 peers over GRE":     members(model.MembersMaxKernel, model.EncapGRE),
	"10000 peers over VXLAN": members(model.MembersMaxVXLAN, model.EncapVXLAN),
	"GRE segment of two VTEPs": func(s *model.HostState) {
		s.Vteps = append(s.Vteps, model.Vtep{Name: "v2", Routed: true})
		s.Peers[0].Paths[0].Vtep = "v1"
		s.Peers = append(s.Peers, model.Peer{Name: "p2", Paths: []model.Path{{Vtep: "v2", Remote: addr("2001:db8::3")}}, Segments: []string{"s1"}})
	},
	"VTEP elsewhere": func(s *model.HostState) {
		s.Vteps[0] = model.Vtep{Name: "v1", Device: "eth1", VRF: "red", Netns: "under"}
	},
	"IPv6 underlay": func(s *model.HostState) {
		s.Vteps[0].Addr, s.Peers[0].Paths[0].Remote, s.Tunnels[0].Remote = addr("2001:db8::1"), addr("2001:db8::2"), addr("2001:db8::7")
	},
	"tunnel in a segment": tunnel(func(t *model.Tunnel) { t.Bridge, t.Segment = "", "s1" }),
	"Geneve":              encapsulated(model.EncapGeneve, func(t *model.Tunnel) { t.Checksum = true }),
	"Geneve by route": encapsulated(model.EncapGeneve, func(t *model.Tunnel) {
		t.Vtep = "v2"
	}, func(s *model.HostState) {
		s.Vteps = append(s.Vteps, model.Vtep{Name: "v2", Routed: true})
		s.Peers[0].Paths[0].Vtep = "v1"
	}),
	"VXLAN with gbp": vxlan(func(t *model.Tunnel) {
		t.GroupPolicy, t.Device, t.DF, t.TTL = true, "eth0", model.Some(false), fixed(64)
	}),
	"ERSPAN 1": alone(model.EncapERSPAN, func(t *model.Tunnel) { t.ERSPAN.Index = 1<<20 - 1 }),
	"ERSPAN 2": alone(model.EncapERSPAN, func(t *model.Tunnel) { t.ERSPAN = model.ERSPAN{Version: 2, Egress: true, HardwareID: 63} }),
	"layer 3":  l3(func(*model.Tunnel) {}),
	"layer 3 beside layer 2 of the same ends": l3(func(*model.Tunnel) {}, func(s *model.HostState) {
		s.Tunnels = append(s.Tunnels, model.Tunnel{Name: "tap-7", Layer: model.LayerL2, Local: addr("10.0.0.1"), Remote: addr("10.0.0.7")})
	}),
	"no DF with inherited ttl": l3(func(t *model.Tunnel) { t.DF, t.TTL, t.IgnoreDF = model.Some(false), inherit, true }),
	"DF with inherited ttl":    l3(func(t *model.Tunnel) { t.DF, t.TTL = model.Some(true), inherit }),
	"over IPv6":                over6(func(t *model.Tunnel) { t.EncapLimit = model.Some[uint32](255) }),
	"multicast remote": l3(func(t *model.Tunnel) {
		t.Remote, t.Device, t.Multicast = addr("239.0.0.1"), "eth0", model.Some(true)
	}),
	"all of layer 3": l3(func(t *model.Tunnel) {
		t.FwMark, t.MTU, t.Down, t.VRF, t.Netns = 7, 1400, true, "red", "blue"
		t.UDP = model.UDPEncap{Type: model.UDPEncapGUE, DstPort: 5555}
	}),
	"one destination, two metrics": l3(func(t *model.Tunnel) {
		t.Routes = append(t.Routes, model.Route{Destination: t.Routes[0].Destination, Metric: model.Some[uint32](7)})
	}),
	"default route in a table of its own": l3(func(t *model.Tunnel) {
		t.Routes = append(t.Routes, model.Route{Destination: prefix("0.0.0.0/0"), Table: 100})
	}),
	"default route of a VRF": l3(func(t *model.Tunnel) {
		t.VRF, t.Routes = "red", []model.Route{{Destination: prefix("0.0.0.0/0")}}
	}),
	"default route past a device": l3(func(t *model.Tunnel) {
		t.Device, t.Routes = "eth0", []model.Route{{Destination: prefix("0.0.0.0/0")}}
	}),
	"hub":         hub(model.FarAny, func(t *model.Tunnel) { t.KeyIn, t.Checksum, t.Sequence = key(7), true, true }),
	"flow":        hub(model.FarFlow, func(t *model.Tunnel) { t.Multicast = model.Some(false) }),
	"key by flow": hub(model.FarFlow, func(t *model.Tunnel) { t.KeyOut, t.KeyFlow = model.Opt[uint64]{}, true }),
	"flow tunnels of two namespaces": hub(model.FarFlow, func(*model.Tunnel) {}, func(s *model.HostState) {
		t := s.Tunnels[0]
		t.Name, t.Local, t.Vtep = "gre-8", netip.Addr{}, "v2"
		s.Tunnels = append(s.Tunnels, t)
		s.Vteps = append(s.Vteps, model.Vtep{Name: "v2", Addr: addr("10.0.0.1"), Netns: "under"})
		s.Peers[0].Paths[0].Vtep = "v1"
	}),
}

func TestKernelNotTooStrict(t *testing.T) {
	for name, edit := range takenInKernel {
		s := base()
		edit(&s)
		if errs := validate(s, nil, noOVS); errs != nil {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

// TestChoice holds where an object goes, and why.
func TestChoice(t *testing.T) {
	kept := model.Choice{Auto: model.BackendOVS, Kept: map[model.Ref]model.Backend{{Kind: model.KindBridge, Name: "br-greave"}: model.BackendKernel}}
	bridges := map[string]model.Bridge{"br0": {Name: "br0"}, "br1": {Name: "br1", Backend: model.BackendKernel}}
	segments := map[string]model.Segment{"s1": {Name: "s1", Bridge: "br-greave"}}
	for _, c := range []struct {
		choice model.Choice
		of     any
		want   model.Backend
		why    string
	}{
		{model.Choice{}, bridges["br0"], model.BackendOVS, "whether Open vSwitch runs here is not known yet"},
		{kept, bridges["br0"], model.BackendOVS, "Open vSwitch runs here"},
		{noOVS.Choice, bridges["br0"], model.BackendKernel, "no Open vSwitch on this host"},
		{kept, bridges["br1"], model.BackendKernel, "stated"},
		{kept, segments["s1"], model.BackendKernel, "as bridge br-greave: it was built there"},
		{kept, model.Port{Bridge: "br1"}, model.BackendKernel, "as bridge br1: stated"},
		{kept, model.Tunnel{Layer: model.LayerL2, Bridge: "br0"}, model.BackendOVS, "as bridge br0: Open vSwitch runs here"},
		{kept, model.Tunnel{Layer: model.LayerL2, Segment: "s1"}, model.BackendKernel, "as bridge br-greave: it was built there"},
		{kept, model.Tunnel{Layer: model.LayerL3}, model.BackendKernel, "a layer 3 tunnel without a bridge is a device of the kernel"},
		{kept, model.Tunnel{Layer: model.LayerL2}, model.BackendKernel, "a layer 2 tunnel without a bridge is a device of the kernel"},
		{kept, model.Tunnel{Layer: model.LayerL3, Backend: model.BackendKernel}, model.BackendKernel, "stated"},
	} {
		var got model.Backend
		var why string
		switch o := c.of.(type) {
		case model.Bridge:
			got, why = c.choice.Bridge(o)
		case model.Segment:
			got, why = c.choice.Segment(o, bridges)
		case model.Port:
			got, why = c.choice.Port(o, bridges)
		case model.Tunnel:
			got, why = c.choice.Tunnel(o, bridges, segments)
		}
		if got != c.want || why != c.why {
			t.Errorf("%+v: %s, %q; want %s, %q", c.of, got, why, c.want, c.why)
		}
	}
}
