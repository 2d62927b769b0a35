package plan_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

var update = flag.Bool("update", false, "rewrite golden files")

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// tunnels is a normal bridge with one GRE tunnel.
func tunnels() model.HostState {
	return model.HostState{
		Bridges: []model.Bridge{{Name: "br0"}},
		Tunnels: []model.Tunnel{{Name: "gre-7", Bridge: "br0", Local: addr("192.0.2.1"), Remote: addr("192.0.2.7"), KeyIn: model.Some[uint64](7), KeyOut: model.Some[uint64](7)}},
	}
}

// mirrored is tunnels with a mirror.
func mirrored() model.HostState {
	s := tunnels()
	s.Mirrors = []model.Mirror{{Name: "m", Bridge: "br0", All: true, Device: "tap-t"}}
	return s
}

// overlay is a segment with a peer, a device and a guest's port.
func overlay() model.HostState {
	red := []model.Attachment{{Segment: "red"}}
	return model.HostState{
		Vteps:    []model.Vtep{{Name: "underlay", Addr: addr("192.0.2.1")}},
		Peers:    []model.Peer{{Name: "host-b", Paths: []model.Path{{Remote: addr("192.0.2.2")}}, Segments: []string{"red"}}},
		Segments: []model.Segment{{Name: "red", Key: 100}},
		Ports: []model.Port{
			{Name: "web", Device: "tap-web", Attachments: red},
			{Name: "vm", IfaceID: "vm-1", MACs: []model.MAC{{2, 0, 0, 0, 0, 1}}, Attachments: red},
		},
		Fdb: []model.FdbEntry{{Segment: "red", MAC: model.MAC{2, 0, 0, 0, 0, 2}, Peer: "host-b"}},
	}
}

// created is overlay with an internal port, and a patch to a normal bridge.
func created() model.HostState {
	s, red := overlay(), []model.Attachment{{Segment: "red"}}
	s.Bridges = append(s.Bridges, model.Bridge{Name: "br0"})
	s.Ports = append(s.Ports,
		model.Port{Name: "host0", Internal: true, MTU: 1400, HWAddr: model.MAC{2, 0, 0, 0, 0, 9}, Attachments: red},
		model.Port{Name: "up", Patch: model.Patch{Bridge: "br0", Far: "down"}, Attachments: red})
	return s
}

// joined is overlay with a patch to a foreign bridge.
func joined() model.HostState {
	s := overlay()
	s.Segments = append(s.Segments, model.Segment{Name: "blue", Key: 200})
	s.Bridges = append(s.Bridges, model.Bridge{Name: "br-int", Foreign: true})
	s.Ports = append(s.Ports, model.Port{Name: "up", Patch: model.Patch{Bridge: "br-int", Far: "down"},
		Attachments: []model.Attachment{{Segment: "red", VLAN: 100}, {Segment: "blue", VLAN: 20}}})
	return s
}

// scene is one plan: on a host that was brought to a document, then altered.
type scene struct {
	name string
	was  model.HostState
	hand func(*host)
	want func(*model.HostState)
	real bool // ports that do not exist yet have no number
}

func tunnel(f func(*model.Tunnel)) func(*model.HostState) {
	return func(s *model.HostState) { f(&s.Tunnels[0]) }
}

func row(name string, f func(*model.OVSPort)) func(*host) {
	return func(h *host) {
		p := h.ovs.Ports[name]
		p.Options, p.ExternalIDs = maps.Clone(p.Options), maps.Clone(p.ExternalIDs)
		f(&p)
		h.ovs.Ports[p.Name] = p
	}
}

func guest(h *host) {
	h.ovs.Ports["vnet0"] = model.OVSPort{Name: "vnet0", Bridge: "br-greave", Type: "system", ExternalIDs: map[string]string{"iface-id": "vm-1", "attached-mac": "02:00:00:00:00:01"}}
	h.reconfigure()
}

