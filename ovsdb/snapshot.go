package ovsdb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/model"

	"github.com/greave-sdn/greave/ovsdb/vswitch"
)

// tables are what is monitored: the columns of vswitch.ovsschema, none of which ovs-vswitchd changes on its own but for cur_cfg,
// ofport, error and the state of a controller.
var tables = [...]struct {
	name    string
	columns []string
}{
	{vswitch.OpenvSwitchTable, []string{"bridges", "next_cfg", "cur_cfg", "external_ids", "other_config", "ovs_version",
		"db_version", "datapath_types", "iface_types"}},
	{vswitch.BridgeTable, []string{"name", "datapath_type", "datapath_id", "fail_mode", "protocols", "other_config",
		"external_ids", "ports", "controller", "mirrors", "sflow", "ipfix", "netflow"}},
	{vswitch.PortTable, []string{"name", "interfaces", "tag", "trunks", "vlan_mode", "external_ids"}},
	{vswitch.InterfaceTable, []string{"name", "type", "options", "ofport", "ofport_request", "error", "mac", "mtu_request",
		"external_ids", "bfd", "bfd_status"}},
	// Of other programs' controllers, which ovs-vswitchd reports on each 5 s, only what changes when they come and go.
	{vswitch.ControllerTable, []string{"target", "is_connected", "role"}},
	{vswitch.MirrorTable, []string{"name", "select_all", "select_src_port", "select_dst_port", "select_vlan", "output_port",
		"output_vlan", "snaplen", "external_ids"}},
	{vswitch.SFlowTable, []string{"targets", "agent", "header", "polling", "sampling", "external_ids"}},
	{vswitch.IPFIXTable, []string{"targets", "sampling", "obs_domain_id", "obs_point_id", "cache_active_timeout", "cache_max_flows",
		"other_config", "external_ids"}},
	{vswitch.NetFlowTable, []string{"targets", "engine_type", "engine_id", "add_id_to_interface", "active_timeout", "external_ids"}},
}

// Opt is an optional column; the zero value is an empty one.
type Opt[T comparable] struct {
	Value T
	OK    bool
}

// Some returns a set optional column.
func Some[T comparable](v T) Opt[T] { return Opt[T]{v, true} }

func optional[T comparable](p *T) Opt[T] {
	if p == nil {
		return Opt[T]{}
	}
	return Some(*p)
}

func valueOf(p *string) string { return optional(p).Value }

// SwitchRow is the only row of table Open_vSwitch. For the meaning of columns here and below see ovs-vswitchd.conf.db(5).
type SwitchRow struct {
	UUID            string
	Bridges         []string // UUIDs
	NextCfg, CurCfg int      // the configuration asked for, and the one that ovs-vswitchd has taken up
	ExternalIDs     map[string]string
	OtherConfig     map[string]string
	OVSVersion      string
	DBVersion       string
	DatapathTypes   []string
	InterfaceTypes  []string
}

// BridgeRow is a row of table Bridge.
type BridgeRow struct {
	UUID         string
	Name         string
	DatapathType string // "", "system" or "netdev"
	DatapathID   string // read only: 16 hex digits once the bridge is realised
	FailMode     string // "", "standalone" or "secure"
	Protocols    []string
	OtherConfig  map[string]string
	ExternalIDs  map[string]string
	Ports        []string        // UUIDs
	Controllers  []ControllerRow // by target; read only
}

// ControllerRow is a row of table Controller: an OpenFlow controller that somebody set on a bridge.
type ControllerRow struct {
	Target    string // "tcp:192.0.2.1:6653"
	Connected bool   // up to 5 s old, as is Role
	Role      string // "other", "master" or "slave" while connected
}

// PortRow is a row of table Port.
type PortRow struct {
	UUID        string
	Name        string
	Interfaces  []string // UUIDs
	Tag         Opt[int] // 0-4095
	Trunks      []int    // 0-4095
	VLANMode    string
	ExternalIDs map[string]string
}

// InterfaceRow is a row of table Interface.
type InterfaceRow struct {
	UUID          string
	Name          string
	Type          string
	Options       map[string]string
	OFPort        Opt[int] // read only: empty before ovs-vswitchd looked at it, -1 when it failed
	OFPortRequest Opt[int] // 1-65279
	Error         string   // read only: why OFPort is -1
	MAC           string
	MTURequest    Opt[int]
	ExternalIDs   map[string]string
	BFD           map[string]string // how ovs-vswitchd watches the far end of a tunnel
	BFDStatus     map[string]string // read only: what it found
}

