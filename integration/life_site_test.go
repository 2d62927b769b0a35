package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// promise is ten times what greave promises for a repair or an error: what a
// test insists on, while it prints what it measured.
const promise = 10 * time.Second

// Short names of kinds and states.
const (
	bridgeKind  = greavev1.ObjectKind_OBJECT_KIND_BRIDGE
	portKind    = greavev1.ObjectKind_OBJECT_KIND_PORT
	tunnelKind  = greavev1.ObjectKind_OBJECT_KIND_TUNNEL
	segmentKind = greavev1.ObjectKind_OBJECT_KIND_SEGMENT

	active  = greavev1.ResourceState_RESOURCE_STATE_ACTIVE
	pending = greavev1.ResourceState_RESOURCE_STATE_PENDING
	failed  = greavev1.ResourceState_RESOURCE_STATE_FAILED
	drifted = greavev1.ResourceState_RESOURCE_STATE_DRIFTED
	retried = greavev1.ResourceState_RESOURCE_STATE_RETRYING
)

// site is a host under test with a client of its greaved.
type site struct {
	*lab.Host
	client
	t *testing.T
}

// newSites makes hosts on which greaved does not run yet. Each has 200 foreign
// objects, which must come out of the test byte for byte.
func newSites(t *testing.T, hosts int) []site {
	t.Helper()
	return sitesOf(t, lab.Options{Hosts: hosts})
}

func sitesOf(t *testing.T, opts lab.Options) []site {
	t.Helper()
	var out []site
	for _, h := range lab.ForTest(t, opts).Hosts {
		s := site{h, dial(t, h), t}
		s.guard()
		out = append(out, s)
	}
	return out
}

// newSite makes one host on which greaved runs.
func newSite(t *testing.T, args ...string) site {
	t.Helper()
	s := newSites(t, 1)[0]
	s.run(args...)
	return s
}

// in is the site for a subtest.
func (s site) in(t *testing.T) site {
	s.t = t
	return s
}

func (s site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s site) run(args ...string) {
	s.t.Helper()
	s.must(s.StartGreaved(s.t.Context(), args...))
}

func (s site) vsctl(args ...string) string {
	s.t.Helper()
	out, err := s.Vsctl(s.t.Context(), args...)
	s.must(err)
	return out
}

func (s site) ofctl(bridge string, args ...string) string {
	s.t.Helper()
	out, err := s.Ofctl(s.t.Context(), bridge, args...)
	s.must(err)
	return out
}

func (s site) exec(argv ...string) string {
	s.t.Helper()
	out, _, err := s.Exec(s.t.Context(), argv...)
	s.must(err)
	return out
}

// guard makes the foreign objects and looks at the end of the test whether they
// are untouched. Rows must be so in any case; flows and groups too, unless the
// test ended ovs-vswitchd, which forgets them.
func (s site) guard() {
	s.t.Helper()
	s.must(s.AddForeign(s.t.Context()))
	before, err := s.ForeignDump(s.t.Context())
	s.must(err)
	if n := strings.Count(before, "\n"); n < 200 {
		s.t.Fatalf("%d foreign objects, want 200", n)
	}
	daemon := s.switchPid()
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		after, err := s.ForeignDump(ctx)
		if err != nil {
			s.t.Errorf("foreign objects: %v", err)
			return
		}
		was := before
		if s.switchPid() != daemon {
			was, after = withoutFlows(was), withoutFlows(after)
		}
		if d := lineDiff(was, after); d != "" {
			s.t.Errorf("foreign objects of %s were changed:\n%s", s.Name, d)
		}
	})
}

func (s site) switchPid() string {
	text, _ := os.ReadFile(filepath.Join(s.RunDir(), "ovs-vswitchd.pid"))
	return string(text)
}

func withoutFlows(dump string) string {
	lines := strings.Split(dump, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool {
		return strings.Contains(l, " dump-flows ") || strings.Contains(l, " dump-groups ")
	}), "\n")
}

