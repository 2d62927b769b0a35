// Package ofctltest generates random flows and groups of every form that
// greave writes, for property tests of the text form and of what a switch makes
// of it. It must be imported by tests only.
package ofctltest

import (
	"net/netip"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/openflow"
)

// Flow generates a flow that passes its Check.
func Flow() *rapid.Generator[openflow.Flow] {
	return rapid.Custom(func(t *rapid.T) openflow.Flow {
		f := openflow.Flow{Cookie: openflow.Cookie(rapid.Uint64().Draw(t, "cookie"))}
		f.Table = table(t)
		f.Priority = rapid.Uint16().Filter(func(p uint16) bool { return p != 32768 }).Draw(t, "priority")
		f.Match = match(t)
		m := f.Match
		for range rapid.IntRange(0, 5).Draw(t, "actions") {
			a := action(t, m)
			f.Actions, m.VlanTCI = append(f.Actions, a), afterwards(m.VlanTCI, a)
		}
		return f
	})
}

// Group generates a group that passes its Check and names no other group.
func Group() *rapid.Generator[openflow.Group] {
	return rapid.Custom(func(t *rapid.T) openflow.Group {
		g := openflow.Group{
			ID:   openflow.GroupID(rapid.Uint32Range(0, 0xffffff00).Draw(t, "id")),
			Type: rapid.SampledFrom([]openflow.GroupType{openflow.GroupAll, openflow.GroupIndirect, openflow.GroupSelect, openflow.GroupFastFailover}).Draw(t, "type"),
		}
		g.ByFlow = g.Type == openflow.GroupSelect && rapid.Bool().Draw(t, "by flow")
		n := 1
		if g.Type != openflow.GroupIndirect {
			n = rapid.IntRange(0, 4).Draw(t, "buckets")
		}
		for i := range n {
			b := openflow.Bucket{ID: uint32(i), Then: openflow.Resubmit{Table: table(t)}}
			if g.Type == openflow.GroupSelect {
				b.Weight = rapid.Uint16().Draw(t, "weight")
			}
			if g.Type == openflow.GroupFastFailover || g.Type == openflow.GroupSelect && rapid.Bool().Draw(t, "watched") {
				b.Watch = port(t)
			}
			for range rapid.IntRange(0, 3).Draw(t, "sets") {
				b.Sets = append(b.Sets, set(t, openflow.Match{}))
			}
			g.Buckets = append(g.Buckets, b)
		}
		return g
	})
}

func table(t *rapid.T) openflow.Table {
	return openflow.Table(rapid.IntRange(0, 253).Draw(t, "table"))
}

func port(t *rapid.T) openflow.Port {
	return openflow.Port(rapid.Uint32Range(1, 0xfeff).Draw(t, "port"))
}

func address(t *rapid.T, v4 bool) netip.Addr {
	if v4 {
		return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "ipv4")))
	}
	// Many zeros, for all the ways to shorten them.
	a := [16]byte{0x20, 0x01}
	for i := 2; i < 16; i += 2 {
		a[i+1] = rapid.SampledFrom([]byte{0, 0, 1, 0xab}).Draw(t, "ipv6")
	}
	return netip.AddrFrom16(a)
}

func coin(t *rapid.T, label string) bool { return rapid.Bool().Draw(t, label) }

func match(t *rapid.T) openflow.Match {
	var m openflow.Match
	if coin(t, "has in_port") {
		m.InPort = rapid.SampledFrom([]openflow.Port{port(t), openflow.PortLocal}).Draw(t, "in_port")
	}
	for i := range m.Regs {
		if coin(t, "has reg") {
			mask := rapid.SampledFrom([]uint32{^uint32(0), 1, 0xff00, rapid.Uint32().Draw(t, "mask")}).Draw(t, "reg mask")
			m.Regs[i] = openflow.Masked32{Value: rapid.Uint32().Draw(t, "reg") & mask, Mask: mask}
		}
	}
	if coin(t, "has tun_id") {
		mask := rapid.SampledFrom([]uint64{^uint64(0), 0xffffff, rapid.Uint64().Draw(t, "mask")}).Draw(t, "tun_id mask")
		m.TunID = openflow.Masked64{Value: rapid.Uint64().Draw(t, "tun_id") & mask, Mask: mask}
	}
	if coin(t, "has tun_src") {
		m.TunSrc = address(t, coin(t, "v4"))
	}
	if coin(t, "has tun_dst") {
		m.TunDst = address(t, coin(t, "v4"))
	}
	m.EthSrc, m.EthDst = mac(t), mac(t)
	m.EthType = rapid.SampledFrom([]uint16{0, 0x800, 0x806, 0x86dd, 0x8035, 0x8847, 0x8848, 0x88cc, 0x6558, 0x5ff}).Draw(t, "dl_type")
	m.VlanTCI = vlan(t)
	m.Upper = upper(t, m.EthType)
	return m
}

