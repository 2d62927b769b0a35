package ovsdb

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"

	"github.com/greave-sdn/greave/ovsdb/vswitch"
)

// Txn collects the writes of one transaction: all of them happen, or none. Each carries a tag, the caller's name for the object
// it serves, which comes back in a TxnError. A method only notes what to do; Session.Transact does it.
//
// Writes to rows that exist are guarded by the RowRef. That no name is given twice is left to the unique index that the schema
// has on each name column: a guard would search the whole table for each row.
type Txn struct {
	comment string
	ops     []op
	guards  map[string]int      // printed RowRef -> index in ops
	bridges map[string]*portSet // by UUID, or by name when new
	order   []string            // keys of bridges
	root    portSet             // the switch's own set of bridges
	created []created
}

// op is an operation with those it serves.
type op struct {
	ovsdb.Operation
	tags []string
}

// portSet is what goes into and out of one set of references.
type portSet struct {
	ref         RowRef
	insertOp    int // index in ops of a new bridge's insert, -1 for one that exists
	add, remove []any
	tags        []string
	others      map[string]*refs // other columns of a bridge that hold references
}

// refs is what goes into and out of one of them.
type refs struct{ add, remove []any }

func (p *portSet) attach(column string) *refs {
	if p.others == nil {
		p.others = map[string]*refs{}
	}
	if p.others[column] == nil {
		p.others[column] = &refs{}
	}
	return p.others[column]
}

type created struct {
	key RowKey
	op  int // index in ops of the insert
}

// RowKey names a row by table and name.
type RowKey struct{ Table, Name string }

// RowRef is a row as it was observed. A write to it happens only if the row with this UUID still has this Name and still
// includes these ExternalIDs; name the owner's mark there, or nothing for rows of others. A bridge that is made in the
// same transaction has no UUID yet.
type RowRef struct {
	UUID        string
	Name        string
	ExternalIDs map[string]string
}

// MapChange changes single keys of a map column and leaves all others as they are.
type MapChange struct {
	Set    map[string]string
	Delete []string
}

// BridgeChange lists the columns to change; nil is 'leave it', a pointer to the zero value clears the column.
type BridgeChange struct {
	DatapathType *string
	FailMode     *string
	Protocols    *[]string
	OtherConfig  MapChange
	ExternalIDs  MapChange
}

// PortChange is to PortRow what BridgeChange is to BridgeRow.
type PortChange struct {
	Tag         *Opt[int]
	Trunks      *[]int
	VLANMode    *string
	ExternalIDs MapChange
}

// InterfaceChange is to InterfaceRow what BridgeChange is to BridgeRow.
type InterfaceChange struct {
	Type          *string
	Options       MapChange
	OFPortRequest *Opt[int]
	MAC           *string
	MTURequest    *Opt[int]
	ExternalIDs   MapChange
	BFD           MapChange
}

// SwitchChange changes the switch's own row.
type SwitchChange struct {
	ExternalIDs MapChange
	OtherConfig MapChange
}

// NewTxn starts an empty transaction. The comment goes into the database's log (see ovsdb-tool show-log), after "greave: ".
func NewTxn(comment string) *Txn {
	return &Txn{
		comment: "greave: " + comment,
		guards:  map[string]int{},
		bridges: map[string]*portSet{},
		root:    portSet{insertOp: -1},
	}
}

// Empty says that there is nothing to do.
func (t *Txn) Empty() bool { return len(t.ops) == 0 }

// InsertBridge makes a bridge with its local port and the internal interface of the same name. Of local, OFPort, Error, Name
// and Type are not used; the local port gets local's ExternalIDs too. Fields of b that are read only are not used.
func (t *Txn) InsertBridge(tag string, b BridgeRow, local InterfaceRow) {
	row := ovsdb.Row{"name": b.Name}
	putString(row, "datapath_type", b.DatapathType)
	putString(row, "fail_mode", b.FailMode)
	putSet(row, "protocols", b.Protocols)
	putMap(row, "other_config", b.OtherConfig)
	putMap(row, "external_ids", b.ExternalIDs)
	ref := t.insert(tag, vswitch.BridgeTable, b.Name, row)
	t.bridges[b.Name] = &portSet{insertOp: len(t.ops) - 1}
	t.order = append(t.order, b.Name)
	t.root.add = append(t.root.add, ref)
	t.root.tags = append(t.root.tags, tag)

	local.Name, local.Type = b.Name, "internal"
	t.InsertPort(tag, RowRef{Name: b.Name}, PortRow{Name: b.Name, ExternalIDs: local.ExternalIDs}, local)
}