// guestBound has its flows in.
func guestBound(h *host) {
	guest(h)
	if _, err := h.pass(overlay()); err != nil {
		panic(err)
	}
}

var scenes = []scene{
	{name: "create bridge and tunnel", want: func(s *model.HostState) { *s = tunnels() }},
	{name: "nothing to do", was: tunnels()},
	{name: "update ttl", was: tunnels(), want: tunnel(func(t *model.Tunnel) { t.TTL.Fixed = model.Some[uint32](64) })},
	{name: "to ERSPAN and to its other version", was: tunnels(), want: func(s *model.HostState) {
		s.Tunnels[0].Encap, s.Tunnels[0].ERSPAN.Index = model.EncapERSPAN, 1<<20-1
		s.Tunnels = append(s.Tunnels, model.Tunnel{Name: "mon", Bridge: "br0", Encap: model.EncapERSPAN, Remote: addr("2001:db8::7"), KeyIn: model.Some[uint64](8), KeyOut: model.Some[uint64](8), ERSPAN: model.ERSPAN{Version: 2, Egress: true, HardwareID: 63}})
	}},
	{name: "mirrors", was: tunnels(), want: func(s *model.HostState) {
		s.Mirrors = []model.Mirror{
			{Name: "span", Bridge: "br0", Ports: []model.MirrorPort{{Tunnel: "gre-7"}}, VLANs: []uint32{30, 7}, Device: "tap-t", Snaplen: 64},
			{Name: "far", Bridge: "br0", All: true, Collector: model.Some(model.Tunnel{Encap: model.EncapVXLAN, Remote: addr("192.0.2.9"), KeyOut: model.Some[uint64](9)})},
		}
	}},
	{name: "mirror of a bridge that is kept", was: mirrored(), hand: func(h *host) {
		h.ovs.Ports["theirs"] = model.OVSPort{Name: "theirs", Bridge: "br0", Ofport: 9}
	}, want: func(s *model.HostState) { *s = model.HostState{} }},
	{name: "mirror of a bridge that goes", was: mirrored(), want: func(s *model.HostState) { *s = model.HostState{} }},
	{name: "samplers", was: tunnels(), want: func(s *model.HostState) {
		to := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.9:6343"), netip.MustParseAddrPort("[2001:db8::9]:6343")}
		s.Samplers = []model.Sampler{
			{Name: "s", Bridge: "br0", Format: model.FormatSFlow, Targets: to, Sampling: model.Some[uint32](100), Agent: "eth0"},
			{Name: "i", Bridge: "br0", Format: model.FormatIPFIX, Targets: to[:1], Domain: model.Some[uint32](0)},
			{Name: "n", Bridge: "br0", Format: model.FormatNetFlow, Targets: to[1:]},
		}
	}},
	{name: "change key", was: tunnels(), want: tunnel(func(t *model.Tunnel) { t.KeyIn, t.KeyOut = model.Some[uint64](8), model.Some[uint64](9) })},
	{name: "change remote and tag", was: tunnels(), want: tunnel(func(t *model.Tunnel) { t.Remote, t.VLAN.Tag = addr("192.0.2.8"), 30 })},
	{name: "VLAN modes", was: tunnels(), want: func(s *model.HostState) {
		s.Tunnels[0].VLAN = model.VLAN{Mode: model.VLANNativeTagged, Tag: 30, Trunks: []uint32{50, 40, 50}}
		s.Ports = []model.Port{
			{Name: "a", Device: "tap-a", Bridge: "br0", VLAN: model.VLAN{Mode: model.VLANAccess, Tag: 7}},
			{Name: "t", Device: "tap-t", Bridge: "br0", VLAN: model.VLAN{Trunks: []uint32{7, 0}}},
			{Name: "q", Device: "tap-q", Bridge: "br0", VLAN: model.VLAN{Mode: model.VLANTunnel, Tag: 8}},
		}
	}},
	{name: "VLAN columns altered by hand", was: tunnels(), hand: row("gre-7", func(p *model.OVSPort) {
		p.VLAN = model.VLAN{Mode: model.VLANNativeUntagged, Tag: 5, Trunks: []uint32{5, 6}}
	})},
	{name: "an access port that says so", was: tunnels(), hand: row("gre-7", func(p *model.OVSPort) {
		p.VLAN = model.VLAN{Mode: model.VLANAccess, Tag: 30}
	}), want: tunnel(func(t *model.Tunnel) { t.VLAN.Tag = 30 })},
	{name: "change encapsulation", was: tunnels(), want: tunnel(func(t *model.Tunnel) { t.Encap = model.EncapVXLAN })},
	{name: "options altered by hand", was: tunnels(), hand: row("gre-7", func(p *model.OVSPort) { p.Options["key"], p.Options["csum"] = "1", "true" })},
	{name: "mark lost", was: tunnels(), hand: row("gre-7", func(p *model.OVSPort) { delete(p.ExternalIDs, model.MarkObject) })},
	{name: "port deleted by hand", was: tunnels(), hand: func(h *host) { delete(h.ovs.Ports, "gre-7") }},
	{name: "fail_mode drift", was: overlay(), hand: func(h *host) {
		b := h.ovs.Bridges["br-greave"]
		b.FailMode = 0
		h.ovs.Bridges["br-greave"] = b
		h.images["br-greave"] = standaloneImage()
	}},
	{name: "empty fail_mode is standalone", was: tunnels(), hand: func(h *host) {
		b := h.ovs.Bridges["br0"]
		b.FailMode = 0
		h.ovs.Bridges["br0"] = b
	}},
	{name: "bridge settings", was: tunnels(), want: func(s *model.HostState) {
		b := &s.Bridges[0]
		b.Protocols, b.MTU, b.HWAddr, b.DatapathID = []string{"OpenFlow15", "OpenFlow13"}, 9000, model.MAC{2, 1}, model.Some[uint64](0xabc)
	}},
	{name: "move to another bridge", was: tunnels(), want: func(s *model.HostState) {
		s.Bridges = append(s.Bridges, model.Bridge{Name: "br1"})
		s.Tunnels[0].Bridge = "br1"
	}},
	{name: "rename a tunnel", was: tunnels(), want: tunnel(func(t *model.Tunnel) { t.Name = "gre-seven" })},
	{name: "delete tunnel", was: tunnels(), want: func(s *model.HostState) { s.Tunnels = nil }},
	{name: "delete all", was: tunnels(), want: func(s *model.HostState) { *s = model.HostState{} }},
	{name: "delete bridge with a port of somebody else", was: tunnels(), hand: func(h *host) {
		h.ovs.Ports["eth1"] = model.OVSPort{Name: "eth1", Bridge: "br0", Ofport: 5}
	}, want: func(s *model.HostState) { *s = model.HostState{} }},
	{name: "purge an overlay bridge with a port of somebody else", was: overlay(), hand: func(h *host) {
		h.ovs.Ports["eth1"] = model.OVSPort{Name: "eth1", Bridge: "br-greave", Ofport: 5}
	}, want: func(s *model.HostState) { *s = model.HostState{} }},
	{name: "name taken by a foreign port", hand: func(h *host) {
		h.ovs.Bridges["br0"] = model.OVSBridge{Name: "br0", Datapath: model.DatapathNetdev, ExternalIDs: map[string]string{model.MarkOwner: h.owner.Name, model.MarkObject: "bridge/br0"}}
		h.ovs.Ports["gre-7"] = model.OVSPort{Name: "gre-7", Bridge: "br0", Ofport: 3}
	}, want: func(s *model.HostState) { *s = tunnels() }},
	{name: "device taken by a foreign port", was: overlay(), hand: row("tap-web", func(p *model.OVSPort) { p.ExternalIDs = nil })},
	{name: "bridge name taken", hand: func(h *host) {
		h.ovs.Bridges["br0"] = model.OVSBridge{Name: "br0", Datapath: model.DatapathNetdev}
	}, want: func(s *model.HostState) { *s = tunnels() }},
	{name: "bridge name is another owner's", hand: func(h *host) {
		h.ovs.Bridges["br0"] = model.OVSBridge{Name: "br0", Datapath: model.DatapathNetdev, ExternalIDs: map[string]string{model.MarkOwner: "host-z"}}
	}, want: func(s *model.HostState) { *s = tunnels() }},
	{name: "adopt bridge and tunnel", hand: func(h *host) {
		h.ovs.Bridges["br0"] = model.OVSBridge{Name: "br0", Datapath: model.DatapathNetdev}
		h.ovs.Ports["gre-7"] = model.OVSPort{Name: "gre-7", Bridge: "br0", Type: "gre", Ofport: 3, Options: map[string]string{"remote_ip": "192.0.2.7", "local_ip": "192.0.2.1", "key": "7"}}
	}, want: func(s *model.HostState) {
		*s = tunnels()
		s.Bridges[0].Adopt, s.Tunnels[0].Adopt = true, true
	}},
	{name: "adopt bridge for a new tunnel", hand: func(h *host) {
		h.ovs.Bridges["br0"] = model.OVSBridge{Name: "br0", Datapath: model.DatapathNetdev}
	}, want: func(s *model.HostState) {
		*s = tunnels()
		s.Bridges[0].Adopt = true
	}},
	{name: "twin of somebody else", hand: func(h *host) {
		h.ovs.Ports["vx-x"] = model.OVSPort{Name: "vx-x", Bridge: "br-int", Type: "vxlan", Ofport: 3, Options: map[string]string{"remote_ip": "192.0.2.7", "local_ip": "192.0.2.1", "in_key": "7"}}
	}, want: func(s *model.HostState) {
		*s = tunnels()
		s.Tunnels[0].Encap = model.EncapVXLAN
	}},
	{name: "twin that the switch refuses itself", was: overlay(), hand: func(h *host) {
		h.ovs.Ports["gre-x"] = model.OVSPort{Name: "gre-x", Bridge: "br-int", Type: "gre", Options: map[string]string{"remote_ip": "flow", "local_ip": "flow", "key": "flow"}}
		h.reconfigure()
	}},
	{name: "twin of the shared tunnel port", hand: func(h *host) {
		h.ovs.Ports["gre-x"] = model.OVSPort{Name: "gre-x", Bridge: "br-int", Type: "gre", Ofport: 4, Options: map[string]string{"remote_ip": "flow", "local_ip": "flow", "key": "flow"}}
	}, want: func(s *model.HostState) { *s = overlay() }, real: true},
	{name: "shared tunnel port of another greaved", hand: func(h *host) {
		h.ovs.Ports["gs-094c93beb9"] = model.OVSPort{Name: "gs-094c93beb9", Bridge: "br-int", Type: "gre", Ofport: 4, Options: map[string]string{"remote_ip": "flow", "local_ip": "flow", "key": "flow"},
			ExternalIDs: map[string]string{model.MarkOwner: "other"}}
	}, want: func(s *model.HostState) { *s = overlay() }, real: true},
	{name: "more exact tunnel of somebody else", hand: func(h *host) {
		h.ovs.Ports["gre-x"] = model.OVSPort{Name: "gre-x", Bridge: "br-int", Type: "gre", Ofport: 4, Options: map[string]string{"remote_ip": "192.0.2.7", "local_ip": "192.0.2.1", "key": "0x7"}}
	}, want: func(s *model.HostState) { *s = tunnels(); s.Tunnels[0].Local = netip.Addr{} }},
	{name: "tunnel of somebody else that takes a peer's packets", was: overlay(), hand: func(h *host) {
		h.ovs.Ports["gre-x"] = model.OVSPort{Name: "gre-x", Bridge: "br-int", Type: "gre", Ofport: 4, Options: map[string]string{"remote_ip": "192.0.2.2", "key": "flow"}}
	}},
	{name: "tunnel of somebody else with another key", was: overlay(), hand: func(h *host) {
		h.ovs.Ports["gre-x"] = model.OVSPort{Name: "gre-x", Bridge: "br-int", Type: "gre", Ofport: 4, Options: map[string]string{"remote_ip": "192.0.2.2", "key": "101"}}
	}},
	{name: "create overlay", want: func(s *model.HostState) { *s = overlay() }},
	{name: "create internal and patch ports", was: overlay(), want: func(s *model.HostState) { *s = created() }},
	{name: "internal and patch ports altered by hand", was: created(), hand: func(h *host) {
		row("host0", func(p *model.OVSPort) { p.MTURequest, p.HWAddr = 9000, model.MAC{2, 9} })(h)
		row("down", func(p *model.OVSPort) { p.Options["peer"] = "nobody" })(h)
	}},
	{name: "far end of a patch deleted", was: created(), hand: func(h *host) { delete(h.ovs.Ports, "down") }},
	{name: "far end of a patch taken", was: overlay(), hand: func(h *host) {
		h.ovs.Ports["down"] = model.OVSPort{Name: "down", Bridge: "br0", Type: "internal", Ofport: 1}
	}, want: func(s *model.HostState) { *s = created() }},
	{name: "delete internal and patch ports", was: created(), want: func(s *model.HostState) { s.Ports = s.Ports[:2] }},
	{name: "join a foreign bridge", was: overlay(), want: func(s *model.HostState) { *s = joined() }},
	{name: "leave a foreign bridge", was: joined(), want: func(s *model.HostState) { *s = model.HostState{} }},
	{name: "foreign bridge is absent", was: overlay(), hand: func(h *host) { delete(h.ovs.Bridges, "br-int") }, want: func(s *model.HostState) { *s = joined() }},
	{name: "foreign bridge is gone", was: joined(), hand: func(h *host) {
		delete(h.ovs.Bridges, "br-int")
		maps.DeleteFunc(h.ovs.Ports, func(_ string, p model.OVSPort) bool { return p.Bridge == "br-int" })
	}},
	{name: "trunk of a foreign bridge altered by hand", was: joined(), hand: func(h *host) {
		row("down", func(p *model.OVSPort) { p.VLAN.Trunks = nil })(h)
	}},
	{name: "foreign bridge is greave's own", was: tunnels(), want: func(s *model.HostState) {
		*s = model.HostState{Bridges: []model.Bridge{{Name: "br0", Foreign: true}}}
	}},
	{name: "guest appears", was: overlay(), hand: guest},
	{name: "guest is bound", was: overlay(), hand: guestBound},
	{name: "guest has another MAC", was: overlay(), hand: func(h *host) {
		guestBound(h)
		row("vnet0", func(p *model.OVSPort) { p.ExternalIDs["attached-mac"] = "02:00:00:00:00:99" })(h)
	}},
	{name: "guest's port is withdrawn", was: overlay(), hand: guestBound, want: func(s *model.HostState) { s.Ports = s.Ports[:1] }},
	{name: "device is not there yet, its row stays", was: overlay(), want: func(s *model.HostState) { s.Ports[0].IfaceID, s.Ports[0].Device = "vm-2", "" }},
	{name: "switch refuses a port", was: tunnels(), hand: row("gre-7", func(p *model.OVSPort) { p.Ofport, p.Error = -1, "No such device" })},
	{name: "flows altered by hand", was: overlay(), hand: func(h *host) {
		i := h.images["br-greave"]
		i.Flows = slices.Clone(i.Flows)
		i.Flows[0].Actions = nil
		i.Flows[1].Priority = 999
		i.Groups = i.Groups[1:]
		h.images["br-greave"] = i
	}},
	{name: "foreign flow where ours should be", was: overlay(), hand: func(h *host) {
		i := h.images["br-greave"]
		i.Flows = slices.Clone(i.Flows)
		i.Flows[len(i.Flows)-1].Cookie = 42
		h.images["br-greave"] = i
	}},
	{name: "add a peer", was: overlay(), want: func(s *model.HostState) {
		s.Peers = append(s.Peers, model.Peer{Name: "host-c", Paths: []model.Path{{Remote: addr("192.0.2.3")}}, Segments: []string{"red"}, Encap: model.EncapVXLAN})
	}},
	{name: "remove an FDB entry", was: overlay(), want: func(s *model.HostState) { s.Fdb = nil }},
	{name: "another overlay bridge", was: overlay(), want: func(s *model.HostState) {
		s.Bridges = append(s.Bridges, model.Bridge{Name: "br-ov", Forwarding: model.ForwardOverlay})
	}},
}

