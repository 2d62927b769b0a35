package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/agent/store"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// DefaultSource is the source of a request that names none.
const DefaultSource = "operator"

// request is what Validate, Plan and Apply have in common.
type request interface {
	GetSource() string
	GetMode() greavev1.ApplyMode
	GetState() *greavev1.HostState
	GetRemove() []*greavev1.ObjectRef
}

// candidate is the whole document of a source that a request leads to.
type candidate struct {
	reconcile.Submission
	stated *greavev1.HostState // by the request
	whole  *greavev1.HostState // with what was in force, for MERGE
}

func (s *Server) candidate(r request) (candidate, error) {
	c := candidate{Submission: reconcile.Submission{Source: sourceOf(r.GetSource())}, stated: r.GetState()}
	if c.stated == nil {
		c.stated = &greavev1.HostState{}
	}
	c.whole = c.stated
	err := checkRequest(r)
	if err != nil {
		return c, err
	}
	if r.GetMode() == greavev1.ApplyMode_APPLY_MODE_MERGE {
		if err = s.merge(&c, r.GetRemove()); err != nil {
			return c, err
		}
	}
	state, fields := convert.FromWire(c.whole)
	if len(fields) > 0 {
		return c, c.located(fields)
	}
	if c.Document, err = convert.Encode(c.whole); err != nil {
		return c, fmt.Errorf("encode document: %w", err)
	}
	c.State = state
	return c, nil
}

// Bounds of what a request says about itself.
const (
	maxSource  = 63
	maxComment = 1024
)

// checkRequest checks what is not part of the document.
func checkRequest(r request) error {
	var out model.FieldErrors
	if s := sourceOf(r.GetSource()); len(s) > maxSource || !model.ValidName(s) {
		out = append(out, model.FieldError{Path: "source", Value: s, Reason: model.ReasonInvalidName,
			Message: "is no valid name of a source", Remedy: "use 1-63 letters, digits, '.', '_' or '-'"})
	}
	if c, ok := r.(interface{ GetComment() string }); ok && len(c.GetComment()) > maxComment {
		out = append(out, model.FieldError{Path: "comment", Reason: model.ReasonOutOfRange,
			Message: fmt.Sprintf("has %d bytes, more than %d", len(c.GetComment()), maxComment), Remedy: "say it shorter"})
	}
	if len(out) > 0 {
		return out
	}
	return nil
}

// located puts field errors on the paths of the request's own document: after
// a MERGE the checks count in the whole one.
func (c candidate) located(err error) error {
	var fields model.FieldErrors
	if !errors.As(err, &fields) {
		return err
	}
	out := slices.Clone(fields)
	for i, e := range out {
		if path, ok := convert.PathIn(c.stated, c.whole, e.Path); ok {
			out[i].Path = path
		}
	}
	return out
}

func sourceOf(s string) string {
	if s == "" {
		return DefaultSource
	}
	return s
}

// document is what a source has in force.
func (s *Server) document(source string) (reconcile.Document, bool) {
	for _, d := range s.cfg.Loop.Documents() {
		if d.Source == source {
			return d, true
		}
	}
	return reconcile.Document{}, false
}

// merge joins what a request states with what is in force, and notes on which
// revision that stands. A source may end up with no object that way: it said
// so, object by object.
func (s *Server) merge(c *candidate, remove []*greavev1.ObjectRef) error {
	base := &greavev1.HostState{}
	doc, ok := s.document(c.Source)
	if ok {
		var err error
		if base, err = convert.Decode(doc.Document); err != nil {
			return fmt.Errorf("read the state in force of %s: %w", c.Source, err)
		}
	}
	c.Base = &doc.Revision.Revision
	refs, fields := convert.RefsFromWire("remove", remove)
	if len(fields) > 0 {
		return fields
	}
	whole, absent := convert.Merge(base, c.stated, refs)
	if len(absent) > 0 {
		return failure(codes.NotFound, ReasonNoSuchObject, fmt.Sprintf("source %s states no %s", c.Source, absent[0]))
	}
	whole.AllowEmpty = whole.AllowEmpty || len(refs) > 0
	c.whole = whole
	return nil
}

// Validate checks a document and changes nothing.
func (s *Server) Validate(ctx context.Context, r *greavev1.ValidateRequest) (*greavev1.ValidateResponse, error) {
	sub, err := s.candidate(r)
	if err != nil {
		return nil, err
	}
	sub.ValidateOnly = true
	if _, err := s.cfg.Loop.Submit(ctx, sub.Submission); err != nil {
		return nil, sub.located(err)
	}
	return &greavev1.ValidateResponse{Normalised: convert.ToWire(model.Normalize(sub.State, model.HostState{}))}, nil
}

// Plan says what applying a document would do; without one, what is to do now.
func (s *Server) Plan(ctx context.Context, r *greavev1.PlanRequest) (*greavev1.PlanResponse, error) {
	var p plan.Plan
	var err error
	if r.State == nil && len(r.Remove) == 0 {
		p, err = s.cfg.Loop.PlanCurrent(ctx)
	} else {
		var sub candidate
		if sub, err = s.candidate(r); err != nil {
			return nil, err
		}
		p, err = s.cfg.Loop.DryRun(ctx, sub.Source, sub.State)
		err = sub.located(err)
	}
	if err != nil {
		return nil, err
	}
	return &greavev1.PlanResponse{Plan: s.wirePlan(p, sourceOf(r.Source)), Warnings: warnings(p)}, nil
}

