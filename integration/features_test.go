package integration

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFeaturesNameRealProofs holds docs/features.md to the tree: every row that
// is done names a proof, and every named test, fuzz target or demo scene exists.
func TestFeaturesNameRealProofs(t *testing.T) {
	page, err := os.ReadFile("../docs/features.md")
	if err != nil {
		t.Fatal(err)
	}
	known := proofs(t)
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || !regexp.MustCompile(`^ *[A-Z]+[0-9]+ *$`).MatchString(cells[0]) {
			continue
		}
		rows++
		id, state := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[2])
		named := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1)
		if state != "not yet" && len(named) == 0 {
			t.Errorf("%s is %q and names no proof", id, state)
		}
		for _, n := range named {
			if !known[n[1]] {
				t.Errorf("%s names %s, which does not exist", id, n[1])
			}
		}
	}
	if rows < 20 {
		t.Fatalf("docs/features.md has %d rows that can be read", rows)
	}
}

// TestArchitectureNamesRealTests: each test that docs/architecture.md names exists.
func TestArchitectureNamesRealTests(t *testing.T) {
	page, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	known := proofs(t)
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(page), -1)
	for _, n := range named {
		if !known[n[1]] {
			t.Errorf("%s does not exist", n[1])
		}
	}
	if len(named) < 20 {
		t.Errorf("%d tests are named: the page is not what it was", len(named))
	}
}

// proofs lists the names of all tests and fuzz targets, and the demo's scenes.
func proofs(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	name := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && (d.Name() == "build" || d.Name() == ".git") {
				return fs.SkipDir
			}
			return err
		}
		if strings.HasPrefix(path, "../integration/demo/") {
			out["demo/"+strings.TrimSuffix(d.Name(), ".go")] = true
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range name.FindAllSubmatch(bytes.ReplaceAll(text, []byte("\r"), nil), -1) {
			out[string(m[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
