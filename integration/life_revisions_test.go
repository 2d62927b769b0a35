package integration

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

const merge = greavev1.ApplyMode_APPLY_MODE_MERGE

func bridgeDoc(t *testing.T, names ...string) *greavev1.HostState {
	t.Helper()
	var list []string
	for _, n := range names {
		list = append(list, fmt.Sprintf("{name: %s, datapath: netdev}", n))
	}
	return parse(t, "bridges: ["+strings.Join(list, ", ")+"]")
}

func bridgeRef(name string) *greavev1.ObjectRef {
	return &greavev1.ObjectRef{Kind: bridgeKind, Name: name}
}

// ownBridges are the bridges with greave's mark, in order.
func (s site) ownBridges() string {
	s.t.Helper()
	out := s.vsctl("--no-headings", "--columns=name", "find", "Bridge", "external_ids:greave-owner="+s.Name)
	return strings.Join(strings.Fields(sortLines(out)), " ")
}

// TestRevisions: a history a source, optimistic writers, merges, rollback.
func TestRevisions(t *testing.T) {
	s := newSite(t)
	do := func(r *greavev1.ApplyRequest) *greavev1.ApplyResponse {
		t.Helper()
		out, err := s.try(r)
		s.must(err)
		if !r.ValidateOnly && !out.Realised {
			t.Fatalf("not realised: %v", out.NotRealised)
		}
		return out
	}
	bridges := func(want string) {
		t.Helper()
		if got := s.ownBridges(); got != want {
			t.Errorf("bridges %q, want %q", got, want)
		}
	}
	do(&greavev1.ApplyRequest{State: bridgeDoc(t, "b1"), Comment: "first", BaseRevision: proto.Uint64(0)})
	if r := do(&greavev1.ApplyRequest{State: bridgeDoc(t, "b1"), Comment: "the same"}); r.Revision != 1 {
		t.Errorf("the same document again is revision %d, want 1", r.Revision)
	}
	if r := do(&greavev1.ApplyRequest{State: bridgeDoc(t, "b1", "b2"), BaseRevision: proto.Uint64(1), Comment: "second"}); r.Revision != 2 {
		t.Errorf("revision %d, want 2", r.Revision)
	}
	_, err := s.try(&greavev1.ApplyRequest{State: bridgeDoc(t, "b3"), BaseRevision: proto.Uint64(1)})
	refused(t, err, codes.Aborted, "STALE_REVISION")
	bridges("b1 b2")

	do(&greavev1.ApplyRequest{Mode: merge, State: bridgeDoc(t, "b3"), Comment: "third"})
	bridges("b1 b2 b3")
	do(&greavev1.ApplyRequest{Mode: merge, Remove: []*greavev1.ObjectRef{bridgeRef("b2")}, Comment: "fourth"})
	bridges("b1 b3")
	_, err = s.try(&greavev1.ApplyRequest{Mode: merge, Remove: []*greavev1.ObjectRef{bridgeRef("b2")}})
	refused(t, err, codes.NotFound, "NO_SUCH_OBJECT", "b2")
	bridges("b1 b3")

	list, err := s.ListRevisions(t.Context(), &greavev1.ListRevisionsRequest{})
	s.must(err)
	var got []string
	for _, r := range list.Revisions {
		got = append(got, fmt.Sprintf("%d %q %d %v", r.Number, r.Comment, r.Objects, r.InForce))
	}
	want := `4 "fourth" 2 true, 3 "third" 3 false, 2 "second" 2 false, 1 "first" 1 false`
	if strings.Join(got, ", ") != want {
		t.Errorf("history %s, want %s", strings.Join(got, ", "), want)
	}

	back, err := s.Rollback(t.Context(), &greavev1.RollbackRequest{Revision: proto.Uint64(2), Wait: durationpb.New(settle)})
	s.must(err)
	if back.Revision != 5 || !back.Realised {
		t.Errorf("rollback = %v, want revision 5, realised", back)
	}
	bridges("b1 b2")
	if back, err = s.Rollback(t.Context(), &greavev1.RollbackRequest{Wait: durationpb.New(settle)}); err != nil || !back.Realised {
		t.Fatalf("rollback to the one before = %v, %v", back, err)
	}
	bridges("b1 b3")
	_, err = s.Rollback(t.Context(), &greavev1.RollbackRequest{Revision: proto.Uint64(99)})
	refused(t, err, codes.NotFound, "NO_SUCH_REVISION")
	if list, err = s.ListRevisions(t.Context(), &greavev1.ListRevisionsRequest{}); err != nil || list.Revisions[1].RollbackOf != 2 {
		t.Errorf("the rollback does not say which revision it repeats: %v, %v", list, err)
	}

	s.KillGreaved()
	s.run()
	old, err := s.GetState(t.Context(), &greavev1.GetStateRequest{Source: "operator", Revision: proto.Uint64(3)})
	s.must(err)
	if len(old.Sources) != 1 || !proto.Equal(old.Sources[0].State.Bridges[2], bridgeDoc(t, "b3").Bridges[0]) {
		t.Errorf("revision 3 after a restart: %v", old)
	}
	for i := range 50 {
		_, err := s.Apply(t.Context(), &greavev1.ApplyRequest{State: bridgeDoc(t, fmt.Sprintf("b%d", i%2))})
		s.must(err)
	}
	list, err = s.ListRevisions(t.Context(), &greavev1.ListRevisionsRequest{})
	s.must(err)
	if len(list.Revisions) != 50 || list.Revisions[0].Number != 56 {
		t.Errorf("%d revisions are kept, the last is %d; want 50 and 56", len(list.Revisions), list.Revisions[0].Number)
	}
}

