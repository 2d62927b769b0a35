package ovs

import (
	"maps"
	"time"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/ovsdb"
)

// sighting is one incarnation of a port whose device is gone: its row, and for
// whom it was made.
type sighting struct{ name, uuid, iface string }

// orphanage remembers when a full observation first found each orphan. It is the
// one memory that a removal rests on, so it forgets at every doubt: a port that
// any observation finds whole, or under another row, starts anew, and so do all
// when greaved starts.
type orphanage map[sighting]time.Time

// note takes down what an observation found; only a full one adds.
func (o orphanage) note(now map[sighting]bool, full bool, at time.Time) {
	maps.DeleteFunc(o, func(s sighting, _ time.Time) bool { return !now[s] })
	if !full {
		return
	}
	for s := range now {
		if _, known := o[s]; !known {
			o[s] = at
		}
	}
}

// ripe are those that a full observation made now finds for at least the second
// time, with the reason to remove them.
func (o orphanage) ripe(now map[sighting]bool, at time.Time, grace time.Duration) map[string]string {
	out := map[string]string{}
	for s := range now {
		if first, known := o[s]; known && at.Sub(first) >= grace {
			out[s.name] = "its device is gone since " + first.UTC().Format(time.RFC3339)
		}
	}
	return out
}

// sightings are the orphans that the pass started from, by their rows.
func (p *pass) sightings() map[sighting]bool {
	out := map[sighting]bool{}
	for name, iface := range p.in.Want.Orphans {
		if row, ok := p.snap.Port(name); ok {
			out[sighting{name, row.UUID, iface}] = true
		}
	}
	return out
}

// findOrphans takes down the orphans, and finds those that a full observation
// has seen before.
func (p *pass) findOrphans() {
	now, at := p.sightings(), p.cfg.Now()
	if p.look {
		p.sweep = p.orphans.ripe(now, at, p.cfg.OrphanGrace)
	}
	p.orphans.note(now, p.look, at)
}

// sweepPort removes somebody else's row, if it is still the one that was seen.
func (p *pass) sweepPort(t *ovsdb.Txn, tag, name string) {
	port, _ := p.snap.Port(name)
	bridge, _ := p.snap.BridgeOf(port.UUID)
	i := p.iface(name)
	ids := map[string]string{model.IDIface: p.in.Want.Orphans[name]}
	at := ovsdb.RowRef{UUID: port.UUID, Name: name}
	member := ovsdb.RowRef{UUID: i.UUID, Name: i.Name}
	if i.ExternalIDs[model.IDIface] != "" {
		member.ExternalIDs = ids
	} else {
		at.ExternalIDs = ids
	}
	t.DeletePort(tag, ovsdb.RowRef{UUID: bridge.UUID, Name: bridge.Name}, at, member)
}
