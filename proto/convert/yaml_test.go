package convert

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

var update = flag.Bool("update", false, "rewrite golden files and docs/state.md")

// TestErrors holds what people are told to the golden files. Each is a list of
// pairs: NAME.yaml and NAME.errors, of the text first, else of its fields, with
// their places.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out := &txtar.Archive{Comment: a.Comment}
		for _, f := range a.Files {
			if strings.HasSuffix(f.Name, ".errors") {
				continue
			}
			out.Files = append(out.Files, f, txtar.File{Name: strings.TrimSuffix(f.Name, ".yaml") + ".errors", Data: []byte(complaints(f.Data))})
		}
		golden(t, file, txtar.Format(out))
	}
}

func complaints(doc []byte) string {
	s, pos, err := Parse("host.yaml", doc)
	if err != nil {
		return err.Error() + "\n"
	}
	_, errs := FromWire(s)
	if len(errs) == 0 {
		return "none\n"
	}
	var b strings.Builder
	for _, e := range errs {
		line, col, ok := pos.Find(e.Path)
		if !ok {
			return "no position of " + e.Path
		}
		fmt.Fprintf(&b, "host.yaml:%d:%d: %s: %s\n", line, col, e.Reason, e.Error())
	}
	return b.String()
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s differs; run go test ./proto/convert -update and read the difference. Got:\n%s", file, got)
}

// TestFullDocument reads a document that sets every field that is built, and
// writes it in the form that `greave get -o yaml` has.
func TestFullDocument(t *testing.T) {
	doc, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := Parse("full.yaml", doc)
	if err != nil {
		t.Fatal(err)
	}
	m, errs := FromWire(s)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	out, err := Format(s)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/full.formatted.yaml", out)
	norm, err := Format(ToWire(m))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/full.model.yaml", norm)
	set := map[string]bool{}
	fieldsSet(s.ProtoReflect(), set)
	for _, md := range messages() {
		for _, name := range built(md.Fields()) {
			if full := string(md.FullName()) + "." + name; !set[full] && !refusedMessages[string(md.FullName())] {
				t.Errorf("the full document lacks %s", full)
			}
		}
	}
}