// warnings are the objects that a plan leaves out, and why.
func warnings(p plan.Plan) []*greavev1.Warning {
	var out []*greavev1.Warning
	if p.Held != "" {
		out = append(out, &greavev1.Warning{Reason: reconcile.ReasonMassRemoval, Message: p.Held})
	}
	for _, list := range []map[model.Ref]model.Notice{p.Notices, p.Warnings} {
		for _, ref := range sortedRefs(list) {
			n := list[ref]
			out = append(out, &greavev1.Warning{Field: ref.String(), Reason: n.Reason, Message: n.Message})
		}
	}
	return out
}

// Apply accepts a document and, when asked, waits for it to be realised.
func (s *Server) Apply(ctx context.Context, r *greavev1.ApplyRequest) (*greavev1.ApplyResponse, error) {
	out := &greavev1.ApplyResponse{}
	var err error
	if out.Revision, err = s.submit(ctx, r); err != nil {
		return nil, err
	}
	if r.ValidateOnly {
		p, err := s.Plan(ctx, &greavev1.PlanRequest{Source: r.Source, Mode: r.Mode, State: r.State, Remove: r.Remove})
		out.Plan, out.Warnings = p.GetPlan(), p.GetWarnings()
		return out, err
	}
	out.Realised, out.NotRealised, err = s.wait(ctx, sourceOf(r.Source), out.Revision, r.Wait)
	return out, err
}

// submit makes the whole document and submits it.
func (s *Server) submit(ctx context.Context, r *greavev1.ApplyRequest) (uint64, error) {
	if r.Mode == greavev1.ApplyMode_APPLY_MODE_MERGE {
		return s.submitMerge(ctx, r)
	}
	return s.accept(ctx, r)
}

// accept submits one request. A MERGE reads what is in force and writes it back:
// one that another writer overtook is made again.
func (s *Server) accept(ctx context.Context, r *greavev1.ApplyRequest) (uint64, error) {
	merge := r.Mode == greavev1.ApplyMode_APPLY_MODE_MERGE
	for {
		sub, err := s.candidate(r)
		if err != nil {
			return 0, err
		}
		sub.Comment, sub.ValidateOnly, sub.Merge = r.Comment, r.ValidateOnly, merge
		sub.MassRemoval = r.AllowMassRemoval || len(r.Remove) > 0
		if r.BaseRevision != nil {
			sub.Base = r.BaseRevision
		}
		revision, err := s.cfg.Loop.Submit(ctx, sub.Submission)
		var stale *reconcile.StaleError
		if errors.As(err, &stale) && merge && r.BaseRevision == nil {
			continue
		}
		return revision, sub.located(err)
	}
}

// wait waits for a revision as long as asked; without a wait it does not look.
func (s *Server) wait(ctx context.Context, source string, revision uint64, d *durationpb.Duration) (bool, []*greavev1.ObjectStatus, error) {
	if d.AsDuration() <= 0 {
		return false, nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.AsDuration())
	defer cancel()
	ok, missing, err := s.cfg.Loop.Wait(ctx, source, revision)
	if err != nil && ctx.Err() == nil {
		return false, nil, err
	}
	return ok, wireStatuses(missing), nil
}

// GetState returns what sources state: one, or all.
func (s *Server) GetState(_ context.Context, r *greavev1.GetStateRequest) (*greavev1.GetStateResponse, error) {
	out := &greavev1.GetStateResponse{}
	if r.Revision != nil {
		for _, rev := range s.cfg.Loop.History(sourceOf(r.Source)) {
			if rev.Revision == *r.Revision {
				st, err := sourceState(sourceOf(r.Source), rev)
				if err != nil {
					return nil, err
				}
				out.Sources = append(out.Sources, st)
				return out, nil
			}
		}
		return nil, failure(codes.NotFound, ReasonNoSuchRevision, fmt.Sprintf("source %s has no revision %d", sourceOf(r.Source), *r.Revision))
	}
	for _, doc := range s.cfg.Loop.Documents() {
		if r.Source != "" && r.Source != doc.Source {
			continue
		}
		st, err := sourceState(doc.Source, doc.Revision)
		if err != nil {
			return nil, err
		}
		out.Sources = append(out.Sources, st)
	}
	return out, nil
}

func sourceState(source string, rev store.Revision) (*greavev1.SourceState, error) {
	wire, err := convert.Decode(rev.Document)
	if err != nil {
		return nil, fmt.Errorf("read revision %d of %s: %w", rev.Revision, source, err)
	}
	return &greavev1.SourceState{Source: source, Revision: wireRevision(rev), State: wire}, nil
}

