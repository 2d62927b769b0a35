// Package store owns the accepted states on disk: the revisions of each source
// and the bindings, as a snapshot and an append-only journal in one directory.
// Documents are opaque to it. It must not import model, the generated API or
// anything that touches the host's network.
package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/greave-sdn/greave/agent/crash"
	"github.com/greave-sdn/greave/openflow"
)

// HistoryLen is how many revisions of a source are kept.
const HistoryLen = 50

// compactMin is the size in bytes below which a journal is never compacted.
const compactMin = 4 << 20

// Revision is one accepted document of a source.
type Revision struct {
	Revision uint64    `json:"revision"` // counts from 1 per source
	Time     time.Time `json:"time"`
	Comment  string    `json:"comment,omitempty"`
	Document []byte    `json:"document,omitempty"` // the wire form; empty: the source wants nothing
	// RollbackOf is the revision whose document this one repeats; 0: none.
	RollbackOf uint64 `json:"rollback_of,omitempty"`
	// MassRemoval: it was said that much may go at once.
	MassRemoval bool `json:"mass_removal,omitempty"`
}

// Entry is a revision with its source.
type Entry struct {
	Source string `json:"source"`
	Revision
}

// Store is an open state directory. It is safe for concurrent use.
type Store struct {
	dir      string
	lock     *os.File
	warnings []string

	mu       sync.Mutex // guards all below
	image    image
	journal  *os.File
	size     int64 // of the journal's intact part
	snapSize int64
	dirty    bool // the journal cannot be trusted: compact before the next write
}

// Open locks dir, making it when it is absent, and reads what it holds.
// Damaged files are set aside, and Warnings tells; they never keep it from
// opening. It returns ErrLocked when another process has the directory open.
func Open(dir string) (*Store, error) {
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, lock: lock}
	s.load()
	return s, nil
}

func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// load replays both files and makes them fit for appending.
func (s *Store) load() {
	files := map[string][]byte{}
	fresh := true
	unreadable := false
	for _, name := range []string{snapshotName, journalName} {
		data, err := os.ReadFile(s.path(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		fresh = false
		if err != nil {
			unreadable = true
			s.warn(fmt.Sprintf("read %s: %v", s.path(name), err))
			s.setAside(name)
			continue
		}
		files[name] = data
	}
	var damage []fault
	s.image, damage = replay(files[snapshotName], files[journalName])
	if unreadable { // what is left may lack a source, and a source that is gone is not an empty one
		s.image = newImage()
	}
	for _, f := range damage {
		s.warn(fmt.Sprintf("%s: %s", s.path(f.file), f.what))
		s.setAside(f.file)
	}
	s.snapSize = int64(len(files[snapshotName]))
	if fresh || unreadable || len(damage) > 0 || files[journalName] == nil {
		s.dirty = true
		if err := s.compact(); err != nil {
			s.warn(fmt.Sprintf("write %s: %v; nothing can be accepted until it can be written", s.dir, err))
		}
		return
	}
	j, err := os.OpenFile(s.path(journalName), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		s.dirty = true
		s.warn(fmt.Sprintf("open journal: %v", err))
		return
	}
	s.journal, s.size = j, int64(len(files[journalName]))
}

func (s *Store) warn(text string) { s.warnings = append(s.warnings, text) }

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// Warnings says what was found damaged on opening, in plain sentences.
func (s *Store) Warnings() []string { return slices.Clone(s.warnings) }

// Sources lists the sources that have stated something, in order of name.
func (s *Store) Sources() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.image.history))
}

// Latest returns the revision of a source that is in force.
func (s *Store) Latest(source string) (Revision, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.image.history[source]
	if len(h) == 0 {
		return Revision{}, false
	}
	return h[len(h)-1], true
}

// History returns the revisions of a source that are kept, the oldest first.
// Documents are shared: do not write to them.
func (s *Store) History(source string) []Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.image.history[source])
}

