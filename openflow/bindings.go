package openflow

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/model"
)

// Pool hands out the lowest free number of a range to names, and keeps it.
type Pool struct {
	min, max uint64
	ids      map[string]uint64
	names    map[uint64]string
	low      uint64 // no number below it is free
}

func newPool(min, max uint64) *Pool {
	return &Pool{min: min, max: max, ids: map[string]uint64{}, names: map[uint64]string{}, low: min}
}

// Get returns the number of name, taking the lowest free one when it has none.
// It returns 0, which no pool holds, when the range is used up.
func (p *Pool) Get(name string) uint64 {
	if id, ok := p.ids[name]; ok {
		return id
	}
	for ; p.low <= p.max; p.low++ {
		if _, used := p.names[p.low]; !used {
			p.set(name, p.low)
			return p.low
		}
	}
	return 0
}

// Lookup returns the number of name, if it has one.
func (p *Pool) Lookup(name string) (uint64, bool) {
	id, ok := p.ids[name]
	return id, ok
}

// Name returns who holds a number.
func (p *Pool) Name(id uint64) (string, bool) {
	n, ok := p.names[id]
	return n, ok
}

func (p *Pool) set(name string, id uint64) {
	p.ids[name] = id
	p.names[id] = name
}

// Drop releases the number of one name.
func (p *Pool) Drop(name string) { p.free(name) }

func (p *Pool) free(name string) {
	id, ok := p.ids[name]
	if !ok {
		return
	}
	delete(p.ids, name)
	delete(p.names, id)
	p.low = min(p.low, id)
}

// Pools of a Bindings, by name, as BindingsDelta carries them.
const (
	PoolObjects  = "objects"  // Ref.Mark: the object id of cookies
	PoolSegments = "segments" // segment name: RegSegment
	PoolPeers    = "peers"    // hop: RegPeer
	PoolPaths    = "paths"    // hop and ends: RegPath
	PoolGroups   = "groups"   // "local segment", "flood segment", "peer hop", "tier hop N", "blind hop": group id
	PoolPorts    = "ports"    // OVS port that greave makes: ofport to ask for

	// Names that are to be remembered and need no number.
	PoolRows     = "rows"     // rows of the kernel that carry no mark and are greave's
	PoolNetns    = "netns"    // namespaces that hold something of greave's
	PoolBackends = "backends" // "ovs bridge/br0": where auto has built a bridge
)

// Ofports that greave asks for. OVS assigns up to 32767 by itself.
const (
	OfportMin = 32768
	OfportMax = 65279
)

// Bindings is the numbers that must stay put while an object lives. It is an
// allocator and no more: fed from the store and the host, deterministic for one
// order of calls, not safe for concurrent use.
type Bindings struct {
	pools map[string]*Pool
	saved map[string]map[string]uint64 // what the last Delta left
}

// NewBindings returns an empty allocator.
func NewBindings() *Bindings {
	return &Bindings{
		pools: map[string]*Pool{
			PoolObjects:  newPool(1, uint64(ObjectIDMax)),
			PoolSegments: newPool(1, 1<<32-1),
			PoolPeers:    newPool(1, 1<<31), // also a bucket id, which ends at 0xffffff00
			PoolPaths:    newPool(1, 1<<31), // as well
			PoolGroups:   newPool(uint64(GroupMin), uint64(GroupMax)),
			PoolPorts:    newPool(OfportMin, OfportMax),
			PoolRows:     newPool(1, 1<<32-1),
			PoolNetns:    newPool(1, 1<<32-1),
			PoolBackends: newPool(1, 1<<32-1),
		},
		saved: map[string]map[string]uint64{},
	}
}

// Clone returns an independent copy: what is bound in one is not in the other.
func (b *Bindings) Clone() *Bindings {
	c := &Bindings{pools: make(map[string]*Pool, len(b.pools)), saved: make(map[string]map[string]uint64, len(b.saved))}
	for name, p := range b.pools {
		q := *p
		q.ids, q.names = maps.Clone(p.ids), maps.Clone(p.names)
		c.pools[name] = &q
	}
	for name, ids := range b.saved {
		c.saved[name] = maps.Clone(ids)
	}
	return c
}

// Names returns every name that holds a number.
func (b *Bindings) Names() Names {
	all := Names{}
	for pool, p := range b.pools {
		for name := range p.ids {
			all.Add(pool, name)
		}
	}
	return all
}

