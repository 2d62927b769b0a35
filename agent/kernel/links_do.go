package kernel

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
)

// boundFields are all that greave writes of a device that somebody else made.
var boundFields = []string{rows.FieldMaster, rows.FieldVLANs, rows.FieldMTU, rows.FieldUp}

func (w *writer) link(v plan.Verb) error {
	if w.row.Bound {
		return w.boundLink(v)
	}
	switch v {
	case plan.Create:
		return w.createLink()
	case plan.Delete:
		return w.deleteLink()
	default:
		return w.updateLink(w.changes)
	}
}

// boundLink is link for somebody else's device: to delete it is to release it.
func (w *writer) boundLink(v plan.Verb) error {
	if v == plan.Delete {
		index, err := w.device()
		if err != nil {
			return err
		}
		var m message
		m.header(ifinfo{index: index})
		m.u32(unix.IFLA_MASTER, 0)
		return w.change(unix.RTM_SETLINK, 0, m)
	}
	fields := map[string]bool{}
	for f := range w.row.Fields {
		ours := slices.Contains(boundFields, f) || strings.HasPrefix(f, rows.PortPrefix)
		fields[f] = ours && (v == plan.Create || w.changes[f])
	}
	return w.updateLink(fields)
}

// deleteLink goes by the index that was read, if it was: whoever has the name now may be another.
func (w *writer) deleteLink() error {
	index, err := w.device()
	if err != nil {
		return err
	}
	var m message
	m.header(ifinfo{index: index})
	err = w.change(unix.RTM_DELLINK, 0, m)
	if err == nil || IsGone(err) {
		delete(w.sp.index, w.row.Link)
	}
	return err
}

// createLink makes a device that carries the owner's tag as its group, and then, as the kernel takes
// no alias for a device to be, marks and places it. A device of which only half could be made goes.
func (w *writer) createLink() error {
	kind, known := rows.Kinds[w.row.Fields[rows.FieldKind]]
	if !known {
		return w.invalid(fmt.Errorf("unknown kind %q", w.row.Fields[rows.FieldKind]))
	}
	from := w.sp
	if name, stated := w.row.Fields[rows.FieldUnderlay]; stated && name != w.row.Netns {
		if kind.Here {
			return w.invalid(fmt.Errorf("the kernel does not tell where the underlay of a %s device is: both must be in one namespace", kind.Name))
		}
		var err error
		if from, err = w.h.space(name); err != nil {
			return err
		}
	}
	if err := w.newLink(from, kind); err != nil {
		return driverError(err, kind)
	}
	delete(w.sp.index, w.row.Link)
	at := from
	err := w.settle(from, &at)
	if err != nil {
		var m message
		m.header(ifinfo{})
		m.text(unix.IFLA_IFNAME, w.row.Link)
		_ = w.changeIn(at, unix.RTM_DELLINK, 0, m) // the first error tells more
	}
	return err
}

// newLink makes the device, where its underlay is.
func (w *writer) newLink(from *space, kind rows.Kind) error {
	f := w.row.Fields
	var m message
	m.header(ifinfo{})
	m.text(unix.IFLA_IFNAME, w.row.Link)
	if owner, _, ok := rows.ParseAlias(f[rows.FieldAlias]); ok {
		m.u32(unix.IFLA_GROUP, rows.GroupMark|uint32(model.NewOwner(owner).Tag))
	}
	err := w.putPlain(&m, func(name string) bool { return name == rows.FieldMTU || name == rows.FieldMAC })
	if err == nil {
		err = w.putKind(&m, from, kind, true)
	}
	if err != nil {
		return err
	}
	return w.changeIn(from, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, m)
}

// putKind puts IFLA_LINKINFO, and IFLA_LINK for a kind whose device below is not an attribute of its own.
func (w *writer) putKind(m *message, from *space, kind rows.Kind, fresh bool) error {
	device := func(name string) (int, error) { return from.device(w.ctx, name) }
	if a, ok := kind.Attr("dev"); ok && a.ID == 0 && fresh {
		index, err := device(w.row.Fields["dev"])
		if err != nil {
			return err
		}
		m.u32(unix.IFLA_LINK, uint32(index))
	}
	var err error
	m.nest(unix.IFLA_LINKINFO, func(m *message) {
		m.put(infoKind, []byte(kind.Name))
		m.nest(infoData, func(m *message) {
			only := func(name string) bool { return fresh || kind.Whole || w.changes[name] }
			err = encodeKind(m, kind, w.row.Fields, fresh || kind.Whole, only, device)
		})
	})
	if err != nil {
		return w.invalid(err)
	}
	return nil
}

