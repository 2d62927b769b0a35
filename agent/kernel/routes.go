package kernel

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
)

// Attributes of a lightweight tunnel (linux/lwtunnel.h); the numbers are one set for ip and ip6.
const (
	lwtIP, lwtIP6 = 2, 4 // LWTUNNEL_ENCAP_*

	lwtID, lwtDst, lwtTTL, lwtTOS, lwtFlags = 1, 2, 4, 5, 6

	lwtKey = 0x0004 // TUNNEL_KEY, in network order
)

// rtmsg is struct rtmsg.
type rtmsg struct {
	family, bits, table, protocol, scope, typ uint8
}

func (r rtmsg) bytes() []byte {
	return []byte{r.family, r.bits, 0, 0, r.table, r.protocol, r.scope, r.typ, 0, 0, 0, 0}
}

// routes lists greave's routes in every table: the kernel leaves out those of other protocols.
func (s *space) routes(ctx context.Context, links map[rows.Key]rows.Row, names map[int]string, out map[rows.Key]rows.Row) error {
	for _, fam := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var m message
		m.header(rtmsg{family: fam, protocol: rows.Protocol})
		answer, err := s.route(ctx, "list routes", unix.RTM_GETROUTE, unix.NLM_F_DUMP, m)
		if err != nil {
			return err
		}
		for _, b := range answer {
			if len(b) < unix.SizeofRtMsg || b[5] != rows.Protocol { // a kernel that does not filter
				continue
			}
			r := s.parseRoute(b, names)
			link := links[rows.Key{Netns: s.name, Table: rows.Link, Link: r.Fields[rows.FieldDev]}]
			r.Owned, r.Object = link.Owned, link.Object
			out[r.Key] = r
		}
	}
	return nil
}

func (s *space) parseRoute(b []byte, names map[int]string) rows.Row {
	at := byID(b[unix.SizeofRtMsg:])
	dst, ok := netip.AddrFromSlice(at[unix.RTA_DST])
	if !ok {
		dst = netip.IPv4Unspecified()
		if b[0] == unix.AF_INET6 {
			dst = netip.IPv6Unspecified()
		}
	}
	table := number(at[unix.RTA_TABLE])
	if table == 0 {
		table = uint64(b[4])
	}
	id := fmt.Sprintf("%s table %d metric %d", netip.PrefixFrom(dst, int(b[1])), table, number(at[unix.RTA_PRIORITY]))
	text := func(id int) string {
		if a, ok := netip.AddrFromSlice(at[id]); ok {
			return a.String()
		}
		return ""
	}
	return rows.Row{Key: rows.Key{Netns: s.name, Table: rows.Route, ID: id}, Fields: map[string]string{
		rows.FieldDev: names[int(number(at[unix.RTA_OIF]))], rows.FieldVia: text(unix.RTA_GATEWAY), rows.FieldSource: text(unix.RTA_PREFSRC),
		rows.FieldEncap: decodeEncap(number(at[unix.RTA_ENCAP_TYPE]), byID(at[unix.RTA_ENCAP])),
	}}
}

func decodeEncap(typ uint64, at map[int][]byte) string {
	family := map[uint64]string{lwtIP: "ip", lwtIP6: "ip6"}[typ]
	dst, ok := netip.AddrFromSlice(at[lwtDst])
	if family == "" || !ok {
		return ""
	}
	text := fmt.Sprintf("%s id %d dst %s ttl %d", family, bigEndian(at[lwtID]), dst, number(at[lwtTTL]))
	if tos := number(at[lwtTOS]); tos != 0 {
		text += fmt.Sprintf(" tos %d", tos)
	}
	if bigEndian(at[lwtFlags])&lwtKey != 0 {
		text += " key"
	}
	return text
}

// putEncap puts a lightweight tunnel from its text, a list of words and values.
func putEncap(m *message, text string) error {
	words := strings.Fields(text)
	value := map[string]string{}
	for i := 1; i+1 < len(words); i += 2 {
		value[words[i]] = words[i+1]
	}
	dst, err := netip.ParseAddr(value["dst"])
	if err != nil {
		return err
	}
	id, err := strconv.ParseUint(value["id"], 10, 64)
	if err != nil {
		return err
	}
	ttl, err := strconv.ParseUint(value["ttl"], 10, 8)
	if err != nil {
		return err
	}
	typ := uint16(lwtIP)
	if words[0] == "ip6" {
		typ = lwtIP6
	}
	m.u16(unix.RTA_ENCAP_TYPE, typ)
	m.nest(unix.RTA_ENCAP, func(m *message) {
		m.put(lwtID, binary.BigEndian.AppendUint64(nil, id))
		m.put(lwtDst, dst.AsSlice())
		m.u8(lwtTTL, uint8(ttl))
		if tos, err := strconv.ParseUint(value["tos"], 10, 8); err == nil {
			m.u8(lwtTOS, uint8(tos))
		}
		if words[len(words)-1] == "key" {
			m.put(lwtFlags, binary.BigEndian.AppendUint16(nil, lwtKey))
		}
	})
	return nil
}

func (s *space) changeRoute(ctx context.Context, op string, typ, flags int, r rows.Row) error {
	words := strings.Fields(r.ID) // PREFIX table N metric N
	if len(words) != 5 {
		return fmt.Errorf("%s: %q is no route", op, r.ID)
	}
	p, err := netip.ParsePrefix(words[0])
	if err != nil {
		return err
	}
	table, err := strconv.ParseUint(words[2], 10, 32)
	if err != nil {
		return err
	}
	metric, err := strconv.ParseUint(words[4], 10, 32)
	if err != nil {
		return err
	}
	index, err := s.device(ctx, r.Fields[rows.FieldDev])
	if err != nil {
		return err
	}
	head := rtmsg{family: family(p.Addr()), bits: uint8(p.Bits()), protocol: rows.Protocol, typ: unix.RTN_UNICAST}
	via := r.Fields[rows.FieldVia]
	if via == "" && p.Addr().Is4() {
		head.scope = unix.RT_SCOPE_LINK
	}
	var m message
	m.header(head)
	m.put(unix.RTA_DST, p.Addr().AsSlice())
	m.u32(unix.RTA_TABLE, uint32(table))
	m.u32(unix.RTA_OIF, uint32(index))
	if metric != 0 {
		m.u32(unix.RTA_PRIORITY, uint32(metric))
	}
	for id, text := range map[int]string{unix.RTA_GATEWAY: via, unix.RTA_PREFSRC: r.Fields[rows.FieldSource]} {
		if text == "" {
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		m.put(id, a.AsSlice())
	}
	if text := r.Fields[rows.FieldEncap]; text != "" && typ == unix.RTM_NEWROUTE {
		if err := putEncap(&m, text); err != nil {
			return fmt.Errorf("%s: %q: %w", op, text, err)
		}
	}
	return s.change(ctx, op, typ, flags, m)
}
