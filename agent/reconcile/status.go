package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/greave-sdn/greave/model"
)

// State is how an object is, in one word.
type State uint8

// States of an object.
const (
	Pending  State = iota + 1 // waits for something that it names
	Applying                  // accepted; no pass has finished with it
	Active                    // the host has it as stated
	Degraded                  // built, but something is wrong with it
	Drifted                   // somebody else keeps changing it; left alone for a while
	Invalid                   // the document is refused
	Failed                    // cannot be built until somebody acts
	Retrying                  // failed, and is tried again
	Foreign                   // not greave's
	Removing                  // no longer wanted, not gone yet
)

var stateNames = [...]string{"UNSPECIFIED", "PENDING", "APPLYING", "ACTIVE", "DEGRADED", "DRIFTED", "INVALID", "FAILED", "RETRYING", "FOREIGN", "REMOVING"}

func (s State) String() string { return stateNames[s] }

// Types of conditions.
const (
	ConditionReady          = "Ready"          // of an object: the host has it as stated
	ConditionDrift          = "Drift"          // of an object: somebody else changed it
	ConditionSoleController = "SoleController" // of a bridge; told when false: another is set on it
	ConditionLeader         = "Leader"         // of the host; told when false: another process does the work
	ConditionReachable      = "Reachable"      // of the host: it can be read and written
	ConditionKnown          = "Known"          // of the host: what every source states can be read
	ConditionAgreed         = "Agreed"         // of the host; told when false: a pass waits for somebody's yes
)

// Reasons of conditions, besides those of model.Notice. They are part of the API.
const (
	ReasonRealised          = "REALISED"
	ReasonAccepted          = "ACCEPTED"
	ReasonNotRealised       = "NOT_REALISED"
	ReasonRemoving          = "REMOVING"
	ReasonUnreachable       = "HOST_UNREACHABLE"
	ReasonRepaired          = "REPAIRED"
	ReasonFlapping          = "FLAPPING"
	ReasonForeignController = "FOREIGN_CONTROLLER"
	ReasonStandby           = "STANDBY"
	ReasonUnknownState      = "STATE_UNKNOWN"
	ReasonMassRemoval       = "MASS_REMOVAL"
)

// Condition is one thing that is so, or is not, since a time.
type Condition struct {
	Type    string
	Status  bool
	Reason  string
	Message string
	Since   time.Time // of the last change of any of the above
}

// ObjectStatus is how one object is.
type ObjectStatus struct {
	Ref           model.Ref
	Source        string // empty: implied by others
	Backend       string
	BackendReason string
	Revision      uint64 // of the source's document that states it; 0 while it is being removed
	State         State
	Conditions    []Condition // Ready first
	BlockedOn     []model.Ref

	lasting bool // waits for the host or the next pass: a waiter waits too
}

// Ready returns the condition that explains the state.
func (o ObjectStatus) Ready() Condition {
	if len(o.Conditions) == 0 {
		return Condition{}
	}
	return o.Conditions[0]
}

// SourceStatus is how far one source's document is realised.
type SourceStatus struct {
	Source   string
	Revision uint64
	Realised bool   // the host has all of it, and nothing that it no longer states
	Error    string // the stored document cannot be read

	gen uint64 // of the acceptance
}

// HostStatus is a snapshot. It is shared: do not write to it.
type HostStatus struct {
	Host       string
	Owner      string
	Version    uint64 // counts snapshots
	PassNumber uint64 // of the last pass that finished
	LastPass   time.Time
	Conditions []Condition
	Sources    []SourceStatus // in order of name
	Objects    []ObjectStatus // in order of Ref

	gen uint64 // acceptances that a finished pass has seen
}

// Object finds the status of one object.
func (h HostStatus) Object(ref model.Ref) (ObjectStatus, bool) {
	i, ok := slices.BinarySearchFunc(h.Objects, ref, func(o ObjectStatus, r model.Ref) int { return o.Ref.Compare(r) })
	if !ok {
		return ObjectStatus{}, false
	}
	return h.Objects[i], true
}

// published is a snapshot and what is closed when a newer one stands.
type published struct {
	HostStatus
	changed chan struct{}
}

// Status returns the newest snapshot.
func (l *Loop) Status() HostStatus { return l.status.Load().HostStatus }

// Next returns the newest snapshot as soon as its version is above after. A
// slow reader misses snapshots, never the last one. It fails only with ctx.
func (l *Loop) Next(ctx context.Context, after uint64) (HostStatus, error) {
	for {
		p := l.status.Load()
		if p.Version > after {
			return p.HostStatus, nil
		}
		select {
		case <-ctx.Done():
			return HostStatus{}, ctx.Err()
		case <-p.changed:
		}
	}
}

