package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
)

// vni demands VXLAN on a UDP port with this VNI in each direction.
func vni(port uint16, out, in uint32) func(*testing.T, lab.OuterPacket, lab.OuterPacket) {
	return func(t *testing.T, o, r lab.OuterPacket) {
		t.Helper()
		for _, c := range []struct {
			p    lab.OuterPacket
			want uint32
		}{{o, out}, {r, in}} {
			got := c.p.VNI
			if got == nil && len(c.p.Inner) >= 8 { // on another port than VXLAN's own the header is payload
				n := uint32(c.p.Inner[4])<<16 | uint32(c.p.Inner[5])<<8 | uint32(c.p.Inner[6])
				got = &n
			}
			if c.p.Proto != 17 || c.p.DstPort != port || got == nil || *got != c.want {
				t.Errorf("protocol %d, port %d, VNI %v, want port %d and VNI %d", c.p.Proto, c.p.DstPort, got, port, c.want)
			}
		}
	}
}

// TestT8VXLAN: a segment and explicit tunnels over VXLAN, among hosts, towards
// an operator's ovs-vsctl and towards the Linux kernel's own device.
func TestT8VXLAN(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{})
	start(t, l)
	t.Run("kernel", func(t *testing.T) { kernelVXLAN(t, l) })
	t.Run("explicit", func(t *testing.T) {
		inherit := both(key(5)+", encap: vxlan, ttl: {inherit: true}, tos: {inherit: true}").as("inherited ttl and tos", outer(33, 0x48, true))
		inherit.ping = []string{"-t", "33", "-Q", "0x48"}
		wires := []*wire{
			both("encap: vxlan, "+key(1)).as("VNI", vni(4789, 1, 1)),
			wire{near: "encap: vxlan, key: {fixed: {in: 21, out: 22}}", far: "encap: vxlan, key: {fixed: {in: 22, out: 21}}"}.as("a VNI each way", vni(4789, 22, 21)),
			both("encap: vxlan, udp_port: 8472, "+key(3)).as("another port", vni(8472, 3, 3)),
			both("encap: vxlan, ttl: {fixed: 17}, tos: {fixed: 40}, df: false, "+key(4)).as("fixed ttl, tos, no DF", outer(17, 40, false)),
			inherit,
			both("encap: vxlan, checksum: {out: true}, "+key(6)).as("UDP checksum", vni(4789, 6, 6)),
			wire{near: "encap: vxlan, " + key(81), far: "encap: vxlan, " + key(82), silent: true}.as("another VNI", nil),
			wire{near: "encap: vxlan, " + key(7), byHand: "type=vxlan options:key=7"}.as("towards ovs-vsctl", vni(4789, 7, 7)),
		}
		layWires(t, l, wires, 0)
		sums := capture(t, l.Hosts[0], "", "udp and udp[6:2] != 0") // the field of the checksum, 0 for none
		runWires(t, l, wires, "udp port 4789 or udp port 8472")
		summed := sums()
		if len(summed) < 10 {
			t.Errorf("%d packets with a checksum, want 5 requests and 5 replies", len(summed))
		}
		for _, p := range summed {
			if p.VNI == nil || *p.VNI != 6 {
				t.Errorf("a checksum in %s > %s, VNI %v, that asks for none", p.Src, p.Dst, p.VNI)
			}
		}
	})
	t.Run("segment", func(t *testing.T) {
		guests := redGuests(t, l.Hosts, 0)
		for _, h := range l.Hosts {
			apply(t, h, segmentDoc(l.Hosts, h, ", encap: vxlan"))
		}
		vxlanSegment(t, l, guests)
	})
}

func vxlanSegment(t *testing.T, l *lab.Lab, guests []*lab.Guest) {
	h1, h2 := l.Hosts[0], l.Hosts[1]
	reaches(t, guests[0], guestAddr(2))
	stop := capture(t, h1, "", "proto gre or udp port 4789")
	if n := echo(t, guests[0], guestAddr(2)); n != 5 {
		t.Errorf("%d of 5 answered", n)
	}
	to := broadcast(t, guests[0], 5)
	packets := stop()
	requests := echoes(packets, guestAddr(1), guestAddr(2))
	if len(requests) != 5 {
		t.Errorf("%d of 5 requests on the wire", len(requests))
	}
	for _, p := range requests {
		if p.VNI == nil || *p.VNI != 100 || p.Src != h1.VTEP || p.Dst != h2.VTEP || p.DstPort != 4789 {
			t.Errorf("request in %s > %s, port %d, VNI %v", p.Src, p.Dst, p.DstPort, p.VNI)
		}
	}
	if n := fmt.Sprint(copies(packets, to)); n != "[1 1 1 1 1]" {
		t.Errorf("copies of each broadcast: %s", n)
	}
}

// kernelVXLAN has a vxlan device of the kernel's in the underlay's namespace as
// the far end, of a segment's peer and of an explicit tunnel.
func kernelVXLAN(t *testing.T, l *lab.Lab) {
	const far = "192.0.2.250"
	h1 := l.Hosts[0]
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("addr add %s/24 dev ul0", far)
	for i, net := range []string{"10.7.0.250/24", "10.8.0.250/24"} {
		// Without checksums (RFC 7348 §5): a veth leaves them to hardware that is not there.
		add("link add kv%d type vxlan id %d remote %s local %s dstport 4789 noudpcsum", i, 700+i, h1.VTEP, far)
		add("addr add %s dev kv%d", net, i)
		add("link set kv%d up", i)
	}
	for _, line := range lines {
		if _, stderr, err := l.Exec(t.Context(), append([]string{"ip"}, strings.Fields(line)...)...); strings.Contains(stderr, "not supported") {
			t.Skip("needs the kernel driver vxlan")
		} else if err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, stderr)
		}
	}
	seg := guest(t, h1, "kseg", "10.7.0.1/24", "02:00:00:00:07:01", 0)
	tun := guest(t, h1, "ktun", "10.8.0.1/24", "02:00:00:00:08:01", 0)
	apply(t, h1, vtepOf(h1)+`
bridges: [{name: br-k, datapath: netdev}]
segments: [{name: kernel, key: 700, encap: vxlan}]
peers: [{name: linux, paths: [{remote: `+far+`}], segments: [kernel]}]
ports:
- {name: kseg, device: kseg, attachments: [{segment: kernel}]}
- {name: ktun, device: ktun, bridge: br-k}
tunnels: [{name: vx-k, bridge: br-k, encap: vxlan, remote: {address: `+far+`}, key: {fixed: {in: 701, out: 701}}}]
`)
	for _, g := range []*lab.Guest{seg, tun} {
		to := g.Addr.Masked().Addr()
		for range 250 {
			to = to.Next()
		}
		t.Run(g.Name, func(t *testing.T) { towardsKernel(t, l, g, to) })
	}
}

// towardsKernel pings from both sides.
func towardsKernel(t *testing.T, l *lab.Lab, g *lab.Guest, to netip.Addr) {
	reaches(t, g, to)
	if n := echo(t, g, to); n != 5 {
		t.Errorf("%d of 5 answered by the kernel's device", n)
	}
	out, _, err := l.Exec(t.Context(), "ping", "-n", "-q", "-c", "5", "-i", "0.1", "-W", "1", g.Addr.Addr().String())
	if err != nil {
		t.Errorf("from the kernel's device: %v: %s", err, out)
	}
}
