package kernel

import (
	"context"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/model"
)

// LinkAt is a device of a namespace.
type LinkAt struct{ Netns, Name string }

// Scope says what a reading must hold.
type Scope struct {
	Owner model.Owner
	// Netns are names under /run/netns besides greaved's own namespace, which is always read. One that
	// does not exist has no rows.
	Netns []string
	// Links are wanted devices, made or bound: the tables of these are read too.
	Links map[LinkAt]bool
	// Listed says which rows of tables without a mark are greave's; nil: none.
	Listed func(rows.Key) bool
}

// reader is one reading.
type reader struct {
	Scope
	ctx    context.Context
	spaces []*space
	links  map[string]map[int]*link // by namespace and index
	out    map[rows.Key]rows.Row
}

// Read reads all links of the namespaces, the tables of those that are greave's or wanted, greave's
// routes and all FOU ports. Each table is one dump a namespace.
func (h *Host) Read(ctx context.Context, s Scope) (map[rows.Key]rows.Row, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &reader{Scope: s, ctx: ctx, links: map[string]map[int]*link{}, out: map[rows.Key]rows.Row{}}
	for _, name := range append([]string{""}, s.Netns...) {
		sp, err := h.space(name)
		if noNamespace(err) || r.links[name] != nil {
			continue
		} else if err != nil {
			return nil, err
		}
		r.spaces = append(r.spaces, sp)
		if r.links[name], err = dumpLinks(ctx, sp); err != nil {
			return nil, err
		}
	}
	for _, sp := range r.spaces {
		if err := r.readSpace(sp); err != nil {
			return nil, err
		}
	}
	if err := r.readFOU(); err != nil {
		return nil, err
	}
	h.setInterest(r)
	return r.out, nil
}

func (r *reader) readSpace(sp *space) error {
	if err := r.readLinks(sp); err != nil {
		return err
	}
	concerned := false
	for _, l := range r.links[sp.name] {
		concerned = concerned || l.tables
	}
	if concerned {
		for _, read := range []func(*space) error{r.readAddresses, r.readNeighbours, r.readFDB} {
			if err := read(sp); err != nil {
				return err
			}
		}
	}
	return r.readRoutes(sp)
}

// concerned returns the device whose tables are read, or nil.
func (r *reader) concerned(sp *space, index int) *link {
	if l := r.links[sp.name][index]; l != nil && l.tables {
		return l
	}
	return nil
}

func (r *reader) listed(k rows.Key) bool { return r.Listed != nil && r.Listed(k) }

func (r *reader) add(row rows.Row) { r.out[row.Key] = row }

// dump asks for a whole table.
func (s *space) dump(ctx context.Context, what string, typ int, payload []byte) ([][]byte, error) {
	op := "read " + what
	if s.name != "" {
		op += " of namespace " + s.name
	}
	return s.route(ctx, op, typ, unix.NLM_F_DUMP, payload)
}

func decimal[T ~int | ~int32 | ~uint16 | ~uint32 | ~uint64](v T) string {
	return strconv.FormatInt(int64(v), 10)
}