// lineDiff lists the lines that only one of two texts has.
func lineDiff(before, after string) string {
	count := map[string]int{}
	for l := range strings.Lines(before) {
		count[strings.TrimSpace(l)]--
	}
	for l := range strings.Lines(after) {
		count[strings.TrimSpace(l)]++
	}
	var out []string
	for l, n := range count {
		switch {
		case n < 0:
			out = append(out, "- "+l)
		case n > 0:
			out = append(out, "+ "+l)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// identity is what must stay put while an object lives, of all that is on the
// switch: the UUIDs of rows, the numbers of ports, and what is configured.
func (s site) identity() string {
	s.t.Helper()
	var all []string
	for _, q := range [][2]string{
		{"Bridge", "name,_uuid,datapath_type,fail_mode,protocols,other_config,external_ids"},
		{"Port", "name,_uuid,tag,external_ids"},
		{"Interface", "name,_uuid,type,ofport,options,mtu_request,external_ids"},
	} {
		var rows []string
		for l := range strings.Lines(s.vsctl("--format=csv", "--no-headings", "--columns="+q[1], "list", q[0])) {
			rows = append(rows, q[0]+" "+strings.TrimSpace(l))
		}
		slices.Sort(rows)
		all = append(all, rows...)
	}
	return strings.Join(all, "\n") + "\n"
}

// flows are the flows and groups of a bridge, without counters; "" while it is
// not there.
func (s site) flows(bridge string) string {
	s.t.Helper()
	var lines []string
	for _, what := range []string{"dump-flows", "dump-groups"} {
		text, err := s.Ofctl(s.t.Context(), bridge, "--no-stats", "--no-names", what)
		if err != nil {
			return ""
		}
		for l := range strings.Lines(text) {
			if !strings.Contains(l, "(xid=") {
				lines = append(lines, strings.TrimSpace(l))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// installed counts the flows of a bridge.
func (s site) installed(bridge string) int { return strings.Count(s.flows(bridge), "cookie=") }

// state is all that is greave's own on the host, as far as these tests use it.
func (s site) state() string {
	return s.identity() + s.flows("br-greave") + "\n" + s.flows("br-lan")
}

func (s site) apply(doc string) *greavev1.ApplyResponse {
	s.t.Helper()
	return apply(s.t, s.Host, doc)
}

// try states a document, waits, and returns what came of it.
func (s site) try(r *greavev1.ApplyRequest) (*greavev1.ApplyResponse, error) {
	if r.Wait == nil {
		r.Wait = durationpb.New(settle)
	}
	return s.Apply(s.t.Context(), r)
}

// object is the status of one object; empty when there is none.
func (s site) object(kind greavev1.ObjectKind, name string) *greavev1.ObjectStatus {
	s.t.Helper()
	r, err := s.List(s.t.Context(), &greavev1.ListRequest{Kind: kind, Name: name})
	s.must(err)
	if len(r.Objects) == 0 {
		return nil
	}
	return r.Objects[0].Status
}

// observedPort is what the host has of a port.
func (s site) observedPort(name string) *greavev1.ObservedPort {
	s.t.Helper()
	r, err := s.List(s.t.Context(), &greavev1.ListRequest{Kind: portKind, Name: name})
	s.must(err)
	if len(r.Objects) == 0 {
		return nil
	}
	return r.Objects[0].GetPort()
}

// becomes waits until an object has a state, and a reason if one is given. It
// returns how long that took.
func (s site) becomes(kind greavev1.ObjectKind, name string, state greavev1.ResourceState, reason string) time.Duration {
	s.t.Helper()
	start := time.Now()
	var last *greavev1.ObjectStatus
	for time.Since(start) < promise {
		last = s.object(kind, name)
		if last.GetState() == state && (reason == "" || reasons(last)[reason]) {
			return time.Since(start)
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("%s is not %v %s within %v: %v", name, state, reason, promise, last)
	return 0
}

func reasons(o *greavev1.ObjectStatus) map[string]bool {
	out := map[string]bool{}
	for _, c := range o.GetConditions() {
		out[c.Reason] = true
	}
	return out
}

func message(o *greavev1.ObjectStatus) string {
	if len(o.GetConditions()) == 0 {
		return ""
	}
	return o.Conditions[0].Message
}

// waitPlan fails the test unless the host is soon what is stated.
func (s site) waitPlan() {
	s.t.Helper()
	last := ""
	for end := time.Now().Add(promise); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		p, err := s.Plan(s.t.Context(), &greavev1.PlanRequest{})
		if err != nil {
			last = err.Error()
			continue
		}
		if len(p.Plan.Operations) == 0 {
			return
		}
		last = planText(p.Plan)
	}
	s.t.Fatalf("something is left to do after %v:\n%s", promise, last)
}

func planText(p *greavev1.Plan) string {
	var lines []string
	for _, o := range p.Operations {
		lines = append(lines, o.Text)
	}
	return strings.Join(lines, "\n")
}

// refused fails the test unless err has the code and the reason, and its text
// holds all of want.
func refused(t *testing.T, err error, code codes.Code, reason string, want ...string) {
	t.Helper()
	s := status.Convert(err)
	got := ""
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			got = info.Reason
		}
	}
	if s.Code() != code || got != reason {
		t.Errorf("error = %v, reason %q; want %v %s", err, got, code, reason)
	}
	for _, w := range want {
		if !strings.Contains(s.Message(), w) {
			t.Errorf("%q does not say %q", s.Message(), w)
		}
	}
}

// ordinary is a document with an object of each kind that needs nothing but a
// switch; more is added to it.
func ordinary(s site, more string) string {
	return fmt.Sprintf(`
host: %s
vteps: [{name: underlay, address: %s}]
segments: [{name: red, key: 100}, {name: blue, key: 200, encap: vxlan}]
peers: [{name: far, paths: [{remote: 192.0.2.200}], segments: [red, blue]}, {name: near, paths: [{remote: 192.0.2.201}], segments: [red]}]
fdb: [{segment: red, mac: "02:00:00:00:00:02", peer: far}]
bridges: [{name: br-lan, datapath: netdev}]
tunnels: [{name: gre-7, bridge: br-lan, remote: {address: 192.0.2.202}, key: {fixed: {in: 7, out: 7}}}]
%s`, s.Name, s.VTEP, more)
}

// tracer is an strace of a running greaved and all its children.
type tracer struct {
	cmd  *exec.Cmd
	file string
}

// trace attaches strace to greaved. It skips the test where there is none.
func (s site) trace(calls string) *tracer {
	s.t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		s.t.Skip("needs strace, to see what greaved runs and writes")
	}
	file, err := s.WriteFile("strace.log", "")
	s.must(err)
	pid := s.GreavedPid()
	// -s: a whole transaction is one write.
	cmd := exec.CommandContext(s.t.Context(), "strace", "-f", "-qq", "-s", "100000", "-e", "trace="+calls, "-o", file, "-p", fmt.Sprint(pid))
	s.must(cmd.Start())
	t := &tracer{cmd, file}
	s.t.Cleanup(func() { _ = t.cmd.Process.Kill() })
	eventually(s.t, promise, "strace is attached", func() bool { return traced(pid) })
	return t
}

// traced tells whether every thread of a process is traced.
func traced(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, t := range tasks {
		text, _ := os.ReadFile(t)
		if strings.Contains(string(text), "TracerPid:\t0") {
			return false
		}
	}
	return len(tasks) > 0
}

// stop detaches and returns the lines in order.
func (t *tracer) stop() ([]string, error) {
	if err := t.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return nil, err
	}
	var exit *exec.ExitError
	if err := t.cmd.Wait(); err != nil && !errors.As(err, &exit) { // strace ends with the signal that ended it
		return nil, err
	}
	text, err := os.ReadFile(t.file)
	return strings.Split(string(text), "\n"), err
}

func sortLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