// Snapshot is a consistent image of the monitored tables at one moment. All snapshots of one state share memory: nothing in one
// may be changed.
type Snapshot struct {
	// Generation is that of the session when the snapshot was taken; it is even.
	Generation uint64
	// Serial counts the states of the database that this session has shown: two
	// snapshots with one number are the same.
	Serial     uint64
	Switch     SwitchRow
	Bridges    []BridgeRow    // by name
	Ports      []PortRow      // by name
	Interfaces []InterfaceRow // by name
	Attached   []AttachedRow  // by table and UUID

	bridges, ports, interfaces map[string]int // UUID -> index
	bridgeOf                   map[string]int // UUID of a port -> index of its bridge
}

// Bridge returns the bridge with that name.
func (s Snapshot) Bridge(name string) (BridgeRow, bool) {
	return byName(s.Bridges, name, func(r BridgeRow) string { return r.Name })
}

// Port returns the port with that name.
func (s Snapshot) Port(name string) (PortRow, bool) {
	return byName(s.Ports, name, func(r PortRow) string { return r.Name })
}

// Interface returns the interface with that name.
func (s Snapshot) Interface(name string) (InterfaceRow, bool) {
	return byName(s.Interfaces, name, func(r InterfaceRow) string { return r.Name })
}

// BridgeByUUID returns the bridge with that UUID.
func (s Snapshot) BridgeByUUID(uuid string) (BridgeRow, bool) {
	return byUUID(s.Bridges, s.bridges, uuid)
}

// PortByUUID returns the port with that UUID.
func (s Snapshot) PortByUUID(uuid string) (PortRow, bool) { return byUUID(s.Ports, s.ports, uuid) }

// InterfaceByUUID returns the interface with that UUID.
func (s Snapshot) InterfaceByUUID(uuid string) (InterfaceRow, bool) {
	return byUUID(s.Interfaces, s.interfaces, uuid)
}

// BridgeOf returns the bridge that the port with that UUID is on.
func (s Snapshot) BridgeOf(portUUID string) (BridgeRow, bool) {
	return byUUID(s.Bridges, s.bridgeOf, portUUID)
}

func byUUID[R any](rows []R, index map[string]int, uuid string) (row R, ok bool) {
	i, ok := index[uuid]
	if ok {
		row = rows[i]
	}
	return row, ok
}

// byName relies on the unique index that the schema puts on each name column.
func byName[R any](rows []R, name string, nameOf func(R) string) (row R, ok bool) {
	i, ok := slices.BinarySearchFunc(rows, name, func(r R, name string) int { return strings.Compare(nameOf(r), name) })
	if ok {
		row = rows[i]
	}
	return row, ok
}

// Snapshot returns the present state of the database, or ErrNotSynced. While nothing changes it returns the same one again.
func (s *Session) Snapshot(ctx context.Context) (Snapshot, error) {
	s.snapMu.Lock()
	defer s.snapMu.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return Snapshot{}, fmt.Errorf("take snapshot: %w", err)
		}
		c, generation, err := s.ready()
		if err != nil {
			return Snapshot{}, fmt.Errorf("take snapshot: %w", s.unreached(ctx))
		}
		now := readImage(c.Cache())
		if s.snap.Generation != generation || !now.same(s.image) {
			if !readImage(c.Cache()).same(now) {
				continue
			}
			s.snap, s.image = now.snapshot(), now
			s.snap.Generation = generation
			s.serial++
			s.snap.Serial = s.serial
		}
		if s.Generation() == generation {
			return s.snap, nil
		}
	}
}

// image is the library's rows, UUID to row, table by table as in tables. The library never changes a row in place, so an image
// is safe to keep, and two images are of the same state exactly if they hold the same pointers. That also shows an image torn
// by an update that arrived between two tables, for which the library offers no lock: a second image differs from it then.
type image [len(tables)]map[string]model.Model

func readImage(c *cache.TableCache) (im image) {
	for i, t := range tables {
		im[i] = c.Table(t.name).RowsShallow() // Table waits for an update in progress
	}
	return im
}

func (im image) same(other image) bool {
	for i, rows := range im {
		if len(rows) != len(other[i]) {
			return false
		}
		for uuid, row := range rows {
			if other[i][uuid] != row {
				return false
			}
		}
	}
	return true
}

