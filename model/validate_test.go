package model_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/model/modeltest"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares sections with testdata/name, in order.
func golden(t *testing.T, name string, files []txtar.File) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got := txtar.Format(&txtar.Archive{Files: files})
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs (-want +got), accept with -update:\n%s", path, cmp.Diff(string(want), string(got)))
	}
}

var (
	kernelHost = model.Capabilities{OVS: true, SystemDatapath: true}
	netdevHost = model.Capabilities{OVS: true}
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func mac(n byte) model.MAC { return model.MAC{2, 0, 0, 0, 0, n} }

// base is a valid state with one object of each kind.
func base() model.HostState {
	return model.HostState{
		Vteps:    []model.Vtep{{Name: "v1", Addr: addr("10.0.0.1")}},
		Peers:    []model.Peer{{Name: "p1", Paths: []model.Path{{Remote: addr("10.0.0.2")}}, Segments: []string{"s1"}}},
		Segments: []model.Segment{{Name: "s1", Key: 100}},
		Bridges:  []model.Bridge{{Name: "br0"}},
		Ports:    []model.Port{{Name: "port1", Device: "tap1", MACs: []model.MAC{mac(1)}, Attachments: []model.Attachment{{Segment: "s1"}}}},
		Fdb:      []model.FdbEntry{{Segment: "s1", MAC: mac(2), Peer: "p1"}},
		Tunnels:  []model.Tunnel{{Name: "gre-7", Bridge: "br0", Remote: addr("10.0.0.7"), KeyIn: model.Some[uint64](7), KeyOut: model.Some[uint64](7)}},
	}
}

// refusal is one thing that Validate refuses: base with one edit.
type refusal struct {
	name   string
	reason string
	path   string // of the first error
	edit   func(*model.HostState)
	others model.Others
	caps   model.Capabilities
}

func tunnel(f func(*model.Tunnel)) func(*model.HostState) {
	return func(s *model.HostState) { f(&s.Tunnels[0]) }
}

func vxlan(f func(*model.Tunnel)) func(*model.HostState) {
	return func(s *model.HostState) {
		s.Tunnels[0].Encap = model.EncapVXLAN
		f(&s.Tunnels[0])
	}
}

func key(v uint64) model.Opt[uint64] { return model.Some(v) }

// What Open vSwitch takes with rc 0 and makes something else of.
var swallowed = []refusal{
	{name: "GRE key 2^32", reason: model.ReasonOutOfRange, path: "tunnels[0].key.fixed.in", edit: tunnel(func(t *model.Tunnel) { t.KeyIn = key(1 << 32) })},
	{name: "GRE key 2^64-1", reason: model.ReasonOutOfRange, path: "tunnels[0].key.fixed.out", edit: tunnel(func(t *model.Tunnel) { t.KeyOut = key(1<<64 - 1) })},
	{name: "GRE key 0", reason: model.ReasonOutOfRange, path: "tunnels[0].key.fixed.in", edit: tunnel(func(t *model.Tunnel) { t.KeyIn = key(0) })},
	{name: "VNI 2^24", reason: model.ReasonOutOfRange, path: "tunnels[0].key.fixed.in", edit: vxlan(func(t *model.Tunnel) { t.KeyIn = key(1 << 24) })},
	{name: "VNI missing", reason: model.ReasonRequired, path: "tunnels[0].key", edit: vxlan(func(t *model.Tunnel) { t.KeyIn, t.KeyOut = model.Opt[uint64]{}, model.Opt[uint64]{} })},
	{name: "VNI out missing", reason: model.ReasonRequired, path: "tunnels[0].key", edit: vxlan(func(t *model.Tunnel) { t.KeyOut = model.Opt[uint64]{} })},
	{name: "reserved key", reason: model.ReasonOutOfRange, path: "tunnels[0].key.fixed.out", edit: tunnel(func(t *model.Tunnel) { t.KeyOut = key(0xffff00) })},
	{name: "reserved VNI", reason: model.ReasonOutOfRange, path: "tunnels[0].key.fixed.in", edit: vxlan(func(t *model.Tunnel) { t.KeyIn = key(0xffffff) })},
	{name: "ttl 999", reason: model.ReasonOutOfRange, path: "tunnels[0].ttl.fixed", edit: tunnel(func(t *model.Tunnel) { t.TTL.Fixed = model.Some[uint32](999) })},
	{name: "ttl 0", reason: model.ReasonOutOfRange, path: "tunnels[0].ttl.fixed", edit: tunnel(func(t *model.Tunnel) { t.TTL.Fixed = model.Some[uint32](0) })},
	{name: "tos 256", reason: model.ReasonOutOfRange, path: "tunnels[0].tos.fixed", edit: tunnel(func(t *model.Tunnel) { t.TOS.Fixed = model.Some[uint32](256) })},
	{name: "tos with ECN", reason: model.ReasonInvalid, path: "tunnels[0].tos.fixed", edit: tunnel(func(t *model.Tunnel) { t.TOS.Fixed = model.Some[uint32](5) })},
	{name: "UDP port 70000", reason: model.ReasonOutOfRange, path: "tunnels[0].udp_port", edit: vxlan(func(t *model.Tunnel) { t.DstPort = 70000 })},
	{name: "UDP port on GRE", reason: model.ReasonUnsupported, path: "tunnels[0].udp_port", edit: tunnel(func(t *model.Tunnel) { t.DstPort = 4789 })},
	{name: "checksum and sequence on netdev", reason: model.ReasonUnsupported, path: "tunnels[0].sequence.out", edit: tunnel(func(t *model.Tunnel) { t.Checksum, t.Sequence = true, true })},
	{name: "checksum on the kernel datapath", reason: model.ReasonUnsupported, path: "tunnels[0].checksum.out", caps: kernelHost, edit: tunnel(func(t *model.Tunnel) { t.Checksum = true })},
	{name: "sequence on the kernel datapath", reason: model.ReasonUnsupported, path: "tunnels[0].sequence.out", caps: kernelHost, edit: tunnel(func(t *model.Tunnel) { t.Sequence = true })},
	{name: "sequence on VXLAN", reason: model.ReasonUnsupported, path: "tunnels[0].sequence.out", edit: vxlan(func(t *model.Tunnel) { t.Sequence = true })},
	{name: "remote missing", reason: model.ReasonRequired, path: "tunnels[0].remote.address", edit: tunnel(func(t *model.Tunnel) { t.Remote = netip.Addr{} })},
	{name: "remote 0.0.0.0", reason: model.ReasonInvalid, path: "tunnels[0].remote.address", edit: tunnel(func(t *model.Tunnel) { t.Remote = addr("0.0.0.0") })},
	{name: "remote multicast", reason: model.ReasonInvalid, path: "tunnels[0].remote.address", edit: tunnel(func(t *model.Tunnel) { t.Remote = addr("224.0.0.1") })},
	{name: "fragments over IPv6", reason: model.ReasonUnsupported, path: "tunnels[0].df", edit: tunnel(func(t *model.Tunnel) { t.Remote, t.DF = addr("2001:db8::1"), model.Some(false) })},
	{name: "local broadcast", reason: model.ReasonInvalid, path: "tunnels[0].local.address", edit: tunnel(func(t *model.Tunnel) { t.Local = addr("255.255.255.255") })},
	{name: "access VLAN 4095", reason: model.ReasonOutOfRange, path: "tunnels[0].vlan.tag", edit: tunnel(func(t *model.Tunnel) { t.VLAN.Tag = 4095 })},
	{name: "datapath_id 0", reason: model.ReasonOutOfRange, path: "bridges[0].datapath_id", edit: func(s *model.HostState) { s.Bridges[0].DatapathID = key(0) }},
	{name: "hwaddr multicast", reason: model.ReasonInvalid, path: "bridges[0].hwaddr", edit: func(s *model.HostState) { s.Bridges[0].HWAddr = model.MAC{1} }},
	{name: "bridge MTU 67", reason: model.ReasonOutOfRange, path: "bridges[0].mtu", edit: func(s *model.HostState) { s.Bridges[0].MTU = 67 }},
	{name: "protocol OpenFlow99", reason: model.ReasonInvalid, path: "bridges[0].protocols[1]", edit: func(s *model.HostState) { s.Bridges[0].Protocols = []string{"OpenFlow15", "OpenFlow99"} }},
	{name: "system datapath without the module", reason: model.ReasonUnsupported, path: "bridges[0].datapath", edit: func(s *model.HostState) { s.Bridges[0].Datapath = model.DatapathSystem }},
	{name: "segment key 2^32", reason: model.ReasonOutOfRange, path: "segments[0].key", edit: func(s *model.HostState) { s.Segments[0].Key = 1 << 32 }},
	{name: "segment key 0", reason: model.ReasonOutOfRange, path: "segments[0].key", edit: func(s *model.HostState) { s.Segments[0].Key = 0 }},
	{name: "segment key wider than a member's VNI", reason: model.ReasonOutOfRange, path: "segments[0].key", edit: func(s *model.HostState) { s.Segments[0].Key, s.Peers[0].Encap = 1<<24, model.EncapVXLAN }},
	{name: "segment key wider than the VNI of an FDB entry's peer", reason: model.ReasonOutOfRange, path: "segments[0].key", edit: func(s *model.HostState) {
		s.Segments[0].Key, s.Peers[0].Encap, s.Peers[0].Segments = 1<<24, model.EncapVXLAN, nil
	}},
}

// What would be two things on the host, or nothing.
var conflicts = []refusal{
	{name: "one name twice", reason: model.ReasonDuplicate, path: "segments[1]", edit: func(s *model.HostState) {
		s.Segments = append(s.Segments, model.Segment{Name: "s1", Key: 101})
	}},
	{name: "one key twice", reason: model.ReasonDuplicate, path: "segments[1]", edit: func(s *model.HostState) {
		s.Segments = append(s.Segments, model.Segment{Name: "s2", Key: 100})
	}},
	{name: "one key twice by a peer's encapsulation", reason: model.ReasonConflict, path: "segments[0].key", edit: func(s *model.HostState) {
		s.Peers[0].Encap = model.EncapVXLAN
		s.Segments = append(s.Segments, model.Segment{Name: "s2", Key: 100, Encap: model.EncapVXLAN})
	}},
	{name: "tunnel and bridge of one name", reason: model.ReasonDuplicate, path: "tunnels[0]", edit: tunnel(func(t *model.Tunnel) { t.Name = "br0" })},
	{name: "tunnel named as the implied bridge", reason: model.ReasonConflict, path: "tunnels[0]", edit: tunnel(func(t *model.Tunnel) { t.Name = "br-greave" })},
	{name: "device that is greave's own tunnel port", reason: model.ReasonInvalidName, path: "ports[0].device", edit: func(s *model.HostState) { s.Ports[0].Device = "gs-0123456789" }},
	{name: "device twice", reason: model.ReasonDuplicate, path: "ports[1]", edit: func(s *model.HostState) {
		s.Ports = append(s.Ports, model.Port{Name: "port2", Device: "tap1", Attachments: s.Ports[0].Attachments})
	}},
	{name: "MAC here and behind a peer", reason: model.ReasonDuplicate, path: "fdb[0]", edit: func(s *model.HostState) { s.Fdb[0].MAC = mac(1) }},
	{name: "two peers at one address", reason: model.ReasonDuplicate, path: "peers[1]", edit: func(s *model.HostState) {
		s.Peers = append(s.Peers, model.Peer{Name: "p2", Paths: s.Peers[0].Paths})
	}},
	{name: "two VTEPs with one address", reason: model.ReasonDuplicate, path: "vteps[1]", edit: func(s *model.HostState) {
		s.Vteps = append(s.Vteps, model.Vtep{Name: "v2", Addr: s.Vteps[0].Addr})
		s.Peers[0].Paths[0].Vtep = "v1"
	}},
	{name: "two tunnels alike", reason: model.ReasonConflict, path: "tunnels[1]", edit: func(s *model.HostState) {
		t := s.Tunnels[0]
		t.Name = "gre-8"
		s.Tunnels = append(s.Tunnels, t)
	}},
	{name: "tunnel that steals from a segment", reason: model.ReasonConflict, path: "tunnels[0]", edit: tunnel(func(t *model.Tunnel) {
		t.Remote, t.KeyIn = addr("10.0.0.2"), key(100)
	})},
	{name: "tunnel to itself", reason: model.ReasonConflict, path: "tunnels[0]", edit: tunnel(func(t *model.Tunnel) { t.Vtep, t.Remote = "v1", addr("10.0.0.1") })},
	{name: "peer at this host's address", reason: model.ReasonConflict, path: "peers[0]", edit: func(s *model.HostState) { s.Peers[0].Paths[0].Remote = addr("10.0.0.1") }},
	{name: "two overlay bridges", reason: model.ReasonConflict, path: "bridges[2].forwarding", edit: func(s *model.HostState) {
		s.Bridges = append(s.Bridges, model.Bridge{Name: "ov1", Forwarding: model.ForwardOverlay}, model.Bridge{Name: "ov2", Forwarding: model.ForwardOverlay})
	}},
	{name: "overlay bridge beside the implied one", reason: model.ReasonConflict, path: "bridges[1].forwarding", edit: func(s *model.HostState) {
		s.Segments[0].Bridge = "br-greave"
		s.Bridges = append(s.Bridges, model.Bridge{Name: "ov1", Forwarding: model.ForwardOverlay})
	}},
	{name: "standalone overlay bridge", reason: model.ReasonConflict, path: "bridges[1].fail_mode", edit: func(s *model.HostState) {
		s.Bridges = append(s.Bridges, model.Bridge{Name: "ov1", Forwarding: model.ForwardOverlay, FailMode: model.FailStandalone})
	}},
	{name: "overlay bridge of OpenFlow10", reason: model.ReasonUnsupported, path: "bridges[1].protocols", edit: func(s *model.HostState) {
		s.Bridges = append(s.Bridges, model.Bridge{Name: "ov1", Forwarding: model.ForwardOverlay, Protocols: []string{"OpenFlow10"}})
	}},
	{name: "segment on a normal bridge", reason: model.ReasonConflict, path: "segments[0].bridge", edit: func(s *model.HostState) { s.Segments[0].Bridge = "br0" }},
	{name: "tunnel on the overlay bridge", reason: model.ReasonConflict, path: "tunnels[0].bridge", edit: tunnel(func(t *model.Tunnel) { t.Bridge = "br-greave" })},
	{name: "attachment on a normal bridge", reason: model.ReasonConflict, path: "ports[0].attachments", edit: func(s *model.HostState) { s.Ports[0].Bridge = "br0" }},
	{name: "overlay port without segment", reason: model.ReasonRequired, path: "ports[0].attachments", edit: func(s *model.HostState) { s.Ports[0].Attachments = nil }},
	{name: "two untagged segments", reason: model.ReasonDuplicate, path: "ports[0].attachments[1].vlan", edit: func(s *model.HostState) {
		s.Segments = append(s.Segments, model.Segment{Name: "s2", Key: 101})
		s.Ports[0].Attachments = append(s.Ports[0].Attachments, model.Attachment{Segment: "s2"})
	}},
	{name: "port that binds nothing", reason: model.ReasonRequired, path: "ports[0].device", edit: func(s *model.HostState) { s.Ports[0].Device = "" }},
	{name: "port that binds two things", reason: model.ReasonConflict, path: "ports[0].iface_id", edit: func(s *model.HostState) { s.Ports[0].IfaceID = "vm-1" }},
	{name: "MAC that is multicast", reason: model.ReasonInvalid, path: "ports[0].macs[0]", edit: func(s *model.HostState) { s.Ports[0].MACs[0] = model.MAC{1, 0, 0x5e} }},
	{name: "MAC that is missing", reason: model.ReasonRequired, path: "fdb[0].mac", edit: func(s *model.HostState) { s.Fdb[0].MAC = model.MAC{} }},
	{name: "peer without path", reason: model.ReasonRequired, path: "peers[0].paths", edit: func(s *model.HostState) { s.Peers[0].Paths = nil }},
	{name: "peer with a path twice", reason: model.ReasonDuplicate, path: "peers[0]", edit: func(s *model.HostState) {
		s.Peers[0].Paths = append(s.Peers[0].Paths, s.Peers[0].Paths[0])
	}},
	{name: "peer with 17 paths", reason: model.ReasonOutOfRange, path: "peers[0].paths", edit: func(s *model.HostState) {
		for i := range 16 {
			s.Peers[0].Paths = append(s.Peers[0].Paths, model.Path{Remote: addr(fmt.Sprint("10.0.1.", i+1))})
		}
	}},
	{name: "replicator without a name", reason: model.ReasonRequired, path: "segments[0].replication.replicators", edit: func(s *model.HostState) {
		s.Segments[0].Replication.Mode = model.ReplicationReplicator
	}},
	{name: "two replicators", reason: model.ReasonUnimplemented, path: "segments[0].replication.replicators[1]", edit: func(s *model.HostState) {
		s.Segments[0].Replication = model.Replication{Mode: model.ReplicationReplicator, Replicators: []string{s.Peers[0].Name, s.Peers[0].Name}}
	}},
	{name: "relay with a replicator", reason: model.ReasonConflict, path: "segments[0].replication.replicators", edit: func(s *model.HostState) {
		s.Segments[0].Replication = model.Replication{Mode: model.ReplicationRelay, Replicators: []string{s.Peers[0].Name}}
	}},
	{name: "replicator that is no peer", reason: model.ReasonUnknownRef, path: "segments[0].replication.replicators[0]", edit: func(s *model.HostState) {
		s.Segments[0].Replication = model.Replication{Mode: model.ReplicationReplicator, Replicators: []string{"nobody"}}
	}},
	{name: "replicator outside the segment", reason: model.ReasonConflict, path: "segments[0].replication.replicators[0]", edit: func(s *model.HostState) {
		s.Peers = append(s.Peers, model.Peer{Name: "far", Paths: []model.Path{{Remote: addr("10.0.0.77")}}})
		s.Segments[0].Replication = model.Replication{Mode: model.ReplicationReplicator, Replicators: []string{"far"}}
	}},
	{name: "path priority", reason: model.ReasonOutOfRange, path: "peers[0].paths[0].priority", edit: func(s *model.HostState) { s.Peers[0].Paths[0].Priority = model.Some[uint32](65536) }},
	{name: "path weight", reason: model.ReasonOutOfRange, path: "peers[0].paths[0].weight", edit: func(s *model.HostState) { s.Peers[0].Paths[0].Weight = 65536 }},
	{name: "path of no share", reason: model.ReasonOutOfRange, path: "peers[0].paths[0].weight", edit: func(s *model.HostState) {
		s.Peers[0].Paths[0].Weight = 256
		s.Peers[0].Paths = append(s.Peers[0].Paths, model.Path{Remote: addr("10.0.0.3")})
	}},
	{name: "paths shared on OpenFlow 1.3", reason: model.ReasonUnsupported, path: "peers[0].paths[1]", edit: func(s *model.HostState) {
		s.Peers[0].Paths = append(s.Peers[0].Paths, model.Path{Remote: addr("10.0.0.3")})
		s.Bridges = append(s.Bridges, model.Bridge{Name: "br-greave", Protocols: []string{"OpenFlow13"}})
	}},
	{name: "801 members", reason: model.ReasonOutOfRange, path: "segments[0]", edit: func(s *model.HostState) {
		for i := range 800 {
			a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
			s.Peers = append(s.Peers, model.Peer{Name: fmt.Sprint("m", i), Paths: []model.Path{{Remote: a}}, Segments: []string{"s1"}})
		}
	}},
	{name: "721 members, one over VXLAN", reason: model.ReasonOutOfRange, path: "segments[0]", edit: func(s *model.HostState) {
		s.Peers[0].Encap = model.EncapVXLAN
		for i := range model.FloodMaxVXLAN {
			a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
			s.Peers = append(s.Peers, model.Peer{Name: fmt.Sprint("m", i), Paths: []model.Path{{Remote: a}}, Segments: []string{"s1"}})
		}
	}},
	{name: "501 local ports beside members", reason: model.ReasonOutOfRange, path: "segments[0]", edit: func(s *model.HostState) {
		for i := range model.FloodPortsMax + 1 {
			n := fmt.Sprint("v", i)
			s.Ports = append(s.Ports, model.Port{Name: n, Device: n, Attachments: []model.Attachment{{Segment: "s1"}}})
		}
	}},
	{name: "unknown references", reason: model.ReasonUnknownRef, path: "peers[0].segments[0]", edit: func(s *model.HostState) {
		s.Peers[0].Segments[0] = "s9"
		s.Segments[0].Members = []string{"p9"}
		s.Ports[0].Attachments[0].Segment = "s9"
		s.Fdb[0].Peer = "p9"
		s.Tunnels[0].Bridge, s.Tunnels[0].Vtep = "br9", "v9"
	}},
	{name: "which VTEP", reason: model.ReasonRequired, path: "peers[0].paths[0].vtep", edit: func(s *model.HostState) {
		s.Vteps = append(s.Vteps, model.Vtep{Name: "v2", Addr: addr("10.0.0.9")})
	}},
	{name: "another host", reason: model.ReasonWrongHost, path: "host", edit: func(s *model.HostState) { s.Host = "host-b" }},
	{name: "empty", reason: model.ReasonEmpty, path: "", edit: func(s *model.HostState) { *s = model.HostState{} }},
}

func fabric(s model.HostState) model.Others { return model.Others{"fabric": s} }

// What one source does to another.
var between = []refusal{
	{name: "object of another source", reason: model.ReasonConflict, path: "vteps[0]", others: fabric(model.HostState{Vteps: []model.Vtep{{Name: "v1", Addr: addr("10.0.9.9")}}})},
	{name: "key of another source's segment", reason: model.ReasonConflict, path: "segments[0]", others: fabric(model.HostState{Segments: []model.Segment{{Name: "s0", Key: 100}}})},
	{name: "tunnel like another source's, which sorts after it", reason: model.ReasonConflict, path: "tunnels[0]",
		others: fabric(model.HostState{Bridges: []model.Bridge{{Name: "br1"}}, Tunnels: []model.Tunnel{{Name: "zz", Bridge: "br1", Remote: addr("10.0.0.7"), KeyIn: key(7)}}})},
	{name: "segment whose packets another source's tunnel takes", reason: model.ReasonConflict, path: "segments[0]",
		others: fabric(model.HostState{Bridges: []model.Bridge{{Name: "br1"}}, Tunnels: []model.Tunnel{{Name: "zz", Bridge: "br1", Remote: addr("10.0.0.2"), KeyIn: key(100)}}})},
	{name: "overlay bridge beside another source's implied one", reason: model.ReasonConflict, path: "bridges[1].forwarding",
		edit: func(s *model.HostState) {
			s.Bridges = append(s.Bridges, model.Bridge{Name: "ov1", Forwarding: model.ForwardOverlay})
		},
		others: fabric(model.HostState{Segments: []model.Segment{{Name: "s0", Key: 99, Bridge: "br-greave"}}})},
	{name: "what another source refers to is taken away", reason: model.ReasonConflict, path: "",
		others: fabric(model.HostState{Tunnels: []model.Tunnel{{Name: "t0", Bridge: "br0", Vtep: "v0", Remote: addr("10.0.0.8")}}})},
	{name: "what another source refers to becomes something else", reason: model.ReasonConflict, path: "",
		edit: func(s *model.HostState) {
			s.Bridges[0].Forwarding = model.ForwardOverlay
			s.Tunnels = nil
		},
		others: fabric(model.HostState{Tunnels: []model.Tunnel{{Name: "t0", Bridge: "br0", Remote: addr("10.0.0.8")}}})},
}

func validate(s model.HostState, others model.Others, caps model.Capabilities) model.FieldErrors {
	all := model.Others{}
	for source, o := range others {
		all[source] = model.Normalize(o, model.HostState{})
	}
	if !caps.OVS && caps.Choice.Auto == 0 {
		caps = netdevHost
	}
	err := model.Validate(model.Normalize(s, all.Merge()), all, "host-a", caps)
	var fields model.FieldErrors
	if err != nil && !errors.As(err, &fields) {
		panic(err)
	}
	return fields
}

func TestBaseIsValid(t *testing.T) {
	for _, caps := range []model.Capabilities{{}, netdevHost, kernelHost} {
		if errs := validate(base(), nil, caps); errs != nil {
			t.Error(errs)
		}
	}
}

// TestRefusals holds reason and path of each refusal, and its words in
// testdata/refusals.txtar.
func TestRefusals(t *testing.T) {
	var files []txtar.File
	for _, r := range slices.Concat(swallowed, conflicts, between, unguarded, notOnOVS, mirrorRefusals, samplerRefusals, kernelRefusals()) {
		t.Run(r.name, func(t *testing.T) {
			s := base()
			if r.edit != nil {
				r.edit(&s)
			}
			errs := validate(s, r.others, r.caps)
			if len(errs) == 0 {
				t.Fatal("accepted")
			}
			if errs[0].Reason != r.reason || errs[0].Path != r.path {
				t.Errorf("%s at %q, want %s at %q", errs[0].Reason, errs[0].Path, r.reason, r.path)
			}
			var b bytes.Buffer
			for _, e := range errs {
				fmt.Fprintf(&b, "%s %s\n", e.Reason, e)
				if e.Message == "" || e.Remedy == "" {
					t.Errorf("%+v says too little", e)
				}
			}
			files = append(files, txtar.File{Name: r.name, Data: b.Bytes()})
		})
	}
	golden(t, "refusals.txtar", files)
}

// TestHostileNames: none of them names anything that greave creates; a name
// that only stands for something is of plain letters; a device's name stays one
// word without control characters.
func TestHostileNames(t *testing.T) {
	if len(modeltest.Hostile) < 60 {
		t.Errorf("only %d", len(modeltest.Hostile))
	}
	plain := func(name string) bool {
		return name != "" && len(name) < 254 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
	}
	for _, name := range modeltest.Hostile {
		for _, c := range []struct {
			what   string
			edit   func(*model.HostState)
			accept bool
		}{
			{"tunnels[0].name", func(s *model.HostState) { s.Tunnels[0].Name = name }, false},
			{"bridges[0].name", func(s *model.HostState) { s.Bridges[0].Name, s.Tunnels[0].Bridge = name, name }, false},
			{"segments[0].name", func(s *model.HostState) {
				s.Segments[0].Name, s.Peers[0].Segments[0], s.Ports[0].Attachments[0].Segment, s.Fdb[0].Segment = name, name, name, name
			}, plain(name)},
			{"peers[0].name", func(s *model.HostState) { s.Peers[0].Name, s.Fdb[0].Peer = name, name }, plain(name)},
			{"vteps[0].name", func(s *model.HostState) { s.Vteps[0].Name = name }, plain(name)},
			{"ports[0].name", func(s *model.HostState) { s.Ports[0].Name = name }, plain(name)},
		} {
			s := base()
			c.edit(&s)
			errs := validate(s, nil, netdevHost)
			named := slices.ContainsFunc(errs, func(e model.FieldError) bool { return e.Path == c.what })
			if named == c.accept {
				t.Errorf("%s %.20q: errors %v", c.what, name, errs)
			}
			for _, e := range errs {
				if text := e.Error(); len(text) > 500 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
					t.Errorf("%s: the message is no short line: %.200q", c.what, text)
				}
			}
		}
		s := base()
		s.Ports[0].Device = name
		if validate(s, nil, netdevHost) == nil && (len(name) > 15 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == 0x7f })) {
			t.Errorf("device %q accepted", name)
		}
		s = base()
		s.Ports[0].Device, s.Ports[0].IfaceID = "", name
		if validate(s, nil, netdevHost) == nil && (len(name) > 253 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })) {
			t.Errorf("iface_id %q accepted", name)
		}
	}
}

