package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/agent/store"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// funcs is a backend of functions.
type funcs struct {
	facts   func(context.Context, *model.Facts) error
	plan    func(context.Context, model.Resolved, *openflow.Bindings) (plan.Plan, error)
	pass    func(context.Context, PassInput) Outcome
	changes chan struct{}
}

func (f funcs) Facts(ctx context.Context, m *model.Facts) error { return f.facts(ctx, m) }
func (f funcs) Plan(ctx context.Context, r model.Resolved, b *openflow.Bindings) (plan.Plan, error) {
	return f.plan(ctx, r, b)
}
func (f funcs) Pass(ctx context.Context, in PassInput) Outcome { return f.pass(ctx, in) }
func (f funcs) Changes() <-chan struct{}                       { return f.changes }

// sim is a host that has rows and can be broken.
type sim struct {
	mu      sync.Mutex
	rows    map[model.Ref]any
	ports   map[string]model.OVSPort
	refuse  map[model.Ref]bool
	down    error // facts cannot be read
	broken  error // passes break off
	sticky  bool  // nothing that is written stays, and the host changes all the time
	took    time.Duration
	passes  []time.Time
	inputs  []PassInput
	tries   map[model.Ref][]time.Time // when the switch refused
	changes chan struct{}
}

func newSim() *sim {
	return &sim{rows: map[model.Ref]any{}, ports: map[string]model.OVSPort{}, refuse: map[model.Ref]bool{},
		tries: map[model.Ref][]time.Time{}, changes: make(chan struct{}, 1)}
}

func (s *sim) backend() Backend {
	return funcs{s.facts, func(_ context.Context, r model.Resolved, b *openflow.Bindings) (plan.Plan, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		b.Pool(openflow.PoolPeers).Get("of a dry run")
		return plan.Plan{Ops: s.diff(PassInput{Want: r})}, nil
	}, s.pass, s.changes}
}

func (s *sim) facts(_ context.Context, f *model.Facts) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	f.OVS = &model.OVSHost{Bridges: map[string]model.OVSBridge{}, Ports: maps.Clone(s.ports)}
	return nil
}

// wanted are the rows of what is resolved; sim knows bridges, ports and tunnels.
func wanted(r model.Resolved) map[model.Ref]any {
	out := map[model.Ref]any{}
	for _, b := range r.Bridges {
		out[b.Ref()] = b
	}
	for _, t := range r.Tunnels {
		out[t.Ref()] = t
	}
	for _, p := range r.Ports {
		out[p.Ref()] = p
	}
	return out
}

func (s *sim) diff(in PassInput) []plan.Op {
	var ops []plan.Op
	want := wanted(in.Want)
	for ref, v := range want {
		if _, held := in.Hold[ref]; !held && !reflect.DeepEqual(s.rows[ref], v) {
			ops = append(ops, plan.Op{Verb: plan.Create, Object: ref, Target: ref.String(), Disruption: plan.None})
		}
	}
	for ref := range s.rows {
		_, keep := want[ref]
		if _, blocked := in.Want.Blocked[ref]; !keep && !blocked {
			ops = append(ops, plan.Op{Verb: plan.Delete, Object: ref, Target: ref.String(), Disruption: plan.Disruptive})
		}
	}
	slices.SortFunc(ops, func(a, b plan.Op) int { return a.Object.Compare(b.Object) })
	return ops
}