func TestPlanGolden(t *testing.T) {
	var files []txtar.File
	for _, sc := range scenes {
		h := newHost()
		h.ovs.Bridges["br-int"] = model.OVSBridge{Name: "br-int", Datapath: model.DatapathNetdev}
		if _, err := h.pass(sc.was); err != nil {
			t.Fatalf("%s: %v", sc.name, err)
		}
		if sc.hand != nil {
			sc.hand(h)
		}
		want := sc.was
		if sc.want != nil {
			want.Bridges, want.Tunnels, want.Ports = slices.Clone(want.Bridges), slices.Clone(want.Tunnels), slices.Clone(want.Ports)
			sc.want(&want)
		}
		p, err := h.diff(want, !sc.real, nil)
		if err != nil {
			t.Fatalf("%s: %v", sc.name, err)
		}
		files = append(files, txtar.File{Name: sc.name, Data: []byte(render(p))})
	}
	path := filepath.Join("testdata", "plans.txtar")
	got := txtar.Format(&txtar.Archive{Files: files})
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs (-want +got), accept with -update:\n%s", path, gocmp.Diff(string(want), string(got)))
	}
}

func render(p plan.Plan) string {
	var b strings.Builder
	b.WriteString(cmp.Or(p.Text(), "(nothing to do)\n"))
	for _, ref := range slices.SortedFunc(maps.Keys(p.Notices), model.Ref.Compare) {
		n := p.Notices[ref]
		fmt.Fprintf(&b, "! %s: %s %s\n", ref, n.Reason, n.Message)
	}
	for _, ref := range slices.SortedFunc(maps.Keys(p.Warnings), model.Ref.Compare) {
		n := p.Warnings[ref]
		fmt.Fprintf(&b, "? %s: %s %s\n", ref, n.Reason, n.Message)
	}
	return b.String()
}