// InsertPort makes a port with its interfaces on a bridge; one that the same transaction makes is RowRef{Name: name}, and its
// InsertBridge comes first. Fields of the rows that are read only are not used.
func (t *Txn) InsertPort(tag string, bridge RowRef, p PortRow, interfaces ...InterfaceRow) {
	var refs []any
	for _, i := range interfaces {
		row := ovsdb.Row{"name": i.Name}
		putString(row, "type", i.Type)
		putString(row, "mac", i.MAC)
		putMap(row, "options", i.Options)
		putMap(row, "bfd", i.BFD)
		putOpt(row, "ofport_request", i.OFPortRequest)
		putOpt(row, "mtu_request", i.MTURequest)
		putMap(row, "external_ids", i.ExternalIDs)
		refs = append(refs, t.insert(tag, vswitch.InterfaceTable, i.Name, row))
	}
	row := ovsdb.Row{"name": p.Name, "interfaces": ovsdb.OvsSet{GoSet: refs}}
	putOpt(row, "tag", p.Tag)
	putSet(row, "trunks", p.Trunks)
	putString(row, "vlan_mode", p.VLANMode)
	putMap(row, "external_ids", p.ExternalIDs)
	ref := t.insert(tag, vswitch.PortTable, p.Name, row)

	set := t.portsOf(tag, bridge)
	set.add = append(set.add, ref)
}

// UpdateSwitch changes the switch's own row, which is nobody's, so there is no guard.
func (t *Txn) UpdateSwitch(tag, uuid string, c SwitchChange) {
	t.change(tag, vswitch.OpenvSwitchTable, RowRef{UUID: uuid}, nil,
		columnChange{"external_ids", c.ExternalIDs}, columnChange{"other_config", c.OtherConfig})
}

// UpdateBridge changes columns of a bridge.
func (t *Txn) UpdateBridge(tag string, bridge RowRef, c BridgeChange) {
	row := ovsdb.Row{}
	if c.DatapathType != nil {
		row["datapath_type"] = *c.DatapathType
	}
	setString(row, "fail_mode", c.FailMode)
	setSet(row, "protocols", c.Protocols)
	t.change(tag, vswitch.BridgeTable, bridge, row,
		columnChange{"other_config", c.OtherConfig}, columnChange{"external_ids", c.ExternalIDs})
}

// UpdatePort changes columns of a port.
func (t *Txn) UpdatePort(tag string, port RowRef, c PortChange) {
	row := ovsdb.Row{}
	setOpt(row, "tag", c.Tag)
	setSet(row, "trunks", c.Trunks)
	setString(row, "vlan_mode", c.VLANMode)
	t.change(tag, vswitch.PortTable, port, row, columnChange{"external_ids", c.ExternalIDs})
}

// UpdateInterface changes columns of an interface.
func (t *Txn) UpdateInterface(tag string, iface RowRef, c InterfaceChange) {
	row := ovsdb.Row{}
	if c.Type != nil {
		row["type"] = *c.Type
	}
	setString(row, "mac", c.MAC)
	setOpt(row, "ofport_request", c.OFPortRequest)
	setOpt(row, "mtu_request", c.MTURequest)
	t.change(tag, vswitch.InterfaceTable, iface, row,
		columnChange{"options", c.Options}, columnChange{"external_ids", c.ExternalIDs}, columnChange{"bfd", c.BFD})
}

// DeletePort takes a port off a bridge; the database drops it then, and its interfaces. Interfaces that are given must
// be as observed too.
func (t *Txn) DeletePort(tag string, bridge, port RowRef, interfaces ...RowRef) {
	t.guard(tag, vswitch.PortTable, port)
	for _, i := range interfaces {
		t.guard(tag, vswitch.InterfaceTable, i)
	}
	set := t.portsOf(tag, bridge)
	set.remove = append(set.remove, ovsdb.UUID{GoUUID: port.UUID})
}

