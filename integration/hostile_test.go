package integration

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/greave-sdn/greave/model/modeltest"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestHostileStrings: each of the hostile strings, in the place of each string of a document and of a
// request, is refused with its field or kept exactly as it is. Of those that are kept, some are built
// under strace: no program but ovs-ofctl runs, with no such string among its arguments, no socket is
// opened but those that greave was told of, and no file but its own.
func TestHostileStrings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, err := s.AddGuest(t.Context(), "tap0", "10.0.0.1/24", "02:00:00:00:00:11", 1400)
	s.must(err)
	whole := parse(t, ordinary(s, `
ports:
- {name: guest, device: tap0, attachments: [{segment: red}], macs: ["02:00:00:00:00:11"], ips: [10.0.0.1]}
- {name: libvirts, iface_id: vif-1, attachments: [{segment: blue}]}`))
	values := map[string]bool{}
	eachString(whole.ProtoReflect(), func(v string) string { values[v] = true; return v })
	if len(values) < 15 {
		t.Fatalf("only %d strings in the document", len(values))
	}
	var kept []*greavev1.HostState
	tried := 0
	for _, value := range slices.Sorted(maps.Keys(values)) {
		for _, bad := range modeltest.Hostile {
			doc := proto.Clone(whole).(*greavev1.HostState)
			eachString(doc.ProtoReflect(), func(v string) string {
				if v == value {
					return bad
				}
				return v
			})
			tried++
			if s.takes(&greavev1.ApplyRequest{State: doc, ValidateOnly: true}) {
				kept = append(kept, doc)
			}
		}
	}
	for _, bad := range modeltest.Hostile {
		s.takes(&greavev1.ApplyRequest{State: whole, Source: bad, ValidateOnly: true})
		s.takes(&greavev1.ApplyRequest{State: whole, Comment: bad, ValidateOnly: true})
		_, _ = s.Explain(t.Context(), &greavev1.ExplainRequest{Subject: &greavev1.ExplainRequest_Flow{Flow: bad}}) // no flow, or nobody's
	}
	t.Logf("%d documents, %d are taken", tried, len(kept))
	if len(kept) < 20 || len(kept) > tried/3 {
		t.Errorf("%d of %d are taken", len(kept), tried)
	}
	trace := s.trace("execve,connect,openat,renameat,unlinkat")
	for i := range 12 {
		doc := kept[i*len(kept)/12]
		_, err := s.Apply(t.Context(), &greavev1.ApplyRequest{State: doc, AllowMassRemoval: true})
		s.must(err)
		s.waitPlan()
		got, err := s.GetState(t.Context(), &greavev1.GetStateRequest{})
		s.must(err)
		if !proto.Equal(got.Sources[0].State, doc) {
			t.Errorf("stated and kept differ:\n%v\n%v", doc, got.Sources[0].State)
		}
	}
	lines, err := trace.stop()
	s.must(err)
	s.noStrangeCalls(lines)
}

// takes tells whether a request is taken; one that is not must be the caller's fault, in one line.
func (s site) takes(r *greavev1.ApplyRequest) bool {
	s.t.Helper()
	_, err := s.Apply(s.t.Context(), r)
	if err == nil {
		return true
	}
	e := status.Convert(err)
	switch e.Code() {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.Unimplemented:
	case codes.Internal: // text that is no UTF-8 does not leave the client
		if !strings.Contains(e.Message(), "invalid UTF-8") {
			s.t.Errorf("%v", err)
		}
	default:
		s.t.Errorf("%v", err)
	}
	if strings.ContainsFunc(e.Message(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
		s.t.Errorf("the refusal has control characters: %.300q", e.Message())
	}
	return false
}

// eachString calls f for every string in m and puts what it returns in its place.
func eachString(m protoreflect.Message, f func(string) string) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList() && fd.Kind() == protoreflect.StringKind:
			for i := range v.List().Len() {
				v.List().Set(i, protoreflect.ValueOfString(f(v.List().Get(i).String())))
			}
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				eachString(v.List().Get(i).Message(), f)
			}
		case fd.Kind() == protoreflect.StringKind:
			m.Set(fd, protoreflect.ValueOfString(f(v.String())))
		case fd.Message() != nil && !fd.IsMap():
			eachString(v.Message(), f)
		}
		return true
	})
}

// noStrangeCalls looks at what greaved and its children ran, connected to and wrote.
func (s site) noStrangeCalls(lines []string) {
	s.t.Helper()
	ran := 0
	for _, l := range lines {
		switch {
		case strings.Contains(l, "execve("):
			if strings.Contains(l, "ENOENT") {
				continue
			}
			ran++
			if !strings.Contains(l, `/ovs-ofctl", [`) {
				s.t.Errorf("another program runs: %.300s", l)
			}
			args, _, _ := strings.Cut(l[strings.Index(l, "["):], "], 0x")
			for _, bad := range modeltest.Hostile {
				if len(bad) > 4 && strings.Contains(args, `"`+bad) && bad != "flood" && bad != "default" {
					s.t.Errorf("%.30q is an argument: %.300s", bad, l)
				}
			}
		case strings.Contains(l, "connect("):
			if strings.Contains(l, "AF_INET") || strings.Contains(l, "AF_UNIX") && !strings.Contains(l, s.RunDir()) {
				s.t.Errorf("another socket: %.300s", l)
			}
		case strings.Contains(l, "O_CREAT"), strings.Contains(l, "O_WRONLY"), strings.Contains(l, "O_RDWR"), strings.Contains(l, "renameat"), strings.Contains(l, "unlinkat"):
			if !strings.Contains(l, s.RunDir()) && !strings.Contains(l, "/dev/null") && !strings.Contains(l, filepath.Join(os.TempDir(), "greave")) {
				s.t.Errorf("another file: %.300s", l)
			}
		}
	}
	if ran == 0 {
		s.t.Error("not even ovs-ofctl ran: nothing was traced")
	}
}
