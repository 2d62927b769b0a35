package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestTwoSources: a watched directory and the operator state things side by side. A
// REPLACE by one leaves the other's; one object stated by both is refused, with
// both named; what is refused leaves the last good document in force, in memory
// and on disk.
func TestTwoSources(t *testing.T) {
	dir := t.TempDir()
	write := func(name, doc string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, "--file", dir)
	bridges := func() string {
		var own []string
		for l := range strings.Lines(s.vsctl("list-br")) {
			if l = strings.TrimSpace(l); strings.HasPrefix(l, "br-") && l != "br-phy" {
				own = append(own, l)
			}
		}
		return strings.Join(own, " ")
	}
	is := func(want string) {
		t.Helper()
		eventually(t, promise, "bridges are "+want, func() bool { return bridges() == want })
	}
	write("a.yaml", "bridges: [{name: br-file, datapath: netdev}]")
	write("b.yaml", "bridges: [{name: br-file2, datapath: netdev}]")
	is("br-file br-file2")
	s.apply("bridges: [{name: br-op, datapath: netdev}, {name: br-op2, datapath: netdev}]")
	is("br-file br-file2 br-op br-op2")
	s.apply("bridges: [{name: br-op, datapath: netdev}]")
	is("br-file br-file2 br-op")
	write("b.yaml", "bridges: [{name: br-file3, datapath: netdev}]")
	is("br-file br-file3 br-op")

	_, err := s.try(&greavev1.ApplyRequest{State: parse(t, "bridges: [{name: br-op, datapath: netdev}, {name: br-file, datapath: netdev}]")})
	refused(t, err, codes.InvalidArgument, "CONFLICT", "br-file", "source file", "bridges[1]")
	_, err = s.try(&greavev1.ApplyRequest{Source: "controller", State: parse(t, "bridges: [{name: br-op, datapath: netdev}]")})
	refused(t, err, codes.InvalidArgument, "CONFLICT", "br-op", "source operator")

	rows, revision := s.identity(), s.revision("file")
	for _, bad := range []struct{ name, doc, says string }{
		{"wrong value", "bridges: [{name: br-file3, mtu: 7}]", "b.yaml:1:"},
		{"no YAML", "bridges: [", "b.yaml:1"},
		{"the operator's", "bridges: [{name: br-op}]", "source operator"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			s := s.in(t)
			logged := len(s.GreavedLog())
			write("b.yaml", bad.doc)
			eventually(t, promise, "refused", func() bool { return strings.Contains(s.GreavedLog()[logged:], "files refused") })
			if log := s.GreavedLog()[logged:]; !strings.Contains(log, bad.says) {
				t.Errorf("the log does not say %q:\n%s", bad.says, log)
			}
			s.KillGreaved()
			s.run("--file", dir)
			s.waitPlan()
			time.Sleep(1200 * time.Millisecond) // the directory is looked at each second
			if got := s.revision("file"); got != revision {
				t.Errorf("revision %d of the file is in force, want %d", got, revision)
			}
			if d := lineDiff(rows, s.identity()); d != "" {
				t.Errorf("the host changed:\n%s", d)
			}
		})
	}
	for _, name := range []string{"a.yaml", "b.yaml"} {
		s.must(os.Remove(filepath.Join(dir, name)))
	}
	time.Sleep(1500 * time.Millisecond)
	if d := lineDiff(rows, s.identity()); d != "" {
		t.Errorf("a directory without files is taken for an empty document:\n%s", d)
	}
	write("b.yaml", "allow_empty: true")
	is("br-op")
}

// revision is the one of a source that is in force; 0 when there is none.
func (s site) revision(source string) uint64 {
	s.t.Helper()
	r, err := s.GetState(s.t.Context(), &greavev1.GetStateRequest{Source: source})
	s.must(err)
	if len(r.Sources) == 0 {
		return 0
	}
	return r.Sources[0].Revision.Number
}

// TestRefusedKeepsLastGood: so it is over the API.
func TestRefusedKeepsLastGood(t *testing.T) {
	s := newSite(t)
	good := ordinary(s, "")
	s.apply(good)
	state := s.state()
	same := func(what string) {
		t.Helper()
		if got := s.revision("operator"); got != 1 {
			t.Errorf("%s: revision %d is in force, want 1", what, got)
		}
		if d := lineDiff(state, s.state()); d != "" {
			t.Errorf("%s: the host changed:\n%s", what, d)
		}
	}
	for _, c := range []struct {
		doc, reason string
		code        codes.Code
	}{
		{strings.Replace(good, "key: 100", "key: 16776960", 1), "OUT_OF_RANGE", codes.InvalidArgument},
		{strings.Replace(good, "host: "+s.Name, "host: elsewhere", 1), "WRONG_HOST", codes.FailedPrecondition},
		{"host: " + s.Name, "EMPTY_DOCUMENT", codes.InvalidArgument},
		{strings.Replace(good, "segments: [red]}]", "segments: [red], encap: gtpu}]", 1), "UNIMPLEMENTED", codes.Unimplemented},
		{strings.Replace(good, "bridge: br-lan", "bridge: br-none", 1), "UNKNOWN_REFERENCE", codes.InvalidArgument},
		{strings.Replace(good, "name: gre-7", `name: "a b"`, 1), "INVALID_NAME", codes.InvalidArgument},
	} {
		_, err := s.try(&greavev1.ApplyRequest{State: parse(t, c.doc)})
		refused(t, err, c.code, c.reason)
		same(c.reason)
	}
	s.KillGreaved()
	s.run()
	s.waitPlan()
	same("after a restart")
}