// TestFailedKeepsFlows: an object that a pass goes on without keeps its rows
// and flows, and so does what depends on it; its numbers are not given away.
func TestFailedKeepsFlows(t *testing.T) {
	refused := model.Notice{Reason: model.NoticeRefused, Message: "no"}
	for _, ref := range []model.Ref{
		{Kind: model.KindSegment, Name: "red"}, {Kind: model.KindPeer, Name: "host-b"},
		{Kind: model.KindPort, Name: "web"}, {Kind: model.KindPort, Name: "vm"},
		{Kind: model.KindFdb, Name: "red/02:00:00:00:00:02"}, {Kind: model.KindBridge, Name: "br-greave"},
	} {
		h := newHost()
		if _, err := h.pass(overlay()); err != nil {
			t.Fatal(err)
		}
		guestBound(h)
		rows, flows, marks := h.ours()
		numbers := h.b.Names()
		last, err := h.passWithout(overlay(), map[model.Ref]model.Notice{ref: refused})
		if err != nil {
			t.Fatal(err)
		}
		if r, f, m := h.ours(); r != rows || f != flows || m != marks || !last.Empty() {
			t.Errorf("%s fails: %d rows, %d flows, %d marks become %d, %d, %d; left over:\n%s", ref, rows, flows, marks, r, f, m, last.Text())
		}
		if last.Notices[ref].Reason != model.NoticeRefused {
			t.Errorf("%s: %+v", ref, last.Notices[ref])
		}
		if d := gocmp.Diff(numbers, h.b.Names()); d != "" {
			t.Errorf("%s fails and numbers change:\n%s", ref, d)
		}
		settled, err := h.pass(overlay())
		if err != nil || !settled.Empty() || len(settled.Notices) > 0 {
			t.Errorf("%s works again: %v, %v\n%s", ref, err, settled.Notices, settled.Text())
		}
	}
}

