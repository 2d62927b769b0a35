package kernel

import (
	"context"
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
)

// ifaProto is IFA_PROTO, of Linux 5.18; older kernels pass over it.
const ifaProto = 11

// ifaddr is struct ifaddrmsg.
type ifaddr struct {
	family, bits, flags, scope uint8
	index                      uint32
}

func (i ifaddr) bytes() []byte {
	return binary.NativeEndian.AppendUint32([]byte{i.family, i.bits, i.flags, i.scope}, i.index)
}

// addrs lists the addresses of the devices that are of interest.
func (s *space) addrs(ctx context.Context, on map[int]rows.Row, out map[rows.Key]rows.Row) error {
	var m message
	m.header(ifaddr{})
	answer, err := s.route(ctx, "list addresses", unix.RTM_GETADDR, unix.NLM_F_DUMP, m)
	if err != nil {
		return err
	}
	for _, b := range answer {
		if len(b) < unix.SizeofIfAddrmsg {
			continue
		}
		link, of := on[int(number(b[4:8]))]
		at := byID(b[unix.SizeofIfAddrmsg:])
		local := at[unix.IFA_LOCAL]
		if local == nil {
			local = at[unix.IFA_ADDRESS]
		}
		a, ok := netip.AddrFromSlice(local)
		if !of || !ok {
			continue
		}
		k := rows.Key{Netns: s.name, Table: rows.Address, Link: link.Link, ID: netip.PrefixFrom(a, int(b[1])).String()}
		out[k] = rows.Row{Key: k, Owned: link.Owned && number(at[ifaProto]) == rows.Protocol, Object: link.Object, Fields: map[string]string{}}
	}
	return nil
}

func (s *space) changeAddr(ctx context.Context, op string, typ, flags int, r rows.Row) error {
	p, err := netip.ParsePrefix(r.ID)
	if err != nil {
		return err
	}
	index, err := s.device(ctx, r.Link)
	if err != nil {
		return err
	}
	var m message
	m.header(ifaddr{family: family(p.Addr()), bits: uint8(p.Bits()), index: uint32(index)})
	m.put(unix.IFA_LOCAL, p.Addr().AsSlice())
	m.put(unix.IFA_ADDRESS, p.Addr().AsSlice())
	m.u8(ifaProto, rows.Protocol)
	if p.Addr().Is6() { // nobody else has it: there is no wait for an answer
		m.u32(unix.IFA_FLAGS, unix.IFA_F_NODAD)
	}
	return s.change(ctx, op, typ, flags, m)
}
