package kernel

import (
	"context"
	"net"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/model"
)

// linux/if_link.h, linux/rtnetlink.h, linux/ipv6.h, linux/net_namespace.h: what package unix lacks.
const (
	extBridgeVLANs = 1 << 2 // RTEXT_FILTER_BRVLAN_COMPRESSED
	extSkipStats   = 1 << 3 // RTEXT_FILTER_SKIP_STATS

	infoKind, infoData, infoSlaveKind, infoSlaveData = 1, 2, 4, 5 // IFLA_INFO_*

	inet6Conf    = 2 // IFLA_INET6_CONF
	inet6AddrGen = 8 // IFLA_INET6_ADDR_GEN_MODE
	confAddrGen  = 47

	nsidNone = 0
	nsidFd   = 3 // NETNSA_FD
	nsidID   = 1 // NETNSA_NSID
)

// addrGen are the modes IN6_ADDR_GEN_MODE_*.
var addrGen = []string{"eui64", "none", "stable_secret", "random"}

// link is a device as a dump shows it.
type link struct {
	ifinfo
	name, alias string
	kind        string
	slaveKind   string
	mtu         uint32
	mac         []byte
	master      int
	parent      int // IFLA_LINK
	group       uint32
	nsid        int32 // of the namespace that its underlay is in, as its own namespace numbers it
	moved       bool  // nsid counts: the underlay is elsewhere
	addrgen     string
	data        map[int][]byte
	slaveData   map[int][]byte
	vlans       string
	tables      bool // its addresses, neighbours and so on are read
	owned       bool
}

func dumpLinks(ctx context.Context, sp *space) (map[int]*link, error) {
	answer, err := sp.dumpLinks(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[int]*link, len(answer))
	sp.index = make(map[string]int, len(answer))
	for _, b := range answer {
		if l := parseLink(b); l != nil {
			out[int(l.index)] = l
			sp.index[l.name] = int(l.index)
		}
	}
	return out, nil
}

func (s *space) dumpLinks(ctx context.Context) ([][]byte, error) {
	var m message
	m.header(ifinfo{})
	m.u32(unix.IFLA_EXT_MASK, extSkipStats)
	return s.dump(ctx, "links", unix.RTM_GETLINK, m)
}

func parseLink(b []byte) *link {
	if len(b) < unix.SizeofIfInfomsg {
		return nil
	}
	// No IPv6 on the device is no address of its own either.
	l := &link{ifinfo: parseIfinfo(b), addrgen: "none"}
	for id, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch id {
		case unix.IFLA_IFNAME:
			l.name = cString(v)
		case unix.IFLA_IFALIAS:
			l.alias = cString(v)
		case unix.IFLA_MTU:
			l.mtu = uint32(number(v))
		case unix.IFLA_ADDRESS:
			l.mac = v
		case unix.IFLA_MASTER:
			l.master = int(number(v))
		case unix.IFLA_LINK:
			l.parent = int(number(v))
		case unix.IFLA_GROUP:
			l.group = uint32(number(v))
		case unix.IFLA_LINK_NETNSID:
			l.nsid, l.moved = int32(number(v)), true
		case unix.IFLA_LINKINFO:
			l.parseInfo(v)
		case unix.IFLA_AF_SPEC:
			l.parseFamilies(v)
		}
	}
	return l
}

func (l *link) parseInfo(b []byte) {
	for id, v := range attributes(b) {
		switch id {
		case infoKind:
			l.kind = cString(v)
		case infoData:
			l.data = byID(v)
		case infoSlaveKind:
			l.slaveKind = cString(v)
		case infoSlaveData:
			l.slaveData = byID(v)
		}
	}
}

// parseFamilies finds the mode of IPv6 address generation. A dump without statistics lacks the
// attribute of its own (inet6_fill_ifla6_attrs returns before it); the device's settings hold it too.
func (l *link) parseFamilies(b []byte) {
	for af, families := range attributes(b) {
		if af != unix.AF_INET6 {
			continue
		}
		mode := uint64(0)
		for id, v := range attributes(families) {
			switch {
			case id == inet6AddrGen:
				mode = number(v)
			case id == inet6Conf && len(v) >= 4*(confAddrGen+1):
				mode = number(v[4*confAddrGen : 4*(confAddrGen+1)])
			}
		}
		if mode < uint64(len(addrGen)) {
			l.addrgen = addrGen[mode]
		}
	}
}

// readLinks makes rows of a namespace's devices.
func (r *reader) readLinks(sp *space) error {
	links := r.links[sp.name]
	if err := r.readVLANs(sp); err != nil {
		return err
	}
	underlays, err := r.underlays(sp)
	if err != nil {
		return err
	}
	for _, l := range links {
		row := rows.Row{Key: rows.Key{Netns: sp.name, Table: rows.Link, Link: l.name}}
		row.Object, row.Owned = r.mark(l)
		l.owned = row.Owned
		l.tables = row.Owned || r.Links[LinkAt{sp.name, l.name}]
		row.Fields = r.linkFields(sp, l, underlays)
		r.add(row)
	}
	return nil
}

