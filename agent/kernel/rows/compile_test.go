package rows_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/proto/convert"
)

var update = flag.Bool("update", false, "rewrite golden files")

// host is what the facts of the golden documents are: an underlay device of
// 1500 bytes with an address of each family, and a VRF.
func host() model.Facts {
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	return model.Facts{Choice: model.Choice{Auto: model.BackendKernel}, Devices: map[string]model.Device{
		"eth0":   {Name: "eth0", MTU: 1500, Addrs: []string{four.String(), six.String()}, Global: []netip.Addr{four, six}},
		"vrf-a":  {Name: "vrf-a", Kind: "vrf", Table: 100, MTU: 65575},
		"tap0":   {Name: "tap0", MTU: 1500},
		"tap1":   {Name: "tap1", MTU: 1500},
		"trunk0": {Name: "trunk0", MTU: 1500},
	}}
}

// TestCompile holds the rows of each document of testdata/compile.txtar, file
// NAME.yaml, to its NAME.rows.
func TestCompile(t *testing.T) {
	const path = "testdata/compile.txtar"
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []txtar.File
	for _, f := range archive.Files {
		name, isDocument := strings.CutSuffix(f.Name, ".yaml")
		if isDocument {
			out = append(out, f, txtar.File{Name: name + ".rows", Data: []byte(compile(t, name, f.Data))})
		}
	}
	was := txtar.Format(archive)
	archive.Files = out
	now := txtar.Format(archive)
	if *update {
		if err := os.WriteFile(path, now, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if !bytes.Equal(was, now) {
		t.Errorf("rows differ from %s (rewrite with -update):\n%s", path, cmp.Diff(string(was), string(now)))
	}
}

func compile(t *testing.T, name string, document []byte) string {
	t.Helper()
	wire, _, err := convert.Parse(name, document)
	if err != nil {
		t.Fatal(err)
	}
	s, fields := convert.FromWire(wire)
	if len(fields) > 0 {
		t.Fatal(fields)
	}
	s = model.Normalize(s, model.HostState{})
	f := host()
	if err := model.Validate(s, nil, "host-a", model.Capabilities{Choice: f.Choice}); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	r := model.Resolve(model.Union(s), f)
	p := rows.Compile(r.For(model.BackendKernel), model.NewOwner("host-a"))
	maps.Copy(p.Notices, r.Blocked)
	var b strings.Builder
	for _, row := range p.Rows {
		fmt.Fprintf(&b, "%s\n", text(row))
	}
	for _, ref := range slices.SortedFunc(maps.Keys(p.Notices), model.Ref.Compare) {
		fmt.Fprintf(&b, "%s: %s: %s\n", ref, p.Notices[ref].Reason, p.Notices[ref].Message)
	}
	return b.String()
}

// text is a row without what any device of its kind has.
func text(r rows.Row) string {
	usual := rows.Kinds[r.Fields[rows.FieldKind]].Defaults()
	delete(usual, rows.FieldKind)
	for _, a := range rows.PortAttrs {
		usual[rows.PortPrefix+a.Name] = a.Default
	}
	usual[rows.FieldUp] = "true"
	fields := maps.Clone(r.Fields)
	for f, v := range usual {
		if fields[f] == v {
			delete(fields, f)
		}
	}
	r.Fields = fields
	line := r.Text()
	for word, set := range map[string]bool{"(bound)": r.Bound, "(unmarked)": r.Unmarked, "(adopt)": r.Adopt} {
		if set {
			line += " " + word
		}
	}
	return line
}

// TestKinds: every attribute has a name and a number of its own, and a form.
func TestKinds(t *testing.T) {
	for name, k := range rows.Kinds {
		names, ids := map[string]bool{}, map[int]bool{}
		for _, a := range k.Attrs {
			if names[a.Name] || a.ID != 0 && ids[a.ID] || a.Form == 0 || a.Name == "" {
				t.Errorf("%s: %+v", name, a)
			}
			names[a.Name], ids[a.ID] = true, true
		}
		if k.Module == "" || k.Name != name {
			t.Errorf("%s: %+v", name, k)
		}
	}
}

// TestAlias: a mark names its owner and object, however long their names are.
func TestAlias(t *testing.T) {
	for _, name := range []string{"a", strings.Repeat("x", 253)} {
		ref := model.Ref{Kind: model.KindSegment, Name: name}
		alias := rows.Alias(model.NewOwner("host-a"), ref)
		owner, got, ok := rows.ParseAlias(alias)
		if !ok || owner != "host-a" || got.Kind != ref.Kind || !strings.HasPrefix(ref.Name, got.Name) || len(alias) > 255 {
			t.Errorf("%q is %q %v %v", alias, owner, got, ok)
		}
	}
	for _, foreign := range []string{"", "greave", "uplink to greave host", "greave host-a nothing"} {
		if _, _, ok := rows.ParseAlias(foreign); ok {
			t.Errorf("%q is taken for a mark", foreign)
		}
	}
}
