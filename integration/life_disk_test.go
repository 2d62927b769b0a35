package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// diskSite is a host whose state directory is a small file system of its own.
func diskSite(t *testing.T) (s site, dir string) {
	t.Helper()
	s = newSites(t, 1)[0]
	dir = s.StateDir()
	s.must(os.MkdirAll(dir, 0o700))
	s.must(exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "greave-test", dir).Run())
	t.Cleanup(func() {
		s.KillGreaved()
		if err := exec.Command("umount", dir).Run(); err != nil {
			t.Errorf("umount %s: %v", dir, err)
		}
	})
	s.run()
	return s, dir
}

// TestDisk: a document that cannot be made durable is refused before the host is touched, what was in
// force stays so, also over a restart, and the same document is taken when the disk is well again.
func TestDisk(t *testing.T) {
	s, dir := diskSite(t)
	first := ordinary(s, "")
	next := strings.NewReplacer("in: 7, out: 7", "in: 8, out: 8", "fdb: [", "fdb: ["+farEntries(300)).Replace(first) // more than what is left of a page
	s.apply(first)
	remount := func(how string) {
		t.Helper()
		argv := []string{"mount", "-o", "remount," + how, dir}
		s.must(exec.CommandContext(t.Context(), argv[0], argv[1:]...).Run())
		if pid := s.GreavedPid(); pid != 0 { // it has a mount of its own of the file system
			s.must(exec.CommandContext(t.Context(), "nsenter", append([]string{"-t", strconv.Itoa(pid), "-m"}, argv...)...).Run())
		}
	}
	filler := filepath.Join(dir, "filler")
	var failing *exec.Cmd
	for _, c := range []struct {
		name       string
		hurt, mend func()
		code       codes.Code
	}{
		{"full", func() { _ = os.WriteFile(filler, bytes.Repeat([]byte{1}, 1<<20), 0o600) }, func() { s.must(os.Remove(filler)) }, codes.ResourceExhausted},
		{"read-only", func() { s.KillGreaved(); remount("ro"); s.run(); s.waitConnected() }, func() { remount("rw") }, codes.ResourceExhausted},
		{"fsync fails", func() { failing = s.inject("fsync", "error=EIO") }, func() { _ = failing.Process.Kill(); _ = failing.Wait() }, codes.ResourceExhausted},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			before := s.state()
			c.hurt()
			_, err := s.try(&greavev1.ApplyRequest{State: parse(t, next), Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE})
			if status.Code(err) != c.code {
				t.Errorf("error %v, want %v", err, c.code)
			}
			if d := lineDiff(before, s.state()); d != "" {
				t.Errorf("the host changed:\n%s", d)
			}
			if failing == nil {
				s.KillGreaved()
				s.run()
				s.waitPlan()
				if d := lineDiff(before, s.state()); d != "" {
					t.Errorf("the host changed with a restart:\n%s", d)
				}
			}
			c.mend()
			if r := s.apply(next); r.Revision == 0 {
				t.Error("no revision")
			}
			if before == s.state() {
				t.Error("the document that was taken changed nothing")
			}
			s.apply(first)
		})
	}
}

// farEntries are n FDB entries of segment red, each with a comma behind it.
func farEntries(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{segment: red, mac: \"02:00:00:01:%02x:%02x\", peer: far}, ", i>>8, i&255)
	}
	return b.String()
}

// TestDamagedState: whatever is wrong with the state on disk, greaved starts, keeps the file under
// another name, says so, and takes nothing away before it has been told again what is wanted.
func TestDamagedState(t *testing.T) {
	s := newSite(t)
	doc := ordinary(s, "")
	s.apply(doc)
	s.must(s.StopGreaved())
	before := s.state()
	good := map[string][]byte{}
	for _, name := range []string{"snapshot", "journal"} {
		text, err := os.ReadFile(filepath.Join(s.StateDir(), name))
		s.must(err)
		good[name] = text
	}
	file, text := "journal", good["journal"]
	if len(good["snapshot"]) > len(text) {
		file, text = "snapshot", good["snapshot"]
	}
	flip := bytes.Clone(text)
	flip[len(flip)/2] ^= 1
	for name, damaged := range map[string][]byte{
		"a bit flipped":   flip,
		"cut short":       text[:len(text)/2],
		"empty":           {},
		"of another kind": []byte("#!/bin/sh\n"),
		"newer":           []byte("00000000 {\"format\":\"" + file + "\",\"version\":99}\n"),
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			s.must(os.RemoveAll(s.StateDir()))
			s.must(os.MkdirAll(s.StateDir(), 0o700))
			for n, content := range good {
				if n == file {
					content = damaged
				}
				s.must(os.WriteFile(filepath.Join(s.StateDir(), n), content, 0o600))
			}
			logged := len(s.GreavedLog())
			s.run()
			s.waitConnected()
			aside, err := filepath.Glob(filepath.Join(s.StateDir(), file+".damaged-*"))
			s.must(err)
			if kept, _ := os.ReadFile(strings.Join(aside, "")); len(aside) != 1 || !bytes.Equal(kept, damaged) {
				t.Errorf("%v is kept", aside)
			}
			if log := s.GreavedLog()[logged:]; !strings.Contains(log, "state set aside") || !strings.Contains(log, file+".damaged-1") {
				t.Errorf("the log does not say where it is:\n%s", log)
			}
			if d := lineDiff(before, s.state()); d != "" {
				t.Errorf("the host changed:\n%s", d)
			}
			s.apply(doc)
			if d := lineDiff(before, s.state()); d != "" {
				t.Errorf("the same document again changed the host:\n%s", d)
			}
			s.must(s.StopGreaved())
		})
	}
}