// DeleteBridge takes a bridge off the switch; the database drops it then, and all its ports. It happens only if those are still
// the ports that were observed, given by UUID: one that came since is somebody's.
func (t *Txn) DeleteBridge(tag string, bridge RowRef, ports []string) {
	t.guard(tag, vswitch.BridgeTable, bridge)
	var refs []any
	for _, uuid := range ports {
		refs = append(refs, ovsdb.UUID{GoUUID: uuid})
	}
	t.add(tag, ovsdb.Operation{
		Op: ovsdb.OperationWait, Table: vswitch.BridgeTable, Where: whereUUID(bridge.UUID), Columns: []string{"ports"}, Timeout: new(0),
		Until: string(ovsdb.WaitConditionEqual), Rows: []ovsdb.Row{{"ports": ovsdb.OvsSet{GoSet: refs}}},
	})
	t.root.remove = append(t.root.remove, ovsdb.UUID{GoUUID: bridge.UUID})
	t.root.tags = append(t.root.tags, tag)
}

// insert notes an insert and returns the reference that other rows of the transaction use.
func (t *Txn) insert(tag, table, name string, row ovsdb.Row) ovsdb.UUID {
	named := fmt.Sprintf("row%d", len(t.ops))
	t.created = append(t.created, created{RowKey{table, name}, len(t.ops)})
	t.add(tag, ovsdb.Operation{Op: ovsdb.OperationInsert, Table: table, Row: row, UUIDName: named})
	return ovsdb.UUID{GoUUID: named}
}

// portsOf returns the one change of a bridge's ports in this transaction.
func (t *Txn) portsOf(tag string, bridge RowRef) *portSet {
	key := bridge.UUID
	if key == "" {
		key = bridge.Name
	} else {
		t.guard(tag, vswitch.BridgeTable, bridge)
	}
	set := t.bridges[key]
	if set == nil {
		// A bridge without UUID that is not in this transaction ends up here too: its mutate names no row, and fails for tag.
		set = &portSet{ref: bridge, insertOp: -1}
		t.bridges[key] = set
		t.order = append(t.order, key)
	}
	set.tags = append(set.tags, tag)
	return set
}

// guard makes the transaction fail unless the row is as observed. Foreign keys of external_ids may change freely, so the
// condition is in `where` and the value compared is only the name.
func (t *Txn) guard(tag, table string, ref RowRef) {
	key := fmt.Sprint(ref) // prints maps in order
	if i, ok := t.guards[key]; ok {
		t.ops[i].tags = append(t.ops[i].tags, tag)
		return
	}
	t.guards[key] = len(t.ops)
	where := whereUUID(ref.UUID)
	if len(ref.ExternalIDs) > 0 {
		where = append(where, ovsdb.NewCondition("external_ids", ovsdb.ConditionIncludes, mapOf(ref.ExternalIDs)))
	}
	t.add(tag, ovsdb.Operation{
		Op: ovsdb.OperationWait, Table: table, Where: where, Columns: []string{"name"}, Timeout: new(0),
		Until: string(ovsdb.WaitConditionEqual), Rows: []ovsdb.Row{{"name": ref.Name}},
	})
}

type columnChange struct {
	column string
	change MapChange
}

// change notes the writes to one row, if any.
func (t *Txn) change(tag, table string, ref RowRef, row ovsdb.Row, columns ...columnChange) {
	var mutations []ovsdb.Mutation
	for _, c := range columns {
		// Inserting does not replace a key that is there: delete it first.
		drop := slices.Concat(c.change.Delete, slices.Collect(maps.Keys(c.change.Set)))
		if len(drop) > 0 {
			mutations = append(mutations, *ovsdb.NewMutation(c.column, ovsdb.MutateOperationDelete, setOf(drop)))
		}
		if len(c.change.Set) > 0 {
			mutations = append(mutations, *ovsdb.NewMutation(c.column, ovsdb.MutateOperationInsert, mapOf(c.change.Set)))
		}
	}
	if len(row) == 0 && len(mutations) == 0 {
		return
	}
	if table != vswitch.OpenvSwitchTable {
		t.guard(tag, table, ref)
	}
	if len(row) > 0 {
		t.add(tag, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: table, Where: whereUUID(ref.UUID), Row: row})
	}
	if len(mutations) > 0 {
		t.add(tag, ovsdb.Operation{Op: ovsdb.OperationMutate, Table: table, Where: whereUUID(ref.UUID), Mutations: mutations})
	}
}

