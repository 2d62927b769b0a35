package kernel

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
)

func TestGeneralFields(t *testing.T) {
	l := newLab(t)
	l.must(plan.Create, linkRow("br0", "bridge", "multicast=true"))
	want := linkRow("vx0", "vxlan", "id=7", "mtu=1400", "mac=02:00:00:00:00:07", "master=br0", "multicast=true", "underlay-netns=",
		"port isolated=true", "port learning=false", "port neigh_suppress=true", "port hairpin=true", "port flood=false", "port mcast_flood=false", "port bcast_flood=false")
	l.must(plan.Create, want)
	index := l.index("vx0")
	for _, a := range rows.PortAttrs { // none is left out below
		if want.Fields[rows.PortPrefix+a.Name] == "" {
			t.Errorf("port %s is not tried", a.Name)
		}
	}
	for _, c := range []string{"mtu=1300", "mac=02:00:00:00:00:08", "addrgen=eui64", "multicast=false", "up=false", "up=true", "port isolated=false",
		"port learning=true", "port neigh_suppress=false", "port hairpin=false", "port flood=true", "port mcast_flood=true", "port bcast_flood=true",
		"alias=" + rows.Alias(owner, model.Ref{Kind: model.KindSegment, Name: "s"}), "master="} {
		name, _, _ := strings.Cut(c, "=")
		want.Fields = with(want.Fields, c)
		if name == "master" {
			maps.DeleteFunc(want.Fields, func(f, _ string) bool { return strings.HasPrefix(f, rows.PortPrefix) })
		}
		if name == "alias" {
			want.Object = model.Ref{Kind: model.KindSegment, Name: "s"}
		}
		l.must(plan.Update, want, name)
	}
	// As a port again it has the fields again, without an operation that names them.
	want.Fields = with(want.Fields, "master=br0", "port isolated=true", "port flood=false")
	l.must(plan.Update, want, "master")
	if l.index("vx0") != index {
		t.Error("an update made another device")
	}
	if err := l.do(plan.Create, want); !IsExists(err) {
		t.Errorf("a second one of the name: %v", err)
	}
	l.must(plan.Delete, want)
	l.must(plan.Delete, want)
}

func TestNoAddressOfItsOwn(t *testing.T) {
	l := newLab(t)
	for mode, want := range map[string]int{"none": 0, "eui64": 1} {
		l.must(plan.Create, linkRow("vx0", "vxlan", "id=7", "addrgen="+mode))
		link, err := l.LinkByName("vx0")
		check(t, err)
		addrs, err := l.AddrList(link, netlink.FAMILY_V6)
		check(t, err)
		if len(addrs) != want {
			t.Errorf("addrgen %s: %v", mode, addrs)
		}
		l.must(plan.Delete, linkRow("vx0", "vxlan"))
	}
	// A device whose MTU allows no IPv6 takes no mode: that is none.
	l.must(plan.Create, linkRow("vx0", "vxlan", "id=7", "mtu=1000"))
}