func TestEmptyAllowed(t *testing.T) {
	if errs := validate(model.HostState{AllowEmpty: true}, nil, netdevHost); errs != nil {
		t.Error(errs)
	}
	if errs := validate(model.HostState{Host: "host-a", AllowEmpty: true}, nil, netdevHost); errs != nil {
		t.Error(errs)
	}
}

// TestNotTooStrict: what looks like a refusal above and is none.
func TestNotTooStrict(t *testing.T) {
	for name, edit := range map[string]func(*model.HostState){
		"GRE key 2^32-1":     tunnel(func(t *model.Tunnel) { t.KeyIn, t.KeyOut = key(1<<32-1), key(1<<32-1) }),
		"unkeyed GRE":        tunnel(func(t *model.Tunnel) { t.KeyIn, t.KeyOut = model.Opt[uint64]{}, model.Opt[uint64]{} }),
		"one key of two":     tunnel(func(t *model.Tunnel) { t.KeyIn = model.Opt[uint64]{} }),
		"VNI by out alone":   vxlan(func(t *model.Tunnel) { t.KeyIn = model.Opt[uint64]{} }),
		"checksum on netdev": tunnel(func(t *model.Tunnel) { t.Checksum = true }),
		"ttl 255":            tunnel(func(t *model.Tunnel) { t.TTL.Fixed = model.Some[uint32](255) }),
		"same key to the same remote in another encapsulation": func(s *model.HostState) {
			s.Tunnels[0].Encap, s.Tunnels[0].Remote, s.Tunnels[0].KeyIn, s.Tunnels[0].KeyOut = model.EncapVXLAN, addr("10.0.0.2"), key(100), key(100)
		},
		"VXLAN on two UDP ports": func(s *model.HostState) {
			s.Tunnels[0].Encap = model.EncapVXLAN
			t := s.Tunnels[0]
			t.Name, t.DstPort = "vx-8", 8472
			s.Tunnels = append(s.Tunnels, t)
		},
		"one MAC in two segments": func(s *model.HostState) {
			s.Segments = append(s.Segments, model.Segment{Name: "s2", Key: 101})
			s.Fdb = append(s.Fdb, model.FdbEntry{Segment: "s2", MAC: mac(1), Peer: "p1"})
		},
		"800 members": func(s *model.HostState) {
			for i := range 799 {
				a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
				s.Peers = append(s.Peers, model.Peer{Name: fmt.Sprint("m", i), Paths: []model.Path{{Remote: a}}, Segments: []string{"s1"}})
			}
		},
		"Geneve":                encapsulated(model.EncapGeneve, func(t *model.Tunnel) { t.Local = addr("10.0.0.1") }),
		"Geneve segment":        func(s *model.HostState) { s.Segments[0].Encap = model.EncapGeneve },
		"layer 3 in the kernel": l3(func(*model.Tunnel) {}),
		"multicast":             tunnel(func(t *model.Tunnel) { t.Multicast = model.Some(true) }),
		"addresses of guests": func(s *model.HostState) {
			s.Fdb[0].IPs, s.Ports[0].IPs = []netip.Addr{addr("192.0.2.1")}, []netip.Addr{addr("2001:db8::1")}
		},
		"kernel bridge on a host with Open vSwitch": func(s *model.HostState) {
			s.Bridges[0].Backend, s.Bridges[0].Addresses, s.Tunnels[0].FwMark = model.BackendKernel, []netip.Prefix{prefix("192.0.2.9/24")}, 7
		},
		"device with an odd name": func(s *model.HostState) { s.Ports[0].Device = "--help" },
	} {
		s := base()
		edit(&s)
		if errs := validate(s, nil, netdevHost); errs != nil {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

// TestOneBadAtEachPosition: wherever in a long document the bad object stands, the refusal names it and
// its field, and nothing else.
func TestOneBadAtEachPosition(t *testing.T) {
	for at := range 100 {
		s := base()
		good := s.Tunnels[0]
		s.Tunnels = nil
		for i := range 100 {
			tun := good
			tun.Name = fmt.Sprintf("gre-%d", i)
			tun.KeyIn, tun.KeyOut = key(uint64(i+1)), key(uint64(i+1))
			s.Tunnels = append(s.Tunnels, tun)
		}
		if errs := validate(s, nil, netdevHost); errs != nil {
			t.Fatal(errs)
		}
		s.Tunnels[at].KeyOut = key(1 << 32)
		errs := validate(s, nil, netdevHost)
		if len(errs) != 1 || errs[0].Path != fmt.Sprintf("tunnels[%d].key.fixed.out", at) {
			t.Errorf("bad at %d: %v", at, errs)
		}
	}
}