func TestParseForms(t *testing.T) {
	want := &greavev1.HostState{Tunnels: []*greavev1.Tunnel{{
		Name: "12", Encap: greavev1.Encap_ENCAP_VXLAN, UdpPort: proto.Uint32(4790),
		Keepalive: &greavev1.Keepalive{Interval: durationOf(1500)},
	}}}
	for name, doc := range map[string]string{
		"snake case":      "tunnels:\n- name: 12\n  encap: vxlan\n  udp_port: 4790\n  keepalive: {interval: 1.5s}\n",
		"camel case":      "tunnels:\n- name: '12'\n  encap: ENCAP_VXLAN\n  udpPort: 0x12b6\n  keepalive: {interval: 1500ms}\n",
		"JSON":            `{"tunnels":[{"name":"12","encap":"ENCAP_VXLAN","udpPort":4790,"keepalive":{"interval":"1.500s"}}]}`,
		"document marks":  "---\ntunnels: [{name: 12, encap: vxlan, udp_port: 4790, keepalive: {interval: 1.5s}}]\n...\n",
		"anchors":         "tunnels: [{name: &n 12, encap: vxlan, udp_port: 4790, keepalive: &k {interval: 1.5s}}]\n",
		"byte order mark": "\ufefftunnels: [{name: 12, encap: vxlan, udp_port: 4790, keepalive: {interval: 1.5s}}]\n",
		"CRLF":            "tunnels:\r\n- name: 12\r\n  encap: vxlan\r\n  udp_port: 4790\r\n  keepalive: {interval: 1.5s}\r\n",
	} {
		got, _, err := Parse("x.yaml", []byte(doc))
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestAliases(t *testing.T) {
	got, pos, err := Parse("x.yaml", []byte("tunnels:\n- {name: a, key: &k {none: true}}\n- {name: b, key: *k}\n"))
	if err != nil || !got.Tunnels[1].GetKey().GetNone() {
		t.Fatalf("got %v, %v", got, err)
	}
	if line, col, ok := pos.Find("tunnels[1].key.none"); line != 2 || col != 22 || !ok {
		t.Errorf("the field behind an alias is at %d:%d %v", line, col, ok)
	}
}

// TestBounds holds Parse to little work and memory on hostile documents.
func TestBounds(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("tunnels:\n- &t {name: a, addresses: &l [" + strings.Repeat("x, ", 1000) + "x]}\n")
	bomb.WriteString(strings.Repeat("- *t\n", 10_000))
	for name, c := range map[string]struct{ doc, want string }{
		"alias bomb": {bomb.String(), "aliases add more than 100000 values"},
		"too large":  {strings.Repeat("#", MaxDocument+1), "more than the 16777216 that are read"},
		"deep":       {strings.Repeat("[", 1_000_000), "exceeded max depth"},
		"many":       {"tunnels:\n" + strings.Repeat("- {nam: x}\n", 1000), "and more errors from here on"},
		"cycle":      {"tunnels: &t\n- *t\n", "a list is written where fields are expected"},
	} {
		_, _, err := Parse("x.yaml", []byte(c.doc))
		errs, ok := err.(YAMLErrors)
		if !ok || len(errs) > maxYAMLErrors+1 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %d errors: %.300v", name, len(errs), err)
		}
	}
}

func TestFind(t *testing.T) {
	doc := "host: a\ntunnels:\n  - name: x\n    ttl:\n      fixed: 300\n  - udpPort: 5\n"
	_, pos, err := Parse("x.yaml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"host":                    "1:1 true",
		"tunnels":                 "2:1 true",
		"tunnels[0]":              "3:5 true",
		"tunnels[0].ttl.fixed":    "5:7 true",
		"tunnels[0].tos.fixed":    "3:5 true",
		"tunnels[1].udp_port":     "6:5 true",
		"tunnels[1].name":         "6:5 true",
		"tunnels[7].name":         "2:1 true",
		"tunnels[x]":              "2:1 true",
		"state.tunnels[0].ttl":    "4:5 true",
		"peers[0]":                "0:0 false",
		"":                        "0:0 false",
		"tunnels[0].name.of.what": "3:5 true",
	} {
		line, col, ok := pos.Find(path)
		if got := fmt.Sprintf("%d:%d %v", line, col, ok); got != want {
			t.Errorf("%q is at %s, want %s", path, got, want)
		}
	}
}

// TestFormatParse: what Format writes, Parse reads as it was, for states of any
// content, built or not.
func TestFormatParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &greavev1.HostState{}
		fill(t, s.ProtoReflect(), 0)
		doc, err := Format(s)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := Parse("x.yaml", doc)
		if err != nil || !proto.Equal(got, s) {
			t.Fatalf("%s\ngives %v\nnot   %v\n%v", doc, got, s, err)
		}
		b, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(b); err != nil || !proto.Equal(got, s) {
			t.Fatalf("stored form gives %v, %v", got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	for _, s := range []string{"", "{}", "---\n---\n", "tunnels: [{ttl: {fixed: 1}}]", "a: &a [*a]", "<<: {}", "? {a: b}\n: c", "!!binary x: y", "host: !!binary aGk=", "host: \"\\xff\\u0000\"", "tunnels: [{keepalive: {interval: 9s}}]", "host: |\n  a\n b", "%YAML 9\n---", "host: *x", "? *a\n: &a b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, pos, err := Parse("x.yaml", doc)
		if err != nil {
			errs, ok := err.(YAMLErrors)
			if !ok || len(errs) == 0 || len(errs) > maxYAMLErrors+1 {
				t.Fatalf("%d errors, %T", len(errs), err)
			}
			return
		}
		out, err := Format(s)
		if err != nil {
			t.Fatalf("%v cannot be written: %v", s, err)
		}
		if again, _, err := Parse("y.yaml", out); err != nil || !proto.Equal(s, again) {
			t.Fatalf("%s\n%v", out, err)
		}
		_, errs := FromWire(s)
		for _, e := range errs {
			if _, _, ok := pos.Find(e.Path); !ok {
				t.Fatalf("no position of %q", e.Path)
			}
		}
	})
}
