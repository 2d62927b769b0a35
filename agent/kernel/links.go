package kernel

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/model"
)

// Bits of IFLA_EXT_MASK (RTEXT_FILTER_*).
const (
	extVLANs     = 1 << 2 // ranges
	extSkipStats = 1 << 3
)

// Attributes that package unix does not name, or not in one place (linux/if_link.h, if_bridge.h).
const (
	inet6AddrGenMode = 8 // IFLA_INET6_ADDR_GEN_MODE in the AF_INET6 part of IFLA_AF_SPEC
	bridgeVLANInfo   = 2 // IFLA_BRIDGE_VLAN_INFO in IFLA_AF_SPEC of family AF_BRIDGE
)

var addrGenModes = map[byte]string{0: "eui64", 1: "none", 2: "stable_secret", 3: "random"}

// links lists all devices of a namespace, and learns their indices.
func (s *space) links(ctx context.Context, owner model.Owner) (map[rows.Key]rows.Row, map[int]string, error) {
	var m message
	m.header(ifinfo{})
	m.u32(unix.IFLA_EXT_MASK, extSkipStats)
	answer, err := s.route(ctx, "list devices", unix.RTM_GETLINK, unix.NLM_F_DUMP, m)
	if err != nil {
		return nil, nil, err
	}
	names := make(map[int]string, len(answer))
	s.index = make(map[string]int, len(answer))
	parsed := make([]map[int][]byte, len(answer))
	for i, b := range answer {
		info := parseIfinfo(b)
		parsed[i] = byID(b[min(len(b), unix.SizeofIfInfomsg):])
		name := cString(parsed[i][unix.IFLA_IFNAME])
		names[int(info.index)], s.index[name] = name, int(info.index)
	}
	out := make(map[rows.Key]rows.Row, len(answer))
	device := func(i int) string { return names[i] }
	tagged := false
	for i, b := range answer {
		r := s.link(parseIfinfo(b), parsed[i], device, owner)
		tagged = tagged || r.Fields["vlan_filtering"] == "1"
		out[r.Key] = r
	}
	if tagged {
		err = s.vlans(ctx, out, device)
	}
	return out, names, err
}

// link is one device as a row.
func (s *space) link(info ifinfo, at map[int][]byte, device func(int) string, owner model.Owner) rows.Row {
	linkinfo := byID(at[unix.IFLA_LINKINFO])
	kind := cString(linkinfo[unix.IFLA_INFO_KIND])
	fields := map[string]string{}
	if k, known := rows.Kinds[kind]; known {
		data := byID(linkinfo[unix.IFLA_INFO_DATA])
		data[0] = at[unix.IFLA_LINK] // what a VLAN is of is no attribute of the kind
		fields = decodeKind(k, data, device)
	}
	fields[rows.FieldKind] = kind
	fields[rows.FieldMTU] = strconv.FormatUint(number(at[unix.IFLA_MTU]), 10)
	fields[rows.FieldUp] = strconv.FormatBool(info.flags&unix.IFF_UP != 0)
	fields[rows.FieldMulticast] = strconv.FormatBool(info.flags&unix.IFF_MULTICAST != 0)
	fields[rows.FieldAlias] = cString(at[unix.IFLA_IFALIAS])
	fields[rows.FieldMaster] = device(int(number(at[unix.IFLA_MASTER])))
	if mac := at[unix.IFLA_ADDRESS]; len(mac) == 6 {
		fields[rows.FieldMAC] = net.HardwareAddr(mac).String()
	}
	inet6 := byID(byID(at[unix.IFLA_AF_SPEC])[unix.AF_INET6])
	if mode := inet6[inet6AddrGenMode]; len(mode) == 1 {
		fields[rows.FieldAddrGen] = addrGenModes[mode[0]]
	}
	if cString(linkinfo[unix.IFLA_INFO_SLAVE_KIND]) == "bridge" {
		port := byID(linkinfo[unix.IFLA_INFO_SLAVE_DATA])
		for _, a := range rows.PortAttrs {
			fields[rows.PortPrefix+a.Name] = decode(a, port, device)
		}
	}
	r := rows.Row{Key: rows.Key{Netns: s.name, Table: rows.Link, Link: cString(at[unix.IFLA_IFNAME])}, Fields: fields}
	if name, ref, marked := rows.ParseAlias(fields[rows.FieldAlias]); marked && name == owner.Name {
		r.Owned, r.Object = true, ref
	} else if fields[rows.FieldAlias] == "" && number(at[unix.IFLA_GROUP]) == uint64(rows.GroupMark|uint32(owner.Tag)) {
		r.Owned = true
	}
	return r
}