// sorted returns the rows of one table by name.
func sorted[M any](rows map[string]model.Model, name func(*M) string) []*M {
	list := make([]*M, 0, len(rows))
	for _, row := range rows {
		list = append(list, any(row).(*M))
	}
	slices.SortFunc(list, func(a, b *M) int { return strings.Compare(name(a), name(b)) })
	return list
}

func sortedSet[T cmp.Ordered](set []T) []T {
	if len(set) < 2 {
		return set
	}
	return slices.Sorted(slices.Values(set))
}

func (im image) snapshot() Snapshot {
	bridges := sorted(im[1], func(r *vswitch.Bridge) string { return r.Name })
	ports := sorted(im[2], func(r *vswitch.Port) string { return r.Name })
	interfaces := sorted(im[3], func(r *vswitch.Interface) string { return r.Name })
	s := Snapshot{
		Bridges:    make([]BridgeRow, len(bridges)),
		Ports:      make([]PortRow, len(ports)),
		Interfaces: make([]InterfaceRow, len(interfaces)),
		bridges:    make(map[string]int, len(bridges)),
		ports:      make(map[string]int, len(ports)),
		interfaces: make(map[string]int, len(interfaces)),
		bridgeOf:   make(map[string]int, len(ports)),
	}
	s.Attached = im.attachedRows()
	for _, r := range im[0] {
		s.Switch = switchRow(r.(*vswitch.OpenvSwitch))
	}
	for i, r := range bridges {
		s.Bridges[i], s.bridges[r.UUID] = bridgeRow(r), i
		s.Bridges[i].Controllers = controllerRows(r.Controller, im[4])
		for _, port := range r.Ports {
			s.bridgeOf[port] = i
		}
	}
	for i, r := range ports {
		s.Ports[i], s.ports[r.UUID] = portRow(r), i
	}
	for i, r := range interfaces {
		s.Interfaces[i], s.interfaces[r.UUID] = interfaceRow(r), i
	}
	return s
}

func switchRow(r *vswitch.OpenvSwitch) SwitchRow {
	return SwitchRow{
		UUID: r.UUID, Bridges: r.Bridges, NextCfg: r.NextCfg, CurCfg: r.CurCfg,
		ExternalIDs: r.ExternalIDs, OtherConfig: r.OtherConfig,
		OVSVersion: valueOf(r.OVSVersion), DBVersion: valueOf(r.DbVersion),
		DatapathTypes: sortedSet(r.DatapathTypes), InterfaceTypes: sortedSet(r.IfaceTypes),
	}
}

func bridgeRow(r *vswitch.Bridge) BridgeRow {
	return BridgeRow{
		UUID: r.UUID, Name: r.Name, DatapathType: r.DatapathType, DatapathID: valueOf(r.DatapathID),
		FailMode: valueOf(r.FailMode), Protocols: sortedSet(r.Protocols),
		OtherConfig: r.OtherConfig, ExternalIDs: r.ExternalIDs, Ports: r.Ports,
	}
}

func controllerRows(uuids []string, rows map[string]model.Model) []ControllerRow {
	var out []ControllerRow
	for _, uuid := range uuids {
		if r, ok := rows[uuid].(*vswitch.Controller); ok {
			out = append(out, ControllerRow{Target: r.Target, Connected: r.IsConnected, Role: valueOf(r.Role)})
		}
	}
	slices.SortFunc(out, func(a, b ControllerRow) int { return strings.Compare(a.Target, b.Target) })
	return out
}

func portRow(r *vswitch.Port) PortRow {
	return PortRow{
		UUID: r.UUID, Name: r.Name, Interfaces: r.Interfaces, Tag: optional(r.Tag), Trunks: sortedSet(r.Trunks),
		VLANMode: valueOf(r.VLANMode), ExternalIDs: r.ExternalIDs,
	}
}

func interfaceRow(r *vswitch.Interface) InterfaceRow {
	return InterfaceRow{
		UUID: r.UUID, Name: r.Name, Type: r.Type, Options: r.Options, OFPort: optional(r.Ofport),
		OFPortRequest: optional(r.OfportRequest), Error: valueOf(r.Error), MAC: valueOf(r.MAC),
		MTURequest: optional(r.MTURequest), ExternalIDs: r.ExternalIDs, BFD: r.BFD, BFDStatus: r.BFDStatus,
	}
}
