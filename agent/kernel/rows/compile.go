package rows

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/greave-sdn/greave/model"
)

// Program is every row that greave wants, in order of keys, and why some objects
// have none.
type Program struct {
	Rows    []Row
	Notices map[model.Ref]model.Notice
}

// Compile turns what the kernel is to build into rows. It is deterministic.
func Compile(r model.Resolved, owner model.Owner) Program {
	c := &compiler{r: r, owner: owner, rows: map[Key]Row{}, notices: map[model.Ref]model.Notice{}, named: map[string]string{}, segments: map[string]model.ResolvedSegment{}}
	c.tagged = c.taggedBridges()
	for _, b := range r.Bridges {
		c.bridge(b)
	}
	for _, s := range r.Segments {
		c.segments[s.Name] = s
		c.segment(s)
	}
	for _, p := range r.Ports {
		c.port(p)
	}
	for _, e := range r.Fdb {
		c.fdb(e)
	}
	for _, t := range r.Tunnels {
		c.tunnel(t)
	}
	out := Program{Rows: make([]Row, 0, len(c.rows)), Notices: c.notices}
	for _, row := range c.rows {
		out.Rows = append(out.Rows, row)
	}
	slices.SortFunc(out.Rows, func(a, b Row) int { return a.Key.Compare(b.Key) })
	return out
}

type compiler struct {
	r        model.Resolved
	owner    model.Owner
	rows     map[Key]Row
	notices  map[model.Ref]model.Notice
	named    map[string]string // what each derived device name stands for
	tagged   map[string]bool   // bridges that tell VLANs apart
	segments map[string]model.ResolvedSegment
}

func (c *compiler) refuse(ref model.Ref, reason, format string, args ...any) {
	c.notices[ref] = model.Notice{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// put enters a row. The first object to ask for it has it: two tunnels may
// share a FOU port.
func (c *compiler) put(r Row) {
	if _, taken := c.rows[r.Key]; !taken {
		c.rows[r.Key] = r
	}
}

// link enters a device with the defaults of its kind under the fields given.
func (c *compiler) link(netns, name, kind string, ref model.Ref, fields map[string]string) Row {
	all := Kinds[kind].Defaults()
	maps.Copy(all, fields)
	all[FieldAlias] = Alias(c.owner, ref)
	if all[FieldUp] == "" {
		all[FieldUp] = "true"
	}
	r := Row{Key: Key{netns, Link, name, ""}, Fields: all, Object: ref}
	c.put(r)
	return r
}

// derived is the name of a device that greave names itself, after what it is
// for. Two that come out the same are a conflict.
func (c *compiler) derived(ref model.Ref, what ...string) (string, bool) {
	name := Derived(what...)
	id := strings.Join(what, "\x00")
	if other, taken := c.named[name]; taken && other != id {
		c.refuse(ref, model.NoticeConflict, "the device name %s, which derives from it, is taken by another object: rename it", name)
		return "", false
	}
	c.named[name] = id
	return name, true
}

// Derived is the device name for parts such as ("segment", "red").
func Derived(what ...string) string {
	sum := sha256.Sum256([]byte("greave device\x00" + strings.Join(what, "\x00")))
	return "gs-" + hex.EncodeToString(sum[:5])
}

func num[T ~int | ~uint16 | ~uint32 | ~uint64](v T) string { return strconv.FormatUint(uint64(v), 10) }

func yes(b bool) string { return strconv.FormatBool(b) }

// addr is an address as fields spell it; empty when there is none.
func addr(a netip.Addr) string {
	if !a.IsValid() || a.IsUnspecified() {
		return ""
	}
	return a.String()
}

func opt(v model.Opt[uint64]) string {
	if !v.Set {
		return ""
	}
	return num(v.V)
}

// setMTU says the MTU that was stated, or what fits the underlay.
func setMTU(fields map[string]string, stated, fits uint32) {
	if v := cmp.Or(stated, fits); v != 0 {
		fields[FieldMTU] = num(v)
	}
}
