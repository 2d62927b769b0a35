package lab

import (
	"encoding/hex"
	"strings"
	"testing"
)

// frames are outer headers written by hand from the RFCs: RFC 791, 2784, 2890, 7348, 8926, 2473.
func TestDecodeFrame(t *testing.T) {
	const (
		ether4 = "020000000002020000000001" + "0800"
		ether6 = "020000000002020000000001" + "86dd"
		ends4  = "c0000201" + "c0000202"
		ends6  = "20010db8000000000000000000000001" + "20010db8000000000000000000000002"
	)
	tests := []struct {
		name, frame, inner string
		key, vni, seq      uint32 // 0 = absent
		proto              uint8
		checksum, df, frag bool
	}{
		{name: "gre plain", frame: ether4 + "4500001a00004000402f0000" + ends4 + "00006558" + "aabb" + "0000000000", inner: "aabb", proto: 47, df: true},
		{name: "gre checksum key sequence", frame: ether4 + "4500002600000000402f0000" + ends4 + "b0006558" + "12340000" + "00001092" + "00000007" + "aabb", inner: "aabb", key: 4242, seq: 7, checksum: true, proto: 47},
		{name: "gre later fragment", frame: ether4 + "4500001800002001402f0000" + ends4 + "deadbeef", proto: 47, frag: true},
		{name: "gre behind VLAN tag", frame: ether4[:24] + "81000064" + "0800" + "4500001c00000000402f0000" + ends4 + "20006558" + "00000005", key: 5, proto: 47},
		{name: "vxlan", frame: ether4 + "450000260000000040110000" + ends4 + "c00012b500120000" + "0800000000001f00" + "aabb", inner: "aabb", vni: 31, proto: 17},
		{name: "geneve with option", frame: ether4 + "4500002a0000000040110000" + ends4 + "c00017c100160000" + "0100655800001f00" + "01020304" + "aabb", inner: "aabb", vni: 31, proto: 17},
		{name: "ip6gre with encapsulation limit", frame: ether6 + "60000000" + "00123c40" + ends6 + "2f00040104010100" + "20006558" + "00000005" + "aabb", inner: "aabb", key: 5, proto: 47},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := hex.DecodeString(tt.frame)
			if err != nil {
				t.Fatal(err)
			}
			p, err := DecodeFrame(b)
			if err != nil {
				t.Fatal(err)
			}
			value := func(v *uint32) uint32 {
				if v == nil {
					return 0
				}
				return *v
			}
			if value(p.Key) != tt.key || value(p.VNI) != tt.vni || value(p.Sequence) != tt.seq || p.Proto != tt.proto ||
				(p.Checksum != nil) != tt.checksum || p.DF != tt.df || p.Fragment != tt.frag || hex.EncodeToString(p.Inner) != tt.inner {
				t.Errorf("decoded %+v, inner %x", p, p.Inner)
			}
		})
	}
}

func FuzzDecodePcap(f *testing.F) {
	head, _ := hex.DecodeString("d4c3b2a1020004000000000000000000ffff000001000000" + "00000000000000002e0000002e000000")
	frame, _ := hex.DecodeString("0200000000020200000000010800" + "4500002000000000402f0000c0000201c0000202" + "2000655800000005" + "aabbccdd")
	f.Add(append(head, frame...))
	f.Fuzz(func(_ *testing.T, file []byte) { _, _ = decodePcap(file) })
}

// TestChecksumHolds has sums computed by hand over RFC 2784's and RFC 768's ranges.
func TestChecksumHolds(t *testing.T) {
	const (
		ether = "0200000000020200000000010800"
		ends  = "c0000201" + "c0000202"
		gre   = ether + "4500002200000000402f0000" + ends + "a0006558" + "4fe60000" + "00000005" + "aabb"
		udp   = ether + "4500001e0000000040110000" + ends + "c000c001" + "000a" + "5118" + "aabb"
	)
	for frame, want := range map[string]bool{
		gre: true, gre[:len(gre)-1] + "c": false,
		udp: true, udp[:len(udp)-1] + "c": false, strings.Replace(udp, "5118", "0000", 1): false,
	} {
		b, err := hex.DecodeString(frame)
		if err != nil {
			t.Fatal(err)
		}
		p, err := DecodeFrame(b)
		if err != nil || p.ChecksumHolds() != want {
			t.Errorf("%s: %v, want %t (%v)", frame, p.ChecksumHolds(), want, err)
		}
	}
}
