package mtu

import (
	"testing"

	"pgregory.net/rapid"
)

// anySpec draws every field freely and keeps what is valid after mending the
// pairs that a free draw would nearly always get wrong.
func anySpec(t *rapid.T) Spec {
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	s := Spec{
		Encap:      rapid.SampledFrom([]Encap{GRE, GRETAP, ERSPANv1, ERSPANv2, VXLAN, VXLANGBP, VXLANGPE, Geneve, IPIP, SIT}).Draw(t, "encap"),
		Outer:      rapid.SampledFrom([]Family{IPv4, IPv6}).Draw(t, "outer"),
		OuterVLANs: rapid.IntRange(0, 3).Draw(t, "outer tags"),
	}
	switch s.Encap {
	case GRE, GRETAP:
		s.Key, s.Checksum, s.Sequence = flag("key"), flag("checksum"), flag("sequence")
	case Geneve:
		s.GeneveOptions = 4 * rapid.IntRange(0, 63).Draw(t, "options")
		s.Layer = rapid.SampledFrom([]Layer{0, L2, L3}).Draw(t, "layer")
	case VXLANGPE:
		s.Layer = rapid.SampledFrom([]Layer{L2, L3}).Draw(t, "layer")
	case SIT:
		s.Outer = IPv4
	}
	if s.layer() == L2 {
		s.InnerVLANs = rapid.IntRange(0, 3).Draw(t, "inner tags")
	}
	if !encapRules[s.Encap].overUDP {
		s.EncapLimit = s.Outer == IPv6 && flag("limit")
		if s.UDPEncap = rapid.SampledFrom([]UDPEncap{0, FOU, GUE}).Draw(t, "udp"); s.UDPEncap == GUE {
			s.GUEOptions = 4 * rapid.IntRange(0, 31).Draw(t, "gue options")
		}
	}
	if flag("esp") {
		s.ESP = ESP{Suite: Suite(rapid.IntRange(1, len(suiteRules)-1).Draw(t, "suite")), NATT: flag("natt"), Tunnel: flag("tunnel")}
		if s.ESP.Tunnel {
			s.ESP.Outer = rapid.SampledFrom([]Family{IPv4, IPv6}).Draw(t, "esp outer")
		}
	}
	return s
}

func TestInnerAndUnderlayAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySpec(t)
		n := rapid.IntRange(MinIPv4, 60000).Draw(t, "inner")
		underlay, err := s.UnderlayMTU(n)
		if err != nil {
			t.Fatal(err)
		}
		inner, err := s.InnerMTU(underlay)
		if err != nil || inner < n {
			t.Fatalf("InnerMTU(UnderlayMTU(%d) = %d) = %d, %v", n, underlay, inner, err)
		}
		if !fits(s, n, underlay) || !fits(s, inner, underlay) || fits(s, inner+1, underlay) {
			t.Fatalf("real headers disagree: %d and %d in %d", n, inner, underlay)
		}
		floor := familyRules[s.outermost()].min + vlanTag*s.OuterVLANs
		if underlay > floor && fits(s, n, underlay-1) {
			t.Fatalf("UnderlayMTU(%d) = %d, but one less will do", n, underlay)
		}
	})
}

func TestInnerMTUIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySpec(t)
		underlay := rapid.IntRange(-10, 70000).Draw(t, "underlay")
		inner, err := s.InnerMTU(underlay)
		if err != nil {
			if n := MinIPv4; s.Outer == IPv4 && s.outermost() == IPv4 && fits(s, n, underlay) {
				t.Fatalf("InnerMTU(%d): %v, yet %d bytes fit", underlay, err, n)
			}
			return
		}
		if !fits(s, inner, underlay) || fits(s, inner+1, underlay) {
			t.Fatalf("%d is not the largest in %d", inner, underlay)
		}
		if more, err := s.InnerMTU(underlay + 1); err != nil || more < inner {
			t.Fatalf("a larger underlay gives less: %d, then %d, %v", inner, more, err)
		}
		needed, err := s.UnderlayMTU(inner)
		if err != nil || needed > underlay {
			t.Fatalf("UnderlayMTU(%d) = %d, %v, from %d", inner, needed, err, underlay)
		}
	})
}

func TestOverheadIsConstantWithoutESP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySpec(t)
		a, b := rapid.IntRange(MinIPv4, 65535).Draw(t, "a"), rapid.IntRange(MinIPv4, 65535).Draw(t, "b")
		spread := s.Overhead(a) - s.Overhead(b)
		if most := suiteRules[s.ESP.Suite].block - 1; spread > most || -spread > most {
			t.Fatalf("overhead of %d and %d differs by %d, at most %d of padding", a, b, spread, most)
		}
	})
}
