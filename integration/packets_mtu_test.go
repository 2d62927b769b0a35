package integration

import (
	"fmt"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
	"github.com/greave-sdn/greave/model/mtu"
)

// icmpOverhead is the IPv4 and ICMP headers around what ping -s counts.
const icmpOverhead = 20 + 8

// TestT18LargestPing: the largest packet that passes each kind of tunnel is the
// one that the arithmetic names, to the byte.
func TestT18LargestPing(t *testing.T) {
	t.Parallel()
	const underlay, guestMTU = 1500, 1600
	l := lab.ForTest(t, lab.Options{IPv6: true, UnderlayMTU: underlay})
	start(t, l)
	gretap := mtu.Spec{Encap: mtu.GRETAP, Outer: mtu.IPv4}
	keyed, summed, numbered := gretap, gretap, gretap
	vxlan, geneve := mtu.Spec{Encap: mtu.VXLAN, Outer: mtu.IPv4}, mtu.Spec{Encap: mtu.Geneve, Outer: mtu.IPv4}
	over6 := func(s mtu.Spec) mtu.Spec { s.Outer = mtu.IPv6; return s }
	keyed.Key = true
	summed.Key, summed.Checksum = true, true
	numbered.Key, numbered.Sequence = true, true
	wires := []*wire{
		both("key: {none: true}").as("GRE", nil),
		both(key(1)).as("GRE with a key", nil),
		both(key(2)+", checksum: {out: true}").as("GRE with key and checksum", nil),
		both(key(3)+", sequence: {out: true}").as("GRE with key and sequence", nil),
		both(key(4)+", encap: vxlan").as("VXLAN", nil),
		both(key(5)+", encap: geneve").as("Geneve", nil),
		wire{v6: true, near: key(6), far: key(6)}.as("GRE with a key over IPv6", nil),
		wire{v6: true, near: key(7) + ", encap: vxlan", far: key(7) + ", encap: vxlan"}.as("VXLAN over IPv6", nil),
		wire{v6: true, near: key(8) + ", encap: geneve", far: key(8) + ", encap: geneve"}.as("Geneve over IPv6", nil),
	}
	specs := []mtu.Spec{gretap, keyed, summed, numbered, vxlan, geneve, over6(keyed), over6(vxlan), over6(geneve)}
	layWires(t, l, wires, guestMTU)
	for i, w := range wires {
		t.Run(w.name, func(t *testing.T) { largest(t, w.a, w.b, specs[i], underlay) })
	}
	guests := redGuests(t, l.Hosts, guestMTU)
	for _, encap := range []struct {
		name string
		spec mtu.Spec
	}{{"gre", keyed}, {"vxlan", vxlan}, {"geneve", geneve}} {
		t.Run("segment over "+encap.name, func(t *testing.T) {
			for _, h := range l.Hosts {
				apply(t, h, segmentDoc(l.Hosts, h, ", encap: "+encap.name))
			}
			largest(t, guests[0], guests[1], encap.spec, underlay)
		})
	}
}

func largest(t *testing.T, from, to *lab.Guest, spec mtu.Spec, underlay int) {
	t.Helper()
	fits, err := spec.InnerMTU(underlay)
	if err != nil {
		t.Fatal(err)
	}
	reaches(t, from, to.Addr.Addr())
	size := func(bytes int) int {
		return echo(t, from, to.Addr.Addr(), "-M", "do", "-c", "3", "-s", fmt.Sprint(bytes-icmpOverhead))
	}
	n := 0
	for try := 0; try < 3 && n != 3; try++ { // a busy machine answers late
		n = size(fits)
	}
	if n != 3 {
		t.Errorf("%d of 3 packets of %d bytes answered", n, fits)
	}
	if n := size(fits + 1); n != 0 {
		t.Errorf("%d of 3 packets of %d bytes answered, the arithmetic says that none is", n, fits+1)
	}
}