func mac(t *rapid.T) openflow.MaskedMAC {
	masks := []openflow.MAC{{}, {}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1}, {0xff, 0xff, 0xff}, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff}}
	m := openflow.MaskedMAC{Mask: rapid.SampledFrom(masks).Draw(t, "mac mask")}
	for i := range m.Value {
		m.Value[i] = rapid.Byte().Draw(t, "mac") & m.Mask[i]
	}
	return m
}

func vlan(t *rapid.T) openflow.Masked16 {
	m := openflow.Masked16{Mask: rapid.SampledFrom([]uint16{0, 0, 0x1fff, 0x1000, 0xf000, 0xffff, 0x0fff, rapid.Uint16Range(0, 0x1fff).Draw(t, "mask")}).Draw(t, "vlan mask")}
	m.Value = rapid.Uint16().Draw(t, "vlan") & m.Mask
	if m.Mask > 0x1fff {
		m.Value |= 0x1000
	}
	return m
}

func set(t *rapid.T, m openflow.Match) openflow.SetField {
	f := rapid.SampledFrom(fieldsOf(m)).Draw(t, "field")
	switch {
	case f <= openflow.FieldReg6:
		return openflow.SetField{Field: f, Value: uint64(rapid.Uint32().Draw(t, "value"))}
	case f == openflow.FieldVLANVID:
		return openflow.SetField{Field: f, Value: openflow.VLANPresent | rapid.Uint64().Draw(t, "value")&fieldMask[f]}
	case f > openflow.FieldTunIPv6Dst:
		return openflow.SetField{Field: f, Value: rapid.Uint64().Draw(t, "value") & fieldMask[f]}
	case f == openflow.FieldTunID:
		return openflow.SetField{Field: f, Value: rapid.Uint64().Draw(t, "value")}
	}
	return openflow.SetField{Field: f, Addr: address(t, f == openflow.FieldTunSrc || f == openflow.FieldTunDst)}
}

// afterwards is what is known of the outer tag once an action is done.
func afterwards(tci openflow.Masked16, a openflow.Action) openflow.Masked16 {
	switch a.(type) {
	case openflow.PushVLAN:
		return openflow.Masked16{Value: openflow.VLANPresent, Mask: openflow.VLANPresent}
	case openflow.PopVLAN:
		return openflow.Masked16{}
	}
	return tci
}

func action(t *rapid.T, m openflow.Match) openflow.Action {
	switch rapid.IntRange(0, 9).Draw(t, "action") {
	case 0:
		return set(t, m)
	case 1:
		return openflow.Resubmit{Table: table(t)}
	case 2:
		return openflow.Normal{}
	case 3:
		return openflow.Output{Port: port(t)}
	case 4:
		return rapid.SampledFrom(movesOf(m)).Draw(t, "move")
	case 5:
		id := openflow.ObjectID(rapid.Uint64Range(0, uint64(openflow.ObjectIDMax)).Draw(t, "behind"))
		return openflow.Learn{Cookie: openflow.MakeCookie(rapid.Uint16().Draw(t, "owner"), openflow.KindLearned, id),
			Load: rapid.SampledFrom([]openflow.Move{openflow.LoadPeer, openflow.LoadPort}).Draw(t, "load")}
	case 6:
		switch {
		case m.VlanTCI.Mask&m.VlanTCI.Value&openflow.VLANPresent != 0:
			return openflow.PopVLAN{}
		case m.VlanTCI.Mask == 0: // a switch takes no third tag
			return openflow.PushVLAN{}
		}
	case 7, 8:
		cookie := openflow.MakeCookie(rapid.Uint16().Draw(t, "owner"), openflow.KindLearned, openflow.ObjectID(rapid.Uint64Range(0, uint64(openflow.ObjectIDMax)).Draw(t, "moves")))
		if rapid.Bool().Draw(t, "moved") {
			return openflow.LearnMoved{Cookie: cookie}
		}
		return openflow.LearnActive{Cookie: cookie, Port: openflow.Port(rapid.Uint32Range(1, 0xfeff).Draw(t, "staged"))}
	}
	return openflow.Output{Port: rapid.SampledFrom([]openflow.Port{openflow.PortLocal, openflow.PortInPort}).Draw(t, "output")}
}
