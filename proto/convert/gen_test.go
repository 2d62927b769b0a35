package convert

import (
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

func durationOf(ms int64) *durationpb.Duration {
	return durationpb.New(time.Duration(ms) * time.Millisecond)
}

// messages are HostState and all that it is made of, in order of first use.
func messages() []protoreflect.MessageDescriptor {
	out := []protoreflect.MessageDescriptor{(&greavev1.HostState{}).ProtoReflect().Descriptor()}
	seen := map[protoreflect.FullName]bool{out[0].FullName(): true}
	for i := 0; i < len(out); i++ {
		for j := range out[i].Fields().Len() {
			if md := out[i].Fields().Get(j).Message(); md != nil && md.FullName() != durationName && !seen[md.FullName()] {
				seen[md.FullName()] = true
				out = append(out, md)
			}
		}
	}
	return out
}

// refusedMessages are reached only through fields that are refused.
var refusedMessages = func() map[string]bool {
	reached := map[string]bool{}
	var walk func(md protoreflect.MessageDescriptor)
	walk = func(md protoreflect.MessageDescriptor) {
		reached[string(md.FullName())] = true
		for _, name := range built(md.Fields()) {
			if sub := md.Fields().ByName(protoreflect.Name(name)).Message(); sub != nil {
				walk(sub)
			}
		}
	}
	walk(messages()[0])
	out := map[string]bool{}
	for _, md := range messages() {
		out[string(md.FullName())] = !reached[string(md.FullName())]
	}
	return out
}()

func fieldsSet(m protoreflect.Message, set map[string]bool) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		set[string(fd.FullName())] = true
		switch {
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				fieldsSet(v.List().Get(i).Message(), set)
			}
		case fd.Message() != nil:
			fieldsSet(v.Message(), set)
		}
		return true
	})
}

// fill sets fields at random, to anything that their type holds.
func fill(t *rapid.T, m protoreflect.Message, depth int) {
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		if !rapid.Bool().Draw(t, "set") {
			continue
		}
		switch {
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range rapid.IntRange(1, 3).Draw(t, "items") {
				if fd.Message() != nil {
					fill(t, list.AppendMutable().Message(), depth+1)
				} else {
					list.Append(anyScalar(t, fd))
				}
			}
		case fd.Message() != nil && fd.Message().FullName() == durationName:
			m.Set(fd, protoreflect.ValueOfMessage(durationpb.New(time.Duration(rapid.Int64().Draw(t, "duration"))).ProtoReflect()))
		case fd.Message() != nil:
			fill(t, m.Mutable(fd).Message(), depth+1)
		default:
			m.Set(fd, anyScalar(t, fd))
		}
	}
}

func anyScalar(t *rapid.T, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"", "true", "~", "null", "12", "0x1f", "1e5", "a: b", "- a", "#x", "a\nb", " a", "a ", "\t", "é", "\u2028", "\x00", "<<", "02:00:00:00:00:01", "*a", "&a", "!a", "'", "\"", "|", "2001-01-01", "%a", "@", "`", "{", "]", ",", "?", ":", "=", "...", "---"})).Draw(t, "text"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, "number"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.IntRange(1, fd.Enum().Values().Len()-1).Draw(t, "enum")))
	}
	panic(fmt.Sprintf("%s has a kind that Parse does not read", fd.FullName()))
}

