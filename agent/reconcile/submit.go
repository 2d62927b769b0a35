package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/agent/store"
	"github.com/greave-sdn/greave/model"
)

// Submission is a document that a source wants in force.
type Submission struct {
	Source   string
	Document []byte          // the wire form of State
	State    model.HostState // as stated: not normalised
	// Base is the revision that the document was made from; nil: any.
	Base         *uint64
	Comment      string
	RollbackOf   uint64 // the revision that it repeats; 0: none
	ValidateOnly bool   // check, and change nothing
	MassRemoval  bool   // much of what was stated before may go at once
	// Merge says that the document is that of Base and more: who waits for Base
	// need not be told that it was replaced.
	Merge bool
}

// StaleError means that the source's document has changed since the base.
type StaleError struct {
	Source  string
	Current uint64 // the revision in force; 0: none
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("revision %d of source %q is in force", e.Current, e.Source)
}

// StoreError means that a document was right but could not be made durable.
type StoreError struct{ Err error }

func (e *StoreError) Error() string { return "keep document: " + e.Err.Error() }

func (e *StoreError) Unwrap() error { return e.Err }

// Errors that callers branch on.
var (
	ErrNoRevision = errors.New("no such revision is kept")
	ErrNotLoaded  = errors.New("the stored state is not loaded yet")
	ErrNoSource   = errors.New("a source needs a name")
)