// TestFailedPortThatIsGone: its number may be another port's by now, so its
// flows do go.
func TestFailedPortThatIsGone(t *testing.T) {
	h := newHost()
	if _, err := h.pass(overlay()); err != nil {
		t.Fatal(err)
	}
	web := model.Ref{Kind: model.KindPort, Name: "web"}
	delete(h.ovs.Ports, "tap-web")
	if _, err := h.passWithout(overlay(), map[model.Ref]model.Notice{web: {Reason: model.NoticeRefused}}); err != nil {
		t.Fatal(err)
	}
	for _, f := range h.images["br-greave"].Flows {
		if plan.RefOfCookie(h.b, f.Cookie) == web {
			t.Errorf("left: %s", f)
		}
	}
}

// TestDependants: what needs an object that failed says so.
func TestDependants(t *testing.T) {
	bridge := model.Ref{Kind: model.KindBridge, Name: "br-greave"}
	h := newHost()
	p, err := h.diff(overlay(), true, map[model.Ref]model.Notice{bridge: {Reason: model.NoticeRefused}})
	if err != nil {
		t.Fatal(err)
	}
	if !p.Empty() {
		t.Errorf("plan without its bridge:\n%s", p.Text())
	}
	for _, ref := range []model.Ref{{Kind: model.KindSegment, Name: "red"}, {Kind: model.KindPeer, Name: "host-b"}, {Kind: model.KindPort, Name: "web"}, {Kind: model.KindFdb, Name: "red/02:00:00:00:00:02"}} {
		if n := p.Notices[ref]; n.Reason != model.NoticeBlockedOn || len(n.On) != 1 {
			t.Errorf("%s: %+v", ref, n)
		}
	}
}