func wireRevision(rev store.Revision) *greavev1.Revision {
	out := &greavev1.Revision{Number: rev.Revision, AcceptedAt: timestamppb.New(rev.Time), Comment: rev.Comment, RollbackOf: rev.RollbackOf}
	if wire, err := convert.Decode(rev.Document); err == nil {
		out.Objects = uint32(objects(wire))
	}
	return out
}

func objects(m proto.Message) int {
	n := 0
	r := m.ProtoReflect()
	for i := range r.Descriptor().Fields().Len() {
		if f := r.Descriptor().Fields().Get(i); f.IsList() {
			n += r.Get(f).List().Len()
		}
	}
	return n
}

// ListRevisions lists the history of a source, the newest first.
func (s *Server) ListRevisions(_ context.Context, r *greavev1.ListRevisionsRequest) (*greavev1.ListRevisionsResponse, error) {
	out := &greavev1.ListRevisionsResponse{}
	current, _ := s.document(sourceOf(r.Source))
	for _, rev := range s.cfg.Loop.History(sourceOf(r.Source)) {
		w := wireRevision(rev)
		w.InForce = rev.Revision == current.Revision.Revision
		out.Revisions = append([]*greavev1.Revision{w}, out.Revisions...)
	}
	return out, nil
}

// Rollback states an earlier document again, as a new revision.
func (s *Server) Rollback(ctx context.Context, r *greavev1.RollbackRequest) (*greavev1.RollbackResponse, error) {
	source := sourceOf(r.Source)
	target := r.GetRevision()
	if r.Revision == nil {
		current, _ := s.document(source)
		if current.Revision.Revision < 2 {
			return nil, failure(codes.NotFound, ReasonNoSuchRevision, fmt.Sprintf("source %s has no revision before the one in force", source))
		}
		target = current.Revision.Revision - 1
	}
	out := &greavev1.RollbackResponse{}
	var err error
	if out.Revision, err = s.cfg.Loop.Rollback(ctx, source, target, r.Comment, r.AllowMassRemoval); err != nil {
		return nil, err
	}
	out.Realised, out.NotRealised, err = s.wait(ctx, source, out.Revision, r.Wait)
	return out, err
}

// purgeWait is how long a purge waits when the request does not say.
const purgeWait = 30 * time.Second

// Purge takes away all that is greave's.
func (s *Server) Purge(ctx context.Context, r *greavev1.PurgeRequest) (*greavev1.PurgeResponse, error) {
	if !r.DryRun && !r.Confirm {
		return nil, failure(codes.FailedPrecondition, ReasonNotConfirmed, "a purge removes all that greave made: set confirm")
	}
	p, err := s.cfg.Loop.Purge(ctx, !r.DryRun)
	if err != nil {
		return nil, err
	}
	out := &greavev1.PurgeResponse{Plan: s.wirePlan(p, "")}
	if r.DryRun {
		return out, nil
	}
	wait := durationpb.New(purgeWait)
	if r.Wait != nil {
		wait = r.Wait
	}
	out.Realised = true
	for _, doc := range s.cfg.Loop.Documents() {
		ok, missing, err := s.wait(ctx, doc.Source, doc.Revision.Revision, wait)
		if err != nil {
			return nil, err
		}
		out.Realised = out.Realised && ok
		out.NotRealised = append(out.NotRealised, missing...)
	}
	return out, nil
}

// Explain names the object behind a flow.
func (s *Server) Explain(ctx context.Context, r *greavev1.ExplainRequest) (*greavev1.ExplainResponse, error) {
	cookie := openflow.Cookie(r.GetCookie())
	out := &greavev1.ExplainResponse{}
	line := strings.TrimSpace(r.GetFlow())
	if strings.HasPrefix(line, "group_id=") {
		return s.explainGroup(ctx, line)
	}
	if line != "" {
		f, err := openflow.ParseFlow(line)
		if err != nil {
			return nil, failure(codes.InvalidArgument, model.ReasonInvalid, fmt.Sprintf("no flow as ovs-ofctl dump-flows prints it: %v", err))
		}
		cookie = f.Cookie
		out.Table = proto.Uint32(uint32(f.Table))
		out.Text = fmt.Sprintf("%s: %s", f.Table, f.Table.Purpose())
	}
	out.Cookie = uint64(cookie)
	bindings, err := s.cfg.Loop.Bindings(ctx)
	if err != nil {
		return nil, err
	}
	name, ok := bindings.Pool(openflow.PoolObjects).Name(uint64(cookie.Object()))
	ref, known := model.ParseRef(name)
	learned := cookie.Kind() == openflow.KindLearned
	if !ok || !known || cookie.Owner() != s.cfg.Owner.Tag || cookie.Kind() != uint8(ref.Kind) && !learned {
		out.Foreign = true
		out.Text = "not greave's"
		return out, nil
	}
	out.Kind, out.Name = convert.KindToWire(ref.Kind), ref.Name
	if learned {
		out.Text = strings.TrimPrefix(out.Text+"\nAn address that was learned behind "+ref.String()+", and is forgotten when unused.", "\n")
	}
	if o, ok := s.cfg.Loop.Status().Object(ref); ok {
		out.Source = o.Source
	}
	return out, nil
}