// TestHalfMade: a device that was made and not marked is known by its group, and one that could not
// be finished is gone.
func TestHalfMade(t *testing.T) {
	l := newLab(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group = "half", rows.GroupMark|uint32(owner.Tag)
	check(t, l.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	attrs.Name, attrs.Group = "other", rows.GroupMark|uint32(owner.Tag+1)
	check(t, l.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	attrs.Name, attrs.Group = "theirs", 0
	check(t, l.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	theirs, err := l.LinkByName("theirs")
	check(t, err)
	check(t, l.LinkSetAlias(theirs, rows.Alias(model.NewOwner("somebody"), object)))
	got := l.read(l.scope())
	for name, want := range map[string]bool{"half": true, "other": false, "theirs": false, "lo": false} {
		if r := got[rows.Key{Table: rows.Link, Link: name}]; r.Owned != want || name == "half" && r.Object != (model.Ref{}) {
			t.Errorf("%s: owned %v, of %v", name, r.Owned, r.Object)
		}
	}
	if err := l.do(plan.Create, linkRow("vx0", "vxlan", "id=7", "master=nobody")); !IsGone(err) {
		t.Errorf("a master that is not there: %v", err)
	}
	if l.index("vx0") != 0 {
		t.Error("a device that could not be finished is there")
	}
	l.must(plan.Create, linkRow("vx0", "vxlan", "id=7"))
	link, err := l.LinkByName("vx0")
	check(t, err)
	if link.Attrs().Group != 0 {
		t.Errorf("a marked device is of group %#x", link.Attrs().Group)
	}
}

func TestBound(t *testing.T) {
	l := newLab(t)
	l.must(plan.Create, linkRow("br0", "bridge"))
	l.dummy(l.Handle, "tap0")
	bound := rows.Row{Key: rows.Key{Table: rows.Link, Link: "tap0"}, Bound: true,
		Fields: map[string]string{"kind": "tun", "alias": "not written", "mac": "02:00:00:00:00:99", "master": "br0", "mtu": "1400", "port isolated": "true"}}
	check(t, l.do(plan.Create, bound))
	got := l.read(l.scope())[bound.Key]
	if got.Owned || got.Fields["alias"] != "" || got.Fields["mac"] == "02:00:00:00:00:99" {
		t.Errorf("more than a bound device's fields was written: %s", got.Text())
	}
	for f, want := range map[string]string{"master": "br0", "mtu": "1400", "port isolated": "true", "up": "true"} {
		if got.Fields[f] != want {
			t.Errorf("%s is %q", f, got.Fields[f])
		}
	}
	got.Bound = true
	check(t, l.do(plan.Delete, got))
	if got := l.read(l.scope())[bound.Key]; got.Fields["master"] != "" || got.Fields["mtu"] != "1400" {
		t.Errorf("released: %s", got.Text())
	}
}

func TestVLANsOfPorts(t *testing.T) {
	l := newLab(t)
	l.needVLANs()
	l.must(plan.Create, linkRow("br0", "bridge", "vlan_filtering=1"))
	want := linkRow("vx0", "vxlan", "id=7", "master=br0", "vlans=pvid 10 untagged 10", "port isolated=true")
	l.must(plan.Create, want)
	for _, v := range []string{"tagged 2-4094", "pvid 5 untagged 5 tagged 1,7-9", "pvid 5 tagged 5", "pvid 10 untagged 1-20", "tagged 7"} {
		want.Fields = with(want.Fields, "vlans="+v)
		l.must(plan.Update, want, "vlans")
	}
}

func TestAddresses(t *testing.T) {
	l := newLab(t)
	l.must(plan.Create, linkRow("vx0", "vxlan", "id=7"))
	link := l.dummy(l.Handle, "under0", "192.0.2.1/24")
	for _, a := range []string{"192.0.2.129/30", "fd00::1/64", "fe80::1/64", "203.0.113.1/32"} {
		want := row(rows.Address, "vx0", a)
		if got := l.must(plan.Create, want); !got.Owned {
			t.Errorf("%s is not owned: needs Linux 5.18", a)
		}
		if err := l.do(plan.Create, want); !IsExists(err) {
			t.Errorf("%s again: %v", a, err)
		}
		l.must(plan.Delete, want)
		l.must(plan.Delete, want)
	}
	addrs, err := l.AddrList(link, netlink.FAMILY_V4)
	check(t, err)
	if len(addrs) != 1 {
		t.Errorf("another device has %v", addrs)
	}
	// A routing daemon's address on greave's device is nobody of greave's.
	own, err := l.LinkByName("vx0")
	check(t, err)
	theirs, _ := netlink.ParseAddr("198.51.100.7/24")
	check(t, l.AddrAdd(own, theirs))
	if got, there := l.read(l.scope())[row(rows.Address, "vx0", "198.51.100.7/24").Key]; !there || got.Owned {
		t.Errorf("a foreign address: there %v, owned %v", there, got.Owned)
	}
}

func TestNeighbours(t *testing.T) {
	l := newLab(t)
	l.must(plan.Create, linkRow("vx0", "vxlan", "id=7"))
	l.must(plan.Create, row(rows.Address, "vx0", "10.0.0.1/24"))
	for _, ip := range []string{"10.0.0.2", "fd00::2"} {
		want := row(rows.Neighbour, "vx0", ip, "lladdr=02:00:00:00:00:02")
		if got := l.must(plan.Create, want); !got.Owned {
			t.Errorf("%s is not owned", ip)
		}
		want.Fields = with(nil, "lladdr=02:00:00:00:00:03")
		l.must(plan.Update, want, "lladdr")
		if err := l.do(plan.Create, want); !IsExists(err) {
			t.Errorf("again: %v", err)
		}
		l.must(plan.Delete, want)
	}
	// A resolved entry gives way, somebody's static one does not.
	link, err := l.LinkByName("vx0")
	check(t, err)
	mac, _ := net.ParseMAC("02:00:00:00:00:09")
	n := &netlink.Neigh{LinkIndex: link.Attrs().Index, State: unix.NUD_REACHABLE, IP: net.IPv4(10, 0, 0, 3), HardwareAddr: mac}
	check(t, l.NeighAdd(n))
	want := row(rows.Neighbour, "vx0", "10.0.0.3", "lladdr=02:00:00:00:00:03")
	if _, there := l.read(l.scope())[want.Key]; there {
		t.Error("a resolved neighbour is read")
	}
	l.must(plan.Create, want)
	n.IP, n.State = net.IPv4(10, 0, 0, 4), unix.NUD_PERMANENT
	check(t, l.NeighAdd(n))
	if err := l.do(plan.Create, row(rows.Neighbour, "vx0", "10.0.0.4", "lladdr=02:00:00:00:00:03")); !IsExists(err) {
		t.Errorf("over somebody's: %v", err)
	}
	if got, there := l.read(l.scope())[row(rows.Neighbour, "vx0", "10.0.0.4").Key]; !there || got.Owned {
		t.Errorf("somebody's: there %v, owned %v", there, got.Owned)
	}
}

// TestNBMA: neighbours of a multipoint tunnel have underlay addresses for MACs.
func TestNBMA(t *testing.T) {
	needGuest(t, "the kernel drivers ip_gre and ip6_gre")
	l := newLab(t)
	l.underlays()
	for kind, c := range map[string][]string{"gre": {"local=192.0.2.1", "192.0.2.9", "192.0.2.8"}, "ip6gre": {"local=2001:db8::1", "2001:db8::9", "2001:db8::8"}} {
		l.must(plan.Create, linkRow("m0", kind, c[0], "ikey=5", "okey=5"))
		l.must(plan.Create, row(rows.Address, "m0", "10.0.0.1/24"))
		want := row(rows.Neighbour, "m0", "10.0.0.2", "lladdr="+c[1])
		l.must(plan.Create, want)
		want.Fields = with(nil, "lladdr="+c[2])
		l.must(plan.Update, want, "lladdr")
		l.must(plan.Delete, want)
		l.must(plan.Delete, linkRow("m0", kind))
	}
}

func TestFDB(t *testing.T) {
	l := newLab(t)
	l.must(plan.Create, linkRow("br0", "bridge"))
	l.must(plan.Create, linkRow("vx0", "vxlan", "id=7", "master=br0", "remote=192.0.2.99"))
	l.must(plan.Create, linkRow("vx1", "vxlan", "id=8", "master=br0"))
	before := fdbRows(l.read(l.scope()))
	if len(before) != 0 {
		t.Errorf("the kernel's own entries are read: %v", before)
	}
	for _, id := range []string{"master 02:00:00:00:00:01", "self 00:00:00:00:00:00 192.0.2.2", "self 00:00:00:00:00:00 192.0.2.3", "self 02:00:00:00:00:01 192.0.2.2"} {
		got := l.must(plan.Create, row(rows.FDB, "vx0", id))
		if !got.Owned || !got.Unmarked {
			t.Errorf("%s: %+v", id, got)
		}
		if err := l.do(plan.Create, row(rows.FDB, "vx0", id)); !IsExists(err) && !strings.HasPrefix(id, "self 00:") {
			t.Errorf("%s again: %v", id, err)
		}
	}
	if got := fdbRows(l.read(l.scope())); len(got) != 4 {
		t.Errorf("got %v", got)
	}
	// An entry moves to another port by an update there.
	l.must(plan.Update, row(rows.FDB, "vx1", "master 02:00:00:00:00:01"))
	l.must(plan.Delete, row(rows.FDB, "vx0", "master 02:00:00:00:00:01"))
	// A learned one is not read, and gives way.
	vx0, err := l.LinkByName("vx0")
	check(t, err)
	mac, _ := net.ParseMAC("02:00:00:00:00:05")
	learned := &netlink.Neigh{LinkIndex: vx0.Attrs().Index, Family: unix.AF_BRIDGE, State: unix.NUD_REACHABLE, Flags: netlink.NTF_MASTER, HardwareAddr: mac}
	check(t, l.NeighAdd(learned))
	want := row(rows.FDB, "vx0", "master 02:00:00:00:00:05")
	if _, there := l.read(l.scope())[want.Key]; there {
		t.Error("a learned entry is read")
	}
	l.must(plan.Create, want)
	for _, id := range []string{"self 00:00:00:00:00:00 192.0.2.2", "self 02:00:00:00:00:01 192.0.2.2"} {
		l.must(plan.Delete, row(rows.FDB, "vx0", id))
	}
	if got := fdbRows(l.read(l.scope())); len(got) != 3 {
		t.Errorf("left: %v", got)
	}
}

func fdbRows(all map[rows.Key]rows.Row) (out []string) {
	for k := range all {
		if k.Table == rows.FDB {
			out = append(out, k.String())
		}
	}
	slices.Sort(out)
	return out
}

func TestFDBByVLAN(t *testing.T) {
	l := newLab(t)
	l.needVLANs()
	l.must(plan.Create, linkRow("br0", "bridge", "vlan_filtering=1"))
	l.must(plan.Create, linkRow("vx0", "vxlan", "id=7", "master=br0", "vlans=tagged 10-11"))
	if got := fdbRows(l.read(l.scope())); len(got) != 0 {
		t.Errorf("the kernel's own entries are read: %v", got)
	}
	l.must(plan.Create, row(rows.FDB, "vx0", "master 02:00:00:00:00:01 vlan 10"))
	l.must(plan.Create, row(rows.FDB, "vx0", "master 02:00:00:00:00:01 vlan 11"))
	l.must(plan.Delete, row(rows.FDB, "vx0", "master 02:00:00:00:00:01 vlan 10"))
}

func TestRoutes(t *testing.T) {
	l := newLab(t)
	l.must(plan.Create, linkRow("vx0", "vxlan", "id=7"))
	for _, a := range []string{"10.0.0.1/24", "fd00::1/64"} {
		l.must(plan.Create, row(rows.Address, "vx0", a))
	}
	link := l.dummy(l.Handle, "under0", "192.0.2.1/24")
	for _, c := range []struct{ id, fields, other string }{
		{"203.0.113.0/24 table 254 metric 0", "dev=vx0", "via=10.0.0.2"},
		{"0.0.0.0/0 table 254 metric 50", "dev=vx0 via=10.0.0.2 src=10.0.0.1", "via=10.0.0.3"},
		{"203.0.113.0/24 table 1000 metric 10", "dev=vx0 via=10.0.0.2", "via=10.0.0.3"},
		{"2001:db8:1::/48 table 254 metric 1024", "dev=vx0", "via=fd00::2"},
		{"::/0 table 1000 metric 7", "dev=vx0 via=fd00::2 src=fd00::1", "via=fd00::3"},
		{"203.0.113.9/32 table 254 metric 0", "dev=vx0 via=fd00::2", "via=10.0.0.2"},
	} {
		want := row(rows.Route, "", c.id, strings.Fields(c.fields)...)
		if got := l.must(plan.Create, want); !got.Owned || got.Fields["encap"] != "" {
			t.Errorf("%s: %s, owned %v", c.id, got.Text(), got.Owned)
		}
		if err := l.do(plan.Create, want); !IsExists(err) {
			t.Errorf("%s again: %v", c.id, err)
		}
		want.Fields = with(want.Fields, c.other)
		l.must(plan.Update, want, "via")
		l.must(plan.Delete, want)
		l.must(plan.Delete, want)
		if err := l.do(plan.Update, want, "via"); !IsGone(err) {
			t.Errorf("%s: change of what is gone: %v", c.id, err)
		}
	}
	// Somebody's route of the same key is in the way, and not read.
	_, dst, _ := net.ParseCIDR("203.0.113.0/24")
	check(t, l.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: link.Attrs().Index}))
	want := row(rows.Route, "", "203.0.113.0/24 table 254 metric 0", "dev=vx0")
	if err := l.do(plan.Create, want); !IsExists(err) {
		t.Errorf("over somebody's: %v", err)
	}
	check(t, l.do(plan.Delete, want))
	if list, err := l.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: dst}, netlink.RT_FILTER_DST); err != nil || len(list) != 1 {
		t.Errorf("somebody's route: %v, %v", list, err)
	}
}

