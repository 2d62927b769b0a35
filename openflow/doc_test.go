package openflow_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// TestPipelineDocument holds docs/pipeline.md to the compiler.
func TestPipelineDocument(t *testing.T) {
	const path = "../docs/pipeline.md"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := resolve(example())
	w.compile(t.Fatalf)
	text := string(old)
	for name, part := range map[string]string{
		"tables": tablesText(&w), "registers": registersText(t, &w), "kinds": kindsText(), "groups": groupsText(t, &w),
		"program": programText(&w), "floodmax": floodMaxText(),
	} {
		begin, end := "<!-- begin "+name+", generated -->", "<!-- end "+name+" -->"
		head, rest, ok := strings.Cut(text, begin)
		_, tail, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("%s has no markers of %s", path, name)
		}
		text = head + begin + part + end + tail
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != string(old) {
		t.Errorf("%s is out of date: run go test ./openflow -update", path)
	}
}

func tablesText(w *world) string {
	count := map[openflow.Table]int{}
	for _, f := range w.p.Flows {
		count[f.Table]++
	}
	var b strings.Builder
	b.WriteString("\n| table | name | purpose | flows in the example |\n|--:|---|---|--:|\n")
	for _, i := range openflow.Tables() {
		fmt.Fprintf(&b, "| %d | %s | %s | %d |\n", i.Table, i.Name, i.Purpose, count[i.Table])
	}
	return b.String()
}

// registersText lists every register, with where the example writes and reads it.
func registersText(t *testing.T, w *world) string {
	purpose := [openflow.NumRegs]string{
		openflow.RegFlags:   "flags: bit 0, the packet came from a tunnel; bit 1, its segment learns; bit 2, this host replicates for its segment",
		openflow.RegSegment: "segment id",
		openflow.RegFrom:    "peer id of the sender, when a packet comes from a tunnel; a replicator matches it in 80 too",
		openflow.RegPeer:    "peer id of the receiver: one for each peer and encapsulation",
		openflow.RegPath:    "path id",
		openflow.RegOut:     "OpenFlow port of exit",
		openflow.RegStaged:  "OpenFlow port of a guest that is being moved here, while it is asked whether that one is active; not used in the example",
	}
	var written, read [openflow.NumRegs]map[string]bool
	for n := range purpose {
		written[n], read[n] = map[string]bool{}, map[string]bool{}
	}
	note := func(a openflow.Action, where string) {
		if set, ok := a.(openflow.SetField); ok && set.Field <= openflow.FieldReg6 {
			written[set.Field][where] = true
		}
	}
	for _, f := range w.p.Flows {
		where := fmt.Sprintf("%3d", f.Table)
		for n, r := range f.Match.Regs {
			if r.Mask != 0 {
				read[n][where] = true
			}
		}
		for _, a := range f.Actions {
			note(a, where)
		}
	}
	for _, g := range w.p.Groups {
		for _, bucket := range g.Buckets {
			for _, set := range bucket.Sets {
				note(set, "groups")
			}
		}
	}
	list := func(set map[string]bool) string {
		names := slices.Sorted(maps.Keys(set))
		for i := range names {
			names[i] = strings.TrimSpace(names[i])
		}
		return strings.Join(names, ", ")
	}
	var b strings.Builder
	b.WriteString("\n| register | carries | written in | matched in |\n|---|---|---|---|\n")
	for n, what := range purpose {
		if unused := len(written[n])+len(read[n]) == 0; unused != strings.Contains(what, "not used") {
			t.Errorf("register %d: %s, but written in %v and matched in %v", n, what, written[n], read[n])
		}
		fmt.Fprintf(&b, "| reg%d | %s | %s | %s |\n", n, what, list(written[n]), list(read[n]))
	}
	return b.String()
}

func floodMaxText() string {
	return fmt.Sprintf("\n| members | over IPv4 | over IPv6 |\n|---|--:|--:|\n| GRE | %d | %d |\n| VXLAN | %d | %d |\n| Geneve | %d | %d |\n",
		model.FloodMax, model.FloodMaxIPv6, model.FloodMaxVXLAN, model.FloodMaxVXLANIPv6, model.FloodMaxGeneve, model.FloodMaxGeneveIPv6)
}

func kindsText() string {
	var b strings.Builder
	b.WriteString("\n| kind | number |\n|---|--:|\n")
	for _, k := range model.Kinds() {
		fmt.Fprintf(&b, "| %s | %d |\n", k, k)
	}
	return b.String()
}

func groupsText(t *testing.T, w *world) string {
	rows := []struct {
		role, purpose string
		kind          openflow.GroupType
	}{
		{"local", "the local ports of a segment: a bucket a port", openflow.GroupAll},
		{"flood", "what a guest's broadcast reaches: the local group, then a bucket a member", openflow.GroupAll},
		{"peer", "the path to a peer under one encapsulation", openflow.GroupIndirect},
		{"peer", "of several paths: a bucket a tier, alive while a probe of it is, and the first tier on trust", openflow.GroupFastFailover},
		{"tier", "the paths of one tier that are alive, by the hash of a flow and their weights", openflow.GroupSelect},
		{"blind", "the paths of the first tier, alive or not, in the same way", openflow.GroupSelect},
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nGroup ids are greave's from %#x to %#x.\n\n| group | type | purpose |\n|---|---|---|\n", uint32(openflow.GroupMin), uint32(openflow.GroupMax))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.role, r.kind, r.purpose)
	}
	for _, g := range w.p.Groups {
		name, _ := w.b.Pool(openflow.PoolGroups).Name(uint64(g.ID))
		role, _, _ := strings.Cut(name, " ")
		found := false
		for _, r := range rows {
			found = found || r.role == role && r.kind == g.Type
		}
		if !found {
			t.Errorf("group %q of type %s is not documented", name, g.Type)
		}
	}
	return b.String()
}

func programText(w *world) string {
	all := w.byObject()
	var b strings.Builder
	b.WriteString("\n```\n")
	for _, ref := range slices.SortedFunc(maps.Keys(all), model.Ref.Compare) {
		fmt.Fprintf(&b, "# %s\n%s\n", ref, strings.Join(all[ref], "\n"))
	}
	b.WriteString("```\n")
	return b.String()
}