// Bindings returns the numbers in use, as one delta from nothing.
func (s *Store) Bindings() openflow.BindingsDelta {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.image.delta()
}

// Append accepts revisions: all of them, durably, or none. Each must be newer
// than the one in force. When it fails, what was in force stays in force, in
// memory and on disk; it may be tried again.
func (s *Store) Append(entries ...Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	heads := s.image.headsNow()
	for _, e := range entries {
		if e.Source == "" || e.Revision.Revision <= heads[e.Source] {
			return fmt.Errorf("append revision %d of source %q: revision %d is in force", e.Revision.Revision, e.Source, heads[e.Source])
		}
		heads[e.Source] = e.Revision.Revision
	}
	if err := s.write(record{Entries: entries, Heads: heads}, true); err != nil {
		return fmt.Errorf("append revision: %w", err)
	}
	return nil
}

// AppendBindings records numbers given and released. It does not wait for the
// disk: what a power cut takes is read back from the host or given anew.
func (s *Store) AppendBindings(d openflow.BindingsDelta) error {
	if d.Empty() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(record{Bindings: &d}, false); err != nil {
		return fmt.Errorf("append bindings: %w", err)
	}
	return nil
}

// write appends a record to the journal, and then only to the image.
func (s *Store) write(r record, durable bool) error {
	if s.lock == nil {
		return os.ErrClosed
	}
	if s.dirty {
		if err := s.compact(); err != nil {
			return err
		}
	}
	r.Seq = s.image.seq + 1
	line, err := encodeLine(r)
	if err != nil {
		return err
	}
	if err := s.put(line, durable); err != nil {
		return err
	}
	s.image.apply(r)
	s.size += int64(len(line))
	if s.size > max(compactMin, s.snapSize) {
		_ = s.compact() // the record is durable already; the next write tries again
	}
	return nil
}

// put writes a line; when that fails it takes back what was written.
func (s *Store) put(line []byte, durable bool) error {
	crash.At("record-new")
	_, err := s.journal.Write(line)
	crash.At("record-written")
	if err == nil && durable {
		if err = s.journal.Sync(); err != nil {
			s.dirty = true // after a failed fsync nobody knows what the disk has
		}
		crash.At("record-durable")
	}
	if err == nil {
		return nil
	}
	if back := s.journal.Truncate(s.size); back != nil {
		s.dirty = true
	}
	if s.dirty {
		_ = s.journal.Sync()
	}
	return err
}

// Compact writes a new snapshot and an empty journal. The store does so by
// itself when the journal has become large.
func (s *Store) Compact() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.compact()
}

// compact may stop between any two steps: a journal older than the snapshot
// only repeats what the snapshot has, and its records are skipped by number.
func (s *Store) compact() error {
	if s.lock == nil {
		return os.ErrClosed
	}
	s.image.seq++ // so that a refused record that could not be taken back is skipped too
	snap, err := s.image.encodeSnapshot()
	if err != nil {
		return fmt.Errorf("encode snapshot: %w", err)
	}
	if err := writeFile(s.dir, snapshotName, snap); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	head, err := encodeLine(header{Format: journalName, Version: version})
	if err != nil {
		return fmt.Errorf("encode journal: %w", err)
	}
	// From here on the old journal may be gone from the directory: a line
	// appended to it would be lost.
	s.dirty = true
	if err := writeFile(s.dir, journalName, head); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	j, err := os.OpenFile(s.path(journalName), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if s.journal != nil {
		s.journal.Close()
	}
	s.journal, s.size, s.snapSize, s.dirty = j, int64(len(head)), int64(len(snap)), false
	return nil
}

// Close makes everything durable and releases the directory.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	var errs []error
	if s.journal != nil {
		errs = append(errs, s.journal.Sync(), s.journal.Close())
	}
	errs = append(errs, s.lock.Close())
	s.lock, s.journal = nil, nil
	return errors.Join(errs...)
}
