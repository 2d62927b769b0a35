package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// kernelCrowd is a VXLAN segment with n peers and an address behind each.
func kernelCrowd(h *lab.Host, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vteps: [{name: v, address: %s}]\nsegments: [{name: red, key: 100, encap: vxlan}]\npeers:\n", h.VTEP)
	for i := range n {
		fmt.Fprintf(&b, "- {name: p%d, paths: [{remote: 198.18.%d.%d}], segments: [red]}\n", i, i/250, 1+i%250)
	}
	b.WriteString("fdb:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {segment: red, mac: \"02:00:00:%02x:%02x:%02x\", peer: p%d}\n", i>>16, i>>8&255, i&255, i)
	}
	return b.String()
}

// TestF1TenThousandPeers: on a host without Open vSwitch 10,000 VXLAN peers are
// entries of one device; a second plan is empty, and a peer less is three rows.
func TestF1TenThousandPeers(t *testing.T) {
	l := lab.ForTest(t, lab.Options{Hosts: 1})
	h, err := l.AddKernelHost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.StartGreaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	const many = 10000
	began := time.Now()
	apply(t, h, kernelCrowd(h, many))
	t.Logf("%d peers and as many FDB entries in %v", many, time.Since(began))
	out, _, err := h.Exec(t.Context(), "bridge", "fdb", "show")
	if err != nil {
		t.Fatal(err)
	}
	if floods, known := strings.Count(out, "00:00:00:00:00:00 dev gs-"), strings.Count(out, " dst 198.18."); floods != many || known != 2*many {
		t.Errorf("%d entries for floods, %d with a remote; want %d and %d", floods, known, many, 2*many)
	}
	plan := func(doc string) []*greavev1.Operation {
		t.Helper()
		began := time.Now()
		r, err := dial(t, h).Plan(t.Context(), &greavev1.PlanRequest{State: parse(t, doc)})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("a plan in %v", time.Since(began))
		return r.Plan.Operations
	}
	if ops := plan(kernelCrowd(h, many)); len(ops) != 0 {
		t.Errorf("a second plan: %v", ops[0])
	}
	if ops := plan(kernelCrowd(h, many-1)); len(ops) != 3 {
		t.Errorf("%d operations for a peer less", len(ops))
	}
}
