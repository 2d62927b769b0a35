package mtu

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestGolden holds figures that were not computed by this package: from the
// RFCs' own sums, from devices that Linux 6.1 made, and by hand.
func TestGolden(t *testing.T) {
	gre := Spec{Encap: GRE, Outer: IPv4}
	tests := []struct {
		name            string
		spec            Spec
		underlay, inner int
	}{
		{"gre", gre, 1500, 1476},
		{"gre key", Spec{Encap: GRE, Outer: IPv4, Key: true}, 1500, 1472},
		{"gre key and checksum", Spec{Encap: GRE, Outer: IPv4, Key: true, Checksum: true}, 1500, 1468},
		{"gre key, checksum, sequence", Spec{Encap: GRE, Outer: IPv4, Key: true, Checksum: true, Sequence: true}, 1500, 1464},
		{"gretap", Spec{Encap: GRETAP, Outer: IPv4}, 1500, 1462},
		{"gretap key", Spec{Encap: GRETAP, Outer: IPv4, Key: true}, 1500, 1458},
		{"gretap key, tagged", Spec{Encap: GRETAP, Outer: IPv4, Key: true, InnerVLANs: 1}, 1500, 1454},
		{"gretap key, QinQ", Spec{Encap: GRETAP, Outer: IPv4, Key: true, InnerVLANs: 2}, 1500, 1450},
		{"gre, jumbo", gre, 9000, 8976},
		{"gretap, jumbo", Spec{Encap: GRETAP, Outer: IPv4}, 9000, 8962},
		{"gre, the line pays for a tag", Spec{Encap: GRE, Outer: IPv4, OuterVLANs: 1}, 1500, 1472},
		{"ip6gre, encaplimit none", Spec{Encap: GRE, Outer: IPv6}, 1500, 1456},
		{"ip6gre", Spec{Encap: GRE, Outer: IPv6, EncapLimit: true}, 1500, 1448},
		{"ip6gre key", Spec{Encap: GRE, Outer: IPv6, Key: true, EncapLimit: true}, 1500, 1444},
		{"ip6gre key, encaplimit none", Spec{Encap: GRE, Outer: IPv6, Key: true}, 1500, 1452},
		{"ip6gretap key", Spec{Encap: GRETAP, Outer: IPv6, Key: true, EncapLimit: true}, 1500, 1430},
		{"ip6gretap key, encaplimit none", Spec{Encap: GRETAP, Outer: IPv6, Key: true}, 1500, 1438},
		{"vxlan", Spec{Encap: VXLAN, Outer: IPv4}, 1500, 1450},
		{"vxlan over IPv6", Spec{Encap: VXLAN, Outer: IPv6}, 1500, 1430},
		{"vxlan-gbp", Spec{Encap: VXLANGBP, Outer: IPv4}, 1500, 1450},
		{"vxlan-gpe, frames", Spec{Encap: VXLANGPE, Outer: IPv4, Layer: L2}, 1500, 1450},
		{"vxlan-gpe, packets", Spec{Encap: VXLANGPE, Outer: IPv4, Layer: L3}, 1500, 1464},
		{"geneve", Spec{Encap: Geneve, Outer: IPv4}, 1500, 1450},
		{"geneve as OVN sends it", Spec{Encap: Geneve, Outer: IPv4, GeneveOptions: 8}, 1500, 1442},
		{"geneve, all options", Spec{Encap: Geneve, Outer: IPv4, GeneveOptions: 252}, 1500, 1198},
		{"geneve, packets", Spec{Encap: Geneve, Outer: IPv6, Layer: L3}, 1500, 1444},
		{"erspan v1", Spec{Encap: ERSPANv1, Outer: IPv4}, 1500, 1450},
		{"erspan v2", Spec{Encap: ERSPANv2, Outer: IPv4}, 1500, 1446},
		{"ipip", Spec{Encap: IPIP, Outer: IPv4}, 1500, 1480},
		{"ip6tnl", Spec{Encap: IPIP, Outer: IPv6, EncapLimit: true}, 1500, 1452},
		{"sit", Spec{Encap: SIT, Outer: IPv4}, 1500, 1480},
		{"gre in fou", Spec{Encap: GRE, Outer: IPv4, UDPEncap: FOU}, 1500, 1468},
		{"gre in gue", Spec{Encap: GRE, Outer: IPv4, UDPEncap: GUE}, 1500, 1464},
		{"ipip in gue, remote checksum", Spec{Encap: IPIP, Outer: IPv4, UDPEncap: GUE, GUEOptions: 8}, 1500, 1460},
		// 1500-20-8-8-16 = 1448, a multiple of 4; less 2 of trailer and 4 of GRE.
		{"gre, esp transport", Spec{Encap: GRE, Outer: IPv4, ESP: ESP{Suite: AESGCM}}, 1500, 1442},
		// 1500-20-8-8-8-16 = 1440; less 2, 20 and 4.
		{"gre, esp tunnel, NAT", Spec{Encap: GRE, Outer: IPv4, ESP: ESP{Suite: AESGCM, Tunnel: true, Outer: IPv4, NATT: true}}, 1500, 1414},
		// 1500-20-8-16-12 = 1444, down to 1440; less 2, 20 and 4.
		{"gre, esp tunnel, cbc", Spec{Encap: GRE, Outer: IPv4, ESP: ESP{Suite: AESCBCSHA1, Tunnel: true, Outer: IPv4}}, 1500, 1414},
		// The option stays before ESP: 1500-40-8-8-16-12 = 1416, down to 1408; less 2 and 4.
		{"ip6gre, esp transport, cbc", Spec{Encap: GRE, Outer: IPv6, EncapLimit: true, ESP: ESP{Suite: AESCBCSHA1}}, 1500, 1402},
		{"loopback: the packet, not the MTU, ends first", gre, 65536, 65511},
		{"no jumbograms", Spec{Encap: IPIP, Outer: IPv6}, 1 << 20, 65535},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := tt.spec.InnerMTU(tt.underlay); err != nil || got != tt.inner {
				t.Fatalf("InnerMTU(%d) = %d, %v; want %d", tt.underlay, got, err, tt.inner)
			}
			if !fits(tt.spec, tt.inner, tt.underlay) || fits(tt.spec, tt.inner+1, tt.underlay) {
				t.Errorf("real headers disagree that %d is the largest", tt.inner)
			}
		})
	}
}