func TestEncapRoutes(t *testing.T) {
	needGuest(t, "the kernel drivers ip_gre and ip6_gre")
	l := newLab(t)
	l.underlays()
	l.must(plan.Create, linkRow("g0", "gre", "external=true"))
	l.must(plan.Create, linkRow("g6", "ip6gre", "external=true"))
	for _, c := range [][3]string{
		{"g0", "ip id 100 dst 192.0.2.9 ttl 64 key", "ip id 101 src 192.0.2.1 dst 192.0.2.8 ttl 9 tos 4 key"},
		{"g6", "ip6 id 100 dst 2001:db8::9 ttl 64 key", "ip6 id 5 dst 2001:db8::8 ttl 64 key"},
	} {
		for _, id := range []string{"203.0.113.0/24 table 254 metric 0", "2001:db8:9::/48 table 254 metric 1024"} {
			want := row(rows.Route, "", id, "dev="+c[0], "encap="+c[1])
			l.must(plan.Create, want)
			want.Fields = with(want.Fields, "encap="+c[2])
			l.must(plan.Update, want, "encap")
			l.must(plan.Delete, want)
		}
	}
}

func TestFOU(t *testing.T) {
	l := newLab(t)
	want := row(rows.FOU, "", "inet 5555", "type=fou")
	err := l.do(plan.Create, want)
	if !inGuest && IsDriverMissing(err) {
		if !strings.Contains(err.Error(), "modprobe fou") {
			t.Errorf("the error names no remedy: %v", err)
		}
		l.read(l.scope())
		t.Skip(err)
	}
	check(t, err)
	check(t, l.do(plan.Delete, want))
	for _, want := range []rows.Row{want, row(rows.FOU, "", "inet 5556", "type=gue"), row(rows.FOU, "", "inet6 5557", "type=fou")} {
		if got := l.must(plan.Create, want); !got.Owned || !got.Unmarked {
			t.Errorf("%+v", got)
		}
		if err := l.do(plan.Create, want); !IsExists(err) {
			t.Errorf("again: %v", err)
		}
	}
	l.must(plan.Update, row(rows.FOU, "", "inet 5555", "type=gue"), "type")
	l.must(plan.Delete, want)
	l.must(plan.Delete, want)
}