// Submit checks a document, makes it durable and puts it in force; the host
// follows. It returns the revision: a new one, or the old one when nothing
// changed; with ValidateOnly the one in force. Errors are model.FieldErrors,
// *StaleError, *StoreError, ErrNotLoaded, ErrNoSource or that of ctx; then
// what was in force stays in force.
func (l *Loop) Submit(ctx context.Context, s Submission) (uint64, error) {
	l.accept.Lock()
	defer l.accept.Unlock()
	have, err := l.check(ctx, s.Source, s.State)
	if err != nil {
		return 0, err
	}
	if s.Base != nil && *s.Base != have.Revision.Revision {
		return 0, &StaleError{s.Source, have.Revision.Revision}
	}
	if s.ValidateOnly {
		return have.Revision.Revision, nil
	}
	same := have.Revision.Revision > 0 && have.err == nil && bytes.Equal(have.Document, s.Document) && (have.MassRemoval || !s.MassRemoval)
	if same && reflect.DeepEqual(have.state, s.State) {
		return have.Revision.Revision, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	next := store.Revision{Revision: have.Revision.Revision + 1, Time: l.cfg.Now().UTC().Round(0), Comment: s.Comment, RollbackOf: s.RollbackOf, MassRemoval: s.MassRemoval, Document: bytes.Clone(s.Document)}
	since := next.Revision
	if s.Merge {
		since = have.since
	}
	return next.Revision, l.enforce(map[string]current{s.Source: {Revision: next, state: s.State, since: since}})
}

// check validates what a source would state, and returns what it states now.
func (l *Loop) check(ctx context.Context, source string, s model.HostState) (current, error) {
	if source == "" {
		return current{}, ErrNoSource
	}
	all, ok := l.states()
	if !ok {
		return current{}, ErrNotLoaded
	}
	normal := all.with(source, s).normal()
	if err := model.Validate(normal[source], normal.others(source), l.cfg.Host, l.capabilities(ctx)); err != nil {
		return current{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sources[source], nil
}

// states returns what every source states, and whether that is known at all.
func (l *Loop) states() (states, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(states, len(l.sources))
	for name, c := range l.sources {
		if c.err == nil {
			out[name] = c.state
		}
	}
	return out, l.loaded
}

// capabilities is what the host can do, as far as it can be known now.
func (l *Loop) capabilities(ctx context.Context) model.Capabilities {
	f := l.facts.Load()
	if f == nil {
		f = &model.Facts{}
		if l.take(ctx) {
			defer l.release()
			f.Choice.Kept = l.built()
			if l.cfg.Backend.Facts(ctx, f) != nil {
				return model.Capabilities{}
			}
		}
	}
	if f.OVS == nil {
		return model.Capabilities{Choice: f.Choice}
	}
	return model.Capabilities{OVS: true, SystemDatapath: f.OVS.SystemDatapath, Choice: f.Choice}
}

// enforce makes revisions durable and then puts them in force. The caller holds
// accept.
func (l *Loop) enforce(list map[string]current) error {
	var entries []store.Entry
	for _, source := range slices.Sorted(maps.Keys(list)) {
		entries = append(entries, store.Entry{Source: source, Revision: list[source].Revision})
	}
	if err := l.cfg.Store.Append(entries...); err != nil {
		return &StoreError{err}
	}
	l.mu.Lock()
	l.gen++
	for source, c := range list {
		c.gen = l.gen
		l.sources[source] = c
	}
	l.mu.Unlock()
	for _, e := range entries {
		l.log.Info("document accepted", "source", e.Source, "revision", e.Revision.Revision)
	}
	l.Kick()
	return nil
}

// Rollback submits an earlier document of a source as a new revision. Besides
// the errors of Submit there is ErrNoRevision.
func (l *Loop) Rollback(ctx context.Context, source string, revision uint64, comment string, massRemoval bool) (uint64, error) {
	for _, r := range l.cfg.Store.History(source) {
		if r.Revision == revision {
			state, err := l.decode(r.Document)
			if err != nil {
				return 0, err
			}
			return l.Submit(ctx, Submission{Source: source, Document: r.Document, State: state, Comment: comment, RollbackOf: revision, MassRemoval: massRemoval})
		}
	}
	return 0, fmt.Errorf("roll back to revision %d of source %q: %w", revision, source, ErrNoRevision)
}

// History returns the revisions of a source that are kept, the oldest first.
func (l *Loop) History(source string) []store.Revision { return l.cfg.Store.History(source) }

// Document is what a source has in force.
type Document struct {
	Source string
	store.Revision
	State model.HostState // as stated
}

// Documents returns what is in force, in order of source.
func (l *Loop) Documents() []Document {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Document, 0, len(l.sources))
	for _, name := range slices.Sorted(maps.Keys(l.sources)) {
		c := l.sources[name]
		out = append(out, Document{name, c.Revision, c.state})
	}
	return out
}

// PurgeSource is who states nothing when a purge finds no source at all.
const PurgeSource = "operator"

// Purge returns the plan that takes away all that is greave's. When it is
// confirmed, every source is stated as empty, in new revisions, and the host
// follows.
func (l *Loop) Purge(ctx context.Context, confirm bool) (plan.Plan, error) {
	l.accept.Lock()
	defer l.accept.Unlock()
	p, err := l.plan(ctx, states{})
	if err != nil || !confirm {
		return p, err
	}
	all := map[string]current{}
	l.mu.Lock()
	for source, c := range l.sources {
		all[source] = c
	}
	loaded := l.loaded
	l.mu.Unlock()
	if !loaded {
		return p, ErrNotLoaded
	}
	if len(all) == 0 {
		all[PurgeSource] = current{}
	}
	for source, c := range all {
		next := store.Revision{Revision: c.Revision.Revision + 1, Time: l.cfg.Now().UTC().Round(0), Comment: "purge", MassRemoval: true}
		all[source] = current{Revision: next, state: model.HostState{AllowEmpty: true}}
	}
	return p, l.enforce(all)
}

// DryRun checks a document of a source and says what a pass would do with it.
// Nothing changes. Errors are those of Submit and of the backend.
func (l *Loop) DryRun(ctx context.Context, source string, s model.HostState) (plan.Plan, error) {
	if _, err := l.check(ctx, source, s); err != nil {
		return plan.Plan{}, err
	}
	if err := l.known(source); err != nil {
		return plan.Plan{}, err
	}
	all, _ := l.states()
	return l.plan(ctx, all.with(source, s))
}

// PlanCurrent says what a pass would do now: nothing, when no source has
// stated anything.
func (l *Loop) PlanCurrent(ctx context.Context) (plan.Plan, error) {
	all, ok := l.states()
	if !ok {
		return plan.Plan{}, ErrNotLoaded
	}
	if err := l.known(""); err != nil || len(all) == 0 {
		return plan.Plan{}, err
	}
	return l.plan(ctx, all)
}

// known fails when the stored document of a source other than but cannot be
// read: without it everything of that source would look unwanted.
func (l *Loop) known(but string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(l.sources)) {
		if err := l.sources[name].err; err != nil && name != but {
			return fmt.Errorf("read what source %q stated last: %w", name, err)
		}
	}
	return nil
}

func (l *Loop) plan(ctx context.Context, s states) (plan.Plan, error) {
	if !l.take(ctx) {
		return plan.Plan{}, ctx.Err()
	}
	defer l.release()
	var facts model.Facts
	union := s.desired().union
	l.ask(&facts, union)
	if err := l.cfg.Backend.Facts(ctx, &facts); err != nil {
		return plan.Plan{}, fmt.Errorf("plan: %w", err)
	}
	return l.cfg.Backend.Plan(ctx, model.Resolve(union, facts), l.bindings.Clone())
}
