package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestFDBByHand: an entry that somebody put there before the document stated it is theirs. It counts
// as built, status says whose it is, and it stays when the document states it no more, after a
// restart too. What greave put beside it goes.
func TestFDBByHand(t *testing.T) {
	l := lab.ForTest(t, lab.Options{Hosts: 1})
	h, err := l.AddKernelHost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.StartGreaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	const both, half, own = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
	document := func(macs ...string) string {
		doc := fmt.Sprintf("vteps: [{name: v, address: %s}]\nsegments: [{name: red, key: 100, encap: vxlan}]\n"+
			"peers: [{name: p0, paths: [{remote: 198.18.0.1}], segments: [red]}]\n", h.VTEP)
		if len(macs) > 0 {
			doc += "fdb:\n"
		}
		for _, m := range macs {
			doc += fmt.Sprintf("- {segment: red, mac: %q, peer: p0}\n", m)
		}
		return doc
	}
	run := func(argv ...string) string {
		t.Helper()
		out, _, err := h.Exec(t.Context(), argv...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	apply(t, h, document())
	_, vxlan, _ := strings.Cut(run("ip", "-o", "link", "show", "type", "vxlan"), ": ")
	vxlan, _, _ = strings.Cut(vxlan, ":")
	run("bridge", "fdb", "append", both, "dev", vxlan, "dst", "198.18.0.1", "self", "permanent")
	run("bridge", "fdb", "add", both, "dev", vxlan, "master", "static")
	run("bridge", "fdb", "add", half, "dev", vxlan, "master", "static")
	byHand := run("bridge", "fdb", "show", "dev", vxlan)

	apply(t, h, document(both, half, own))
	message := func(mac string) string {
		t.Helper()
		r, err := dial(t, h).List(t.Context(), &greavev1.ListRequest{Kind: greavev1.ObjectKind_OBJECT_KIND_FDB, Name: "red/" + mac})
		if err != nil || len(r.Objects) != 1 {
			t.Fatalf("%v %v", r, err)
		}
		return r.Objects[0].GetStatus().String()
	}
	for mac, theirs := range map[string]bool{both: true, half: true, own: false} {
		if m := message(mac); strings.Contains(m, "not greave's") != theirs || !strings.Contains(m, "RESOURCE_STATE_ACTIVE") {
			t.Errorf("%s: %s", mac, m)
		}
	}
	h.KillGreaved()
	if err := h.StartGreaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, h, document(both, half, own))
	apply(t, h, document())
	if left := run("bridge", "fdb", "show", "dev", vxlan); left != byHand {
		t.Errorf("left:\n%s\nby hand were:\n%s", left, byHand)
	}
}