// Pool returns one pool by name.
func (b *Bindings) Pool(name string) *Pool { return b.pools[name] }

// BindingsDelta is a change of bindings: numbers given and names released.
type BindingsDelta struct {
	Set  map[string]map[string]uint64 `json:"set,omitempty"`
	Free map[string][]string          `json:"free,omitempty"`
}

// Empty tells whether nothing changed.
func (d BindingsDelta) Empty() bool { return len(d.Set)+len(d.Free) == 0 }

// Load applies a delta, as when a store is replayed. A number that a name
// outside the delta holds already is skipped: that name keeps it.
func (b *Bindings) Load(d BindingsDelta) {
	for pool, names := range d.Free {
		if p := b.pools[pool]; p != nil {
			for _, n := range names {
				p.free(n)
				delete(b.saved[pool], n)
			}
		}
	}
	for pool, ids := range d.Set {
		p := b.pools[pool]
		if p == nil {
			continue
		}
		for n := range ids { // first, for two names may have changed places
			p.free(n)
			delete(b.saved[pool], n)
		}
		for _, n := range slices.Sorted(maps.Keys(ids)) {
			if _, taken := p.names[ids[n]]; !taken && ids[n] >= p.min && ids[n] <= p.max {
				p.set(n, ids[n])
				b.remember(pool, n, ids[n])
			}
		}
	}
}

func (b *Bindings) remember(pool, name string, id uint64) {
	if b.saved[pool] == nil {
		b.saved[pool] = map[string]uint64{}
	}
	b.saved[pool][name] = id
}

// Delta returns what changed since the last call, for the store.
func (b *Bindings) Delta() BindingsDelta {
	var d BindingsDelta
	for name, p := range b.pools {
		for n, id := range p.ids {
			if b.saved[name][n] == id {
				continue
			}
			if d.Set == nil {
				d.Set = map[string]map[string]uint64{}
			}
			if d.Set[name] == nil {
				d.Set[name] = map[string]uint64{}
			}
			d.Set[name][n] = id
			b.remember(name, n, id)
		}
		for n := range b.saved[name] {
			if _, ok := p.ids[n]; !ok {
				if d.Free == nil {
					d.Free = map[string][]string{}
				}
				d.Free[name] = append(d.Free[name], n)
				delete(b.saved[name], n)
			}
		}
		slices.Sort(d.Free[name])
	}
	return d
}

// Retain releases every number whose name is not in use. Call it only when the
// host no longer holds anything of the released ones.
func (b *Bindings) Retain(inUse Names) {
	for name, p := range b.pools {
		for n := range p.ids {
			if !inUse[name][n] {
				p.free(n)
			}
		}
	}
}

// GroupObject is the object whose group a number is bound to.
func (b *Bindings) GroupObject(id GroupID) (model.Ref, bool) {
	name, ok := b.pools[PoolGroups].Name(uint64(id))
	role, of, _ := strings.Cut(name, " ")
	if role == "peer" || role == "tier" || role == "blind" {
		peer, _, _ := strings.Cut(of, " ")
		return model.Ref{Kind: model.KindPeer, Name: peer}, ok
	}
	return model.Ref{Kind: model.KindSegment, Name: of}, ok
}

// Names is a set of names by pool.
type Names map[string]map[string]bool

// Add puts names into the set of one pool.
func (n Names) Add(pool string, names ...string) {
	if n[pool] == nil {
		n[pool] = map[string]bool{}
	}
	for _, name := range names {
		n[pool][name] = true
	}
}

// numbers binds and records in one step, while a program is compiled.
type numbers struct {
	b    *Bindings
	used Names
	err  error
}

func (n *numbers) get(pool, name string) uint64 {
	n.used.Add(pool, name)
	id := n.b.pools[pool].Get(name)
	if id == 0 && n.err == nil {
		n.err = fmt.Errorf("bind %s %q: no number is free", pool, name)
	}
	return id
}

func (n *numbers) segment(name string) uint32 { return uint32(n.get(PoolSegments, name)) }

func (n *numbers) peer(h model.Hop) uint32 { return uint32(n.get(PoolPeers, h.String())) }

func (n *numbers) path(h model.Hop, p model.ResolvedPath) uint32 {
	return uint32(n.get(PoolPaths, fmt.Sprintf("%s %s %s", h, p.Local, p.Remote)))
}

func (n *numbers) group(role, of string) GroupID { return GroupID(n.get(PoolGroups, role+" "+of)) }
