package mtu

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the tables in docs/mtu.md")

// TestDocumentedTables holds the tables of docs/mtu.md to the package.
func TestDocumentedTables(t *testing.T) {
	const path = "../../docs/mtu.md"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(old)
	for name, table := range map[string]string{"plain": plainTable(t), "esp": espTable(t)} {
		begin, end := "<!-- begin "+name+" table, generated -->\n", "<!-- end "+name+" table -->"
		head, rest, ok := strings.Cut(text, begin)
		_, tail, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("%s has no markers of the %s table", path, name)
		}
		text = head + begin + table + end + tail
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != string(old) {
		t.Errorf("%s is out of date: run go test ./model/mtu -update", path)
	}
}

func plainTable(t *testing.T) string {
	rows := []struct {
		name string
		spec Spec
	}{
		{"GRE, L3", Spec{Encap: GRE}},
		{"GRE, L3, key", Spec{Encap: GRE, Key: true}},
		{"GRE, L3, key and checksum", Spec{Encap: GRE, Key: true, Checksum: true}},
		{"GRE, L3, key, checksum and sequence", Spec{Encap: GRE, Key: true, Checksum: true, Sequence: true}},
		{"GRE, L3, in FOU", Spec{Encap: GRE, UDPEncap: FOU}},
		{"GRE, L3, in GUE", Spec{Encap: GRE, UDPEncap: GUE}},
		{"GRE, L3, encapsulation limit (ip6gre)", Spec{Encap: GRE, EncapLimit: true}},
		{"GRETAP", Spec{Encap: GRETAP}},
		{"GRETAP, key", Spec{Encap: GRETAP, Key: true}},
		{"GRETAP, key, one inner tag", Spec{Encap: GRETAP, Key: true, InnerVLANs: 1}},
		{"GRETAP, key and checksum", Spec{Encap: GRETAP, Key: true, Checksum: true}},
		{"GRETAP, key, encapsulation limit (ip6gretap)", Spec{Encap: GRETAP, Key: true, EncapLimit: true}},
		{"VXLAN, VXLAN-GBP, VXLAN-GPE with frames", Spec{Encap: VXLAN}},
		{"VXLAN, one inner tag", Spec{Encap: VXLAN, InnerVLANs: 1}},
		{"VXLAN-GPE with IP packets", Spec{Encap: VXLANGPE, Layer: L3}},
		{"Geneve, no options", Spec{Encap: Geneve}},
		{"Geneve, 8 bytes of options", Spec{Encap: Geneve, GeneveOptions: 8}},
		{"Geneve with IP packets", Spec{Encap: Geneve, Layer: L3}},
		{"ERSPAN v1 (type II)", Spec{Encap: ERSPANv1}},
		{"ERSPAN v2 (type III)", Spec{Encap: ERSPANv2}},
		{"IPIP", Spec{Encap: IPIP}},
		{"IPIP, encapsulation limit (ip6tnl)", Spec{Encap: IPIP, EncapLimit: true}},
		{"IPIP in FOU", Spec{Encap: IPIP, UDPEncap: FOU}},
		{"6in4 (sit)", Spec{Encap: SIT}},
	}
	var b strings.Builder
	b.WriteString("| encapsulation | IPv4: bytes | of 1500 | of 9000 | IPv6: bytes | of 1500 | of 9000 |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |", row.name)
		for _, row.spec.Outer = range []Family{IPv4, IPv6} {
			if row.spec.Validate() != nil {
				b.WriteString(" – | – | – |")
				continue
			}
			fmt.Fprintf(&b, " %d | %d | %d |", row.spec.Overhead(0), inner(t, row.spec, 1500), inner(t, row.spec, 9000))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func espTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| suite | transport: bytes | of 1500 | of 9000 | tunnel: bytes | of 1500 | of 9000 | tunnel in UDP: bytes | of 1500 | of 9000 |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for suite := AESGCM; suite.known(); suite++ {
		fmt.Fprintf(&b, "| %s |", suite)
		for _, esp := range []ESP{{}, {Tunnel: true, Outer: IPv4}, {Tunnel: true, Outer: IPv4, NATT: true}} {
			esp.Suite = suite
			s := Spec{Encap: GRETAP, Outer: IPv4, Key: true, ESP: esp}
			least, most := 1<<16, 0
			for n := 1000; n < 1016; n++ {
				least, most = min(least, s.Overhead(n)), max(most, s.Overhead(n))
			}
			fmt.Fprintf(&b, " %d-%d | %d | %d |", least, most, inner(t, s, 1500), inner(t, s, 9000))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func inner(t *testing.T, s Spec, underlay int) int {
	n, err := s.InnerMTU(underlay)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
