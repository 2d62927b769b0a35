package reconcile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/model"
)

// ledger collects the statuses of one snapshot beside those of the one before.
type ledger struct {
	l       *Loop
	w       work
	old     HostStatus
	objects map[model.Ref]ObjectStatus
}

func (l *Loop) ledger(w work) *ledger {
	return &ledger{l: l, w: w, old: l.Status(), objects: make(map[model.Ref]ObjectStatus, len(w.desired.objects))}
}

// put enters an object with the condition that explains its state.
func (g *ledger) put(ref model.Ref, o ObjectStatus, reason, message string, drift *Condition) {
	was, _ := g.old.Object(ref)
	o.Ref = ref
	if _, ok := g.w.desired.objects[ref]; ok {
		o.Backend, o.BackendReason = g.w.want.On[ref].String(), g.w.want.Why[ref]
		o.Source = g.w.desired.source[ref]
		o.Revision = g.revision(o.Source)
	} else {
		o.Source, o.Backend = was.Source, was.Backend
	}
	ready := Condition{Type: ConditionReady, Status: o.State == Active, Reason: reason, Message: message}
	o.Conditions = []Condition{g.since(ready, was.Conditions)}
	if d, ok := g.drift(ref, was.Conditions, drift); ok {
		o.Conditions = append(o.Conditions, d)
	}
	if c, ok := g.otherController(ref); ok {
		o.Conditions = append(o.Conditions, g.since(c, was.Conditions))
	}
	g.objects[ref] = o
}

// otherController tells of OpenFlow controllers that somebody set on a bridge of
// greave's. They are left alone.
func (g *ledger) otherController(ref model.Ref) (Condition, bool) {
	if ref.Kind != model.KindBridge || g.w.facts.OVS == nil {
		return Condition{}, false
	}
	b := g.w.facts.OVS.Bridges[ref.Name]
	if len(b.Controllers) == 0 || b.ExternalIDs[model.MarkOwner] != g.l.cfg.Owner.Name {
		return Condition{}, false
	}
	var names []string
	for _, c := range b.Controllers {
		names = append(names, c.String())
	}
	return Condition{Type: ConditionSoleController, Reason: ReasonForeignController, Message: fmt.Sprintf(
		"OpenFlow controller %s is set on bridge %s and may change or delete its flows, which greave puts back: give it a bridge of its own, and take it off this one with ovs-vsctl del-controller %s",
		strings.Join(names, ", "), ref.Name, ref.Name)}, true
}

// drift is the word on the last repair: it stays until something else is
// desired.
func (g *ledger) drift(ref model.Ref, was []Condition, now *Condition) (Condition, bool) {
	if now != nil {
		return *now, true
	}
	i := slices.IndexFunc(was, func(c Condition) bool { return c.Type == ConditionDrift })
	if i < 0 || !reflect.DeepEqual(g.l.values[ref], g.w.values[ref]) {
		return Condition{}, false
	}
	c := was[i]
	if r := g.l.retries[ref]; c.Status && (r == nil || !r.flapping) {
		c.Status, c.Reason, c.Since = false, ReasonRepaired, g.l.cfg.Now()
	}
	return c, true
}

// since dates a condition: from now on, or since it became so.
func (g *ledger) since(c Condition, was []Condition) Condition {
	c.Since = g.l.cfg.Now()
	for _, o := range was {
		if o.Type == c.Type && o.Status == c.Status && o.Reason == c.Reason && o.Message == c.Message {
			c.Since = o.Since
		}
	}
	return c
}

func (g *ledger) revision(source string) uint64 {
	for _, s := range g.w.sources {
		if s.Source == source {
			return s.Revision
		}
	}
	return 0
}

// carry enters an object as it was, when the same is desired of it as in the
// last finished pass.
func (g *ledger) carry(ref model.Ref) bool {
	o, ok := g.old.Object(ref)
	if !ok || o.lasting || !reflect.DeepEqual(g.l.values[ref], g.w.values[ref]) {
		return false
	}
	o.Source = g.w.desired.source[ref]
	o.Revision = g.revision(o.Source)
	g.objects[ref] = o
	return true
}

// rest carries on all objects that are not entered: nothing new is known of them.
func (g *ledger) rest(state State, reason, message string) {
	for ref := range g.w.desired.objects {
		if _, entered := g.objects[ref]; !entered && !g.carry(ref) {
			g.put(ref, ObjectStatus{State: state, lasting: true}, reason, message, nil)
		}
	}
	for _, o := range g.old.Objects {
		if _, wanted := g.w.desired.objects[o.Ref]; !wanted {
			g.put(o.Ref, ObjectStatus{State: Removing, lasting: true}, ReasonRemoving, "no longer stated", nil)
		}
	}
}