func (t *Txn) add(tag string, o ovsdb.Operation) { t.ops = append(t.ops, op{o, []string{tag}}) }

// build returns the operations in order: guards and rows as noted, one change of ports a bridge, the comment, and last the
// change of the switch's row and the read-back of next_cfg. It leaves t as it is, so that t can be sent again.
func (t *Txn) build(rootUUID string) []op {
	ops := slices.Clone(t.ops)
	for _, key := range t.order {
		set := t.bridges[key]
		if set.insertOp < 0 {
			ops = append(ops, op{set.mutate(vswitch.BridgeTable, set.ref.UUID, "ports"), set.tags})
			continue
		}
		insert := &ops[set.insertOp]
		insert.Row = maps.Clone(insert.Row)
		insert.Row["ports"] = ovsdb.OvsSet{GoSet: set.add}
		for column, r := range set.others {
			insert.Row[column] = ovsdb.OvsSet{GoSet: r.add}
		}
	}
	ops = append(ops, op{ovsdb.Operation{Op: ovsdb.OperationComment, Comment: &t.comment}, nil})
	root := t.root.mutate(vswitch.OpenvSwitchTable, rootUUID, "bridges")
	root.Mutations = append(root.Mutations, *ovsdb.NewMutation("next_cfg", ovsdb.MutateOperationAdd, 1))
	read := ovsdb.Operation{
		Op: ovsdb.OperationSelect, Table: vswitch.OpenvSwitchTable, Where: whereUUID(rootUUID), Columns: []string{"next_cfg"},
	}
	return append(ops, op{root, t.root.tags}, op{read, nil})
}

func (p *portSet) mutate(table, uuid, column string) ovsdb.Operation {
	o := ovsdb.Operation{Op: ovsdb.OperationMutate, Table: table, Where: whereUUID(uuid)}
	change := func(column string, r refs) {
		if len(r.remove) > 0 {
			o.Mutations = append(o.Mutations, *ovsdb.NewMutation(column, ovsdb.MutateOperationDelete, ovsdb.OvsSet{GoSet: r.remove}))
		}
		if len(r.add) > 0 {
			o.Mutations = append(o.Mutations, *ovsdb.NewMutation(column, ovsdb.MutateOperationInsert, ovsdb.OvsSet{GoSet: r.add}))
		}
	}
	change(column, refs{p.add, p.remove})
	for _, other := range slices.Sorted(maps.Keys(p.others)) {
		change(other, *p.others[other])
	}
	return o
}

// whereUUID is the one condition that ovsdb-server does not search the table for. It must come first.
func whereUUID(uuid string) []ovsdb.Condition {
	return []ovsdb.Condition{ovsdb.NewCondition("_uuid", ovsdb.ConditionEqual, ovsdb.UUID{GoUUID: uuid})}
}

func setOf[T any](list []T) ovsdb.OvsSet {
	set := make([]any, len(list))
	for i, v := range list {
		set[i] = v
	}
	return ovsdb.OvsSet{GoSet: set}
}

func mapOf(m map[string]string) ovsdb.OvsMap {
	out := make(map[any]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return ovsdb.OvsMap{GoMap: out}
}

// The put functions leave a zero value out of an insert; the set functions write it, as an empty set.

func putString(row ovsdb.Row, column, v string) {
	if v != "" {
		row[column] = v
	}
}

func putOpt(row ovsdb.Row, column string, v Opt[int]) {
	if v.OK {
		row[column] = v.Value
	}
}

func putSet[T any](row ovsdb.Row, column string, v []T) {
	if len(v) > 0 {
		row[column] = setOf(v)
	}
}

func putMap(row ovsdb.Row, column string, v map[string]string) {
	if len(v) > 0 {
		row[column] = mapOf(v)
	}
}

func setString(row ovsdb.Row, column string, v *string) {
	if v != nil {
		row[column] = setOf([]string{})
		putString(row, column, *v)
	}
}

func setOpt(row ovsdb.Row, column string, v *Opt[int]) {
	if v != nil {
		row[column] = setOf([]int{})
		putOpt(row, column, *v)
	}
}

func setSet[T any](row ovsdb.Row, column string, v *[]T) {
	if v != nil {
		row[column] = setOf(*v)
	}
}