// TestRenameTunnel: the switch refuses the new port while the old one is there,
// and takes it when that one goes, in the same pass.
func TestRenameTunnel(t *testing.T) {
	h := newHost()
	if _, err := h.pass(tunnels()); err != nil {
		t.Fatal(err)
	}
	s := tunnels()
	s.Tunnels[0].Name = "gre-seven"
	last, err := h.pass(s)
	if err != nil || !last.Empty() || len(last.Notices) > 0 {
		t.Fatalf("%v, %v\n%s", err, last.Notices, last.Text())
	}
	if _, old := h.ovs.Ports["gre-7"]; old || h.ovs.Ports["gre-seven"].Ofport <= 0 {
		t.Errorf("%+v", h.ovs.Ports)
	}
}

// TestOfportOtherThanAsked: flows are made for the number that OVS gave.
func TestOfportOtherThanAsked(t *testing.T) {
	h := newHost()
	h.odd = func() bool { return true }
	last, err := h.pass(overlay())
	if err != nil || !last.Empty() {
		t.Fatal(err, last.Text())
	}
	have := h.ovs.Ports["tap-web"]
	if have.Ofport == have.OfportAsked {
		t.Fatal("the simulator gave what was asked for")
	}
	if !slices.ContainsFunc(h.images["br-greave"].Flows, func(f openflow.Seen) bool {
		return f.Match.InPort == openflow.Port(have.Ofport) && plan.RefOfCookie(h.b, f.Cookie).Name == "web"
	}) {
		t.Errorf("no flow for port %d", have.Ofport)
	}
}
