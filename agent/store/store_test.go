package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/openflow"
)

// view is what a reader sees of a store.
type view struct {
	Latest   map[string]Revision
	Bindings openflow.BindingsDelta
}

func viewOf(s *Store) view {
	v := view{Latest: map[string]Revision{}, Bindings: s.Bindings()}
	for _, name := range s.Sources() {
		v.Latest[name], _ = s.Latest(name)
	}
	return v
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func entry(source string, n uint64) Entry {
	return Entry{source, Revision{n, time.Unix(int64(n), 0).UTC(), "c", fmt.Appendf(nil, "%s %d\n\x00", source, n), n - 1, n%2 == 0}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func bind(name string, id uint64) openflow.BindingsDelta {
	return openflow.BindingsDelta{Set: map[string]map[string]uint64{openflow.PoolPeers: {name: id}}}
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := open(t, dir)
	if len(s.Sources()) != 0 || len(s.Warnings()) != 0 {
		t.Fatalf("a new store has %v, %v", s.Sources(), s.Warnings())
	}
	for n := uint64(1); n <= HistoryLen+7; n++ {
		must(t, s.Append(entry("operator", n)))
	}
	must(t, s.Append(entry("fabric", 1), Entry{"operator", Revision{Revision: HistoryLen + 8}}))
	must(t, s.AppendBindings(bind("a", 1)))
	must(t, s.AppendBindings(bind("b", 2)))
	must(t, s.AppendBindings(openflow.BindingsDelta{Free: map[string][]string{openflow.PoolPeers: {"a"}}}))
	if err := s.Append(entry("fabric", 1)); err == nil {
		t.Error("revision 1 was taken twice")
	}
	want := viewOf(s)
	for _, compact := range []bool{false, true} {
		if compact {
			must(t, s.Compact())
		}
		must(t, s.Close())
		s = open(t, dir)
		if d := cmp.Diff(want, viewOf(s)); d != "" || len(s.Warnings()) > 0 {
			t.Fatalf("compacted %v: %s %v", compact, d, s.Warnings())
		}
	}
	if h := s.History("operator"); len(h) != HistoryLen || h[len(h)-1].Document != nil || h[0].Revision != 9 {
		t.Errorf("history: %d revisions, %+v first", len(h), h[0])
	}
	if d := want.Bindings.Set[openflow.PoolPeers]; !maps.Equal(d, map[string]uint64{"b": 2}) {
		t.Errorf("bindings: %v", d)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, dir + "/journal": 0o600, dir + "/snapshot": 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode() != mode {
			t.Errorf("%s: %v %v", path, st.Mode(), err)
		}
	}
}

func TestCompactsItself(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	e := entry("operator", 0)
	e.Document = make([]byte, 100<<10)
	for range 3 * HistoryLen {
		e.Revision.Revision++
		must(t, s.Append(e))
	}
	j, err := os.Stat(filepath.Join(dir, journalName))
	must(t, err)
	if limit := int64(2 * HistoryLen * (150 << 10)); j.Size() > limit {
		t.Errorf("the journal has %d bytes, more than %d", j.Size(), limit)
	}
	if s.snapSize < compactMin {
		t.Error("no snapshot was written")
	}
}

// build makes a directory with a snapshot and a journal, and notes what was in
// force after each record, by journal length.
func build(t *testing.T) (dir string, before view, at map[int]view) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir)
	must(t, s.Append(entry("operator", 1)))
	must(t, s.Append(entry("fabric", 1)))
	must(t, s.AppendBindings(bind("a", 1)))
	must(t, s.Compact())
	before, at = viewOf(s), map[int]view{}
	at[int(s.size)] = before
	step := func(err error) {
		must(t, err)
		at[int(s.size)] = viewOf(s)
	}
	step(s.Append(entry("operator", 2)))
	step(s.AppendBindings(bind("b", 2)))
	step(s.Append(entry("third", 1)))
	step(s.Append(entry("fabric", 2), entry("operator", 3)))
	must(t, s.Close())
	return dir, before, at
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

// TestTruncated ends the journal at every length, as a kill or a power cut in
// the middle of a write does.
func TestTruncated(t *testing.T) {
	dir, before, at := build(t)
	journal, err := os.ReadFile(filepath.Join(dir, journalName))
	must(t, err)
	want, lengths := before, slices.Sorted(maps.Keys(at))
	for n := range len(journal) + 1 {
		whole := slices.Contains(lengths, n)
		if whole {
			want = at[n]
		}
		d := copyDir(t, dir)
		must(t, os.WriteFile(filepath.Join(d, journalName), journal[:n], 0o600))
		s := open(t, d)
		if diff := cmp.Diff(want, viewOf(s)); diff != "" {
			t.Fatalf("journal of %d bytes: %s", n, diff)
		}
		if whole == (len(s.Warnings()) > 0) {
			t.Fatalf("journal of %d bytes: warnings %q", n, s.Warnings())
		}
		if aside, _ := filepath.Glob(d + "/journal.damaged-*"); whole == (len(aside) == 1) {
			t.Fatalf("journal of %d bytes: set aside %v", n, aside)
		}
		must(t, s.Append(entry("operator", 9))) // it is fit for writing again
		want9 := viewOf(s)
		must(t, s.Close())
		if s = open(t, d); len(s.Warnings()) > 0 || cmp.Diff(want9, viewOf(s)) != "" {
			t.Fatalf("journal of %d bytes, second start: %q", n, s.Warnings())
		}
		must(t, s.Close())
	}
}

// TestFlipped damages every byte of both files. What is read must be something
// that was stated, and never one source without another that was there too.
func TestFlipped(t *testing.T) {
	dir, before, _ := build(t)
	for _, name := range []string{snapshotName, journalName} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		d := copyDir(t, dir)
		for i := range data {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << (i % 8)
			files := map[string][]byte{}
			for _, f := range []string{snapshotName, journalName} {
				if files[f], err = os.ReadFile(filepath.Join(dir, f)); err != nil {
					t.Fatal(err)
				}
			}
			files[name] = bad
			m, faults := replay(files[snapshotName], files[journalName])
			if len(faults) == 0 {
				t.Fatalf("%s: byte %d flipped: not noticed", name, i)
			}
			if len(m.history) != 0 && len(m.history) < len(before.Latest) {
				t.Fatalf("%s: byte %d flipped: only sources %v are left", name, i, slices.Collect(maps.Keys(m.history)))
			}
			for source, h := range m.history {
				for _, r := range h {
					if cmp.Diff(r, entry(source, r.Revision).Revision) != "" {
						t.Fatalf("%s: byte %d flipped: %s has %+v", name, i, source, r)
					}
				}
			}
			if i%40 == 0 { // the files on disk take the same way, only slower
				must(t, os.WriteFile(filepath.Join(d, name), bad, 0o600))
				s := open(t, d)
				if len(s.Warnings()) == 0 {
					t.Fatalf("%s: byte %d flipped: opened without a warning", name, i)
				}
				must(t, s.Close())
				must(t, os.RemoveAll(d))
				must(t, os.CopyFS(d, os.DirFS(dir)))
			}
		}
	}
}

// TestKilledWhileCompacting stops a compaction between any two steps.
func TestKilledWhileCompacting(t *testing.T) {
	dir, _, _ := build(t)
	s := open(t, dir)
	want := viewOf(s)
	must(t, s.Close())
	old := copyDir(t, dir)
	s = open(t, dir)
	must(t, s.Compact())
	must(t, s.Close())
	read := func(d, name string) []byte {
		b, err := os.ReadFile(filepath.Join(d, name))
		must(t, err)
		return b
	}
	for name, files := range map[string]map[string][]byte{
		"half a temporary snapshot": {snapshotName: read(old, snapshotName), journalName: read(old, journalName), "snapshot.tmp": read(dir, snapshotName)[:50]},
		"snapshot renamed":          {snapshotName: read(dir, snapshotName), journalName: read(old, journalName)},
		"half a temporary journal":  {snapshotName: read(dir, snapshotName), journalName: read(old, journalName), "journal.tmp": read(dir, journalName)[:9]},
		"done":                      {snapshotName: read(dir, snapshotName), journalName: read(dir, journalName)},
		"first start, no journal":   {snapshotName: read(dir, snapshotName)},
	} {
		d := t.TempDir()
		for f, data := range files {
			must(t, os.WriteFile(filepath.Join(d, f), data, 0o600))
		}
		s := open(t, d)
		if diff := cmp.Diff(want, viewOf(s)); diff != "" || len(s.Warnings()) > 0 {
			t.Errorf("%s: %s %q", name, diff, s.Warnings())
		}
		must(t, s.Append(entry("operator", 10)))
		must(t, s.Close())
	}
}

func TestNewerVersion(t *testing.T) {
	for _, name := range []string{snapshotName, journalName} {
		dir, _, _ := build(t)
		line, err := encodeLine(header{Format: name, Version: version + 1})
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), append(line, "what comes then\n"...), 0o600))
		s := open(t, dir)
		if len(s.Sources()) != 0 || !strings.Contains(strings.Join(s.Warnings(), "\n"), "later greave") {
			t.Errorf("%s: %v %q", name, s.Sources(), s.Warnings())
		}
		if aside, err := os.ReadFile(filepath.Join(dir, name+".damaged-1")); err != nil || !bytes.HasSuffix(aside, []byte("then\n")) {
			t.Errorf("%s is not kept: %q %v", name, aside, err)
		}
	}
}

