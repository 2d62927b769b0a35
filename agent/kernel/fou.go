package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

// Names of what FOU ports have, as their rows spell them.
var (
	fouFamilies = map[uint8]string{unix.AF_INET: "inet", unix.AF_INET6: "inet6"}
	fouTypes    = map[uint8]string{netlink.FOU_ENCAP_DIRECT: "fou", netlink.FOU_ENCAP_GUE: "gue"}
)

func genericHeader(command, version uint8) raw { return raw{command, version, 0, 0} }

// fouFamily asks for the number of the generic netlink family, which may change as the module goes
// and comes. It is 0 while there is none.
func (s *space) fouFamily(ctx context.Context) (int, error) {
	var m message
	m.header(genericHeader(nl.GENL_CTRL_CMD_GETFAMILY, 1))
	m.text(nl.GENL_CTRL_ATTR_FAMILY_NAME, netlink.FOU_GENL_NAME)
	answer, err := s.call(ctx, unix.NETLINK_GENERIC, "find FOU", nl.GENL_ID_CTRL, 0, m)
	var e *Error
	if errors.As(err, &e) && e.Errno == unix.ENOENT {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	for _, b := range answer {
		if len(b) < nl.SizeofGenlmsg {
			continue
		}
		if id := byID(b[nl.SizeofGenlmsg:])[nl.GENL_CTRL_ATTR_FAMILY_ID]; id != nil {
			return int(number(id)), nil
		}
	}
	return 0, nil
}

// readFOU reads the ports of all namespaces. Without the module there are none.
func (r *reader) readFOU() error {
	if len(r.spaces) == 0 {
		return nil
	}
	family, err := r.spaces[0].fouFamily(r.ctx)
	if err != nil || family == 0 {
		return err
	}
	for _, sp := range r.spaces {
		var m message
		m.header(genericHeader(netlink.FOU_CMD_GET, 1))
		answer, err := sp.call(r.ctx, unix.NETLINK_GENERIC, "read FOU ports", family, unix.NLM_F_DUMP, m)
		if err != nil {
			return err
		}
		for _, b := range answer {
			if len(b) >= nl.SizeofGenlmsg {
				r.addFOU(sp, byID(b[nl.SizeofGenlmsg:]))
			}
		}
	}
	return nil
}

func (r *reader) addFOU(sp *space, found map[int][]byte) {
	af, typ := uint8(number(found[netlink.FOU_ATTR_AF])), uint8(number(found[netlink.FOU_ATTR_TYPE]))
	row := rows.Row{
		Key: rows.Key{Netns: sp.name, Table: rows.FOU,
			ID: fouFamilies[af] + " " + decimal(bigEndian(found[netlink.FOU_ATTR_PORT]))},
		Fields:   map[string]string{rows.FieldType: fouTypes[typ]},
		Unmarked: true,
	}
	// A port of direct encapsulation is for one protocol.
	if proto := number(found[netlink.FOU_ATTR_IPPROTO]); typ == netlink.FOU_ENCAP_DIRECT && proto != unix.IPPROTO_GRE {
		row.Fields[rows.FieldType] += " protocol " + decimal(proto)
	}
	row.Owned = r.listed(row.Key)
	r.add(row)
}

// fou makes or removes a port, which is for GRE. A change is both.
func (w *writer) fou(v plan.Verb) error {
	var name string
	var port uint16
	if _, err := fmt.Sscanf(w.row.ID, "%s %d", &name, &port); err != nil {
		return w.invalid(err)
	}
	family, err := w.sp.fouFamily(w.ctx)
	if err != nil {
		return err
	}
	if family == 0 {
		return missingDriver(w.op, unix.ENOENT, "GRE in UDP", "fou")
	}
	if v == plan.Update {
		if err := w.fou(plan.Delete); err != nil && !IsGone(err) {
			return err
		}
	}
	command, typ := netlink.FOU_CMD_ADD, w.row.Fields[rows.FieldType]
	if v == plan.Delete {
		command = netlink.FOU_CMD_DEL
	}
	var m message
	m.header(genericHeader(command, 1))
	m.put(netlink.FOU_ATTR_PORT, binary.BigEndian.AppendUint16(nil, port))
	m.u8(netlink.FOU_ATTR_AF, keyOf(fouFamilies, name))
	if v != plan.Delete {
		m.u8(netlink.FOU_ATTR_TYPE, keyOf(fouTypes, typ))
		if typ == "fou" { // with GUE the packet says it
			m.u8(netlink.FOU_ATTR_IPPROTO, unix.IPPROTO_GRE)
		}
	}
	_, err = w.sp.call(w.ctx, unix.NETLINK_GENERIC, w.op, family, unix.NLM_F_ACK, m)
	var e *Error
	if v == plan.Delete && errors.As(err, &e) && e.Errno == unix.EINVAL {
		return newError(w.op, unix.ENOENT) // fou_destroy says EINVAL of a port that is not there
	}
	return err
}

// keyOf is the key of a value; 0 if there is none, which the kernel refuses.
func keyOf(m map[uint8]string, value string) uint8 {
	for k, v := range m {
		if v == value {
			return k
		}
	}
	return 0
}