// vlans reads the VLANs of the ports of all bridges.
func (s *space) vlans(ctx context.Context, links map[rows.Key]rows.Row, device func(int) string) error {
	var m message
	m.header(ifinfo{family: unix.AF_BRIDGE})
	m.u32(unix.IFLA_EXT_MASK, extVLANs)
	answer, err := s.route(ctx, "list VLANs", unix.RTM_GETLINK, unix.NLM_F_DUMP, m)
	if err != nil {
		return err
	}
	for _, b := range answer {
		var set vlanSet
		for id, v := range attributes(byID(b[min(len(b), unix.SizeofIfInfomsg):])[unix.IFLA_AF_SPEC]) {
			if id == bridgeVLANInfo && len(v) >= 4 {
				set.add(uint16(number(v[:2])), uint16(number(v[2:4])))
			}
		}
		k := rows.Key{Netns: s.name, Table: rows.Link, Link: device(int(parseIfinfo(b).index))}
		if r, ok := links[k]; ok && r.Fields[rows.FieldKind] != "bridge" {
			r.Fields[rows.FieldVLANs] = set.String()
		}
	}
	return nil
}

// createLink makes a device. First it has the group mark; its alias is written with what else is
// known only of a device that is there.
func (h *Host) createLink(ctx context.Context, r rows.Row) error {
	s, err := h.space(r.Netns)
	if err != nil {
		return err
	}
	under, moves := r.Fields[rows.FieldUnderlay]
	at := s
	if moves {
		if at, err = h.space(under); err != nil {
			return err
		}
	}
	op := opText("create", r.Key)
	kind, known := rows.Kinds[r.Fields[rows.FieldKind]]
	if !known {
		return fmt.Errorf("%s: kind %q is not known", op, r.Fields[rows.FieldKind])
	}
	owner, _, _ := rows.ParseAlias(r.Fields[rows.FieldAlias])
	var m message
	m.header(ifinfo{})
	m.text(unix.IFLA_IFNAME, r.Link)
	m.u32(unix.IFLA_GROUP, rows.GroupMark|uint32(model.NewOwner(owner).Tag))
	if err := at.putKind(ctx, &m, kind, r.Fields, true, func(string) bool { return true }); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := at.putGeneral(ctx, &m, r.Fields, func(f string) bool { return f == rows.FieldMTU || f == rows.FieldMAC }); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := at.change(ctx, op, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, m); err != nil {
		return driverError(err, kind)
	}
	delete(at.index, r.Link)
	if moves {
		if err := h.move(ctx, op, at, r); err != nil {
			return err
		}
	}
	delete(s.index, r.Link)
	return s.finish(ctx, op, r)
}

// move takes a new device to its namespace; its outer packets stay in the one it was made in.
func (h *Host) move(ctx context.Context, op string, from *space, r rows.Row) error {
	index, err := from.device(ctx, r.Link)
	if err != nil {
		return err
	}
	return h.withNetns(r.Netns, func(fd int) error {
		var m message
		m.header(ifinfo{index: int32(index)})
		m.u32(unix.IFLA_NET_NS_FD, uint32(fd))
		delete(from.index, r.Link)
		return from.change(ctx, op, unix.RTM_NEWLINK, 0, m)
	})
}

// finish writes what a new device has besides its kind. A port of a bridge is up only when it is
// what it shall be there.
func (s *space) finish(ctx context.Context, op string, r rows.Row) error {
	index, err := s.device(ctx, r.Link)
	if err != nil {
		return err
	}
	port := func(f string) bool {
		name, is := strings.CutPrefix(f, rows.PortPrefix)
		return is && r.Fields[f] != rows.PortDefault(name)
	}
	later := r.Fields[rows.FieldVLANs] != "" || slices.ContainsFunc(fieldNames(r), port)
	first := func(f string) bool { return f != rows.FieldUp || !later }
	if err := s.setLink(ctx, op, index, r.Fields, first, true); err != nil || !later {
		return err
	}
	if err := s.setPort(ctx, op, index, r.Fields, port); err != nil {
		return err
	}
	if want := r.Fields[rows.FieldVLANs]; want != "" {
		if err := s.setVLANs(ctx, op, index, "pvid 1 untagged 1", want); err != nil {
			return err
		}
	}
	return s.setLink(ctx, op, index, r.Fields, func(f string) bool { return f == rows.FieldUp }, false)
}