// anyState is a state such as FromWire yields: of right form, not always valid.
func anyState() *rapid.Generator[model.HostState] {
	name := rapid.StringMatching(`[a-z][a-z0-9-]{0,6}`)
	maybe := rapid.OneOf(rapid.Just(""), name)
	addr := rapid.Custom(func(t *rapid.T) netip.Addr {
		if rapid.Bool().Draw(t, "v6") {
			return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", rapid.IntRange(1, 65535).Draw(t, "host")))
		}
		return netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "host")})
	})
	mac := rapid.Custom(func(t *rapid.T) model.MAC { return model.MAC{2, 0, 0, 0, 0, rapid.Byte().Draw(t, "mac")} })
	encap := rapid.SampledFrom([]model.Encap{0, model.EncapGRE, model.EncapVXLAN, model.EncapGeneve, model.EncapERSPAN})
	backend := rapid.SampledFrom([]model.Backend{0, model.BackendAuto, model.BackendOVS, model.BackendKernel})
	addrs, prefixes := rapid.SliceOfN(addr, 0, 2), rapid.SliceOfN(prefixOf(addr), 0, 2)
	vlan := rapid.SampledFrom([]uint32{0, 1, 4094})
	key := rapid.Custom(func(t *rapid.T) model.Opt[uint64] {
		if rapid.Bool().Draw(t, "absent") {
			return model.Opt[uint64]{}
		}
		return model.Some(uint64(rapid.Uint32().Draw(t, "key")))
	})
	inheritable := rapid.Custom(func(t *rapid.T) model.Inheritable {
		return rapid.SampledFrom([]model.Inheritable{{}, {Inherit: true}, {Fixed: model.Some(uint32(0))}, {Fixed: model.Some(uint32(300))}}).Draw(t, "value")
	})
	return rapid.Custom(func(t *rapid.T) model.HostState {
		some := func() int { return rapid.IntRange(0, 2).Draw(t, "n") }
		flag := func() bool { return rapid.Bool().Draw(t, "flag") }
		names := func() (out []string) {
			for range some() {
				out = append(out, name.Draw(t, "name"))
			}
			return out
		}
		s := model.HostState{Host: maybe.Draw(t, "host"), AllowEmpty: flag()}
		for range some() {
			s.Vteps = append(s.Vteps, anyVtep(t, model.Vtep{Name: name.Draw(t, "vtep"), VRF: maybe.Draw(t, "vrf"), Netns: maybe.Draw(t, "netns")}, addr))
			p := model.Peer{Name: name.Draw(t, "peer"), Encap: encap.Draw(t, "encap"), Segments: names()}
			for range some() {
				p.Paths = append(p.Paths, model.Path{Vtep: maybe.Draw(t, "vtep"), Remote: addr.Draw(t, "remote")})
			}
			s.Peers = append(s.Peers, p)
			s.Segments = append(s.Segments, model.Segment{Name: name.Draw(t, "segment"), Key: uint64(rapid.Uint32().Draw(t, "key")),
				Encap: encap.Draw(t, "encap"), Bridge: maybe.Draw(t, "bridge"), Members: names(), Unknown: model.Unknown(some()),
				Learning: flag(), MTU: uint32(some()) * 700, Suppression: model.Suppression{Enabled: flag(), Excluded: none(prefixes.Draw(t, "excluded"))}})
			s.Bridges = append(s.Bridges, model.Bridge{Name: name.Draw(t, "bridge"), Foreign: flag(), Backend: backend.Draw(t, "backend"),
				Datapath: model.Datapath(some()), Forwarding: model.Forwarding(some()), FailMode: model.FailMode(some()), Protocols: names(),
				HWAddr: rapid.SampledFrom([]model.MAC{{}, {2, 0, 0, 0, 0, 1}}).Draw(t, "hwaddr"), MTU: uint32(some()) * 1400, Adopt: flag(),
				Addresses:  none(prefixes.Draw(t, "addresses")),
				DatapathID: rapid.SampledFrom([]model.Opt[uint64]{{}, model.Some[uint64](1), model.Some[uint64](1<<64 - 1)}).Draw(t, "dpid")})
			port := model.Port{Name: name.Draw(t, "port"), Bridge: maybe.Draw(t, "bridge"), Adopt: flag(), Device: maybe.Draw(t, "device"),
				IPs: none(addrs.Draw(t, "ips")), VLAN: anyVLAN(t), MTU: uint32(some()) * 700,
				Security: model.PortSecurity{MAC: flag(), IP: flag(), ARP: flag(), DHCPGuard: flag(), RAGuard: flag()}}
			if port.Device == "" {
				port.IfaceID = maybe.Draw(t, "iface")
			}
			if port.Device == "" && port.IfaceID == "" {
				if port.Patch.Bridge = maybe.Draw(t, "far bridge"); port.Patch.Bridge != "" {
					port.Patch.Far = maybe.Draw(t, "far port")
				} else if port.Internal = flag(); port.Internal && flag() {
					port.HWAddr = mac.Draw(t, "internal mac")
				}
			}
			for _, g := range names() {
				port.Attachments = append(port.Attachments, model.Attachment{Segment: g, VLAN: vlan.Draw(t, "vlan")})
				port.MACs = append(port.MACs, mac.Draw(t, "mac"))
			}
			s.Ports = append(s.Ports, port)
			s.Fdb = append(s.Fdb, model.FdbEntry{Segment: name.Draw(t, "segment"), MAC: mac.Draw(t, "mac"), Peer: maybe.Draw(t, "peer"), IPs: none(addrs.Draw(t, "ips"))})
			tun := model.Tunnel{Name: name.Draw(t, "tunnel"), Encap: encap.Draw(t, "encap"), Backend: backend.Draw(t, "backend"),
				Bridge: maybe.Draw(t, "bridge"), VLAN: anyVLAN(t), Vtep: maybe.Draw(t, "vtep"), Peer: maybe.Draw(t, "peer"),
				KeyIn: key.Draw(t, "in"), KeyOut: key.Draw(t, "out"), Checksum: flag(), Sequence: flag(),
				TTL: inheritable.Draw(t, "ttl"), TOS: inheritable.Draw(t, "tos"), DstPort: uint32(some()) * 4000, Adopt: flag(),
				DF: rapid.SampledFrom([]model.Opt[bool]{{}, model.Some(false), model.Some(true)}).Draw(t, "df")}
			if tun.Vtep == "" && flag() {
				tun.Local = addr.Draw(t, "local")
			}
			if tun.Peer == "" && flag() {
				tun.Remote = addr.Draw(t, "remote")
			}
			tun.Segment, tun.Device, tun.VRF, tun.Netns = maybe.Draw(t, "segment"), maybe.Draw(t, "dev"), maybe.Draw(t, "vrf"), maybe.Draw(t, "netns")
			kernelTunnel(t, &tun, addr)
			s.Tunnels = append(s.Tunnels, tun)
			s.Samplers = append(s.Samplers, anySampler(t, name.Draw(t, "sampler"), addr))
			s.Mirrors = append(s.Mirrors, anyMirror(t, name.Draw(t, "mirror"), addr))
		}
		return s
	})
}