// TestNamespaces: tables of a named namespace, which is left alone when it goes.
func TestNamespaces(t *testing.T) {
	l := newLab(t)
	name, _ := l.named()
	in := func(r rows.Row) rows.Row {
		r.Netns = name
		return r
	}
	l.must(plan.Create, in(linkRow("vx0", "vxlan", "id=7")))
	l.must(plan.Create, in(row(rows.Address, "vx0", "10.0.0.1/24")))
	got := l.must(plan.Create, in(row(rows.Route, "", "203.0.113.0/24 table 254 metric 0", "dev=vx0")))
	if !got.Owned {
		t.Error("the route is not owned")
	}
	s := l.scope()
	s.Netns = []string{name, name + "-none"}
	if n := len(l.read(s)); n < 4 {
		t.Errorf("%d rows", n)
	}
	check(t, netns.DeleteNamed(name))
	if got := l.read(s); len(got) != len(l.read(l.scope())) {
		t.Errorf("rows of a namespace that is gone: %v", got)
	}
	if l.host.spaces[name] != nil {
		t.Error("a socket keeps the namespace alive")
	}
	if err := l.do(plan.Create, in(linkRow("vx0", "vxlan", "id=7"))); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("create where there is nothing: %v", err)
	}
	check(t, l.do(plan.Delete, in(linkRow("vx0", "vxlan", "id=7"))))
}