// publish puts a snapshot in place. Only who holds the host's token does.
func (l *Loop) publish(h HostStatus) {
	old := l.status.Load()
	h.Host, h.Owner, h.Version = l.cfg.Host, l.cfg.Owner.Name, old.Version+1
	l.logChanges(old.HostStatus, h)
	l.status.Store(&published{HostStatus: h, changed: make(chan struct{})})
	close(old.changed)
}

// Wait returns when the first pass that started after the revision was accepted
// has finished, and every object of it either is realised or has a reason of
// its own why not; those are listed. While the host does not answer, or more
// passes are due, it waits on; when ctx ends it lists what is not realised by
// then, without an error. A revision that is not, or no longer, in force gives
// *StaleError. One that was only merged into since is still in force: what came
// to it later is not waited for.
func (l *Loop) Wait(ctx context.Context, source string, revision uint64) (realised bool, not []ObjectStatus, err error) {
	var asked *current
	for after := uint64(0); ; {
		l.mu.Lock()
		c := l.sources[source]
		l.mu.Unlock()
		if revision == 0 || c.Revision.Revision < revision || c.Revision.Revision > revision && revision < c.since {
			return false, nil, &StaleError{source, c.Revision.Revision}
		}
		if asked == nil {
			asked = &c
		}
		h, ended := l.Next(ctx, after)
		over := ended != nil
		if over {
			h = l.Status()
		}
		not, lasting := l.unrealised(h, source, *asked, c.gen > asked.gen)
		if over || !lasting {
			return len(not) == 0, not, nil //nolint:nilerr // the end of ctx is no error of Wait's: the list is the answer
		}
		after = h.Version
	}
}

// unrealised lists the objects of a source that are not realised in h, and
// whether more is to come. When c was merged into, what came with that is left
// out.
func (l *Loop) unrealised(h HostStatus, source string, c current, merged bool) (not []ObjectStatus, lasting bool) {
	if h.gen < c.gen { // no pass that started since has finished
		why := Condition{Type: ConditionReady, Reason: ReasonAccepted, Message: "no pass has finished since it was accepted", Since: c.Time}
		state := Applying
		for _, host := range h.Conditions {
			if !host.Status {
				why.Reason, why.Message, state = host.Reason, host.Message, Retrying
			}
		}
		for _, ref := range c.state.Refs() {
			not = append(not, ObjectStatus{Ref: ref, Source: source, Revision: c.Revision.Revision, State: state, Conditions: []Condition{why}})
		}
		if len(not) == 0 { // a document without objects takes away
			not = []ObjectStatus{{Source: source, Revision: c.Revision.Revision, State: state, Conditions: []Condition{why}}}
		}
		return not, true
	}
	mine := map[model.Ref]bool{}
	if merged {
		for _, ref := range c.state.Refs() {
			mine[ref] = true
		}
	}
	for _, o := range h.Objects {
		anybodys := o.Source == "" && o.Ready().Reason == ReasonMassRemoval
		of := o.Source == source && (!merged || mine[o.Ref] || o.State == Removing)
		if (of || anybodys) && o.State != Active {
			not = append(not, o)
			lasting = lasting || o.lasting
		}
	}
	return not, lasting
}

// maxLines bounds what one pass may log about objects.
const maxLines = 20

// logChanges tells which objects became or ceased to be as stated.
func (l *Loop) logChanges(old, now HostStatus) {
	quiet := func(s State) bool { return s == Active || s == Applying || s == Removing }
	lines := 0
	for _, o := range now.Objects {
		was, _ := old.Object(o.Ref)
		if was.State == o.State || quiet(o.State) && (quiet(was.State) || was.State == 0) {
			continue
		}
		if lines++; lines > maxLines {
			continue
		}
		l.log.Info("object is "+o.State.String(), "object", o.Ref.String(), "source", o.Source, "revision", o.Revision, "err", reasonText(o.Ready()))
	}
	if lines > maxLines {
		l.log.Info(fmt.Sprintf("%d more objects changed their state", lines-maxLines))
	}
	for _, s := range now.Sources {
		i := slices.IndexFunc(old.Sources, func(o SourceStatus) bool { return o.Source == s.Source })
		if s.Realised && (i < 0 || !old.Sources[i].Realised || old.Sources[i].Revision != s.Revision) {
			l.log.Info("document realised", "source", s.Source, "revision", s.Revision)
		}
	}
	for _, c := range now.Conditions {
		i := slices.IndexFunc(old.Conditions, func(o Condition) bool { return o.Type == c.Type })
		if was := i < 0 || old.Conditions[i].Status; was != c.Status {
			l.log.Info(fmt.Sprintf("host %s: %v", c.Type, c.Status), "err", reasonText(c))
		}
	}
}

func reasonText(c Condition) string {
	switch {
	case c.Status:
		return ""
	case c.Message == "":
		return c.Reason
	}
	return c.Reason + ": " + c.Message
}
