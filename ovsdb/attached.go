package ovsdb

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/greave-sdn/greave/ovsdb/vswitch"
)

// AttachedRow is a row that a bridge refers to by one of its columns, and that goes with it: of table Mirror, sFlow, IPFIX or
// NetFlow. Its columns are text, so that all four are written, read and compared by one code.
type AttachedRow struct {
	UUID    string // read only
	Table   string
	Bridge  string              // UUID; read only
	Columns map[string][]string // the atoms of each column in order, columns without any left out; ports as UUIDs; of a map "key=value"
	// ExternalIDs of the row.
	ExternalIDs map[string]string
}

// Tables of attached rows.
const (
	MirrorTable  = vswitch.MirrorTable
	SFlowTable   = vswitch.SFlowTable
	IPFIXTable   = vswitch.IPFIXTable
	NetFlowTable = vswitch.NetFlowTable
)

type atom uint8

const (
	atomText atom = iota + 1
	atomInt
	atomBool
	atomPort
	atomPair // of a map
)

// attachable is a table of attached rows: the column of Bridge that refers to it, and its own.
type attachable struct {
	parent  string
	columns map[string]atom
}

var attachables = map[string]attachable{
	MirrorTable: {"mirrors", map[string]atom{"name": atomText, "select_all": atomBool, "select_src_port": atomPort,
		"select_dst_port": atomPort, "select_vlan": atomInt, "output_port": atomPort, "output_vlan": atomInt, "snaplen": atomInt}},
	SFlowTable: {"sflow", map[string]atom{"targets": atomText, "agent": atomText, "header": atomInt, "polling": atomInt, "sampling": atomInt}},
	IPFIXTable: {"ipfix", map[string]atom{"targets": atomText, "sampling": atomInt, "obs_domain_id": atomInt, "obs_point_id": atomInt,
		"cache_active_timeout": atomInt, "cache_max_flows": atomInt, "other_config": atomPair}},
	NetFlowTable: {"netflow", map[string]atom{"targets": atomText, "engine_type": atomInt, "engine_id": atomInt,
		"add_id_to_interface": atomBool, "active_timeout": atomInt}},
}

// PortColumn tells whether a column of a table holds ports.
func PortColumn(table, column string) bool { return attachables[table].columns[column] == atomPort }

// atoms collects the columns of a row.
type atoms map[string][]string

func put[T any](a atoms, column string, set ...T) {
	for _, v := range set {
		a[column] = append(a[column], fmt.Sprint(v))
	}
	slices.Sort(a[column])
}

func putPtr[T any](a atoms, column string, v *T) {
	if v != nil {
		put(a, column, *v)
	}
}

// attached reads the rows of one table, bridges being those that refer to each.
func attached(table string, rows map[string]model.Model, bridges map[string]string) []AttachedRow {
	out := make([]AttachedRow, 0, len(rows))
	for uuid, row := range rows {
		a := atoms{}
		var ids map[string]string
		switch r := row.(type) {
		case *vswitch.Mirror:
			ids = r.ExternalIDs
			put(a, "name", r.Name)
			put(a, "select_all", r.SelectAll)
			put(a, "select_src_port", r.SelectSrcPort...)
			put(a, "select_dst_port", r.SelectDstPort...)
			put(a, "select_vlan", r.SelectVLAN...)
			putPtr(a, "output_port", r.OutputPort)
			putPtr(a, "output_vlan", r.OutputVLAN)
			putPtr(a, "snaplen", r.Snaplen)
		case *vswitch.SFlow:
			ids = r.ExternalIDs
			put(a, "targets", r.Targets...)
			putPtr(a, "agent", r.Agent)
			putPtr(a, "header", r.Header)
			putPtr(a, "polling", r.Polling)
			putPtr(a, "sampling", r.Sampling)
		case *vswitch.IPFIX:
			ids = r.ExternalIDs
			put(a, "targets", r.Targets...)
			putPtr(a, "sampling", r.Sampling)
			putPtr(a, "obs_domain_id", r.ObsDomainID)
			putPtr(a, "obs_point_id", r.ObsPointID)
			putPtr(a, "cache_active_timeout", r.CacheActiveTimeout)
			putPtr(a, "cache_max_flows", r.CacheMaxFlows)
			for _, k := range slices.Sorted(maps.Keys(r.OtherConfig)) {
				put(a, "other_config", k+"="+r.OtherConfig[k])
			}
		case *vswitch.NetFlow:
			ids = r.ExternalIDs
			put(a, "targets", r.Targets...)
			putPtr(a, "engine_type", r.EngineType)
			putPtr(a, "engine_id", r.EngineID)
			put(a, "add_id_to_interface", r.AddIDToInterface)
			put(a, "active_timeout", r.ActiveTimeout)
		}
		out = append(out, AttachedRow{UUID: uuid, Table: table, Bridge: bridges[uuid], Columns: a, ExternalIDs: ids})
	}
	slices.SortFunc(out, func(a, b AttachedRow) int { return strings.Compare(a.UUID, b.UUID) })
	return out
}

// attachedRows reads all of them.
func (im image) attachedRows() []AttachedRow {
	bridges := map[string]string{}
	for uuid, row := range im[1] {
		b := row.(*vswitch.Bridge)
		for _, ref := range b.Mirrors {
			bridges[ref] = uuid
		}
		for _, ref := range []*string{b.Sflow, b.IPFIX, b.Netflow} {
			if ref != nil {
				bridges[*ref] = uuid
			}
		}
	}
	var out []AttachedRow
	for i, t := range tables {
		if _, ok := attachables[t.name]; ok {
			out = append(out, attached(t.name, im[i], bridges)...)
		}
	}
	return out
}

