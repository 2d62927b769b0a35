package kernel

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

// Attributes of neighbours and FDB entries (linux/neighbour.h, NDA_*).
const (
	ndaDst, ndaLLAddr, ndaVLAN, ndaMaster, ndaProtocol = 1, 2, 5, 9, 12
)

// readNeighbours reads entries that somebody put there. The kernel makes NOARP ones by itself,
// multicast ones on every device and any on a device that resolves nothing; nobody's protocol is on
// them.
func (r *reader) readNeighbours(sp *space) error {
	var m message
	m.header(ndmsg{})
	answer, err := sp.dump(r.ctx, "neighbours", unix.RTM_GETNEIGH, m)
	if err != nil {
		return err
	}
	for _, b := range answer {
		n := parseNdmsg(b)
		l := r.concerned(sp, int(n.index))
		if l == nil || n.family != unix.AF_INET && n.family != unix.AF_INET6 {
			continue
		}
		found := byID(b[unix.SizeofNdMsg:])
		proto := number(found[ndaProtocol])
		addr, ok := netip.AddrFromSlice(found[ndaDst])
		if !ok || !staticNeighbour(n, proto) {
			continue
		}
		r.add(rows.Row{
			Key:    rows.Key{Netns: sp.name, Table: rows.Neighbour, Link: l.name, ID: addr.String()},
			Fields: map[string]string{rows.FieldMACof: linkAddress(found[ndaLLAddr])},
			Owned:  proto == rows.Protocol,
		})
	}
	return nil
}

func staticNeighbour(n ndmsg, proto uint64) bool {
	return n.state&unix.NUD_PERMANENT != 0 || n.state&unix.NUD_NOARP != 0 && proto != 0
}

// linkAddress spells a MAC, or the underlay address that a tunnel has for one.
func linkAddress(b []byte) string {
	if addr, ok := netip.AddrFromSlice(b); ok {
		return addr.String()
	}
	return net.HardwareAddr(b).String()
}

func parseLinkAddress(s string) ([]byte, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.AsSlice(), nil
	}
	return net.ParseMAC(s)
}

func (w *writer) neighbour(v plan.Verb) error {
	addr, err := netip.ParseAddr(w.row.ID)
	if err != nil {
		return w.invalid(err)
	}
	index, err := w.device()
	if err != nil {
		return err
	}
	n := ndmsg{family: family(addr), index: index}
	var m message
	if v == plan.Delete {
		m.header(n)
		m.put(ndaDst, addr.AsSlice())
		return w.change(unix.RTM_DELNEIGH, 0, m)
	}
	far, err := parseLinkAddress(w.row.Fields[rows.FieldMACof])
	if err != nil {
		return w.invalid(fmt.Errorf("lladdr: %w", err))
	}
	n.state = unix.NUD_PERMANENT
	m.header(n)
	m.put(ndaDst, addr.AsSlice())
	m.put(ndaLLAddr, far)
	m.u8(ndaProtocol, rows.Protocol)
	write := func(flags int) error { return w.change(unix.RTM_NEWNEIGH, flags, m) }
	return w.takeOver(write(createFlags(v)), func() (bool, error) {
		var ask message
		ask.header(ndmsg{family: n.family, index: index})
		ask.put(ndaDst, addr.AsSlice())
		return w.isSomebodys(ask)
	}, write)
}

// isSomebodys asks of one neighbour or FDB entry whether somebody put it there: by hand, or as
// another control plane does with what it learned. The kernel learns the others itself.
func (w *writer) isSomebodys(ask message) (bool, error) {
	answer, err := w.sp.route(w.ctx, w.op, unix.RTM_GETNEIGH, 0, ask)
	if err != nil {
		return false, err
	}
	for _, b := range answer {
		if n := parseNdmsg(b); n.index != 0 {
			switch found := byID(b[unix.SizeofNdMsg:]); {
			case n.flags&unix.NTF_EXT_LEARNED != 0:
				return true, nil
			case n.family == unix.AF_BRIDGE:
				return staticEntry(n), nil
			default:
				return staticNeighbour(n, number(found[ndaProtocol])), nil
			}
		}
	}
	return false, nil
}
