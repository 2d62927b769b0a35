package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestMassRemoval: half a document takes nothing away until somebody says that it is meant, the
// document that is first stated after the state directory was lost neither.
func TestMassRemoval(t *testing.T) {
	s := newSite(t)
	list := func(n int) string {
		var b strings.Builder
		b.WriteString("bridges: [{name: br-lan, datapath: netdev}]\ntunnels:\n")
		for i := range n {
			fmt.Fprintf(&b, "- {name: gre-%d, bridge: br-lan, remote: {address: 192.0.2.207}, key: {fixed: {in: %d, out: %d}}}\n", i, i+1, i+1)
		}
		return b.String()
	}
	state := func(doc string, yes bool) *greavev1.ApplyResponse {
		t.Helper()
		r, err := s.try(&greavev1.ApplyRequest{State: parse(t, doc), Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE, AllowMassRemoval: yes})
		s.must(err)
		return r
	}
	state(list(30), false)
	whole := s.identity()
	held := func(what string, r *greavev1.ApplyResponse) {
		t.Helper()
		if d := lineDiff(whole, s.identity()); d != "" {
			t.Errorf("%s changed the host:\n%s", what, d)
		}
		if r.Realised || len(r.NotRealised) == 0 || !reasons(r.NotRealised[0])["MASS_REMOVAL"] {
			t.Errorf("%s: %v", what, r)
		}
		out, _, err := s.Greave(t.Context(), "status")
		s.must(err)
		if !strings.Contains(out, "30 objects of greave's would be taken away at once") && !strings.Contains(out, "31 objects of greave's would be taken away at once") {
			t.Errorf("%s: status does not say what it waits for:\n%s", what, out)
		}
	}
	held("half a document", state(list(5), false))
	s.KillGreaved()
	s.must(os.RemoveAll(s.StateDir()))
	s.run()
	s.waitConnected()
	held("a document after the state was lost", state(list(5), false))
	if r := state(list(30), false); !r.Realised {
		t.Errorf("the whole document again: %v", r)
	}
	if r := state(list(5), true); !r.Realised {
		t.Errorf("after the yes: %v", r)
	}
	if n := strings.Count(s.identity(), "Port gre-"); n != 5 {
		t.Errorf("%d tunnels are left, want 5:\n%s", n, s.identity())
	}
}