// InsertAttached makes a row and has a bridge refer to it, one that the same transaction makes as for InsertPort. The atoms of
// port columns are names: ports has the UUIDs of those that exist, others must be made before by this transaction. A port that
// is neither is left out. Where a bridge has room for one row, the old one must be detached in the same transaction.
func (t *Txn) InsertAttached(tag string, bridge RowRef, r AttachedRow, ports map[string]string) error {
	row, err := t.columns(r.Table, r.Columns, ports)
	if err != nil {
		return err
	}
	maps.DeleteFunc(row, func(_ string, v any) bool { set, ok := v.(ovsdb.OvsSet); return ok && len(set.GoSet) == 0 })
	putMap(row, "external_ids", r.ExternalIDs)
	ref := t.insert(tag, r.Table, r.Table+" "+strings.Join(r.Columns["name"], "")+" "+tag, row)
	set := t.portsOf(tag, bridge)
	set.attach(attachables[r.Table].parent).add = append(set.attach(attachables[r.Table].parent).add, ref)
	return nil
}

// UpdateAttached changes columns of a row, to what InsertAttached would write; a column without atoms is cleared. It happens
// only if the row's external_ids are those of row, the one observed.
func (t *Txn) UpdateAttached(tag string, row AttachedRow, columns map[string][]string, ports map[string]string, ids MapChange) error {
	values, err := t.columns(row.Table, columns, ports)
	if err != nil {
		return err
	}
	t.guardIDs(tag, row)
	if len(values) > 0 {
		t.add(tag, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: row.Table, Where: whereUUID(row.UUID), Row: values})
	}
	t.changeIDs(tag, row, ids)
	return nil
}

func (t *Txn) changeIDs(tag string, row AttachedRow, ids MapChange) {
	if len(ids.Set) == 0 {
		return
	}
	t.add(tag, ovsdb.Operation{Op: ovsdb.OperationMutate, Table: row.Table, Where: whereUUID(row.UUID), Mutations: []ovsdb.Mutation{
		*ovsdb.NewMutation("external_ids", ovsdb.MutateOperationDelete, setOf(slices.Sorted(maps.Keys(ids.Set)))),
		*ovsdb.NewMutation("external_ids", ovsdb.MutateOperationInsert, mapOf(ids.Set)),
	}})
}

// Detach has a bridge no longer refer to a row; the database drops the row then.
func (t *Txn) Detach(tag string, bridge RowRef, row AttachedRow) {
	t.guardIDs(tag, row)
	refs := t.portsOf(tag, bridge).attach(attachables[row.Table].parent)
	refs.remove = append(refs.remove, ovsdb.UUID{GoUUID: row.UUID})
}

// guardIDs makes the transaction fail unless the row is there with the external_ids that were observed.
func (t *Txn) guardIDs(tag string, row AttachedRow) {
	t.add(tag, ovsdb.Operation{
		Op: ovsdb.OperationWait, Table: row.Table, Where: whereUUID(row.UUID), Columns: []string{"external_ids"}, Timeout: new(0),
		Until: string(ovsdb.WaitConditionEqual), Rows: []ovsdb.Row{{"external_ids": mapOf(row.ExternalIDs)}},
	})
}

// columns turns text into values of the table's columns.
func (t *Txn) columns(table string, columns map[string][]string, ports map[string]string) (ovsdb.Row, error) {
	row := ovsdb.Row{}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		kind := attachables[table].columns[name]
		if kind == atomPair {
			row[name] = mapOf(pairs(columns[name]))
			continue
		}
		set := []any{}
		for _, text := range columns[name] {
			v, err := t.value(kind, text, ports)
			if err != nil {
				return nil, fmt.Errorf("column %s of table %s: %w", name, table, err)
			}
			if v != nil {
				set = append(set, v)
			}
		}
		row[name] = ovsdb.OvsSet{GoSet: set}
		if scalar := kind == atomBool || name == "name" || name == "active_timeout"; scalar && len(set) == 1 {
			row[name] = set[0] // the column holds exactly one
		}
	}
	return row, nil
}

func pairs(list []string) map[string]string {
	out := map[string]string{}
	for _, p := range list {
		k, v, _ := strings.Cut(p, "=")
		out[k] = v
	}
	return out
}

func (t *Txn) value(kind atom, text string, ports map[string]string) (any, error) {
	switch kind {
	case atomText:
		return text, nil
	case atomInt:
		n, err := strconv.Atoi(text)
		return n, err
	case atomBool:
		return text == "true", nil
	case atomPort:
		uuid := cmp.Or(t.made(text), ports[text]) // one that is made anew comes in place of the old one
		if uuid == "" {
			return nil, nil
		}
		return ovsdb.UUID{GoUUID: uuid}, nil
	}
	return nil, fmt.Errorf("there is no such column")
}

// made is the reference to a port that this transaction makes.
func (t *Txn) made(port string) string {
	for _, c := range t.created {
		if c.key == (RowKey{vswitch.PortTable, port}) {
			return t.ops[c.op].UUIDName
		}
	}
	return ""
}