// fits says whether real headers around an inner packet stay within the
// payload of an Ethernet frame that is the underlay MTU.
func fits(s Spec, inner, underlay int) bool {
	frame, ok := encode(s, inner)
	return ok && len(frame)-14 <= underlay
}

// every returns each valid Spec of a product that touches every field.
func every() []Spec {
	esps := []ESP{{}}
	for suite := AESGCM; suite.known(); suite++ {
		esps = append(esps, ESP{Suite: suite}, ESP{Suite: suite, Tunnel: true, Outer: IPv4}, ESP{Suite: suite, Tunnel: true, Outer: IPv6, NATT: true})
	}
	esps = append(esps, ESP{Suite: AESGCM, NATT: true}, ESP{Suite: AESCBCSHA256, NATT: true})
	var all []Spec
	for encap := GRE; encap.known(); encap++ {
		for bits := range 1 << 9 {
			bit := func(n int) bool { return bits>>n&1 != 0 }
			s := Spec{Encap: encap, Outer: IPv4, Key: bit(0), Checksum: bit(1), Sequence: bit(2), EncapLimit: bit(3)}
			s.Layer = []Layer{0, L2, L3, L3}[bits>>4&3]
			if bit(6) {
				s.Outer = IPv6
			}
			if bit(7) {
				s.UDPEncap = FOU
			}
			if bit(8) {
				s.OuterVLANs = 1
			}
			if s.Validate() == nil {
				all = append(all, s)
			}
		}
	}
	all = slices.Concat(all, vary(all, func(s *Spec) { s.UDPEncap = GUE }),
		vary(all, func(s *Spec) { s.UDPEncap, s.GUEOptions, s.OuterVLANs = GUE, 8, 2 }),
		vary(all, func(s *Spec) { s.GeneveOptions = 8 }), vary(all, func(s *Spec) { s.GeneveOptions = 252 }))
	all = slices.Concat(all, vary(all, func(s *Spec) { s.InnerVLANs = 1 }), vary(all, func(s *Spec) { s.InnerVLANs = 2 }))
	var sealed []Spec
	for i, s := range all {
		for j, esp := range esps {
			if s.ESP = esp; j == 0 || (i+j)%5 == 0 { // every suite, on a fifth of the rest
				sealed = append(sealed, s)
			}
		}
	}
	return sealed
}

