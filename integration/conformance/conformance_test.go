package conformance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
)

// page is the committed table; the guest has none and leaves its columns for the test that booted it.
const page = "../../docs/conformance.md"

// greavedInGuest is where package vm's test puts the daemon.
const greavedInGuest = "/guest/greaved"

// TestConformance runs the columns that this machine can carry: those of the userspace datapath, or
// in the guest the others.
func TestConformance(t *testing.T) {
	artifacts, greaved := os.Getenv("GREAVE_ARTIFACTS"), greavedInGuest
	inGuest := os.Getenv("GREAVE_GUEST") != ""
	if !inGuest {
		lab.Require(t)
		var err error
		greaved, _, err = lab.Binaries(t.Context())
		check(t, err)
	}
	f := newFabric(t, greaved)
	for _, c := range Columns {
		if c.InGuest != inGuest {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			cells := Run(t, c, f.column(t, c.Hosts))
			switch {
			case t.Failed() || len(cells) < len(Rows()): // one row alone was asked for
			case inGuest:
				text, err := json.Marshal(cells)
				check(t, err)
				check(t, os.WriteFile(filepath.Join(artifacts, c.Name+".json"), text, 0o644))
			default:
				check(t, Record(page, c.Name, cells))
			}
		})
	}
}