func fieldNames(r rows.Row) []string {
	out := make([]string, 0, len(r.Fields))
	for f := range r.Fields {
		out = append(out, f)
	}
	return out
}

// updateLink writes the fields that changed.
func (h *Host) updateLink(ctx context.Context, r rows.Row, changed map[string]string) error {
	s, err := h.space(r.Netns)
	if err != nil {
		return err
	}
	op := opText("update", r.Key)
	index, err := s.device(ctx, r.Link)
	if err != nil {
		return err
	}
	in := func(f string) bool { _, ok := changed[f]; return ok }
	kind := rows.Kinds[r.Fields[rows.FieldKind]]
	ofKind := slices.ContainsFunc(kind.Attrs, func(a rows.Attr) bool { return in(a.Name) })
	if ofKind {
		if err := s.updateKind(ctx, op, index, kind, r.Fields, changed); err != nil {
			return err
		}
	}
	general := slices.ContainsFunc([]string{rows.FieldMTU, rows.FieldMAC, rows.FieldAlias, rows.FieldMaster, rows.FieldMulticast, rows.FieldAddrGen, rows.FieldUp}, in)
	if general {
		if err := s.setLink(ctx, op, index, r.Fields, in, in(rows.FieldAlias)); err != nil {
			return err
		}
	}
	port := func(f string) bool { return strings.HasPrefix(f, rows.PortPrefix) && in(f) }
	if slices.ContainsFunc(fieldNames(r), port) {
		if err := s.setPort(ctx, op, index, r.Fields, port); err != nil {
			return err
		}
	}
	if in(rows.FieldVLANs) {
		was := changed[rows.FieldVLANs]
		if was == "" {
			was = "pvid 1 untagged 1" // of a port that has just come
		}
		return s.setVLANs(ctx, op, index, was, r.Fields[rows.FieldVLANs])
	}
	return nil
}

// updateKind changes what the driver of a device knows of it.
func (s *space) updateKind(ctx context.Context, op string, index int, kind rows.Kind, fields, changed map[string]string) error {
	only := func(f string) bool { _, ok := changed[f]; return ok || kind.Whole }
	steps := []map[string]string{fields}
	if kind.First != nil {
		if first := kind.First(fields, changed); first != nil {
			steps = []map[string]string{first, fields}
		}
	}
	for _, step := range steps {
		var m message
		m.header(ifinfo{index: int32(index)})
		if err := s.putKind(ctx, &m, kind, step, false, only); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		// Without it the driver works out one of its own.
		if err := s.putGeneral(ctx, &m, step, func(f string) bool { return f == rows.FieldMTU }); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		if err := s.change(ctx, op, unix.RTM_NEWLINK, 0, m); err != nil {
			return err
		}
	}
	return nil
}

func (s *space) deleteLink(ctx context.Context, r rows.Row) error {
	op := opText("delete", r.Key)
	index, err := s.device(ctx, r.Link)
	if err != nil {
		return err
	}
	var m message
	m.header(ifinfo{index: int32(index)})
	if r.Bound { // somebody else's device: only let go of
		m.u32(unix.IFLA_MASTER, 0)
		return s.change(ctx, "release "+r.Key.String(), unix.RTM_SETLINK, 0, m)
	}
	delete(s.index, r.Link)
	return s.change(ctx, op, unix.RTM_DELLINK, 0, m)
}

// putKind puts IFLA_LINKINFO, and IFLA_LINK for a kind that is of another device.
func (s *space) putKind(ctx context.Context, m *message, k rows.Kind, fields map[string]string, fresh bool, only func(string) bool) error {
	device := func(name string) (int, error) { return s.device(ctx, name) }
	if a, ok := k.Attr("dev"); ok && a.ID == 0 && only("dev") && fields["dev"] != "" {
		index, err := device(fields["dev"])
		if err != nil {
			return err
		}
		m.u32(unix.IFLA_LINK, uint32(index))
	}
	var failed error
	m.nest(unix.IFLA_LINKINFO, func(m *message) {
		m.text(unix.IFLA_INFO_KIND, k.Name)
		m.nest(unix.IFLA_INFO_DATA, func(m *message) { failed = encodeKind(m, k, fields, fresh, only, device) })
	})
	return failed
}