// TestMovedLink: a device in a namespace whose outer packets stay where it was made.
func TestMovedLink(t *testing.T) {
	l := newLab(t)
	l.underlays()
	name, _ := l.named()
	kinds := map[string][]string{"vxlan": {"id=7", "dev=under0", "remote=192.0.2.9"}, "vlan": {"id=9", "dev=under0"}}
	if inGuest {
		for _, k := range []string{"gre", "gretap", "ip6gre", "ip6gretap", "erspan"} {
			kinds[k] = append(baseFields[k], "ikey=7", "dev=under0")
		}
		geneve := linkRow("x0", "geneve", append(baseFields["geneve"], "underlay-netns=")...)
		geneve.Netns = name
		if err := l.do(plan.Create, geneve); err == nil {
			t.Error("a geneve device whose underlay cannot be read is made")
		}
	}
	for kind, fields := range kinds {
		t.Run(kind, func(t *testing.T) {
			l := &lab{l.Handle, t, l.ns, l.host}
			want := linkRow("x0", kind, append(fields, "underlay-netns=", "mtu=1400", "addrgen=none")...)
			want.Netns = name
			if err := l.do(plan.Create, want); IsDriverMissing(err) && !inGuest {
				t.Skip(err)
			} else {
				check(t, err)
			}
			l.must(plan.Delete, want)
			l.must(plan.Create, want)
			if l.index("x0") != 0 {
				t.Error("it is in its underlay's namespace too")
			}
			if _, is := rows.Kinds[kind].Attr("ttl"); is {
				want.Fields = with(want.Fields, "ttl=33")
				l.must(plan.Update, want, "ttl")
			}
			l.must(plan.Recreate, want)
			l.must(plan.Delete, want)
		})
	}
}

