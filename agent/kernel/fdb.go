package kernel

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/agent/plan"
)

const (
	entryMaster = "master"
	entrySelf   = "self"
)

// readFDB reads the entries that somebody put there: of bridges by port, and of VXLAN devices. Those
// of a bridge that looks at VLANs have theirs behind the MAC: "master 02:00:00:00:00:01 vlan 10".
func (r *reader) readFDB(sp *space) error {
	var m message
	m.header(ndmsg{family: unix.AF_BRIDGE})
	answer, err := sp.dump(r.ctx, "FDB", unix.RTM_GETNEIGH, m)
	if err != nil {
		return err
	}
	for _, b := range answer {
		n := parseNdmsg(b)
		l := r.concerned(sp, int(n.index))
		if l == nil || !staticEntry(n) {
			continue
		}
		found := byID(b[unix.SizeofNdMsg:])
		mac := found[ndaLLAddr]
		if len(mac) != 6 {
			continue
		}
		id, fields := entrySelf+" "+net.HardwareAddr(mac).String(), map[string]string{}
		switch {
		case n.flags&unix.NTF_SELF != 0:
			dst, ok := netip.AddrFromSlice(found[ndaDst])
			// Other devices have the addresses here that they listen to, and the kernel makes an entry of
			// the remote that a VXLAN device has as an attribute.
			if l.kind != "vxlan" || !ok || isOwnRemote(l, mac, dst) {
				continue
			}
			id += " " + dst.String()
			fields[rows.FieldDst] = dst.String()
		case found[ndaMaster] != nil && int(number(found[ndaMaster])) == l.master:
			if n.state&unix.NUD_PERMANENT != 0 && r.isLocal(sp, l, mac) {
				continue
			}
			id = entryMaster + " " + net.HardwareAddr(mac).String()
			if vlan := number(found[ndaVLAN]); vlan != 0 {
				id += " vlan " + decimal(vlan)
			}
		default:
			continue
		}
		row := rows.Row{Key: rows.Key{Netns: sp.name, Table: rows.FDB, Link: l.name, ID: id}, Fields: fields, Unmarked: true}
		row.Owned = r.listed(row.Key)
		r.add(row)
	}
	r.dropCopies()
	return nil
}

// dropCopies leaves out the copies of an entry without a VLAN that the kernel makes in each VLAN of
// the port, and takes away with it (br_fdb_add).
func (r *reader) dropCopies() {
	for k := range r.out {
		if k.Table != rows.FDB {
			continue
		}
		whole := k
		var isCopy bool
		if whole.ID, _, isCopy = strings.Cut(k.ID, " vlan "); isCopy {
			if _, there := r.out[whole]; there {
				delete(r.out, k)
			}
		}
	}
}

// staticEntry leaves out what was learned, here or by another control plane.
func staticEntry(n ndmsg) bool {
	return n.state&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 && n.flags&unix.NTF_EXT_LEARNED == 0
}

func isOwnRemote(l *link, mac []byte, dst netip.Addr) bool {
	const group, group6 = 2, 16 // IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6
	far := dst.AsSlice()
	return bytes.Equal(mac, make([]byte, 6)) && (bytes.Equal(far, l.data[group]) || bytes.Equal(far, l.data[group6]))
}

// isLocal tells whether a MAC is a port's own, or its bridge's.
func (r *reader) isLocal(sp *space, l *link, mac []byte) bool {
	if bytes.Equal(mac, l.mac) {
		return true
	}
	bridge := r.links[sp.name][l.master]
	return bridge != nil && bytes.Equal(mac, bridge.mac)
}

// entry is the key of an FDB row.
type entry struct {
	self bool
	mac  net.HardwareAddr
	dst  netip.Addr // of self
	vlan uint16     // of master; 0: none
}

func parseEntry(id string) (entry, error) {
	words := strings.Fields(id)
	bad := fmt.Errorf("FDB entry %q is none", id)
	if len(words) < 2 {
		return entry{}, bad
	}
	mac, err := net.ParseMAC(words[1])
	if err != nil || len(mac) != 6 {
		return entry{}, bad
	}
	e := entry{mac: mac}
	switch {
	case words[0] == entrySelf && len(words) == 3:
		e.self = true
		if e.dst, err = netip.ParseAddr(words[2]); err != nil {
			return entry{}, bad
		}
	case words[0] == entryMaster && len(words) == 2:
	case words[0] == entryMaster && len(words) == 4 && words[2] == "vlan":
		v, err := strconv.ParseUint(words[3], 10, 12)
		if err != nil {
			return entry{}, bad
		}
		e.vlan = uint16(v)
	default:
		return entry{}, bad
	}
	return e, nil
}

func (e entry) message(head ndmsg) message {
	var m message
	head.family, head.flags = unix.AF_BRIDGE, unix.NTF_MASTER
	if e.self {
		head.flags = unix.NTF_SELF
	}
	m.header(head)
	m.put(ndaLLAddr, e.mac)
	if e.vlan != 0 {
		m.u16(ndaVLAN, e.vlan)
	}
	return m
}

// fdb writes an entry. That of a VXLAN device must be permanent or reachable for the driver to take
// it (vxlan_fdb_add); on a bridge permanent means the bridge's own, so NOARP it is, which is static.
// Floods have an entry a remote, appended.
func (w *writer) fdb(v plan.Verb) error {
	e, err := parseEntry(w.row.ID)
	if err != nil {
		return w.invalid(err)
	}
	index, err := w.device()
	if err != nil {
		return err
	}
	head := ndmsg{index: index}
	if v != plan.Delete {
		head.state = unix.NUD_NOARP
		if e.self {
			head.state |= unix.NUD_PERMANENT
		}
	}
	m := e.message(head)
	if e.self {
		m.put(ndaDst, e.dst.AsSlice())
	}
	if v == plan.Delete {
		return w.change(unix.RTM_DELNEIGH, 0, m)
	}
	flags := createFlags(v)
	if e.self && bytes.Equal(e.mac, make([]byte, 6)) {
		flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND
	}
	write := func(flags int) error { return w.change(unix.RTM_NEWNEIGH, flags, m) }
	return w.takeOver(write(flags), func() (bool, error) { return w.isSomebodys(e.message(ndmsg{index: index})) }, write)
}