// settle marks a new device, moves it to its namespace, makes it a port and, last, sets it up: a
// port that is not isolated yet must not forward, and IPv6 makes its own address when a device comes
// up. at is where the device is.
func (w *writer) settle(from *space, at **space) error {
	f := w.row.Fields
	ports := w.portFields(func(string) bool { return true })
	_, hasMode := f[rows.FieldAddrGen]
	late := hasMode || ports
	set := func(names ...string) func(string) bool {
		return func(n string) bool { return slices.Contains(names, n) }
	}
	fields := []string{rows.FieldAlias, rows.FieldAddrGen, rows.FieldMaster}
	flags := set(rows.FieldUp, rows.FieldMulticast)
	first := set(fields...)
	if !late {
		first = set(append(fields, rows.FieldUp, rows.FieldMulticast)...)
	}
	err := from.withTarget(w.sp, func(fd int) error { return w.set(from, 0, fd, first) })
	if err != nil {
		return err
	}
	*at = w.sp
	if !late {
		return nil
	}
	if ports {
		index, err := w.device()
		if err != nil {
			return err
		}
		if err := w.writePort(index, func(string) bool { return true }); err != nil {
			return err
		}
	}
	return w.set(w.sp, 0, -1, flags)
}

// set writes general fields of a device by RTM_SETLINK: of the one with the index, or of the row's
// name. A descriptor of a namespace moves it there first (do_setlink does that before all else).
func (w *writer) set(sp *space, index int32, fd int, only func(string) bool) error {
	head := ifinfo{index: index}
	w.flags(&head, only)
	build := func(mode bool) (message, error) {
		var m message
		m.header(head)
		if index == 0 {
			m.text(unix.IFLA_IFNAME, w.row.Link)
		}
		if fd >= 0 {
			m.u32(unix.IFLA_NET_NS_FD, uint32(fd))
		}
		err := w.putPlain(&m, only)
		if mode && only(rows.FieldAddrGen) {
			w.putAddrGen(&m)
		}
		return m, err
	}
	m, err := build(true)
	if err != nil {
		return err
	}
	if len(m) == unix.SizeofIfInfomsg && head.change == 0 {
		return nil
	}
	err = w.changeIn(sp, unix.RTM_SETLINK, 0, m)
	if w.noIPv6(err) {
		if m, err = build(false); err == nil {
			err = w.changeIn(sp, unix.RTM_SETLINK, 0, m)
		}
	}
	return err
}

// noIPv6 tells that a device has no IPv6 (its MTU is below 1280, or the host has none), which is as
// good as addrgen none.
func (w *writer) noIPv6(err error) bool {
	e, ok := err.(*Error) //nolint:errorlint // straight from the call
	return ok && e.Errno == unix.EAFNOSUPPORT && w.row.Fields[rows.FieldAddrGen] == "none"
}

func (w *writer) flags(head *ifinfo, only func(string) bool) {
	for name, flag := range map[string]uint32{rows.FieldUp: unix.IFF_UP, rows.FieldMulticast: unix.IFF_MULTICAST} {
		if value, stated := w.row.Fields[name]; stated && only(name) {
			head.change |= flag
			if value == "true" {
				head.flags |= flag
			}
		}
	}
}

// putPlain puts the general fields that are attributes of the message itself.
func (w *writer) putPlain(m *message, only func(string) bool) error {
	f := w.row.Fields
	stated := func(name string) (string, bool) {
		value, ok := f[name]
		return value, ok && only(name)
	}
	if v, ok := stated(rows.FieldMTU); ok {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return w.invalid(err)
		}
		m.u32(unix.IFLA_MTU, uint32(n))
	}
	if v, ok := stated(rows.FieldMAC); ok && v != "" {
		mac, err := net.ParseMAC(v)
		if err != nil {
			return w.invalid(err)
		}
		m.put(unix.IFLA_ADDRESS, mac)
	}
	if v, ok := stated(rows.FieldAlias); ok {
		m.text(unix.IFLA_IFALIAS, v)
		m.u32(unix.IFLA_GROUP, 0)
	}
	if v, ok := stated(rows.FieldMaster); ok {
		index := 0
		if v != "" {
			var err error
			if index, err = w.sp.device(w.ctx, v); err != nil {
				return err
			}
		}
		if index != 0 || w.verb != plan.Create || w.row.Bound {
			m.u32(unix.IFLA_MASTER, uint32(index))
		}
	}
	return nil
}

func (w *writer) putAddrGen(m *message) {
	if mode := slices.Index(addrGen, w.row.Fields[rows.FieldAddrGen]); mode >= 0 {
		m.nest(unix.IFLA_AF_SPEC, func(m *message) {
			m.nest(unix.AF_INET6, func(m *message) { m.u8(inet6AddrGen, uint8(mode)) })
		})
	}
}

