package guest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// greaved is where the guest has the daemon.
const greaved = "/guest/greaved"

// settle is how long a document may take to be realised, and a repair to be made: ten times what
// it takes on an ordinary machine.
const settle = 30 * time.Second

// agent is a host with a greaved of its own and a client of that.
type agent struct {
	host
	greavev1.ConfigServiceClient
	greavev1.StateServiceClient
	name, dir string
	ovsdb     string // socket of the database; one that is not there where the host has no Open vSwitch
	cmd       *exec.Cmd
	wrap      []string // what the daemon is started through
}

// withAgent starts greaved in a host without Open vSwitch.
func (h host) withAgent(name string, wrap ...string) *agent {
	h.t.Helper()
	a := &agent{host: h, name: name, dir: h.t.TempDir(), wrap: wrap}
	a.ovsdb = a.dir + "/no-openvswitch/db.sock"
	return a.connect()
}

// withAgent starts greaved beside the switch.
func (o ovs) withAgent(name string) *agent {
	o.t.Helper()
	a := &agent{host: o.host, name: name, dir: o.t.TempDir(), ovsdb: filepath.Join(o.dir, "db.sock")}
	return a.connect()
}

func (a *agent) connect() *agent {
	h := a.host
	h.t.Helper()
	conn, err := grpc.NewClient("unix:"+a.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	check(h.t, err)
	a.ConfigServiceClient, a.StateServiceClient = greavev1.NewConfigServiceClient(conn), greavev1.NewStateServiceClient(conn)
	h.t.Cleanup(func() {
		a.kill()
		check(h.t, conn.Close())
		if h.t.Failed() {
			h.t.Logf("greaved of %s said:\n%s", a.name, a.log())
		}
	})
	a.run()
	return a
}

func (a *agent) socket() string { return filepath.Join(a.dir, "greaved.sock") }

func (a *agent) log() string {
	text, _ := os.ReadFile(filepath.Join(a.dir, "log"))
	return string(text)
}

// run starts the daemon, which dies with this process, and waits until it answers.
func (a *agent) run() {
	a.t.Helper()
	log, err := os.OpenFile(filepath.Join(a.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	check(a.t, err)
	defer log.Close()
	argv := append(append([]string{}, a.wrap...), greaved, "--name", a.name, "--ovsdb", "unix:"+a.ovsdb,
		"--listen", "unix:"+a.socket(), "--state-dir", filepath.Join(a.dir, "state"))
	a.cmd = exec.Command(argv[0], argv[1:]...)
	a.cmd.Stdout, a.cmd.Stderr = log, log
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	a.in(func() { check(a.t, a.cmd.Start()) })
	a.eventually("greaved answers", func() bool {
		ctx, cancel := context.WithTimeout(a.t.Context(), time.Second)
		defer cancel()
		_, err := a.Get(ctx, &greavev1.GetRequest{})
		return err == nil
	})
}

// kill ends the daemon with kill -9.
func (a *agent) kill() {
	if a.cmd == nil {
		return
	}
	_ = syscall.Kill(-a.cmd.Process.Pid, syscall.SIGKILL)
	_ = a.cmd.Wait()
	a.cmd = nil
}

func (a *agent) eventually(what string, ok func() bool) {
	a.t.Helper()
	for end := time.Now().Add(settle); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			r, err := a.Plan(a.t.Context(), &greavev1.PlanRequest{})
			a.t.Fatalf("%s: not within %v: %s; still planned: %v %v", a.name, settle, what, r, err)
		}
	}
}

func parse(t *testing.T, doc string) *greavev1.HostState {
	t.Helper()
	state, _, err := convert.Parse(t.Name(), []byte(doc))
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return state
}

// apply states a document, and fails the test unless all of it is realised and a second plan is
// empty.
func (a *agent) apply(doc string, args ...any) {
	a.t.Helper()
	if r := a.try(fmt.Sprintf(doc, args...)); !r.Realised {
		a.t.Fatalf("%s: not realised: %v", a.name, r.NotRealised)
	}
	if p := a.plan(); p != "" {
		a.t.Fatalf("%s: a second plan:\n%s", a.name, p)
	}
}

// try states a document and returns what became of it.
func (a *agent) try(doc string) *greavev1.ApplyResponse {
	a.t.Helper()
	return a.submit(parse(a.t, doc))
}

// submit is try for a document that is parsed.
func (a *agent) submit(state *greavev1.HostState) *greavev1.ApplyResponse {
	a.t.Helper()
	r, err := a.Apply(a.t.Context(), &greavev1.ApplyRequest{State: state, Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE, Wait: durationpb.New(settle), AllowMassRemoval: true})
	if err != nil {
		a.t.Fatalf("apply on %s: %v\n%v", a.name, err, state)
	}
	return r
}

// refused states a document that must be refused, and returns the reason.
func (a *agent) refused(doc string) string {
	a.t.Helper()
	_, err := a.Apply(a.t.Context(), &greavev1.ApplyRequest{State: parse(a.t, doc), Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE})
	if err == nil {
		a.t.Fatalf("accepted on %s:\n%s", a.name, doc)
	}
	return err.Error()
}

// plan is what a pass would do now, an operation a line.
func (a *agent) plan() string {
	a.t.Helper()
	return a.planOf(nil)
}

func (a *agent) planOf(state *greavev1.HostState) string {
	a.t.Helper()
	r, err := a.Plan(a.t.Context(), &greavev1.PlanRequest{State: state, Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE})
	check(a.t, err)
	var lines []string
	for _, o := range r.GetPlan().GetOperations() {
		lines = append(lines, o.GetText())
	}
	return strings.Join(lines, "\n")
}

// object is the status of one object, "" for its state when there is none.
func (a *agent) object(kind greavev1.ObjectKind, name string) *greavev1.Object {
	a.t.Helper()
	r, err := a.List(a.t.Context(), &greavev1.ListRequest{Kind: kind, Name: name})
	check(a.t, err)
	if len(r.Objects) == 0 {
		return &greavev1.Object{}
	}
	return r.Objects[0]
}

// becomes waits until a tunnel has a state, with a word in its message.
func (a *agent) becomes(name string, state greavev1.ResourceState, word string) {
	a.t.Helper()
	last := ""
	a.eventually(fmt.Sprintf("tunnel %s is %v with %q", name, state, word), func() bool {
		o := a.object(greavev1.ObjectKind_OBJECT_KIND_TUNNEL, name).GetStatus()
		last = o.String()
		return o.GetState() == state && strings.Contains(last, word)
	})
}
