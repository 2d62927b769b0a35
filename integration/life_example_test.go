package integration

import (
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
)

// TestExamplesApplyUnchanged prints each example on a host and applies just
// that text.
func TestExamplesApplyUnchanged(t *testing.T) {
	l := lab.ForTest(t, lab.Options{Hosts: 1})
	start(t, l)
	h := l.Hosts[0]
	for _, kind := range []string{"tunnel", "segment"} {
		text, stderr, err := h.Greave(t.Context(), "example", kind)
		if err != nil {
			t.Fatalf("example %s: %v: %s", kind, err, stderr)
		}
		if out, stderr, err := h.GreaveInput(t.Context(), text, "apply", "-f", "-"); err != nil {
			t.Errorf("apply example %s: %v\n%s%s\n%s", kind, err, out, stderr, text)
		}
		if out, stderr, err := h.Greave(t.Context(), "plan"); err != nil {
			t.Errorf("plan after example %s: %v\n%s%s", kind, err, out, stderr)
		}
	}
	for _, kind := range []string{"l3", "hub"} { // for a kernel with GRE, which this one need not have
		text, stderr, err := h.Greave(t.Context(), "example", kind)
		if err != nil {
			t.Fatalf("example %s: %v: %s", kind, err, stderr)
		}
		if out, stderr, err := h.GreaveInput(t.Context(), text, "validate", "-f", "-"); err != nil {
			t.Errorf("validate example %s: %v\n%s%s\n%s", kind, err, out, stderr, text)
		}
	}
	for _, kind := range []string{"patch"} {
		if out, _, err := h.Greave(t.Context(), "example", kind); lab.ExitCode(err) != 1 || out != "" {
			t.Errorf("example %s, which is not built: exit %d, printed %q", kind, lab.ExitCode(err), out)
		}
	}
}
