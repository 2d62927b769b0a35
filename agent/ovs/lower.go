package ovs

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/ovsdb"
)

// lower puts one operation on rows into a transaction.
func (p *pass) lower(t *ovsdb.Txn, o plan.Op) error {
	tag := o.Object.Mark()
	switch {
	case o.Attached != nil:
		return p.lowerAttached(t, tag, o)
	case o.Bridge != nil && o.Verb == plan.Create:
		p.insertBridge(t, tag, *o.Bridge)
	case o.Bridge != nil && o.Verb == plan.Update:
		p.updateBridge(t, tag, *o.Bridge, o.Changes)
	case o.Bridge != nil && o.Verb == plan.Delete:
		row, _ := p.snap.Bridge(o.Bridge.Name)
		t.DeleteBridge(tag, p.bridgeRef(o.Bridge.Name), row.Ports)
	case o.Port != nil && o.Verb == plan.Create:
		p.insertPort(t, tag, *o.Port)
	case o.Port != nil && o.Verb == plan.Recreate:
		p.deletePort(t, tag, o.Port.Name)
		p.insertPort(t, tag, *o.Port)
	case o.Port != nil && o.Verb == plan.Update:
		p.updatePort(t, tag, *o.Port)
	case o.Port != nil && o.Verb == plan.Delete:
		p.deletePort(t, tag, o.Port.Name)
	case o.Port != nil && o.Verb == plan.Sweep:
		p.sweepPort(t, tag, o.Port.Name)
	case o.Port != nil && o.Verb == plan.Mark:
		p.writeMark(t, tag, o.Port.Name, ovsdb.MapChange{Set: map[string]string{markOf(o): p.cfg.mark()}})
	case o.Port != nil && o.Verb == plan.Unmark:
		p.writeMark(t, tag, o.Port.Name, ovsdb.MapChange{Delete: []string{markOf(o)}})
	}
	return nil
}

// markOf is the key that an operation writes or takes away.
func markOf(o plan.Op) string {
	for _, c := range o.Changes {
		if c.Field == model.MarkActivated {
			return c.Field
		}
	}
	return model.MarkInstalled
}

// mark is "owner since".
func (c Config) mark() string { return c.Owner.Name + " " + c.Now().UTC().Format(time.RFC3339) }

// owned is the guard of a row: it must still carry our mark, or, when it is
// being adopted, what it carried when it was observed is of no matter.
func (p *pass) owned(uuid, name string, ids map[string]string) ovsdb.RowRef {
	ref := ovsdb.RowRef{UUID: uuid, Name: name}
	if ids[model.MarkOwner] == p.cfg.Owner.Name {
		ref.ExternalIDs = map[string]string{model.MarkOwner: p.cfg.Owner.Name}
	}
	return ref
}

func (p *pass) bridgeRef(name string) ovsdb.RowRef {
	b, _ := p.snap.Bridge(name)
	return p.owned(b.UUID, name, b.ExternalIDs)
}

// iface is the interface of an OVS port that has one. It may have another name.
func (p *pass) iface(port string) (i ovsdb.InterfaceRow) {
	if row, _ := p.snap.Port(port); len(row.Interfaces) == 1 {
		i, _ = p.snap.InterfaceByUUID(row.Interfaces[0])
	}
	return i
}

func (p *pass) insertBridge(t *ovsdb.Txn, tag string, w plan.WantBridge) {
	row := ovsdb.BridgeRow{
		Name: w.Name, DatapathType: w.Datapath.String(), FailMode: w.FailMode.String(),
		Protocols: w.Protocols, OtherConfig: map[string]string{}, ExternalIDs: w.Marks,
	}
	if !w.HWAddr.IsZero() {
		row.OtherConfig["hwaddr"] = w.HWAddr.String()
	}
	if w.DatapathID.Set {
		row.OtherConfig["datapath-id"] = fmt.Sprintf("%016x", w.DatapathID.V)
	}
	var local ovsdb.InterfaceRow
	if w.MTU != 0 {
		local.MTURequest = ovsdb.Some(int(w.MTU))
	}
	t.InsertBridge(tag, row, local)
}

