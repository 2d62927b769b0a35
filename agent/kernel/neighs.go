package kernel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
)

// Attributes and flags of neighbours (linux/neighbour.h).
const (
	ndaDst, ndaLLAddr, ndaVLAN, ndaMaster, ndaProtocol = 1, 2, 5, 9, 12

	ntfSelf, ntfMaster, ntfExtLearned = 0x02, 0x04, 0x10

	nudNoARP, nudPermanent = 0x40, 0x80
)

// neighs lists the permanent neighbours of the devices that are of interest.
func (s *space) neighs(ctx context.Context, on map[int]rows.Row, out map[rows.Key]rows.Row) error {
	for _, fam := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var m message
		m.header(ndmsg{family: fam})
		answer, err := s.route(ctx, "list neighbours", unix.RTM_GETNEIGH, unix.NLM_F_DUMP, m)
		if err != nil {
			return err
		}
		for _, b := range answer {
			n := parseNdmsg(b)
			link, of := on[int(n.index)]
			if !of || n.state&nudPermanent == 0 {
				continue
			}
			at := byID(b[unix.SizeofNdMsg:])
			a, ok := netip.AddrFromSlice(at[ndaDst])
			if !ok {
				continue
			}
			k := rows.Key{Netns: s.name, Table: rows.Neighbour, Link: link.Link, ID: a.String()}
			out[k] = rows.Row{Key: k, Owned: link.Owned && number(at[ndaProtocol]) == rows.Protocol, Object: link.Object,
				Fields: map[string]string{rows.FieldMACof: lladdr(at[ndaLLAddr])}}
		}
	}
	return nil
}

// lladdr is a link-layer address: of a tunnel the underlay's.
func lladdr(b []byte) string {
	if a, ok := netip.AddrFromSlice(b); ok {
		return a.String()
	}
	return net.HardwareAddr(b).String()
}

func parseLLAddr(text string) ([]byte, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.AsSlice(), nil
	}
	return net.ParseMAC(text)
}

func (s *space) changeNeigh(ctx context.Context, op string, typ, flags int, r rows.Row) error {
	a, err := netip.ParseAddr(r.ID)
	if err != nil {
		return err
	}
	index, err := s.device(ctx, r.Link)
	if err != nil {
		return err
	}
	var m message
	m.header(ndmsg{family: family(a), index: int32(index), state: nudPermanent})
	m.put(ndaDst, a.AsSlice())
	if typ == unix.RTM_NEWNEIGH {
		ll, err := parseLLAddr(r.Fields[rows.FieldMACof])
		if err != nil {
			return err
		}
		m.put(ndaLLAddr, ll)
		m.u8(ndaProtocol, rows.Protocol)
	}
	return s.change(ctx, op, typ, flags, m)
}

// fdb lists the static entries of bridges and VXLAN devices: of a bridge by MAC,
// of a VXLAN device by MAC and remote. What was learned, here or by a routing
// daemon, what belongs to a VLAN and a device's own address are not among them.
func (s *space) fdb(ctx context.Context, on map[int]rows.Row, listed func(rows.Key) bool, out map[rows.Key]rows.Row) error {
	var m message
	m.header(ndmsg{family: unix.AF_BRIDGE})
	answer, err := s.route(ctx, "list FDB", unix.RTM_GETNEIGH, unix.NLM_F_DUMP, m)
	if err != nil {
		return err
	}
	for _, b := range answer {
		n := parseNdmsg(b)
		link, of := on[int(n.index)]
		if !of || n.flags&ntfExtLearned != 0 || n.state&(nudPermanent|nudNoARP) == 0 {
			continue
		}
		at := byID(b[unix.SizeofNdMsg:])
		mac := net.HardwareAddr(at[ndaLLAddr]).String()
		id := ""
		switch dst, ok := netip.AddrFromSlice(at[ndaDst]); {
		case ok && n.flags&ntfSelf != 0:
			id = "self " + mac + " " + dst.String()
		case at[ndaMaster] != nil && n.state&nudPermanent == 0 && at[ndaVLAN] == nil:
			id = "master " + mac
		default:
			continue
		}
		k := rows.Key{Netns: s.name, Table: rows.FDB, Link: link.Link, ID: id}
		out[k] = rows.Row{Key: k, Unmarked: true, Owned: listed(k), Fields: map[string]string{}}
	}
	return nil
}

func (s *space) changeFDB(ctx context.Context, op string, typ int, r rows.Row) error {
	words := strings.Fields(r.ID)
	if len(words) < 2 {
		return fmt.Errorf("%s: %q is no FDB entry", op, r.ID)
	}
	mac, err := net.ParseMAC(words[1])
	if err != nil {
		return err
	}
	index, err := s.device(ctx, r.Link)
	if err != nil {
		return err
	}
	head := ndmsg{family: unix.AF_BRIDGE, index: int32(index), state: nudNoARP, flags: ntfMaster}
	flags := unix.NLM_F_CREATE | unix.NLM_F_REPLACE // one that was learned becomes static
	var m message
	if len(words) == 3 {
		dst, err := netip.ParseAddr(words[2])
		if err != nil {
			return err
		}
		head.flags, head.state = ntfSelf, nudNoARP|nudPermanent
		if words[1] == floodMAC {
			flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND
		}
		m.header(head)
		m.put(ndaDst, dst.AsSlice())
	} else {
		m.header(head)
	}
	m.put(ndaLLAddr, mac)
	if typ == unix.RTM_DELNEIGH {
		flags = 0
	}
	return s.change(ctx, op, typ, flags, m)
}

// floodMAC is that of a VXLAN device's entries for frames to nobody known; it has many remotes.
const floodMAC = "00:00:00:00:00:00"