// none is nil for an empty list, as FromWire has it.
func none[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func anyVLAN(t *rapid.T) model.VLAN {
	number := rapid.SampledFrom([]uint32{0, 1, 30, 4094, 5000})
	return model.VLAN{Mode: model.VLANMode(rapid.IntRange(0, 5).Draw(t, "vlan mode")), Tag: number.Draw(t, "tag"),
		Trunks: none(rapid.SliceOfN(number, 0, 2).Draw(t, "trunks"))}
}

func prefixOf(addr *rapid.Generator[netip.Addr]) *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := addr.Draw(t, "prefix")
		return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
	})
}

func anySampler(t *rapid.T, name string, addr *rapid.Generator[netip.Addr]) model.Sampler {
	number := rapid.SampledFrom([]uint32{0, 1, 5000})
	s := model.Sampler{Name: name, Bridge: "br0", Format: model.SampleFormat(rapid.IntRange(0, 3).Draw(t, "format"))}
	for range rapid.IntRange(0, 2).Draw(t, "targets") {
		s.Targets = append(s.Targets, netip.AddrPortFrom(addr.Draw(t, "target"), uint16(number.Draw(t, "port"))))
	}
	if s.Format == model.FormatSFlow || s.Format == model.FormatIPFIX {
		s.Sampling = model.Some(number.Draw(t, "sampling"))
	}
	switch s.Format {
	case model.FormatSFlow:
		s.Header, s.Polling, s.Agent = number.Draw(t, "header"), number.Draw(t, "polling"), "eth1"
	case model.FormatIPFIX:
		s.Domain, s.CacheFlows, s.NoTunnel = model.Some(number.Draw(t, "domain")), model.Some(number.Draw(t, "flows")), rapid.Bool().Draw(t, "tunnel")
	case model.FormatNetFlow:
		s.ActiveTimeout = number.Draw(t, "timeout")
	}
	return s
}

