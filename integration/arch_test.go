// Package integration tests greave from outside: real switches in network namespaces, the built
// daemon and command line. This file holds the shape of the source tree to what
// docs/architecture.md says. It imports the product only to read its sources.
package integration

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/greave-sdn/greave"

const maxFuncLines = 80

// topLevel is all that may lie at the root, besides dotfiles.
var topLevel = []string{"cmd", "agent", "ovsdb", "openflow", "model", "proto", "deploy", "integration",
	"go.mod", "go.sum", "Makefile", "README.md", "docs", "LICENSE"}

// purePackages compute and do nothing else: same input, same output, on any machine.
var purePackages = []string{"model", "model/mtu", "openflow", "agent/kernel/rows", "agent/plan"}

// impure may not be imported by them, nor anything below it.
var impure = []string{"os", "net", "log/slog", "syscall", "google.golang.org/grpc", "github.com/vishvananda",
	"github.com/ovn-kubernetes/libovsdb", "github.com/digitalocean/go-openvswitch", "golang.org/x/sys", module + "/agent/crash"}

// clock are the functions of package time that read the clock.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// reserved lists who alone may import what; "x/..." is x and all below it. Programs under
// integration drive the product from outside and may speak its API; the
// benchmark measures libraries as rivals.
var reserved = []struct {
	imported string
	by       []string
}{
	{"github.com/ovn-kubernetes/libovsdb/...", []string{"ovsdb/...", "agent/ovs", "agent/fabric", "integration/bench"}},
	{"github.com/digitalocean/go-openvswitch/...", []string{"openflow/ofctl", "integration/bench"}},
	{"github.com/vishvananda/netlink/...", []string{"agent/kernel", "agent/facts", "agent/probe", "agent/ipsec"}},
	{module + "/proto/greave/...", []string{"proto/...", "agent/rpc", "cmd/...", "integration/..."}},
}

// pkg is what go list tells of a package of this module, tests left out.
type pkg struct {
	ImportPath, Dir, Name string
	GoFiles, CgoFiles     []string
	TestGoFiles           []string
	XTestGoFiles          []string
	Imports               []string
}

// rel is the path of the package below the module, "." for its root.
func (p pkg) rel() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

// under says whether path is pattern, or, for "x/...", x or below it.
func under(path, pattern string) bool {
	base, deep := strings.CutSuffix(pattern, "/...")
	return path == base || deep && strings.HasPrefix(path, base+"/")
}

func underAny(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return under(path, p) })
}

func listPackages(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,Name,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	packages := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("list packages: %v", err)
		}
		packages[p.ImportPath] = p
	}
	if len(packages) < 2 {
		t.Fatalf("list packages: %d found", len(packages))
	}
	return packages
}

func TestTopLevel(t *testing.T) {
	git := func(args ...string) (string, error) {
		// A clone that belongs to another user is fine to list.
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-c", "safe.directory=*"}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	root, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		t.Skip("needs a git work tree")
	}
	files, err := git("-C", root, "ls-files")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for file := range strings.Lines(files) {
		name, _, _ := strings.Cut(strings.TrimSpace(file), "/")
		if name != "" && !seen[name] && !strings.HasPrefix(name, ".") && !slices.Contains(topLevel, name) {
			t.Errorf("%s does not belong at the top level: it holds %s", name, strings.Join(topLevel, " "))
		}
		seen[name] = true
	}
	for _, name := range topLevel {
		if !seen[name] {
			t.Errorf("%s is missing at the top level", name)
		}
	}
}

func TestImports(t *testing.T) {
	for _, message := range checkImports(listPackages(t)) {
		t.Error(message)
	}
}

// checkImports returns the imports that break a rule.
func checkImports(packages map[string]pkg) []string {
	var wrong []string
	for _, path := range slices.Sorted(maps.Keys(packages)) {
		p := packages[path]
		for _, imported := range p.Imports {
			if why := forbidden(p.rel(), imported); why != "" {
				wrong = append(wrong, p.rel()+" imports "+imported+": "+why)
			}
		}
	}
	for path := range reach(packages, module+"/cmd/greave") {
		if under(path, module+"/agent/...") {
			wrong = append(wrong, "cmd/greave reaches "+path+": it speaks to the agent by its API only")
		}
	}
	return wrong
}

func forbidden(from, imported string) string {
	if slices.Contains(purePackages, from) {
		if imported != "net/netip" && slices.ContainsFunc(impure, func(i string) bool { return under(imported, i+"/...") }) {
			return from + " is pure"
		}
		if inner, ok := strings.CutPrefix(imported, module+"/"); ok && !slices.Contains(purePackages, inner) {
			return from + " is pure and may import only " + strings.Join(purePackages, ", ")
		}
	}
	for _, r := range reserved {
		if under(imported, r.imported) && !underAny(from, r.by) {
			return "only " + strings.Join(r.by, ", ") + " may"
		}
	}
	return ""
}

