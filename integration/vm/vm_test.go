package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/conformance"
)

// suites are the packages whose tests run in the guest, all in one boot, and which of them.
var suites = []struct{ pkg, run string }{{"../../agent/kernel", "."}, {"./guest", "."}, {"../conformance", "^TestConformance$"}}

const (
	cache = "../../build/vm"
	limit = 15 * time.Minute // of one run of the guest
)

// TestGuest runs the tests of suites in the guest; each is a subtest here. What they leave behind
// lies in build/vm/artifacts.
func TestGuest(t *testing.T) {
	g := prepare(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	boot := Boot{Artifacts: filepath.Join(cache, "artifacts"), Log: t.Output()}
	if err := os.RemoveAll(boot.Artifacts); err != nil {
		t.Fatal(err)
	}
	for _, s := range suites {
		name := filepath.Base(s.pkg)
		// GREAVE_VM=guest=^TestT4 runs those tests of that suite and no other, for work on one.
		if one, run, chosen := strings.Cut(os.Getenv("GREAVE_VM"), "="); chosen && one != name {
			continue
		} else if chosen {
			s.run = run
		}
		path := filepath.Join(t.TempDir(), name)
		if err := Compile(ctx, s.pkg, path); err != nil {
			t.Fatal(err)
		}
		// The test binary shall tell where it hangs before the guest is taken away.
		args := []string{"-test.v=test2json", "-test.timeout=" + (limit - time.Minute).String(), "-test.run=" + s.run}
		if os.Getenv("GREAVE_BENCH") == "full" && name == "guest" {
			args = append(args, "-bench-full")
		}
		boot.Programs = append(boot.Programs, Program{name, path, args})
	}
	boot.Files = []File{{"greaved", filepath.Join(t.TempDir(), "greaved")}}
	if err := Build(ctx, "../../cmd/greaved", boot.Files[0].Path); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	outcomes, err := g.Run(ctx, boot)
	t.Logf("kernel %s, %.1f s", g.Kernel, time.Since(began).Seconds())
	for _, p := range boot.Programs {
		t.Run(p.Name, func(t *testing.T) { replay(t, outcomes[p.Name]) })
	}
	if err != nil {
		t.Error(err)
	}
	if o, ended := outcomes["conformance"]; err == nil && ended && o.Code == 0 {
		recordConformance(t, filepath.Join(boot.Artifacts, "conformance"))
	}
}

// recordConformance holds docs/conformance.md to the columns that the guest left.
func recordConformance(t *testing.T, dir string) {
	for _, c := range conformance.Columns {
		if !c.InGuest {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, c.Name+".json"))
		var cells conformance.Cells
		if err == nil {
			err = json.Unmarshal(text, &cells)
		}
		if err == nil {
			err = conformance.Record("../../docs/conformance.md", c.Name, cells)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// prepare installs what is missing where that is allowed, and skips where there can be no guest.
func prepare(t *testing.T) *Guest {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a virtual machine: left out by -short")
	}
	if out, err := exec.CommandContext(t.Context(), "./install-deps.sh").CombinedOutput(); err != nil {
		t.Skipf("needs the packages of integration/vm/install-deps.sh, which cannot be installed here: %v: %s", err, out[max(0, len(out)-500):])
	}
	began := time.Now()
	dir, err := filepath.Abs(cache)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Prepare(t.Context(), dir)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Logf("prepared in %.1f s", time.Since(began).Seconds())
	return g
}

// event is a line of test2json's.
type event struct {
	Action, Test, Output string
	Elapsed              float64
}

// result is what one test of the guest said. A test that did not end has no action.
type result struct {
	name, action string
	output       strings.Builder
	elapsed      float64
	children     []*result
}

// replay makes subtests of what a test binary said.
func replay(t *testing.T, o Outcome) {
	top, err := parse(t.Context(), o.Output)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range top.children {
		t.Run(c.name, c.replay)
	}
	if len(top.children) == 0 || o.Code != 0 {
		t.Errorf("exit status %d, %d tests\n%s", o.Code, len(top.children), top.output.String())
	}
}

func (r *result) replay(t *testing.T) {
	for _, c := range r.children {
		t.Run(c.name, c.replay)
	}
	t.Logf("%.2f s in the guest", r.elapsed)
	switch r.action {
	case "pass":
	case "skip":
		t.Skip(lastLines(r.output.String()))
	case "fail":
		t.Error(r.output.String())
	default:
		t.Error("did not end\n" + r.output.String())
	}
}

// lastLines is what a skipped test said, without the lines of the framework.
func lastLines(output string) string {
	var said []string
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, "\n")
}

// parse reads the output of a test binary run with -test.v=test2json into a tree.
func parse(ctx context.Context, output []byte) (*result, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json")
	cmd.Stdin = bytes.NewReader(output)
	lines, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	top := &result{}
	known := map[string]*result{"": top}
	for line := range bytes.Lines(lines) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, err
		}
		r := known[e.Test]
		if r == nil {
			parent := known[e.Test[:max(0, strings.LastIndex(e.Test, "/"))]]
			if parent == nil {
				parent = top
			}
			r = &result{name: e.Test[strings.LastIndex(e.Test, "/")+1:]}
			parent.children, known[e.Test] = append(parent.children, r), r
		}
		switch e.Action {
		case "output":
			r.output.WriteString(e.Output)
		case "pass", "fail", "skip":
			r.action, r.elapsed = e.Action, e.Elapsed
		}
	}
	return top, nil
}