func anyMirror(t *rapid.T, name string, addr *rapid.Generator[netip.Addr]) model.Mirror {
	number := rapid.SampledFrom([]uint32{0, 1, 5000})
	m := model.Mirror{Name: name, Bridge: "br0", All: rapid.Bool().Draw(t, "all"), Snaplen: number.Draw(t, "snaplen"),
		VLANs: none(rapid.SliceOfN(number, 0, 2).Draw(t, "vlans"))}
	for range rapid.IntRange(0, 2).Draw(t, "ports") {
		p := model.MirrorPort{Port: "a", Direction: model.Direction(rapid.IntRange(0, 3).Draw(t, "direction"))}
		if rapid.Bool().Draw(t, "tunnel") {
			p.Port, p.Tunnel = "", "b"
		}
		m.Ports = append(m.Ports, p)
	}
	switch rapid.IntRange(0, 3).Draw(t, "output") {
	case 1:
		m.Device = "eth7"
	case 2:
		m.VLAN = 99
	case 3:
		m.Collector = model.Some(model.Tunnel{Encap: model.EncapGRE, Remote: addr.Draw(t, "collector"), DstPort: number.Draw(t, "port"),
			KeyIn: model.Some[uint64](1), TTL: model.Inheritable{Inherit: true}, ERSPAN: model.ERSPAN{Index: number.Draw(t, "index")}})
	}
	return m
}

func anyVtep(t *rapid.T, v model.Vtep, addr *rapid.Generator[netip.Addr]) model.Vtep {
	switch rapid.IntRange(0, 3).Draw(t, "endpoint") {
	case 0:
		v.Device = "eth1"
	case 1:
		v.Routed = true
	default:
		v.Addr = addr.Draw(t, "address")
	}
	return v
}

// kernelTunnel draws what a tunnel is at layer 3 and in the kernel.
func kernelTunnel(t *rapid.T, tun *model.Tunnel, addr *rapid.Generator[netip.Addr]) {
	flag := func() bool { return rapid.Bool().Draw(t, "flag") }
	number := func() uint32 { return rapid.Uint32().Draw(t, "number") }
	tun.Layer = model.Layer(rapid.IntRange(0, 2).Draw(t, "layer"))
	tun.Far = model.Far(rapid.IntRange(0, 2).Draw(t, "far"))
	if tun.Far != model.FarFixed {
		tun.Peer, tun.Remote = "", netip.Addr{}
	}
	if flag() {
		tun.KeyFlow, tun.KeyIn, tun.KeyOut = true, model.Opt[uint64]{}, model.Opt[uint64]{}
	}
	tun.SequenceIn, tun.IgnoreDF, tun.GroupPolicy, tun.Down = flag(), flag(), flag(), flag()
	if flag() {
		tun.ChecksumIn = model.Some(flag())
	}
	tun.FwMark = number()
	if flag() {
		tun.EncapLimit, tun.Multicast = model.Some(number()), model.Some(flag())
	}
	if flag() {
		tun.UDP = model.UDPEncap{Type: model.UDPEncapType(rapid.IntRange(1, 2).Draw(t, "type")), SrcPort: number(), DstPort: number(), Checksum: flag()}
	}
	tun.ERSPAN = model.ERSPAN{Version: uint32(rapid.IntRange(0, 3).Draw(t, "version")), Index: number(), Egress: flag(), HardwareID: number()}
	tun.MTU = number()
	tun.Addresses = none(rapid.SliceOfN(prefixOf(addr), 0, 2).Draw(t, "addresses"))
	for range rapid.IntRange(0, 2).Draw(t, "routes") {
		r := model.Route{Destination: prefixOf(addr).Draw(t, "destination"), Table: number()}
		if flag() {
			r.Via, r.Source, r.Metric = addr.Draw(t, "via"), addr.Draw(t, "source"), model.Some(number())
		}
		tun.Routes = append(tun.Routes, r)
	}
	for range rapid.IntRange(0, 2).Draw(t, "neighbours") {
		tun.Neighbours = append(tun.Neighbours, model.Neighbour{Overlay: addr.Draw(t, "overlay"), Underlay: addr.Draw(t, "underlay")})
	}
}