// TestForeignObjects: a thousand things of others' are as they were after all that greave did.
func TestForeignObjects(t *testing.T) {
	l := newLab(t)
	for i := range 200 {
		link := l.dummy(l.Handle, fmt.Sprintf("f%d", i), fmt.Sprintf("198.18.%d.1/24", i))
		mac, _ := net.ParseMAC("02:00:00:00:01:01")
		check(t, l.NeighAdd(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: unix.NUD_PERMANENT, IP: net.IPv4(198, 18, byte(i), 2), HardwareAddr: mac}))
		_, dst, _ := net.ParseCIDR(fmt.Sprintf("198.19.%d.0/24", i))
		check(t, l.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: link.Attrs().Index}))
	}
	before := l.foreign()
	t.Logf("%d foreign objects", len(before))
	l.must(plan.Create, linkRow("br0", "bridge"))
	l.must(plan.Create, linkRow("vx0", "vxlan", "id=7", "master=br0"))
	l.must(plan.Create, row(rows.Address, "br0", "10.0.0.1/24"))
	l.must(plan.Create, row(rows.FDB, "vx0", "master 02:00:00:00:00:01"))
	l.must(plan.Create, row(rows.Route, "", "203.0.113.0/24 table 254 metric 0", "dev=br0"))
	for key, r := range l.read(l.scope()) {
		foreign := strings.HasPrefix(key.Link, "f")
		if r.Owned && foreign || foreign && key.Table != rows.Link {
			t.Errorf("%s, owned %v", r.Text(), r.Owned)
		}
		if r.Owned && key.Table == rows.Link {
			l.must(plan.Delete, r)
		}
	}
	if after := l.foreign(); !slices.Equal(before, after) {
		t.Errorf("%d foreign objects before, %d after", len(before), len(after))
	}
}

// foreign spells all links, addresses, neighbours and routes.
func (l *lab) foreign() (out []string) {
	l.t.Helper()
	links, err := l.LinkList()
	check(l.t, err)
	for _, k := range links {
		a := k.Attrs()
		out = append(out, fmt.Sprint("link ", a.Index, a.Name, a.Flags, a.MTU, a.HardwareAddr, a.MasterIndex, a.Alias, a.Group))
	}
	addrs, err := l.AddrList(nil, netlink.FAMILY_V4)
	check(l.t, err)
	for _, a := range addrs {
		out = append(out, fmt.Sprint("address ", a.LinkIndex, a.IPNet))
	}
	neighs, err := l.NeighList(0, netlink.FAMILY_V4)
	check(l.t, err)
	for _, n := range neighs {
		if n.State != unix.NUD_PERMANENT {
			continue // the kernel's
		}
		out = append(out, fmt.Sprint("neighbour ", n.LinkIndex, n.IP, n.HardwareAddr, n.State))
	}
	routes, err := l.RouteList(nil, netlink.FAMILY_V4)
	check(l.t, err)
	for _, r := range routes {
		out = append(out, "route "+r.String())
	}
	slices.Sort(out)
	return out
}