// TestWaitNamesWhatIsMissing: a wait returns as soon as it is known what cannot
// be, and names it.
func TestWaitNamesWhatIsMissing(t *testing.T) {
	s := newSite(t)
	start := time.Now()
	r, err := s.try(&greavev1.ApplyRequest{State: parse(t, ordinary(s, `ports: [{name: p0, device: nowhere, attachments: [{segment: red}]}]`))})
	s.must(err)
	if r.Realised || len(r.NotRealised) != 1 || r.NotRealised[0].Name != "p0" || !reasons(r.NotRealised[0])["DEVICE_ABSENT"] {
		t.Errorf("apply = %v, want p0 to be named", r)
	}
	if took := time.Since(start); took > promise {
		t.Errorf("the wait took %v", took)
	}
	for _, o := range []string{"gre-7"} {
		if got := s.object(tunnelKind, o); got.GetState() != active {
			t.Errorf("%s: %v", o, got)
		}
	}
}

// TestAdopt: a name that exists without the mark is a CONFLICT that says what to
// do; with adopt: true it is taken over in place.
func TestAdopt(t *testing.T) {
	s := newSite(t)
	s.vsctl("add-br", "br-old", "--", "set", "Bridge", "br-old", "datapath_type=netdev", "external_ids:note=keep",
		"--", "add-port", "br-old", "gre-old", "--", "set", "Interface", "gre-old", "type=gre", "options:remote_ip=192.0.2.220", "options:key=5", "external_ids:note=keep",
		"--", "add-port", "br-old", "other", "--", "set", "Interface", "other", "type=internal")
	identity := func() string {
		return s.vsctl("--format=csv", "--no-headings", "--columns=name,_uuid,ofport", "list", "Interface", "gre-old", "other", "br-old")
	}
	before := identity()
	doc := "bridges: [{name: br-old, datapath: netdev%s}]\ntunnels: [{name: gre-old, bridge: br-old, remote: {address: 192.0.2.220}, key: {fixed: {in: 6, out: 6}}%s}]"
	r, err := s.try(&greavev1.ApplyRequest{State: parse(t, fmt.Sprintf(doc, "", ""))})
	s.must(err)
	if len(r.NotRealised) != 2 {
		t.Fatalf("not realised: %v, want both", r.NotRealised)
	}
	o := s.object(bridgeKind, "br-old")
	if o.State != failed || !reasons(o)["CONFLICT"] || !strings.Contains(message(o), "adopt: true") {
		t.Errorf("br-old: %v", o)
	}
	if got := s.vsctl("get", "Interface", "gre-old", "options:key"); got != `"5"` {
		t.Errorf("the foreign tunnel was changed: key %s", got)
	}
	s.apply(fmt.Sprintf(doc, ", adopt: true", ", adopt: true"))
	if got := identity(); got != before {
		t.Errorf("adopted rows were\n%s\nare\n%s", before, got)
	}
	if got := s.vsctl("get", "Interface", "gre-old", "options:key"); got != `"6"` {
		t.Errorf("key of the adopted tunnel = %s, want 6", got)
	}
	if got := s.vsctl("get", "Bridge", "br-old", "external_ids"); !strings.Contains(got, "note=keep") || !strings.Contains(got, "greave-owner="+s.Name) {
		t.Errorf("external_ids of the adopted bridge: %s", got)
	}
}

