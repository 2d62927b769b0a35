package model_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/model"
)

// TestCapabilityTable holds the whole table in testdata/capabilities.txt: a line a
// kind and option, then the reason of each no.
func TestCapabilityTable(t *testing.T) {
	var b strings.Builder
	for _, c := range model.CapabilityTable() {
		family, kind := "IPv4", "tunnel"
		if c.IPv6 {
			family = "IPv6"
		}
		if c.Segment {
			kind = "segment"
		}
		fmt.Fprintf(&b, "%s %s %s %s %s", kind, c.Encap, c.Layer, family, c.Option)
		for _, v := range c.Verdicts {
			word := "yes"
			if v.Reason != "" {
				word = "no"
			}
			fmt.Fprintf(&b, " | %s", word)
		}
		b.WriteByte('\n')
		for _, v := range c.Verdicts {
			if v.Reason != "" {
				fmt.Fprintf(&b, "\t%s: %s: %s\n", v.Dataplane, v.Reason, v.Message)
			}
			switch v.Reason {
			case "", model.ReasonUnsupported, model.ReasonUnimplemented, model.ReasonRequired, model.ReasonConflict:
			default:
				t.Errorf("%v on %s: %s: the document itself is wrong: %s", c, v.Dataplane, v.Reason, v.Message)
			}
		}
	}
	const path = "testdata/capabilities.txt"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != b.String() {
		t.Errorf("%s differs (%v), accept with -update", path, err)
	}
}