// reach returns what a package imports within the module, directly or not.
func reach(packages map[string]pkg, from string) map[string]bool {
	found := map[string]bool{}
	var visit func(string)
	visit = func(path string) {
		for _, i := range packages[path].Imports {
			if _, own := packages[i]; own && !found[i] {
				found[i] = true
				visit(i)
			}
		}
	}
	visit(from)
	return found
}

func TestSources(t *testing.T) {
	for _, p := range listPackages(t) {
		documented := false
		check := func(file string, isTest bool) {
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, filepath.Join(p.Dir, file), nil, parser.ParseComments)
			if err != nil {
				t.Error(err)
				return
			}
			documented = documented || f.Doc != nil
			if isTest || ast.IsGenerated(f) {
				return
			}
			for _, message := range checkFile(set, f, p.rel()) {
				t.Error(message)
			}
		}
		for _, file := range slices.Concat(p.GoFiles, p.CgoFiles) {
			check(file, false)
		}
		for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			check(file, true)
		}
		if !documented {
			t.Errorf("package %s has no doc comment", p.rel())
		}
	}
}

// checkFile returns what one source file that is neither test nor generated does against the rules.
func checkFile(set *token.FileSet, f *ast.File, rel string) []string {
	var wrong []string
	names := map[string]string{} // import path by the name it has in this file
	for _, i := range f.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		name := path[strings.LastIndex(path, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = path
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if lines := set.Position(n.End()).Line - set.Position(n.Pos()).Line + 1; lines > maxFuncLines {
				wrong = append(wrong, set.Position(n.Pos()).String()+": "+n.Name.Name+" has "+strconv.Itoa(lines)+" lines, at most "+strconv.Itoa(maxFuncLines))
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				if why := checkUse(names[x.Name], n.Sel.Name, rel, f.Name.Name); why != "" {
					wrong = append(wrong, set.Position(n.Pos()).String()+": "+x.Name+"."+n.Sel.Name+": "+why)
				}
			}
		}
		return true
	})
	return wrong
}

func checkUse(path, name, rel, pkgName string) string {
	switch {
	case path == "time" && slices.Contains(clock, name) && slices.Contains(purePackages, rel):
		return rel + " is pure"
	case path == "context" && (name == "Background" || name == "TODO") && pkgName != "main" && !strings.HasSuffix(pkgName, "test"):
		return "only package main, tests and ...test packages make a context"
	}
	return ""
}

// TestRules proves that each rule can be broken.
func TestRules(t *testing.T) {
	bad := map[string]pkg{}
	add := func(rel string, imports ...string) {
		bad[module+"/"+rel] = pkg{ImportPath: module + "/" + rel, Imports: imports}
	}
	add("model", "os", "net/http", "net/netip", "time", module+"/agent/facts", module+"/model/mtu")
	add("model/mtu")
	add("agent/facts", "github.com/vishvananda/netlink/nl", "github.com/digitalocean/go-openvswitch/ovs")
	add("agent/rpc", module+"/proto/greave/v1", "github.com/vishvananda/netlink")
	add("agent/web", module+"/proto/greave/v1", "github.com/ovn-kubernetes/libovsdb/client")
	add("ovsdb/vswitch", "github.com/ovn-kubernetes/libovsdb/model")
	add("proto/convert", module+"/agent/plan")
	add("agent/plan", "log/slog")
	add("cmd/greave", module+"/proto/convert")
	got := strings.Join(checkImports(bad), "\n")
	for _, want := range []string{"model imports os:", "model imports net/http:", "model imports " + module + "/agent/facts:",
		"agent/facts imports github.com/digitalocean", "agent/rpc imports github.com/vishvananda", "agent/web imports " + module,
		"agent/web imports github.com/ovn", "agent/plan imports log/slog:", "cmd/greave reaches " + module + "/agent/plan"} {
		if !strings.Contains(got, want) {
			t.Errorf("no complaint %q", want)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 9 {
		t.Errorf("%d complaints, want 9:\n%s", n, got)
	}
	source := "package model\nimport (\"context\"; clock \"time\")\nvar a, b = clock.Now, context.TODO\nfunc long() {" + strings.Repeat("\n", maxFuncLines) + "}\n"
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "x.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := checkFile(set, f, "model"); len(wrong) != 3 {
		t.Errorf("complaints about a source with three faults: %q", wrong)
	}
}
