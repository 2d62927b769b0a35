package kernel

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

const ifaProto = 11 // IFA_PROTO, Linux 5.18 and later; older kernels overlook it

// ifaddr is struct ifaddrmsg.
type ifaddr struct {
	family, bits, flags, scope uint8
	index                      int32
}

func (a ifaddr) bytes() []byte {
	return binary.NativeEndian.AppendUint32([]byte{a.family, a.bits, a.flags, a.scope}, uint32(a.index))
}

func (r *reader) readAddresses(sp *space) error {
	var m message
	m.header(ifaddr{})
	answer, err := sp.dump(r.ctx, "addresses", unix.RTM_GETADDR, m)
	if err != nil {
		return err
	}
	for _, b := range answer {
		if len(b) < unix.SizeofIfAddrmsg {
			continue
		}
		l := r.concerned(sp, int(binary.NativeEndian.Uint32(b[4:])))
		if l == nil {
			continue
		}
		found := byID(b[unix.SizeofIfAddrmsg:])
		own := found[unix.IFA_LOCAL] // IFA_ADDRESS is the far end of a link that has one
		if own == nil {
			own = found[unix.IFA_ADDRESS]
		}
		addr, ok := netip.AddrFromSlice(own)
		if !ok {
			continue
		}
		r.add(rows.Row{
			Key:    rows.Key{Netns: sp.name, Table: rows.Address, Link: l.name, ID: netip.PrefixFrom(addr, int(b[1])).String()},
			Fields: map[string]string{},
			Owned:  number(found[ifaProto]) == rows.Protocol,
		})
	}
	return nil
}

// address writes an address. One of IPv6 is used at once: a tunnel has no neighbours that could
// answer a duplicate's probe, and a daemon that binds to it must not have to wait.
func (w *writer) address(v plan.Verb) error {
	p, err := netip.ParsePrefix(w.row.ID)
	if err != nil {
		return w.invalid(err)
	}
	index, err := w.device()
	if err != nil {
		return err
	}
	a := ifaddr{family: family(p.Addr()), bits: uint8(p.Bits()), index: index}
	if v != plan.Delete && p.Addr().Is6() {
		a.flags = unix.IFA_F_NODAD
	}
	var m message
	m.header(a)
	m.put(unix.IFA_LOCAL, p.Addr().AsSlice())
	m.put(unix.IFA_ADDRESS, p.Addr().AsSlice())
	if v == plan.Delete {
		return w.change(unix.RTM_DELADDR, 0, m)
	}
	m.u8(ifaProto, rows.Protocol)
	return w.change(unix.RTM_NEWADDR, createFlags(v), m)
}