// TestConcurrentMerges: 50 writers merge at once, none gets lost.
func TestConcurrentMerges(t *testing.T) {
	const writers = 50
	s := newSite(t)
	s.apply("bridges: [{name: br-lan, datapath: netdev}]")
	var wg sync.WaitGroup
	answers, errs := make([]*greavev1.ApplyResponse, writers), make([]error, writers)
	start := time.Now()
	for i := range writers {
		wg.Go(func() {
			state := &greavev1.HostState{Tunnels: []*greavev1.Tunnel{{
				Name: fmt.Sprintf("gre-%d", i), Bridge: "br-lan",
				Remote: &greavev1.TunnelRemote{Endpoint: &greavev1.TunnelRemote_Address{Address: fmt.Sprintf("192.0.2.%d", 100+i)}},
			}}}
			if i == 7 {
				state.Tunnels[0].Remote = &greavev1.TunnelRemote{Endpoint: &greavev1.TunnelRemote_Address{Address: "nowhere"}}
			}
			answers[i], errs[i] = s.Apply(t.Context(), &greavev1.ApplyRequest{Mode: merge, State: state, Wait: durationpb.New(settle)})
		})
	}
	wg.Wait()
	for i, err := range errs {
		// Of those that came together, the one at fault is told, and no other.
		if i == 7 {
			if st, _ := status.FromError(err); st.Code() != codes.InvalidArgument || !strings.Contains(st.Message(), "tunnels[0]") {
				t.Errorf("a bad merge among others: %v", err)
			}
		} else if err != nil || !answers[i].Realised {
			t.Errorf("merge %d: %v %v", i, answers[i], err)
		}
	}
	eventually(t, promise, "all tunnels are there", func() bool {
		out := s.vsctl("--no-headings", "--columns=name", "find", "Interface", "type=gre", "ofport>0", "external_ids:greave-owner="+s.Name)
		return len(strings.Fields(out)) == writers-1
	})
	t.Logf("%d concurrent merges realised after %v, revision %d", writers, time.Since(start).Round(time.Millisecond), s.revision("operator"))
	if got := s.revision("operator"); got > writers {
		t.Errorf("revision %d, want at most one for each of the %d good ones after the first", got, writers-1)
	}
}

// TestRequestIsChecked: what a request says about itself is held to its bounds.
func TestRequestIsChecked(t *testing.T) {
	s := newSite(t)
	for field, r := range map[string]*greavev1.ApplyRequest{
		"source":  {Source: "a b", State: parse(t, "bridges: [{name: br-x}]")},
		"comment": {Comment: strings.Repeat("c", 1025), State: parse(t, "bridges: [{name: br-x}]")},
	} {
		_, err := s.Apply(t.Context(), r)
		if st, _ := status.FromError(err); st.Code() != codes.InvalidArgument || !strings.Contains(st.Message(), field) {
			t.Errorf("%s out of bounds: %v", field, err)
		}
	}
}
