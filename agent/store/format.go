package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/greave-sdn/greave/openflow"
)

// Both files are lines of "CRC JSON": eight hexadecimal digits of CRC-32C over
// the JSON. The first line is a header. A snapshot ends with a line that has
// heads only, by which a cut one is known.
const (
	snapshotName = "snapshot"
	journalName  = "journal"
	version      = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type header struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Seq     uint64 `json:"seq,omitempty"` // of a snapshot: the last record that it includes
}

// record is one line after the header.
type record struct {
	Seq      uint64                  `json:"seq,omitempty"`
	Entries  []Entry                 `json:"entries,omitempty"`
	Bindings *openflow.BindingsDelta `json:"bindings,omitempty"`
	// Heads is the revision in force of every source once this record counts.
	// It tells, when another line is damaged, whether a whole source was lost.
	Heads map[string]uint64 `json:"heads,omitempty"`
}

func encodeLine(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(body, castagnoli), body), nil
}

// decodeLine reads a line without its newline into v.
func decodeLine(line []byte, v any) bool {
	if len(line) < 9 || line[8] != ' ' {
		return false
	}
	sum := fmt.Sprintf("%08x", crc32.Checksum(line[9:], castagnoli))
	return string(line[:8]) == sum && json.Unmarshal(line[9:], v) == nil
}

// contents is one decoded file.
type contents struct {
	header  header
	records []record
	damage  string // empty: none
	newer   bool   // a later version wrote it
	useless bool   // the header cannot be read
}

// decode reads a file. Lines that are damaged are left out: each record says
// all there is to say of the revisions in it.
func decode(data []byte, format string) contents {
	var c contents
	line, rest, whole := bytes.Cut(data, []byte{'\n'})
	if !whole || !decodeLine(line, &c.header) || c.header.Format != format || c.header.Version < 1 {
		c.useless, c.damage = true, "the header is damaged"
		return c
	}
	if c.header.Version > version {
		c.newer, c.damage = true, fmt.Sprintf("version %d was written by a later greave; this one reads up to %d", c.header.Version, version)
		return c
	}
	for n := 2; len(rest) > 0; n++ {
		line, rest, whole = bytes.Cut(rest, []byte{'\n'})
		var r record
		if !whole || !decodeLine(line, &r) {
			if c.damage == "" {
				c.damage = fmt.Sprintf("line %d is damaged", n)
			}
			continue
		}
		c.records = append(c.records, r)
	}
	return c
}

// image is what the files say.
type image struct {
	seq      uint64
	history  map[string][]Revision // oldest first
	bindings map[string]map[string]uint64
	heads    map[string]uint64 // of the last record that had them
}

func newImage() image {
	return image{history: map[string][]Revision{}, bindings: map[string]map[string]uint64{}}
}

func (m *image) apply(r record) {
	m.seq = max(m.seq, r.Seq)
	if r.Heads != nil {
		m.heads = r.Heads
	}
	for _, e := range r.Entries {
		h := m.history[e.Source]
		if e.Source == "" || len(h) > 0 && h[len(h)-1].Revision >= e.Revision.Revision {
			continue
		}
		h = append(h, e.Revision)
		if len(h) > HistoryLen {
			h = slices.Delete(h, 0, len(h)-HistoryLen)
		}
		m.history[e.Source] = h
	}
	if r.Bindings != nil {
		m.applyBindings(*r.Bindings)
	}
}

func (m *image) applyBindings(d openflow.BindingsDelta) {
	for pool, names := range d.Free {
		for _, n := range names {
			delete(m.bindings[pool], n)
		}
	}
	for pool, ids := range d.Set {
		if m.bindings[pool] == nil {
			m.bindings[pool] = map[string]uint64{}
		}
		maps.Copy(m.bindings[pool], ids)
	}
}

func (m *image) delta() openflow.BindingsDelta {
	var d openflow.BindingsDelta
	for pool, ids := range m.bindings {
		if len(ids) == 0 {
			continue
		}
		if d.Set == nil {
			d.Set = map[string]map[string]uint64{}
		}
		d.Set[pool] = maps.Clone(ids)
	}
	return d
}

func (m *image) headsNow() map[string]uint64 {
	heads := make(map[string]uint64, len(m.history)+1)
	for source, h := range m.history {
		heads[source] = h[len(h)-1].Revision
	}
	return heads
}

// lost names a source that is known to have stated something of which nothing
// is left.
func (m *image) lost() (string, bool) {
	for _, source := range slices.Sorted(maps.Keys(m.heads)) {
		if len(m.history[source]) == 0 {
			return source, true
		}
	}
	return "", false
}

func (m *image) encodeSnapshot() ([]byte, error) {
	var out []byte
	var failed error
	put := func(v any) {
		line, err := encodeLine(v)
		if err != nil {
			failed = err
		}
		out = append(out, line...)
	}
	put(header{Format: snapshotName, Version: version, Seq: m.seq})
	for _, source := range slices.Sorted(maps.Keys(m.history)) {
		for _, r := range m.history[source] {
			put(record{Entries: []Entry{{source, r}}})
		}
	}
	if d := m.delta(); !d.Empty() {
		put(record{Bindings: &d})
	}
	put(record{Heads: m.headsNow(), Seq: m.seq + 1})
	return out, failed
}

// fault is damage found in one file.
type fault struct{ file, what string }

// replay joins a snapshot and the journal that follows it. What comes out is
// whole or empty: with one source lost and another kept, the objects of the
// lost one would be taken for unwanted.
func replay(snapshot, journal []byte) (image, []fault) {
	m := newImage()
	var faults []fault
	note := func(file string, c contents) {
		if c.damage != "" {
			faults = append(faults, fault{file, c.damage})
		}
	}
	var snap, jour contents
	complete := true // the snapshot's last line is there
	if snapshot != nil {
		snap = decode(snapshot, snapshotName)
		note(snapshotName, snap)
		complete = false
		for _, r := range snap.records {
			complete = complete || r.Seq == snap.header.Seq+1
			r.Seq = 0
			m.apply(r)
		}
		if !complete && snap.damage == "" {
			faults = append(faults, fault{snapshotName, "its end is missing"})
		}
	}
	if journal != nil {
		jour = decode(journal, journalName)
		note(journalName, jour)
	}
	m.seq = snap.header.Seq
	known := complete
	for _, r := range jour.records {
		if r.Seq > snap.header.Seq {
			m.apply(r)
			known = known || r.Heads != nil
		}
	}
	if snap.useless || snap.newer || jour.newer || !known {
		return newImage(), faults
	}
	if source, is := m.lost(); is {
		return newImage(), append(faults, fault{journalName, fmt.Sprintf("nothing is left of what source %q stated", source)})
	}
	return m, faults
}