func vary(specs []Spec, change func(*Spec)) (valid []Spec) {
	for _, s := range specs {
		before := s
		if change(&s); s != before && s.Validate() == nil {
			valid = append(valid, s)
		}
	}
	return valid
}

// TestEveryCombination proves InnerMTU by bytes: a packet of that size fits,
// one byte more does not, and a receiver finds the inner packet where it is.
func TestEveryCombination(t *testing.T) {
	seen := map[Spec]bool{}
	perEncap := map[Encap]int{}
	for i, s := range every() {
		if seen[s] {
			continue
		}
		seen[s] = true
		perEncap[s.Encap]++
		underlay := []int{1500, 9000, 1400, 1501, 1502, 1503, 1988}[i%7]
		inner, err := s.InnerMTU(underlay)
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		if !fits(s, inner, underlay) || fits(s, inner+1, underlay) {
			t.Fatalf("%+v: %d is not the largest packet in %d", s, inner, underlay)
		}
		frame, _ := encode(s, inner)
		if got, err := dissect(s, frame); err != nil || got != inner {
			t.Fatalf("%+v: dissect = %d, %v; want %d", s, got, err, inner)
		}
		size := len(frame) - 14
		if got := inner + s.Overhead(inner); got != size {
			t.Fatalf("%+v: %d + overhead = %d, %d bytes on the wire", s, inner, got, size)
		}
		if got, err := s.UnderlayMTU(inner); err != nil || got != size {
			t.Fatalf("%+v: UnderlayMTU(%d) = %d, %v; %d bytes on the wire", s, inner, got, err, size)
		}
	}
	if len(seen) < 200 || len(perEncap) != len(encapRules)-1 {
		t.Fatalf("%d combinations of %d encapsulations", len(seen), len(perEncap))
	}
	t.Logf("%d combinations: %v", len(seen), perEncap)
}

