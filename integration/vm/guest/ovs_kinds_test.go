package guest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// alone is a document of a bridge of the kernel datapath with the ear's device on it.
func alone(i int) string {
	return fmt.Sprintf(`
bridges: [{name: br0, datapath: system}]
ports: [{name: vm, device: vm, bridge: br0, macs: ["02:00:00:00:00:0%d"]}]
`, i+1)
}

// bridged is that bridge with one tunnel on it.
func bridged(i int, v6 bool, fields string) string {
	remote := under4[1-i].Addr()
	if v6 {
		remote = under6[1-i].Addr()
	}
	return alone(i) + fmt.Sprintf("tunnels: [{name: t0, bridge: br0, remote: {address: '%s'}, %s}]\n", remote, fields)
}

// TestOVSKinds: what the capability table says of the kernel datapath of Open
// vSwitch: each kind that it carries, over both families, and what it does not,
// forced by hand.
func TestOVSKinds(t *testing.T) {
	pair := newPair(t)
	ears := [2]*tap{pair[0].cable(), pair[1].cable()}
	sw := [2]ovs{newOVS(pair[0]), newOVS(pair[1])}
	hosts := [2]*agent{sw[0].withAgent("host-0"), sw[1].withAgent("host-1")}
	const key = "key: {fixed: {in: 7, out: 7}}"
	for n, c := range []struct {
		fields string
		v6     bool
	}{
		{key, false}, {key, true}, {"key: {none: true}", true},
		{"encap: vxlan, " + key, false}, {"encap: vxlan, " + key, true}, {"encap: geneve, " + key, false}, {"encap: geneve, " + key, true},
		{"encap: erspan, erspan: {index: 5}, " + key, false},
		{"encap: vxlan, checksum: {out: true}, " + key, true}, {"ttl: {fixed: 17}, tos: {fixed: 40}, df: false, " + key, false},
	} {
		t.Run(fmt.Sprintf("%s, IPv6 %t", c.fields, c.v6), func(t *testing.T) {
			for i, h := range hosts {
				h.t = t
				h.apply("%s", bridged(i, c.v6, c.fields))
			}
			mark := fmt.Sprintf("kind %03d.", n)
			f := frame(0, 0x88b5, mark)
			if _, out := arrives(t, ears[0], ears[1], pair[1].listen("eth0"), f, mark, true); !bytes.Contains(out, f[:12]) {
				t.Errorf("without an Ethernet header inside: % x", out)
			}
		})
	}
	for i, h := range hosts {
		h.t = t
		h.apply("%s", alone(i)) // a second tunnel to the same far end would be a loop
	}
	t.Run("refused", func(t *testing.T) { refusedKinds(t, pair, ears, sw, hosts) })
}

// refusedKinds makes by hand what greave refuses on the kernel datapath.
func refusedKinds(t *testing.T, pair [2]host, ears [2]*tap, sw [2]ovs, hosts [2]*agent) {
	for i, h := range hosts {
		h.t, sw[i].t = t, t
	}
	const key = "key: {fixed: {in: 9, out: 9}}"
	for n, c := range []struct {
		fields, byHand string
		v6, arrives    bool
	}{
		{"checksum: {out: true}, " + key, "type=gre options:csum=true", false, false},
		{"checksum: {out: true}, " + key, "type=ip6gre options:csum=true", true, false},
		{"sequence: {out: true}, " + key, "type=gre options:seq=true", false, true}, // without numbers
		{"", "type=gre", true, false}, // greave makes it of type ip6gre
	} {
		if c.fields != "" {
			if why := hosts[0].refused(bridged(0, c.v6, c.fields)); !strings.Contains(why, "kernel datapath") {
				t.Errorf("%s is refused for another reason: %s", c.fields, why)
			}
		}
		for i, o := range sw {
			remote := under4[1-i].Addr()
			if c.v6 {
				remote = under6[1-i].Addr()
			}
			args := []string{"--timeout=30", "--no-wait", "add-port", "br0", "byhand", "--", "set", "Interface", "byhand", "options:key=9", "options:remote_ip=" + strconv.Quote(remote.String())}
			o.run("ovs-vsctl", append(args, strings.Fields(c.byHand)...)...)
			o.run("ovs-ofctl", "add-flow", "br0", "priority=200,in_port=vm,actions=output:byhand")
		}
		mark := fmt.Sprintf("by hand %03d.", n)
		in, out := arrives(t, ears[0], ears[1], pair[1].listen("eth0"), frame(0, 0x88b5, mark), mark, c.arrives)
		if (in != nil) != c.arrives {
			t.Errorf("%s: inner %t outer %t", c.byHand, in != nil, out != nil)
		}
		if strings.Contains(c.byHand, "seq") && out != nil && out[34]&0x10 != 0 {
			t.Errorf("a sequence number is sent: % x", out[:50])
		}
		for _, o := range sw {
			o.run("ovs-vsctl", "--timeout=30", "--no-wait", "del-port", "byhand")
			o.run("ovs-ofctl", "del-flows", "br0", "in_port=vm")
		}
	}
}