// finish makes the snapshot. Pass number and acceptances are those of the last
// finished pass unless the caller says otherwise.
func (g *ledger) finish(conditions ...Condition) HostStatus {
	h := HostStatus{PassNumber: g.old.PassNumber, LastPass: g.old.LastPass, gen: g.old.gen, Sources: slices.Clone(g.w.sources)}
	for _, c := range conditions {
		h.Conditions = append(h.Conditions, g.since(c, g.old.Conditions))
	}
	refs := make([]model.Ref, 0, len(g.objects))
	for ref := range g.objects {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, model.Ref.Compare)
	h.Objects = make([]ObjectStatus, len(refs))
	for i, ref := range refs {
		h.Objects[i] = g.objects[ref]
	}
	return h
}

// realise tells of each source whether the host has all that it states.
func (h *HostStatus) realise() {
	bad := map[string]bool{}
	for _, o := range h.Objects {
		if o.State != Active {
			bad[o.Source] = true
		}
	}
	for i := range h.Sources {
		s := &h.Sources[i]
		s.Realised = s.Error == "" && !bad[s.Source] && s.gen <= h.gen
	}
}

var reachable = Condition{Type: ConditionReachable, Status: true}

// absent is the status while the host cannot be read.
func (l *Loop) absent(w work, err error) HostStatus {
	g := l.ledger(w)
	for ref, n := range w.want.Blocked {
		g.put(ref, ObjectStatus{State: Pending, lasting: true}, n.Reason, n.Message, nil)
	}
	g.rest(Pending, model.NoticeOVSAbsent, err.Error())
	return g.finish(Condition{Type: ConditionReachable, Reason: model.NoticeOVSAbsent, Message: err.Error()})
}

// unfinished is the status after a pass that broke off. It blames no object:
// what was realised is as far as anybody knows.
func (l *Loop) unfinished(w work, err error) HostStatus {
	g := l.ledger(w)
	g.rest(Retrying, ReasonUnreachable, err.Error())
	h := g.finish(Condition{Type: ConditionReachable, Reason: ReasonUnreachable, Message: err.Error()})
	h.realise()
	return h
}

// underWay is the status while the first pass of an acceptance runs.
func (l *Loop) underWay(w work) HostStatus {
	g := l.ledger(w)
	g.rest(Applying, ReasonAccepted, "a pass is under way")
	h := g.finish(reachable)
	if len(g.old.Conditions) > 0 {
		h.Conditions = g.old.Conditions // the host has not been heard of since
	}
	h.realise()
	return h
}

// standingBy is the status while another process has this one's work.
func (l *Loop) standingBy(w work, why string) HostStatus {
	g := l.ledger(w)
	for ref := range w.desired.objects {
		g.put(ref, ObjectStatus{State: Pending}, ReasonStandby, "another greaved of this name is at work", nil)
	}
	return g.finish(reachable, Condition{Type: ConditionLeader, Reason: ReasonStandby, Message: why})
}

// idle is the status of a loop that only observes.
func (l *Loop) idle(w work) HostStatus {
	g := l.ledger(w)
	if w.unknown == nil {
		return g.finish(reachable)
	}
	for ref := range w.desired.objects {
		g.put(ref, ObjectStatus{State: Pending, lasting: true}, ReasonUnknownState, "nothing is changed while what another source states cannot be read", nil)
	}
	return g.finish(reachable, Condition{Type: ConditionKnown, Reason: ReasonUnknownState, Message: w.unknown.Error()})
}

// judge is the status after a finished pass.
func (l *Loop) judge(w work, out Outcome, drift map[model.Ref]Condition) HostStatus {
	g := l.ledger(w)
	remaining := map[model.Ref][]plan.Op{}
	for _, o := range out.Remaining.Ops {
		remaining[o.Object] = append(remaining[o.Object], o)
	}
	w.desired.union.Objects(func(o model.Object) {
		if away, ok := out.Away[w.want.On[o.Ref()]]; ok {
			g.away(o.Ref(), away)
			return
		}
		g.judge(o, out, remaining[o.Ref()], drift)
	})
	g.awayUnwanted(out.Away)
	for ref, ops := range remaining {
		if _, wanted := w.desired.objects[ref]; wanted {
			continue
		}
		s, reason, message := ObjectStatus{State: Removing, lasting: true}, ReasonRemoving, opsText(ops)
		if held := out.Remaining.Held; held != "" {
			s.lasting, reason, message = false, ReasonMassRemoval, held
		}
		g.put(ref, s, reason, message, nil)
	}
	for ref, n := range out.Notices {
		if _, wanted := w.desired.objects[ref]; !wanted {
			g.put(ref, ObjectStatus{State: Removing, BlockedOn: n.On}, n.Reason, n.Message, nil)
		}
	}
	g.swept(out.Done)
	g.activated()
	conditions := []Condition{hostCondition(out.Away)}
	if held := out.Remaining.Held; held != "" {
		conditions = append(conditions, Condition{Type: ConditionAgreed, Reason: ReasonMassRemoval, Message: held})
	}
	h := g.finish(conditions...)
	h.PassNumber, h.LastPass = g.old.PassNumber+1, l.cfg.Now()
	if l.reached { // else it is not known what else there may be to take away
		h.gen = w.gen
	}
	h.realise()
	for i := range h.Sources { // what is still there need not be known as anybody's
		h.Sources[i].Realised = h.Sources[i].Realised && out.Remaining.Held == ""
	}
	return h
}