func (s *sim) pass(_ context.Context, in PassInput) Outcome {
	time.Sleep(s.took)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passes = append(s.passes, time.Now())
	s.inputs = append(s.inputs, in)
	if s.broken != nil {
		return Outcome{Err: s.broken}
	}
	if s.sticky {
		ops := s.diff(in)
		s.kick()
		return Outcome{Done: ops, Remaining: plan.Plan{Ops: ops}}
	}
	out := Outcome{Notices: maps.Clone(in.Want.Blocked), Used: openflow.Names{}}
	maps.Copy(out.Notices, in.Hold)
	if p := (plan.Plan{Ops: s.diff(in)}); in.Holds(&p) {
		out.Remaining = p
		return out
	}
	want := wanted(in.Want)
	for _, op := range s.diff(in) {
		switch {
		case op.Verb == plan.Delete:
			delete(s.rows, op.Object)
		case s.refuse[op.Object]:
			s.tries[op.Object] = append(s.tries[op.Object], time.Now())
			out.Notices[op.Object] = model.Notice{Reason: model.NoticeRefused, Message: "File exists"}
			continue
		default:
			s.rows[op.Object] = want[op.Object]
		}
		out.Done = append(out.Done, op)
	}
	return out
}

func (s *sim) kick() {
	select {
	case s.changes <- struct{}{}:
	default:
	}
}

// with runs f while nothing else touches the host, and kicks.
func (s *sim) with(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	s.kick()
}

func (s *sim) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.passes)
}

// tried is when the switch refused an object.
func (s *sim) tried(ref model.Ref) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tries[ref])
}

func (s *sim) has(ref model.Ref) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows[ref] != nil
}

// rig is a running loop on a simulated host with a real store.
type rig struct {
	t *testing.T
	*Loop
	sim   *sim
	store *store.Store
	log   *bytes.Buffer
	dir   string
	end   func()
}

func decodeJSON(b []byte) (s model.HostState, err error) {
	err = json.Unmarshal(b, &s)
	return s, err
}

func start(t *testing.T, dir string, s *sim) *rig {
	t.Helper()
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, sim: s, store: st, log: &bytes.Buffer{}, dir: dir}
	r.Loop = New(Config{Host: "h1", Owner: model.NewOwner("h1"), Backend: s.backend(), Store: st, Decode: decodeJSON,
		Logger: slog.New(slog.NewTextHandler(r.log, nil))})
	if err := r.Load(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	r.end = sync.OnceFunc(func() {
		cancel()
		<-done
		st.Close()
	})
	return r
}

// inBubble runs a test with a clock of its own.
func inBubble(t *testing.T, f func(t *testing.T, r *rig)) {
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		r := start(t, dir, newSim())
		defer func() { r.end() }()
		synctest.Wait()
		f(t, r)
	})
}

func (r *rig) restart() {
	r.end()
	*r = *start(r.t, r.dir, r.sim)
	synctest.Wait()
}

func (r *rig) submit(source string, s model.HostState) (uint64, error) {
	doc, err := json.Marshal(s)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.Submit(r.t.Context(), Submission{Source: source, Document: doc, State: s})
}

func (r *rig) mustSubmit(source string, s model.HostState) uint64 {
	r.t.Helper()
	n, err := r.submit(source, s)
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	return n
}

func (r *rig) state(ref model.Ref) State {
	o, _ := r.Status().Object(ref)
	return o.State
}

func (r *rig) want(ref model.Ref, s State) ObjectStatus {
	r.t.Helper()
	o, _ := r.Status().Object(ref)
	if o.State != s {
		r.t.Fatalf("%s is %s (%s), want %s", ref, o.State, reasonText(o.Ready()), s)
	}
	return o
}

func (r *rig) lines(text string) int { return strings.Count(r.log.String(), text) }

func tunnel(name string, last byte) model.Tunnel {
	return model.Tunnel{Name: name, Bridge: "br0", Remote: netip.AddrFrom4([4]byte{192, 0, 2, last})}
}

func doc(tunnels ...model.Tunnel) model.HostState {
	return model.HostState{Bridges: []model.Bridge{{Name: "br0"}}, Tunnels: tunnels}
}

var (
	br0 = model.Ref{Kind: model.KindBridge, Name: "br0"}
	t1  = model.Ref{Kind: model.KindTunnel, Name: "t1"}
	t2  = model.Ref{Kind: model.KindTunnel, Name: "t2"}
)

var errLost = errors.New("connection lost")
