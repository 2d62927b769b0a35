package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

// Attributes of routes that package unix lacks, or that are short enough to stand here
// (linux/rtnetlink.h).
const rtaVia, rtaEncapType, rtaEncap = 18, 21, 22

// rtmsg is struct rtmsg.
type rtmsg struct {
	family, bits, table, protocol, scope, typ uint8
}

func (r rtmsg) bytes() []byte {
	return []byte{r.family, r.bits, 0, 0, r.table, r.protocol, r.scope, r.typ, 0, 0, 0, 0}
}

// readRoutes reads greave's routes of all tables: the kernel looks at the protocol, as it does of
// requests of strictly checked sockets.
func (r *reader) readRoutes(sp *space) error {
	for _, af := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var m message
		m.header(rtmsg{family: af, protocol: rows.Protocol})
		answer, err := sp.dump(r.ctx, "routes", unix.RTM_GETROUTE, m)
		if err != nil {
			return err
		}
		for _, b := range answer {
			if row, ok := r.route(sp, b); ok {
				r.add(row)
			}
		}
	}
	return nil
}

func (r *reader) route(sp *space, b []byte) (rows.Row, bool) {
	if len(b) < unix.SizeofRtMsg || b[5] != rows.Protocol {
		return rows.Row{}, false
	}
	found := byID(b[unix.SizeofRtMsg:])
	table := uint64(b[4])
	if t := found[unix.RTA_TABLE]; t != nil {
		table = number(t)
	}
	dst := netip.IPv4Unspecified()
	if b[0] == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	if d, ok := netip.AddrFromSlice(found[unix.RTA_DST]); ok {
		dst = d
	}
	id := fmt.Sprintf("%s table %d metric %d", netip.PrefixFrom(dst, int(b[1])), table, number(found[unix.RTA_PRIORITY]))
	row := rows.Row{Key: rows.Key{Netns: sp.name, Table: rows.Route, ID: id}, Fields: map[string]string{
		rows.FieldDev: "", rows.FieldVia: "", rows.FieldSource: addressText(found[unix.RTA_PREFSRC]),
		rows.FieldEncap: decodeEncap(number(found[rtaEncapType]), found[rtaEncap]),
	}}
	if l := r.links[sp.name][int(number(found[unix.RTA_OIF]))]; l != nil {
		row.Fields[rows.FieldDev] = l.name
		row.Owned = l.owned
	}
	row.Fields[rows.FieldVia] = addressText(found[unix.RTA_GATEWAY])
	if via := found[rtaVia]; len(via) > 2 { // struct rtvia: family, then the address
		row.Fields[rows.FieldVia] = addressText(via[2:])
	}
	return row, true
}

func addressText(b []byte) string {
	if a, ok := netip.AddrFromSlice(b); ok {
		return a.String()
	}
	return ""
}

// routeKey is the key of a route's row.
type routeKey struct {
	dst           netip.Prefix
	table, metric uint32
}

func parseRouteKey(id string) (routeKey, error) {
	words := strings.Fields(id)
	if len(words) != 5 || words[1] != "table" || words[3] != "metric" {
		return routeKey{}, fmt.Errorf("route %q is none", id)
	}
	dst, err := netip.ParsePrefix(words[0])
	if err != nil {
		return routeKey{}, err
	}
	table, err := strconv.ParseUint(words[2], 10, 32)
	if err != nil {
		return routeKey{}, err
	}
	metric, err := strconv.ParseUint(words[4], 10, 32)
	if err != nil {
		return routeKey{}, err
	}
	return routeKey{dst.Masked(), uint32(table), uint32(metric)}, nil
}

// route writes a route. A key is destination, table and metric: a second one of the same key would
// be let in at the end by NLM_F_APPEND only, so that somebody else's is EEXIST.
func (w *writer) route(v plan.Verb) error {
	k, err := parseRouteKey(w.row.ID)
	if err != nil {
		return w.invalid(err)
	}
	m, err := w.routeMessage(k, v)
	if err != nil {
		return err
	}
	if v == plan.Delete {
		return w.change(unix.RTM_DELROUTE, 0, m)
	}
	flags := unix.NLM_F_CREATE | unix.NLM_F_EXCL
	if v == plan.Update {
		flags = unix.NLM_F_REPLACE // what is gone is not made again by the way
	}
	return w.change(unix.RTM_NEWROUTE, flags, m)
}

func (w *writer) routeMessage(k routeKey, v plan.Verb) (message, error) {
	f := w.row.Fields
	head := rtmsg{family: family(k.dst.Addr()), bits: uint8(k.dst.Bits()), table: unix.RT_TABLE_UNSPEC,
		protocol: rows.Protocol, scope: unix.RT_SCOPE_UNIVERSE, typ: unix.RTN_UNICAST}
	switch {
	case v == plan.Delete:
		head.scope = unix.RT_SCOPE_NOWHERE // any
	case f[rows.FieldVia] == "" && head.family == unix.AF_INET:
		head.scope = unix.RT_SCOPE_LINK
	}
	var m message
	m.header(head)
	if k.dst.Bits() > 0 {
		m.put(unix.RTA_DST, k.dst.Addr().AsSlice())
	}
	m.u32(unix.RTA_TABLE, k.table)
	if k.metric != 0 {
		m.u32(unix.RTA_PRIORITY, k.metric)
	}
	if dev := f[rows.FieldDev]; dev != "" {
		index, err := w.sp.device(w.ctx, dev)
		if err != nil {
			return nil, err
		}
		m.u32(unix.RTA_OIF, uint32(index))
	}
	if v == plan.Delete {
		return m, nil
	}
	if err := w.putNextHop(&m, head.family); err != nil {
		return nil, w.invalid(err)
	}
	return m, nil
}

func (w *writer) putNextHop(m *message, af uint8) error {
	f := w.row.Fields
	if text := f[rows.FieldVia]; text != "" {
		via, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		if family(via) == af {
			m.put(unix.RTA_GATEWAY, via.AsSlice())
		} else {
			m.put(rtaVia, append(binary.NativeEndian.AppendUint16(nil, uint16(family(via))), via.AsSlice()...))
		}
	}
	if text := f[rows.FieldSource]; text != "" {
		src, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		m.put(unix.RTA_PREFSRC, src.AsSlice())
	}
	if text := f[rows.FieldEncap]; text != "" {
		e, err := parseEncap(text)
		if err != nil {
			return err
		}
		m.u16(rtaEncapType, e.typ)
		m.nest(rtaEncap, e.put)
	}
	return nil
}