// judge enters one wanted object. Those that it depends on have been entered.
func (g *ledger) judge(o model.Object, out Outcome, remaining []plan.Op, drift map[model.Ref]Condition) {
	ref := o.Ref()
	var d *Condition
	if c, ok := drift[ref]; ok {
		d = &c
	}
	n, noted := out.Notices[ref]
	if r := g.l.retries[ref]; r != nil { // it may have begun to flap in this very pass
		n, noted = r.notice, true
	}
	warning, warned := g.w.want.Warnings[ref]
	if !warned {
		warning, warned = out.Remaining.Warnings[ref]
	}
	switch {
	case noted:
		s := ObjectStatus{State: stateOf(n.Reason), BlockedOn: n.On, lasting: n.Reason == model.NoticeMoving}
		for _, on := range n.On {
			s.lasting = s.lasting || g.objects[on].lasting
		}
		g.put(ref, s, n.Reason, n.Message, d)
	case len(remaining) > 0 && out.Remaining.Held != "":
		g.put(ref, ObjectStatus{State: Failed}, ReasonMassRemoval, "waits for a yes: "+out.Remaining.Held, d)
	case len(remaining) > 0:
		g.put(ref, ObjectStatus{State: Retrying, lasting: true}, ReasonNotRealised, "still to do: "+opsText(remaining), d)
	case warned:
		g.put(ref, ObjectStatus{State: Degraded, BlockedOn: warning.On}, warning.Reason, warning.Message, d)
	default:
		g.dependent(o, d, out.Remaining.Remarks[ref])
	}
}

// dependent enters an object with which nothing is wrong but, perhaps, what it
// depends on.
func (g *ledger) dependent(o model.Object, d *Condition, remark string) {
	s := ObjectStatus{State: Active}
	var names []string
	for _, on := range dependsOn(o) {
		dep := g.objects[on]
		if dep.State == Active {
			continue
		}
		s.BlockedOn = append(s.BlockedOn, on)
		names = append(names, fmt.Sprintf("%s is %s", on, dep.State))
		s.lasting = s.lasting || dep.lasting
		if dep.State != Degraded {
			s.State = Pending
		} else if s.State == Active {
			s.State = Degraded
		}
	}
	if s.State == Active {
		g.put(o.Ref(), s, ReasonRealised, remark, d)
		return
	}
	g.put(o.Ref(), s, model.NoticeBlockedOn, strings.Join(names, ", "), d)
}

func stateOf(reason string) State {
	switch reason {
	case model.NoticeConflict, model.NoticeRecursive:
		return Failed
	case model.NoticeRefused, model.NoticeKernelRefused, model.NoticeDriverMissing, model.NoticeNoPermission:
		return Retrying
	case model.NoticeAlteredBySwitch, model.NoticeNotInDatapath, model.NoticeNoSuchAddress:
		return Degraded
	case ReasonFlapping:
		return Drifted
	}
	return Pending
}

// away enters a wanted object on a part of the host that was not reached, or
// not to the end: then as it was, when the same is desired of it.
func (g *ledger) away(ref model.Ref, why Away) {
	if why.Started && g.carry(ref) {
		return
	}
	state, reason := why.says()
	g.put(ref, ObjectStatus{State: state, lasting: true}, reason, why.Err.Error(), nil)
}

// awayUnwanted carries on what is to go from a part that was not reached.
func (g *ledger) awayUnwanted(away map[model.Backend]Away) {
	for _, o := range g.old.Objects {
		for on := range away {
			if _, wanted := g.w.desired.objects[o.Ref]; !wanted && o.Backend == on.String() {
				g.put(o.Ref, ObjectStatus{State: Removing, lasting: true}, ReasonRemoving, "no longer stated", nil)
			}
		}
	}
}

func (a Away) says() (State, string) {
	if a.Started {
		return Retrying, ReasonUnreachable
	}
	return Pending, model.NoticeOVSAbsent
}

func hostCondition(away map[model.Backend]Away) Condition {
	for _, why := range away {
		_, reason := why.says()
		return Condition{Type: ConditionReachable, Reason: reason, Message: why.Err.Error()}
	}
	return reachable
}
