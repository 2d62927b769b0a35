package ovs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/ovsdb"
)

// attachedOf turns the rows that bridges refer to into what the plan compares.
func attachedOf(s ovsdb.Snapshot) map[string]model.OVSAttached {
	out := make(map[string]model.OVSAttached, len(s.Attached))
	for _, row := range s.Attached {
		b, ok := s.BridgeByUUID(row.Bridge)
		if !ok {
			continue
		}
		a := model.OVSAttached{Table: row.Table, Bridge: b.Name, Fields: map[string]string{}, ExternalIDs: row.ExternalIDs}
		for column, atoms := range row.Columns {
			if ovsdb.PortColumn(row.Table, column) {
				atoms = portNames(s, atoms)
			}
			a.Fields[column] = strings.Join(atoms, ",")
		}
		out[row.UUID] = a
	}
	return out
}

func portNames(s ovsdb.Snapshot, uuids []string) []string {
	var out []string
	for _, uuid := range uuids {
		if p, ok := s.PortByUUID(uuid); ok {
			out = append(out, p.Name)
		}
	}
	slices.Sort(out)
	return out
}

// lowerAttached puts one operation on such a row into a transaction.
func (p *pass) lowerAttached(t *ovsdb.Txn, tag string, o plan.Op) error {
	w := *o.Attached
	row := p.attachedRow(w.Row)
	switch o.Verb {
	case plan.Create:
		return t.InsertAttached(tag, p.bridgeRef(w.Bridge), ovsdb.AttachedRow{Table: w.Table, Columns: p.atomsOf(w, nil), ExternalIDs: w.Marks}, p.portUUIDs(w))
	case plan.Update:
		changed := map[string]bool{}
		for _, c := range o.Changes {
			changed[c.Field] = true
		}
		return t.UpdateAttached(tag, row, p.atomsOf(w, changed), p.portUUIDs(w), mapDiff(w.Marks, row.ExternalIDs, false))
	case plan.Delete:
		t.Detach(tag, p.bridgeRef(w.Bridge), row)
	}
	return nil
}

func (p *pass) attachedRow(uuid string) ovsdb.AttachedRow {
	for _, row := range p.snap.Attached {
		if row.UUID == uuid {
			return row
		}
	}
	return ovsdb.AttachedRow{UUID: uuid}
}

// atomsOf are the columns to write: those changed, or all.
func (p *pass) atomsOf(w plan.WantAttached, changed map[string]bool) map[string][]string {
	out := map[string][]string{}
	for column, text := range w.Fields {
		switch {
		case changed != nil && !changed[column]:
		case text == "":
			out[column] = nil
		default:
			out[column] = strings.Split(text, ",")
		}
	}
	for column := range changed {
		if _, stated := w.Fields[column]; !stated && w.Marks[column] == "" {
			out[column] = nil
		}
	}
	return out
}

// portUUIDs are the ports of the row that the switch has.
func (p *pass) portUUIDs(w plan.WantAttached) map[string]string {
	out := map[string]string{}
	for _, column := range w.Ports {
		for name := range strings.SplitSeq(w.Fields[column], ",") {
			if row, ok := p.snap.Port(name); ok {
				out[name] = row.UUID
			}
		}
	}
	return out
}

// mirrored lists the bridges on whose mirrors operations are.
func mirrored(ops []plan.Op) []string {
	bridges := map[string]bool{}
	for _, o := range ops {
		if o.Attached != nil && o.Attached.Table == ovsdb.MirrorTable {
			bridges[o.Attached.Bridge] = true
		}
	}
	return slices.Sorted(maps.Keys(bridges))
}

// doubt notes bridges that touch must touch, also should this pass not come to it.
// A greaved that starts does not know what the one before it came to.
func (p *pass) doubt(bridges []string) {
	if p.doubted == nil {
		p.doubted = map[string]bool{}
		for _, a := range p.host.Attached {
			if a.Table == ovsdb.MirrorTable && a.ExternalIDs[model.MarkOwner] == p.cfg.Owner.Name {
				p.doubted[a.Bridge] = true
			}
		}
	}
	for _, b := range bridges {
		p.doubted[b] = true
	}
}

// touch makes the switch look again at the packets that its datapath knows
// already. ovs-vswitchd (3.1) does not do so for a change of mirrors: a connection
// that is under way goes on being copied, or not, as before. A change of flows
// does it: one that comes and goes in one bundle.
func (p *pass) touch(ctx context.Context) error {
	for _, bridge := range slices.Sorted(maps.Keys(p.doubted)) {
		if _, there := p.snap.Bridge(bridge); !there || p.unread[bridge] != "" {
			delete(p.doubted, bridge) // a new one has made no flow yet
			continue
		}
		if err := p.cfg.Switch.Apply(ctx, bridge, openflow.Touch(p.cfg.Owner)); err != nil {
			return fmt.Errorf("have bridge %s look again after a change of mirrors: %w", bridge, err)
		}
		delete(p.doubted, bridge)
	}
	return nil
}