func TestUnreadable(t *testing.T) {
	dir, _, _ := build(t)
	must(t, os.Remove(filepath.Join(dir, journalName)))
	must(t, os.Mkdir(filepath.Join(dir, journalName), 0o700))
	s := open(t, dir)
	if len(s.Sources()) != 0 || len(s.Warnings()) == 0 {
		t.Errorf("%v %q", s.Sources(), s.Warnings())
	}
	must(t, s.Append(entry("operator", 1)))
}

func TestSecondOpener(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(dir)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Fatalf("second opener: %v", err)
	}
	must(t, s.Close())
	open(t, dir)
}

// TestLockDiesWithProcess kills a process that holds the directory.
func TestLockDiesWithProcess(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_HOLD"); dir != "" {
		s, err := Open(dir)
		must(t, err)
		for n := uint64(1); ; n++ {
			must(t, s.Append(entry("operator", n)))
			fmt.Printf("acked %d\n", n)
		}
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLockDiesWithProcess$")
	cmd.Env = append(os.Environ(), "STORE_TEST_HOLD="+dir)
	var out bytes.Buffer
	cmd.Stdout = &out
	must(t, cmd.Start())
	time.Sleep(300 * time.Millisecond)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	acked := uint64(strings.Count(out.String(), "acked"))
	s := open(t, dir)
	latest, _ := s.Latest("operator")
	if acked == 0 || latest.Revision < acked || latest.Revision > acked+1 {
		t.Errorf("%d revisions were acknowledged, %d is in force; %q", acked, latest.Revision, s.Warnings())
	}
}