func (p *pass) updateBridge(t *ovsdb.Txn, tag string, w plan.WantBridge, list []plan.Change) {
	var ch ovsdb.BridgeChange
	ch.OtherConfig.Set = map[string]string{}
	ch.ExternalIDs.Set = map[string]string{}
	for _, c := range list {
		switch c.Field {
		case "datapath":
			ch.DatapathType = new(w.Datapath.String())
		case "fail_mode":
			ch.FailMode = new(w.FailMode.String())
		case "protocols":
			ch.Protocols = &w.Protocols
		case "hwaddr":
			ch.OtherConfig.Set["hwaddr"] = c.New
		case "datapath_id":
			ch.OtherConfig.Set["datapath-id"] = c.New
		case "mtu":
			i := p.iface(w.Name)
			t.UpdateInterface(tag, ovsdb.RowRef{UUID: i.UUID, Name: i.Name}, ovsdb.InterfaceChange{MTURequest: new(ovsdb.Some(int(w.MTU)))})
		default:
			ch.ExternalIDs.Set[c.Field] = c.New
		}
	}
	t.UpdateBridge(tag, p.bridgeRef(w.Name), ch)
}

func (p *pass) insertPort(t *ovsdb.Txn, tag string, w plan.WantPort) {
	port := ovsdb.PortRow{Name: w.Name, ExternalIDs: w.Marks}
	insertVLAN(&port, w.VLAN)
	iface := ovsdb.InterfaceRow{Name: w.Name, Type: w.Type, Options: w.Options, BFD: w.BFD, ExternalIDs: w.Marks}
	if w.Ofport != 0 {
		iface.OFPortRequest = ovsdb.Some(int(w.Ofport))
	}
	iface.MTURequest = mtuColumn(w.MTU)
	if !w.HWAddr.IsZero() {
		iface.MAC = w.HWAddr.String()
	}
	t.InsertPort(tag, p.bridgeRef(w.Bridge), port, iface)
}

func (p *pass) updatePort(t *ovsdb.Txn, tag string, w plan.WantPort) {
	port, _ := p.snap.Port(w.Name)
	iface := p.iface(w.Name)
	marks := mapDiff(w.Marks, iface.ExternalIDs, false)
	var ich ovsdb.InterfaceChange
	if iface.Type != w.Type && (iface.Type != "system" || w.Type != "") {
		ich.Type = &w.Type
	}
	ich.Options = mapDiff(w.Options, iface.Options, true)
	ich.ExternalIDs = marks
	if w.BFD != nil {
		ich.BFD = mapDiff(w.BFD, iface.BFD, true)
	}
	changeInternal(&ich, w, iface)
	t.UpdateInterface(tag, p.owned(iface.UUID, iface.Name, iface.ExternalIDs), ich)
	pch := ovsdb.PortChange{ExternalIDs: mapDiff(w.Marks, port.ExternalIDs, false)}
	changeVLAN(&pch, w.VLAN, port)
	t.UpdatePort(tag, p.owned(port.UUID, port.Name, port.ExternalIDs), pch)
}

func (p *pass) deletePort(t *ovsdb.Txn, tag, name string) {
	port, _ := p.snap.Port(name)
	bridge, _ := p.snap.BridgeOf(port.UUID)
	t.DeletePort(tag, ovsdb.RowRef{UUID: bridge.UUID, Name: bridge.Name}, p.owned(port.UUID, name, port.ExternalIDs))
}

func (p *pass) writeMark(t *ovsdb.Txn, tag, name string, ch ovsdb.MapChange) {
	i := p.iface(name)
	t.UpdateInterface(tag, ovsdb.RowRef{UUID: i.UUID, Name: i.Name}, ovsdb.InterfaceChange{ExternalIDs: ch})
}

// mapDiff is what turns have into want; keys that want does not name go only
// when the whole map is greave's.
func mapDiff(want, have map[string]string, whole bool) ovsdb.MapChange {
	ch := ovsdb.MapChange{Set: map[string]string{}}
	for k, v := range want {
		if old, ok := have[k]; !ok || old != v {
			ch.Set[k] = v
		}
	}
	if whole {
		for _, k := range slices.Sorted(maps.Keys(have)) {
			if _, ok := want[k]; !ok {
				ch.Delete = append(ch.Delete, k)
			}
		}
	}
	return ch
}