func TestBreakdown(t *testing.T) {
	tests := []struct {
		spec Spec
		want string
	}{
		{Spec{Encap: GRETAP, Outer: IPv4, Key: true, InnerVLANs: 1},
			"outer IPv4 20, GRE 4, GRE key 4, inner Ethernet 14, inner VLAN tags 4"},
		{Spec{Encap: GRE, Outer: IPv6, EncapLimit: true, Checksum: true, Key: true, Sequence: true, UDPEncap: GUE, GUEOptions: 8, OuterVLANs: 2},
			"underlay VLAN tags 8, outer IPv6 40, encapsulation limit 8, UDP 8, GUE 4, GUE options 8, GRE 4, GRE checksum 4, GRE key 4, GRE sequence 4"},
		{Spec{Encap: Geneve, Outer: IPv4, GeneveOptions: 12}, "outer IPv4 20, UDP 8, Geneve 8, Geneve options 12, inner Ethernet 14"},
		{Spec{Encap: ERSPANv2, Outer: IPv4}, "outer IPv4 20, GRE 4, GRE sequence 4, ERSPAN type III 12, inner Ethernet 14"},
		// 100 + 50 + 40 + 8 sealed, and the trailer of 2, make 200: 8 short of a block.
		{Spec{Encap: VXLAN, Outer: IPv6, ESP: ESP{Suite: AESCBCSHA256, Tunnel: true, Outer: IPv4, NATT: true}, InnerVLANs: 2},
			"ESP outer IPv4 20, ESP UDP 8, ESP 8, ESP IV 16, outer IPv6 40, UDP 8, VXLAN 8, inner Ethernet 14, inner VLAN tags 8, ESP padding 12, ESP trailer 2, ESP ICV 16"},
	}
	for _, tt := range tests {
		var parts []string
		for _, p := range tt.spec.Breakdown(100) {
			parts = append(parts, fmt.Sprint(p.Name, " ", p.Bytes))
		}
		if got := strings.Join(parts, ", "); got != tt.want {
			t.Errorf("%+v\n got %s\nwant %s", tt.spec, got, tt.want)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	tests := []struct {
		spec   Spec
		fields string
	}{
		{Spec{}, "encap"},
		{Spec{Encap: 200, Outer: 9}, "encap"},
		{Spec{Encap: GRE}, "outer"},
		{Spec{Encap: GRE, Outer: 3}, "outer"},
		{Spec{Encap: SIT, Outer: IPv6}, "outer"},
		{Spec{Encap: GRE, Outer: IPv4, Layer: L2}, "layer"},
		{Spec{Encap: VXLAN, Outer: IPv4, Layer: L3}, "layer"},
		{Spec{Encap: VXLANGPE, Outer: IPv4}, "layer"},
		{Spec{Encap: Geneve, Outer: IPv4, Layer: 7}, "layer"},
		{Spec{Encap: VXLAN, Outer: IPv4, Key: true, Checksum: true, Sequence: true}, "key checksum sequence"},
		{Spec{Encap: ERSPANv1, Outer: IPv4, Sequence: true}, "sequence"},
		{Spec{Encap: Geneve, Outer: IPv4, GeneveOptions: 6}, "geneve_options"},
		{Spec{Encap: Geneve, Outer: IPv4, GeneveOptions: 256}, "geneve_options"},
		{Spec{Encap: Geneve, Outer: IPv4, GeneveOptions: -4}, "geneve_options"},
		{Spec{Encap: VXLAN, Outer: IPv4, GeneveOptions: 4}, "geneve_options"},
		{Spec{Encap: GRE, Outer: IPv4, EncapLimit: true}, "encap_limit"},
		{Spec{Encap: VXLAN, Outer: IPv6, EncapLimit: true}, "encap_limit"},
		{Spec{Encap: GRE, Outer: IPv4, UDPEncap: 3}, "udp_encap"},
		{Spec{Encap: Geneve, Outer: IPv4, UDPEncap: FOU}, "udp_encap"},
		{Spec{Encap: GRE, Outer: IPv4, UDPEncap: FOU, GUEOptions: 4}, "gue_options"},
		{Spec{Encap: GRE, Outer: IPv4, UDPEncap: GUE, GUEOptions: 128}, "gue_options"},
		{Spec{Encap: GRE, Outer: IPv4, InnerVLANs: 1}, "inner_vlans"},
		{Spec{Encap: GRETAP, Outer: IPv4, InnerVLANs: 9, OuterVLANs: -1}, "inner_vlans outer_vlans"},
		{Spec{Encap: GRE, Outer: IPv4, ESP: ESP{Tunnel: true, Outer: IPv4}}, "esp.suite"},
		{Spec{Encap: GRE, Outer: IPv4, ESP: ESP{Suite: 99}}, "esp.suite"},
		{Spec{Encap: GRE, Outer: IPv4, ESP: ESP{Suite: AESGCM, Tunnel: true}}, "esp.outer"},
		{Spec{Encap: GRE, Outer: IPv4, ESP: ESP{Suite: AESGCM, Outer: IPv4}}, "esp.outer"},
	}
	for _, tt := range tests {
		err := tt.spec.Validate()
		if got := strings.Join(fields(err), " "); got != tt.fields {
			t.Errorf("%+v: refused %q (%v), want %q", tt.spec, got, err, tt.fields)
		}
		if _, inner := tt.spec.InnerMTU(1500); inner == nil {
			t.Errorf("%+v: InnerMTU took it", tt.spec)
		}
		if _, under := tt.spec.UnderlayMTU(1500); under == nil {
			t.Errorf("%+v: UnderlayMTU took it", tt.spec)
		}
	}
	got := Spec{Encap: Geneve, Outer: IPv4, GeneveOptions: 6}.Validate().Error()
	if want := "check geneve_options 6: not whole words in the header; give a multiple of 4 from 0 to 252"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// fields lists the field of every *FieldError in err.
func fields(err error) (all []string) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, fields(e)...)
		}
		return all
	}
	if fe := (*FieldError)(nil); errors.As(err, &fe) && fe.Value != "" && fe.Reason != "" && fe.Remedy != "" {
		return []string{fe.Field}
	}
	return nil
}