// updateLink changes fields in place. A change of attributes of the kind goes by RTM_NEWLINK, all
// others by RTM_SETLINK; the device is set up after all other changes.
func (w *writer) updateLink(fields map[string]bool) error {
	for _, fixed := range []string{rows.FieldKind, rows.FieldUnderlay} {
		if fields[fixed] {
			return w.invalid(fmt.Errorf("%s cannot be changed in place", fixed))
		}
	}
	index, err := w.device()
	if err != nil {
		return err
	}
	if kind, known := rows.Kinds[w.row.Fields[rows.FieldKind]]; known && !w.row.Bound && kindChanges(kind, fields) {
		if err := w.changeKind(index, kind); err != nil {
			return err
		}
	}
	up := func(n string) bool { return n == rows.FieldUp && fields[n] }
	if err := w.set(w.sp, index, -1, func(n string) bool { return fields[n] && !up(n) }); err != nil {
		return err
	}
	// A device that joins a bridge has the defaults of a new port.
	port := func(n string) bool { return fields[n] || fields[rows.FieldMaster] }
	if w.row.Fields[rows.FieldMaster] != "" && w.portFields(port) {
		if err := w.writePort(index, port); err != nil {
			return err
		}
	}
	return w.set(w.sp, index, -1, up)
}

func kindChanges(kind rows.Kind, fields map[string]bool) bool {
	return slices.ContainsFunc(kind.Attrs, func(a rows.Attr) bool { return fields[a.Name] })
}

// changeKind writes attributes of the kind. For GRE it repeats the MTU: a device whose header grows or
// shrinks is else given the MTU that the kernel thinks best (ipgre_link_update). VXLAN refuses one
// there (vxlan_nl2conf).
func (w *writer) changeKind(index int32, kind rows.Kind) error {
	from := w.sp
	if name, stated := w.row.Fields[rows.FieldUnderlay]; stated && name != w.row.Netns {
		var err error
		if from, err = w.h.space(name); err != nil {
			return err
		}
	}
	var m message
	m.header(ifinfo{index: index})
	if err := w.putPlain(&m, func(n string) bool { return kind.Whole && n == rows.FieldMTU }); err != nil {
		return err
	}
	if err := w.putKind(&m, from, kind, false); err != nil {
		return err
	}
	if f := w.row.Fields; w.changes["ignore-df"] && f["ignore-df"] == "false" && f["pmtudisc"] == "true" {
		// ipgre_netlink_parms looks at the old ignore-df when it sets pmtudisc: one after the other.
		between := *w
		between.row.Fields = maps.Clone(f)
		between.row.Fields["pmtudisc"], between.changes = "false", map[string]bool{"pmtudisc": true}
		if err := between.changeKind(index, kind); err != nil {
			return err
		}
	}
	return w.change(unix.RTM_NEWLINK, 0, m)
}

// portFields tells whether the row has any of these fields of a port of a bridge.
func (w *writer) portFields(only func(string) bool) bool {
	for name := range w.row.Fields {
		if (name == rows.FieldVLANs || strings.HasPrefix(name, rows.PortPrefix)) && only(name) {
			return true
		}
	}
	return false
}

const protInfo = 12 // IFLA_PROTINFO

// writePort writes fields of a port: one message of the bridge's for its attributes and its VLANs,
// and one that takes away all other VLANs (a new port has VLAN 1).
func (w *writer) writePort(index int32, only func(string) bool) error {
	var attrs message
	for _, a := range rows.PortAttrs {
		if value, stated := w.row.Fields[rows.PortPrefix+a.Name]; stated && only(rows.PortPrefix+a.Name) {
			b, err := encode(a, value, false, nil)
			if err != nil {
				return w.invalid(err)
			}
			attrs.put(a.ID, b)
		}
	}
	text, stated := w.row.Fields[rows.FieldVLANs]
	stated = stated && only(rows.FieldVLANs)
	tags, err := parseVLANs(text)
	if err != nil {
		return w.invalid(err)
	}
	var m message
	m.header(ifinfo{family: unix.AF_BRIDGE, index: index})
	if attrs != nil {
		m.put(protInfo|unix.NLA_F_NESTED, attrs)
	}
	if stated && text != "" {
		m.nest(unix.IFLA_AF_SPEC, tags.put)
	}
	if len(m) > unix.SizeofIfInfomsg {
		if err := w.change(unix.RTM_SETLINK, 0, m); err != nil {
			return err
		}
	}
	if !stated {
		return nil
	}
	m = nil
	m.header(ifinfo{family: unix.AF_BRIDGE, index: index})
	m.nest(unix.IFLA_AF_SPEC, tags.putOthers)
	return w.change(unix.RTM_DELLINK, 0, m)
}

// withFd runs f with a descriptor of the namespace.
func (s *space) withFd(f func(fd int) error) error {
	ns, err := s.handle()
	if err != nil {
		return namespaceError(s.name, err)
	}
	defer func() { _ = ns.Close() }()
	return f(int(ns))
}

// withTarget runs f with a descriptor of the namespace to move to, -1 where that is the same.
func (s *space) withTarget(to *space, f func(fd int) error) error {
	if s == to {
		return f(-1)
	}
	return to.withFd(f)
}