// putGeneral puts those attributes that any device has and that only says.
func (s *space) putGeneral(ctx context.Context, m *message, fields map[string]string, only func(string) bool) error {
	if v, stated := fields[rows.FieldMTU]; stated && only(rows.FieldMTU) {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return err
		}
		m.u32(unix.IFLA_MTU, uint32(n))
	}
	if v := fields[rows.FieldMAC]; v != "" && only(rows.FieldMAC) {
		mac, err := net.ParseMAC(v)
		if err != nil {
			return err
		}
		m.put(unix.IFLA_ADDRESS, mac)
	}
	if v, stated := fields[rows.FieldMaster]; stated && only(rows.FieldMaster) {
		index := 0
		if v != "" {
			var err error
			if index, err = s.device(ctx, v); err != nil {
				return err
			}
		}
		m.u32(unix.IFLA_MASTER, uint32(index))
	}
	if v := fields[rows.FieldAddrGen]; v != "" && only(rows.FieldAddrGen) {
		for mode, name := range addrGenModes {
			if name == v {
				m.nest(unix.IFLA_AF_SPEC, func(m *message) {
					m.nest(unix.AF_INET6, func(m *message) { m.u8(inet6AddrGenMode, mode) })
				})
			}
		}
	}
	return nil
}

// setLink writes general fields; with mark also the alias, in place of the group.
func (s *space) setLink(ctx context.Context, op string, index int, fields map[string]string, only func(string) bool, mark bool) error {
	info := ifinfo{index: int32(index)}
	for f, bit := range map[string]uint32{rows.FieldUp: unix.IFF_UP, rows.FieldMulticast: unix.IFF_MULTICAST} {
		v, stated := fields[f]
		if !stated || !only(f) {
			continue
		}
		info.change |= bit
		if v == "true" {
			info.flags |= bit
		}
	}
	var m message
	m.header(info)
	if mark && fields[rows.FieldAlias] != "" {
		m.put(unix.IFLA_IFALIAS, []byte(fields[rows.FieldAlias]))
		m.u32(unix.IFLA_GROUP, 0)
	}
	if err := s.putGeneral(ctx, &m, fields, only); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return s.change(ctx, op, unix.RTM_NEWLINK, 0, m)
}

// setPort writes the fields of a port of a bridge for which only says yes.
func (s *space) setPort(ctx context.Context, op string, index int, fields map[string]string, only func(string) bool) error {
	var failed error
	var m message
	m.header(ifinfo{index: int32(index)})
	m.nest(unix.IFLA_LINKINFO, func(m *message) {
		m.text(unix.IFLA_INFO_SLAVE_KIND, "bridge")
		m.nest(unix.IFLA_INFO_SLAVE_DATA, func(m *message) {
			for _, a := range rows.PortAttrs {
				if f := rows.PortPrefix + a.Name; only(f) {
					b, err := encode(a, fields[f], false, nil)
					if err != nil {
						failed = err
					}
					m.put(a.ID, b)
				}
			}
		})
	})
	if failed != nil {
		return fmt.Errorf("%s: %w", op, failed)
	}
	return s.change(ctx, op, unix.RTM_NEWLINK, 0, m)
}

func (s *space) setVLANs(ctx context.Context, op string, index int, was, want string) error {
	before, after := parseVLANs(was), parseVLANs(want)
	send := func(typ int, infos [][2]uint16) error {
		if len(infos) == 0 {
			return nil
		}
		var m message
		m.header(ifinfo{family: unix.AF_BRIDGE, index: int32(index)})
		m.nest(unix.IFLA_AF_SPEC, func(m *message) {
			for _, i := range infos {
				var v message
				v.vlan(i[0], i[1])
				m.put(bridgeVLANInfo, v)
			}
		})
		return s.change(ctx, op, typ, 0, m)
	}
	if err := send(unix.RTM_DELLINK, before.without(after).infos()); err != nil && !IsGone(err) {
		return err
	}
	return send(unix.RTM_SETLINK, after.infos())
}