func TestMTURange(t *testing.T) {
	type ask func(Spec) (int, error)
	inner := func(n int) ask { return func(s Spec) (int, error) { return s.InnerMTU(n) } }
	underlay := func(n int) ask { return func(s Spec) (int, error) { return s.UnderlayMTU(n) } }
	gre, gre6 := Spec{Encap: GRE, Outer: IPv4}, Spec{Encap: GRE, Outer: IPv6}
	tests := []struct {
		name string
		spec Spec
		ask  ask
		want int    // 0: refused
		text string // in the refusal
	}{
		{"below any IPv4 link", gre, inner(67), 0, "underlay_mtu 67: too small; give at least 68"},
		{"no room left", gre, inner(91), 0, "underlay_mtu 91: too small; give at least 92"},
		{"least room", gre, inner(92), 68, ""},
		{"below any IPv6 link", gre6, inner(1279), 0, "give at least 1280"},
		{"a tag below any IPv6 link", Spec{Encap: GRE, Outer: IPv6, OuterVLANs: 1}, inner(1283), 0, "give at least 1284"},
		{"negative", gre, inner(-1), 0, "underlay_mtu -1"},
		{"least inner", gre, underlay(68), 92, ""},
		{"below the least inner", gre, underlay(67), 0, "inner_mtu 67: too small; give at least 68"},
		{"an IPv6 link has 1280 whatever crosses it", gre6, underlay(100), 1280, ""},
		{"largest", gre, underlay(65511), 65535, ""},
		{"larger than IP", gre, underlay(65512), 0, "inner_mtu 65512: too large; give at most 65511"},
	}
	for _, tt := range tests {
		got, err := tt.ask(tt.spec)
		if got != tt.want || (err == nil) != (tt.text == "") || err != nil && (!strings.Contains(err.Error(), tt.text) || len(fields(err)) != 1) {
			t.Errorf("%s: got %d, %v; want %d, %q", tt.name, got, err, tt.want, tt.text)
		}
	}
}

func TestNames(t *testing.T) {
	for e := GRE; e.known(); e++ {
		if got, err := ParseEncap(e.String()); err != nil || got != e {
			t.Errorf("ParseEncap(%q) = %v, %v", e, got, err)
		}
	}
	for s := Suite(0); s.known(); s++ {
		if got, err := ParseSuite(s.String()); err != nil || got != s {
			t.Errorf("ParseSuite(%q) = %v, %v", s, got, err)
		}
	}
	for _, u := range []UDPEncap{0, FOU, GUE} {
		if got, err := ParseUDPEncap(u.String()); err != nil || got != u {
			t.Errorf("ParseUDPEncap(%q) = %v, %v", u, got, err)
		}
	}
	for _, l := range []Layer{0, L2, L3} {
		if got, err := ParseLayer(l.String()); err != nil || got != l {
			t.Errorf("ParseLayer(%q) = %v, %v", l, got, err)
		}
	}
	for _, name := range []string{"", "encap(0)", "GRE", "stt", "ip6gre"} {
		if _, err := ParseEncap(name); !slices.Equal(fields(err), []string{"encap"}) {
			t.Errorf("ParseEncap(%q): %v", name, err)
		}
	}
	for addr, want := range map[string]Family{"192.0.2.1": IPv4, "::ffff:192.0.2.1": IPv4, "2001:db8::1": IPv6, "fe80::1%eth0": IPv6} {
		family := FamilyOf(netip.MustParseAddr(addr))
		if parsed, err := ParseFamily(family.String()); err != nil || family != want || parsed != want {
			t.Errorf("FamilyOf(%s) = %v, parsed %v, %v", addr, family, parsed, err)
		}
	}
	if FamilyOf(netip.Addr{}) != 0 {
		t.Error("the invalid address has a family")
	}
}