func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32k"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	s := open(t, dir)
	e := entry("operator", 0)
	e.Document = make([]byte, 2000)
	var err error
	for err == nil {
		e.Revision.Revision++
		err = s.Append(e)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	acked := e.Revision.Revision - 1
	for range 3 {
		if err := s.Append(e); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("still full: %v", err)
		}
	}
	if r, _ := s.Latest("operator"); r.Revision != acked {
		t.Errorf("revision %d is in force, %d was the last one accepted", r.Revision, acked)
	}
	must(t, s.Close())
	s = open(t, dir)
	if r, _ := s.Latest("operator"); r.Revision != acked || len(s.Warnings()) > 0 {
		t.Errorf("reopened: revision %d, want %d; %q", r.Revision, acked, s.Warnings())
	}
	must(t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=128k"))
	must(t, s.Append(e)) // there is room again
	must(t, s.Close())
	must(t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	s = open(t, dir)
	if r, _ := s.Latest("operator"); r.Revision != acked+1 {
		t.Errorf("read-only: revision %d; %q", r.Revision, s.Warnings())
	}
	e.Revision.Revision++
	if err := s.Append(e); err == nil {
		t.Error("a read-only disk took a revision")
	}
}

// resign makes the checksum of every line right, so that what lies behind is
// reached.
func resign(data []byte) []byte {
	var out []byte
	for line := range bytes.Lines(data) {
		body := bytes.TrimSuffix(line[min(9, len(line)):], []byte("\n"))
		out = fmt.Appendf(out, "%08x %s\n", crc32.Checksum(body, castagnoli), body)
	}
	return out
}

func FuzzReplay(f *testing.F) {
	m := newImage()
	m.apply(record{Entries: []Entry{entry("operator", 1)}, Bindings: new(bind("a", 1))})
	snap, err := m.encodeSnapshot()
	if err != nil {
		f.Fatal(err)
	}
	head, _ := encodeLine(header{Format: journalName, Version: version})
	line, _ := encodeLine(record{Seq: 1, Entries: []Entry{entry("operator", 2)}, Heads: map[string]uint64{"operator": 2}})
	f.Add(snap, append(head, line...))
	f.Add([]byte{}, []byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, snap, journal []byte) {
		replay(snap, journal)
		m, _ := replay(resign(snap), resign(journal))
		again, err := m.encodeSnapshot()
		must(t, err)
		m2, faults := replay(again, nil)
		if len(faults) > 0 || cmp.Diff(m.history, m2.history, cmpopts.EquateEmpty()) != "" || cmp.Diff(m.delta(), m2.delta(), cmpopts.EquateEmpty()) != "" {
			t.Fatalf("what was read does not survive writing: %v %s", faults, cmp.Diff(m.history, m2.history))
		}
	})
}