// TestT24KernelLinks: a tunnel device that somebody left in the kernel takes the
// packets of Open vSwitch's tunnel, or the place of its port: greave says so and
// names it, and builds the tunnel once it is gone.
func TestT24KernelLinks(t *testing.T) {
	pair := newPair(t)
	ears := [2]*tap{pair[0].cable(), pair[1].cable()}
	hosts := [2]*agent{newOVS(pair[0]).withAgent("host-0"), newOVS(pair[1]).withAgent("host-1")}
	wire := pair[1].listen("eth0")
	attrs := func() netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name = "leftover"
		return a
	}
	for _, c := range []struct {
		fields string
		link   netlink.Link
		steals bool // what is built already loses its packets
	}{
		{"key: {fixed: {in: 7, out: 7}}", &netlink.Gretap{LinkAttrs: attrs(), IKey: 7, OKey: 7, Local: under4[1].Addr().AsSlice(), Remote: under4[0].Addr().AsSlice()}, true},
		{"encap: vxlan, key: {fixed: {in: 8, out: 8}}", &netlink.Vxlan{LinkAttrs: attrs(), VxlanId: 4000, Port: 4789, SrcAddr: under4[1].Addr().AsSlice()}, false},
	} {
		t.Run(c.link.Type(), func(t *testing.T) {
			for i, h := range hosts {
				h.t = t
				if i == 0 || c.steals {
					h.apply("%s", bridged(i, false, c.fields))
				}
			}
			if c.steals {
				arrives(t, ears[0], ears[1], wire, frame(0, 0x88b5, "before it"), "before it", true)
			}
			check(t, pair[1].LinkAdd(c.link))
			pair[1].up("leftover")
			if c.steals {
				if in, _ := arrives(t, ears[0], ears[1], wire, frame(0, 0x88b5, "beside it"), "beside it", false); in != nil {
					t.Errorf("the device takes nothing: the refusal is wrong")
				}
			} else {
				_ = hosts[1].try(bridged(1, false, c.fields))
			}
			hosts[1].becomesConflict("t0", "leftover")
			link, err := pair[1].LinkByName("leftover")
			check(t, err)
			check(t, pair[1].LinkDel(link))
			// The kernel's word of that is on its way still.
			hosts[1].eventually("t0 is built", func() bool { return hosts[1].try(bridged(1, false, c.fields)).Realised })
			arrives(t, ears[0], ears[1], wire, frame(0, 0x88b5, "after it"), "after it", true)
		})
	}
}

// becomesConflict waits until a tunnel is said to be in conflict with something.
func (a *agent) becomesConflict(name, with string) {
	a.t.Helper()
	a.eventually(name+" is in conflict with "+with, func() bool {
		text := a.object(greavev1.ObjectKind_OBJECT_KIND_TUNNEL, name).GetStatus().String()
		return strings.Contains(text, "CONFLICT") && strings.Contains(text, with)
	})
}