// mark reads whose a device is: by its alias, or, while it is half made, by its group.
func (r *reader) mark(l *link) (model.Ref, bool) {
	if l.alias == "" {
		return model.Ref{}, l.group == rows.GroupMark|uint32(r.Owner.Tag)
	}
	owner, ref, ok := rows.ParseAlias(l.alias)
	if !ok {
		ref = model.Ref{}
	}
	return ref, owner != "" && owner == r.Owner.Name
}

func (r *reader) linkFields(sp *space, l *link, underlays map[int32]string) map[string]string {
	names := func(netns string) func(int) string {
		return func(index int) string {
			if d := r.links[netns][index]; d != nil {
				return d.name
			}
			return "index " + decimal(index)
		}
	}
	var f map[string]string
	if kind, known := rows.Kinds[l.kind]; known {
		underlay := sp.name
		if l.moved {
			var ok bool
			if underlay, ok = underlays[l.nsid]; !ok {
				underlay = "nsid " + decimal(l.nsid)
			}
		}
		f = decodeKind(kind, l.data, names(underlay))
		f[rows.FieldUnderlay] = underlay
		if a, ok := kind.Attr("dev"); ok && a.ID == 0 && l.parent != 0 {
			f["dev"] = names(underlay)(l.parent)
		}
	} else {
		f = make(map[string]string, 8)
	}
	f[rows.FieldKind] = l.kind
	f[rows.FieldMTU] = decimal(l.mtu)
	f[rows.FieldUp] = boolText(l.flags&unix.IFF_UP != 0)
	f[rows.FieldMulticast] = boolText(l.flags&unix.IFF_MULTICAST != 0)
	f[rows.FieldAlias] = l.alias
	f[rows.FieldAddrGen] = l.addrgen
	f[rows.FieldMaster] = ""
	if l.master != 0 {
		f[rows.FieldMaster] = names(sp.name)(l.master)
	}
	if l.typ == unix.ARPHRD_ETHER {
		f[rows.FieldMAC] = net.HardwareAddr(l.mac).String()
	}
	if l.slaveKind == "bridge" {
		for _, a := range rows.PortAttrs {
			f[rows.PortPrefix+a.Name] = decode(a, l.slaveData, nil)
		}
	}
	if l.vlans != "" {
		f[rows.FieldVLANs] = l.vlans
	}
	return f
}

// underlays maps the numbers that a namespace has for the others of the reading to their names. It
// asks only where some device of greave's kinds lies apart from its underlay.
func (r *reader) underlays(sp *space) (map[int32]string, error) {
	apart := false
	for _, l := range r.links[sp.name] {
		_, known := rows.Kinds[l.kind]
		apart = apart || known && l.moved
	}
	out := map[int32]string{}
	if !apart {
		return out, nil
	}
	for _, other := range r.spaces {
		id, ok, err := nsidOf(r.ctx, sp, other)
		if err != nil {
			return nil, err
		}
		if ok {
			out[id] = other.name
		}
	}
	return out, nil
}

// nsidOf returns the number that sp has for another namespace, if any.
func nsidOf(ctx context.Context, sp, other *space) (id int32, ok bool, err error) {
	err = other.withFd(func(fd int) error {
		var m message
		m.header(raw{unix.AF_UNSPEC, 0, 0, 0})
		m.u32(nsidFd, uint32(fd))
		answer, err := sp.route(ctx, "find namespace "+other.name, unix.RTM_GETNSID, 0, m)
		for _, b := range answer {
			if len(b) < 4 {
				continue
			}
			if v, there := byID(b[4:])[nsidID]; there {
				id = int32(number(v))
				ok = id >= 0 // NETNSA_NSID_NOT_ASSIGNED is -1
			}
		}
		return err
	})
	return id, ok, err
}

// readVLANs reads the VLANs of the ports of bridges that look at VLANs, if there is such a bridge.
func (r *reader) readVLANs(sp *space) error {
	links := r.links[sp.name]
	const vlanFiltering = 7 // IFLA_BR_VLAN_FILTERING
	aware := map[int]bool{}
	for i, l := range links {
		if l.kind == "bridge" && number(l.data[vlanFiltering]) != 0 {
			aware[i] = true
		}
	}
	if len(aware) == 0 {
		return nil
	}
	var m message
	m.header(ifinfo{family: unix.AF_BRIDGE})
	m.u32(unix.IFLA_EXT_MASK, extBridgeVLANs)
	answer, err := sp.dump(r.ctx, "VLANs", unix.RTM_GETLINK, m)
	if err != nil {
		return err
	}
	for _, b := range answer {
		l := links[int(parseIfinfo(b).index)]
		if l == nil || !aware[l.master] {
			continue
		}
		for id, v := range attributes(b[unix.SizeofIfInfomsg:]) {
			if id == unix.IFLA_AF_SPEC {
				l.vlans = decodeVLANs(v).String()
			}
		}
	}
	return nil
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
