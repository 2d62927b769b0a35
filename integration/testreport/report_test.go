package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRealRun runs go test on a module written here, which passes, fails, skips, panics, does not
// build and has a package without tests, and reads the report of it.
func TestRealRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.org/a/b\n\ngo 1.26\n")
	write("good/a_test.go", `package good
import "testing"
func TestOne(t *testing.T) { t.Run("x", func(*testing.T) {}); t.Run("y", func(*testing.T) {}) }
func TestSkip(t *testing.T) { t.Log("seen"); t.Skip("no moon tonight") }
`)
	write("bad/a_test.go", `package bad
import "testing"
func TestFails(t *testing.T) { t.Log("first words"); t.Run("sub", func(t *testing.T) { t.Error("last words") }) }
func TestFine(t *testing.T) {}
`)
	write("boom/a_test.go", "package boom\nimport \"testing\"\nfunc TestBoom(t *testing.T) { panic(\"kaboom\") }\n")
	write("broken/a_test.go", "package broken\nvar x int = \"text\"\n")
	write("none/a.go", "package none\n")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "./...")
	cmd.Dir = dir
	json, _ := cmd.Output() // it fails, and should

	var out strings.Builder
	r := newReport(&out)
	r.read(strings.NewReader(string(json)))
	if r.finish() {
		t.Error("finish says all is well")
	}
	for _, want := range []string{"good.TestSkip: no moon tonight", "first words", "last words", "panic: kaboom", "cannot use"} {
		if strings.Count(out.String(), want) == 0 {
			t.Errorf("report lacks %q", want)
		}
	}
	if strings.Contains(out.String(), "none") {
		t.Error("report names the package without tests")
	}
	if want := "\n3 passed, 3 failed, 1 skipped\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("report does not end in %q", want)
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestCutStream(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	r.read(strings.NewReader(`{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestX"}
{"Action":"output","Package":"p","Test":"TestX","Output":"half a wo`))
	if r.finish() || !strings.HasSuffix(out.String(), "0 passed, 1 failed, 0 skipped\n") {
		t.Errorf("report of a stream that ends early:\n%s", out.String())
	}
}

func TestNothingRan(t *testing.T) {
	var out strings.Builder
	if newReport(&out).finish() {
		t.Error("a run without tests is reported as good")
	}
}

func TestSplit(t *testing.T) {
	got := split([]string{"-race", "./a", "--", "-p", "1", "./b"})
	want := [][]string{{"-race", "./a"}, {"-p", "1", "./b"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("split = %q, want %q", got, want)
	}
}
