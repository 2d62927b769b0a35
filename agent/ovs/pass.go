package ovs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/greave-sdn/greave/agent/crash"
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/ovsdb"
)

// pass is one attempt to make the host what it should be.
type pass struct {
	*Backend
	in      reconcile.PassInput
	snap    ovsdb.Snapshot
	host    model.OVSHost
	images  map[string]openflow.Image
	unread  map[string]string // bridges that cannot be read for a reason of their own, and that
	failed  map[model.Ref]model.Notice
	left    map[string]bool // targets of operations that the switch altered before and this pass leaves out
	looked  bool            // for what may have wiped flows
	last    bool            // the last attempt: a name that is taken is no race
	look    bool            // a full observation, and not the same one again: orphans count
	sweep   map[string]string
	learned map[string][]openflow.Seen // of guests that move, by bridge; nil: to be read
	plan    *plan.Plan                 // what diff said last; nil when something has changed since
	ahead   bool                       // it was predicted
	out     reconcile.Outcome
}

func (b *Backend) newPass(in reconcile.PassInput) *pass {
	failed := maps.Clone(in.Hold)
	if failed == nil {
		failed = map[model.Ref]model.Notice{}
	}
	return &pass{Backend: b, in: in, failed: failed, left: map[string]bool{}, out: reconcile.Outcome{Wiped: map[model.Ref]string{}}}
}

// run does the three stages. A stage that has nothing to do costs nothing. The
// plan is made anew from what the host shows before each stage: ports have
// their real numbers then, and what failed is left out.
func (p *pass) run(ctx context.Context) error {
	if err := p.observe(ctx); err != nil {
		return err
	}
	p.findWiped(ctx, false)
	p.findOrphans()
	p.doubt(nil)
	if err := p.touch(ctx); err != nil {
		return err
	}
	first, err := p.diff(true)
	if err != nil {
		return err
	}
	if p.refuses(first) {
		if err := p.ask(ctx); err != nil {
			return err
		}
		if first, err = p.diff(true); err != nil {
			return err
		}
	}
	if p.in.Holds(&first) {
		p.out.Remaining, p.out.Used, p.out.Notices = first, first.Used, first.Notices
		return nil
	}
	if !first.Empty() {
		for _, stage := range []func(context.Context) error{p.addRows, p.changeFlows, p.removeRows} {
			if err := stage(ctx); err != nil {
				return err
			}
		}
	}
	last, err := p.settled(ctx)
	if err != nil {
		return err
	}
	p.out.Remaining, p.out.Used = last, last.Used
	p.out.Notices = last.Notices
	p.tellAltered()
	p.warm(ctx)
	read := slices.Sorted(maps.Keys(p.images))
	p.Backend.left = left{p.snap.Serial, read}
	p.watch.set(read)
	p.wipes.remember(p.ownedBridges(), p.host, p.images, p.cfg.Owner, p.out.Done)
	return nil
}

// settled is what is left to do after the stages. What stage 3 took away may
// have been in the way of what stage 1 made: a tunnel that got another name. And
// of two patch ports the one that the switch comes to first has no usable peer,
// which its row goes on saying for a moment after it has one.
func (p *pass) settled(ctx context.Context) (plan.Plan, error) {
	const patience, patchTries = 100 * time.Millisecond, 10
	removed := slices.ContainsFunc(p.out.Done, func(o plan.Op) bool { return o.Verb == plan.Delete })
	for try := 0; ; try++ {
		last, err := p.diff(false)
		if err != nil || !p.refuses(last) {
			return last, err
		}
		patch := p.refusesPatch(last)
		if try > 0 && (!patch || try == patchTries) || !removed && !patch {
			return last, nil
		}
		if err := p.ask(ctx); err != nil {
			return plan.Plan{}, err
		}
		if err := p.changeFlows(ctx); err != nil {
			return plan.Plan{}, err
		}
		if patch {
			select {
			case <-ctx.Done():
			case <-time.After(patience):
			}
		}
	}
}

// refusesPatch tells whether what the switch does not carry is an end of a patch.
func (p *pass) refusesPatch(d plan.Plan) bool {
	for _, row := range p.host.Ports {
		ref, ok := model.ParseRef(row.ExternalIDs[model.MarkObject])
		if _, held := p.failed[ref]; ok && !held && row.Type == "patch" && d.Notices[ref].Reason == model.NoticeRefused {
			return true
		}
	}
	return false
}

// refuses tells whether the switch does not carry a port that this pass is to
// try, and nothing that the pass writes makes it look again.
func (p *pass) refuses(d plan.Plan) bool {
	for ref, n := range d.Notices {
		if _, held := p.failed[ref]; !held && n.Reason == model.NoticeRefused {
			return len(d.Stage(plan.StageAdd)) == 0
		}
	}
	return false
}

// ask makes the switch try again the ports that it refused: ovs-vswitchd does so
// at the next change of the database after the cause is gone, not by itself.
func (p *pass) ask(ctx context.Context) error {
	if err := p.mayWrite(); err != nil {
		return err
	}
	res, err := p.cfg.Session.Transact(ctx, ovsdb.NewTxn("pass"))
	if err != nil {
		return fmt.Errorf("write Open vSwitch: %w", err)
	}
	if err := p.configured(ctx, res.NextCfg); err != nil {
		return err
	}
	return p.observe(ctx)
}

// perPort is the patience for each port of the switch, on top of SwitchTimeout:
// ovs-vswitchd walks all of them for every transaction, and takes 1 ms to remove
// one of thousands.
const perPort = 2 * time.Millisecond

// configured waits for ovs-vswitchd to take up a transaction.
func (p *pass) configured(ctx context.Context, next int) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.SwitchTimeout+time.Duration(len(p.host.Ports))*perPort)
	defer cancel()
	if err := p.cfg.Session.WaitConfigured(ctx, next); err != nil {
		return fmt.Errorf("wait for ovs-vswitchd: %w", err)
	}
	return nil
}

// observe reads rows from the monitor's image and flows of the bridges that
// greave owns or is about to adopt.
func (p *pass) observe(ctx context.Context) error {
	p.plan = nil
	snap, err := p.cfg.Session.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("read Open vSwitch: %w", err)
	}
	p.snap = snap
	p.host = *p.hostIn(ctx, snap)
	if !p.looked { // later in a pass rows are as greave itself has written them
		p.looked = true
		for _, name := range p.wipes.look(p.host) {
			p.Backend.images.suspect(name)
		}
	}
	if err := p.readImages(ctx); err != nil {
		return err
	}
	return p.readLearned(ctx)
}

// readImages reads the flows of the bridges. One that cannot be read for a
// reason of its own does not stop the others: somebody allowed only versions of
// OpenFlow that greave does not speak, or the switch could not make it. When no
// bridge answers the switch is gone, but for bridges that never had a local port.
func (p *pass) readImages(ctx context.Context) error {
	p.images, p.unread = map[string]openflow.Image{}, map[string]string{}
	var silent []string
	for _, name := range p.ownedBridges() {
		if err := p.readImage(ctx, name); errors.Is(err, ofctl.ErrNoSwitch) {
			silent = append(silent, name)
		} else if err != nil {
			return err
		}
	}
	for _, name := range silent { // again: a switch that starts makes its bridges one by one
		err := p.readImage(ctx, name)
		if errors.Is(err, ofctl.ErrNoSwitch) && (len(p.images) > 0 || p.host.Ports[name].Ofport <= 0) {
			p.unread[name] = "ovs-vswitchd could not make it; its log says why"
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) readImage(ctx context.Context, bridge string) error {
	image, err := p.Backend.images.read(ctx, bridge)
	if errors.Is(err, ofctl.ErrVersion) {
		p.unread[bridge] = ofctl.ErrVersion.Error()
		return nil
	}
	if err == nil {
		p.images[bridge] = image
	}
	return err
}

func (p *pass) ownedBridges() []string {
	var out []string
	adopting := map[string]bool{}
	for _, b := range p.in.Want.Bridges {
		adopting[b.Name] = b.Adopt
	}
	for _, name := range slices.Sorted(maps.Keys(p.host.Bridges)) {
		if adopting[name] || p.host.Bridges[name].ExternalIDs[model.MarkOwner] == p.cfg.Owner.Name {
			out = append(out, name)
		}
	}
	return out
}

// diff is the plan from what was last observed. It is worked out once for each
// observation, unless it counts on what is to come.
func (p *pass) diff(predict bool) (plan.Plan, error) {
	if p.plan != nil && (predict == p.ahead || !p.plan.Foresees) {
		return *p.plan, nil
	}
	d, err := plan.Diff(plan.Input{
		Want: p.in.Want, Have: p.host, Images: p.images, Owner: p.cfg.Owner,
		Failed: p.failed, Unread: p.unread, Sweep: p.sweep, Learned: p.learned, Predict: predict,
	}, p.in.Bindings)
	if err != nil {
		return plan.Plan{}, err
	}
	p.leaveAltered(&d)
	p.plan, p.ahead = &d, predict
	return d, nil
}

// addRows is stage 1: rows are made and changed, and the switch says what it
// makes of them.
func (p *pass) addRows(ctx context.Context) error { return p.rows(ctx, plan.StageAdd) }

// removeRows is stage 3: marks on other people's rows, and what goes away.
func (p *pass) removeRows(ctx context.Context) error { return p.rows(ctx, plan.StageRemove) }

func (p *pass) rows(ctx context.Context, stage plan.Stage) error {
	d, err := p.diff(stage == plan.StageAdd)
	if err != nil {
		return err
	}
	ops := d.Stage(stage)
	if len(ops) == 0 {
		return nil
	}
	p.doubt(mirrored(ops))
	next, err := p.transact(ctx, ops)
	if err != nil {
		return err
	}
	for _, o := range ops {
		if o.Bridge != nil {
			p.Backend.images.suspect(o.Bridge.Name) // a change of fail_mode or datapath wipes the flows
		}
	}
	if next > 0 {
		if err := p.configured(ctx, next); err != nil {
			return err
		}
		crash.At("rows-taken-up")
	}
	if err := p.touch(ctx); err != nil {
		return err
	}
	return p.observe(ctx)
}

// transact commits operations; an object that the database refuses is failed
// and left out. It returns the last next_cfg to wait for, 0 when nothing was
// committed.
func (p *pass) transact(ctx context.Context, ops []plan.Op) (int, error) {
	s := newSplitter(len(ops))
	next := 0
	err := s.run(objectsOf(ops), func(objects []model.Ref) error {
		t := ovsdb.NewTxn("pass")
		mine := only(ops, objects)
		for _, o := range mine {
			if err := p.lower(t, o); err != nil {
				return err
			}
		}
		if t.Empty() {
			return nil
		}
		if err := p.mayWrite(); err != nil {
			return err
		}
		crash.At("rows-new")
		res, err := p.cfg.Session.Transact(ctx, t)
		if err != nil {
			return fmt.Errorf("write Open vSwitch: %w", err)
		}
		crash.At("rows-committed")
		next = max(next, res.NextCfg)
		p.out.Done = append(p.out.Done, mine...)
		return nil
	}, p.blameTxn, p.fail)
	return next, err
}

// blameTxn says which objects a refused transaction was refused for. A name
// that is still taken after new observations is one that ports do not show: a
// bond's member.
func (p *pass) blameTxn(err error) (blamed []model.Ref, refused bool) {
	var t *ovsdb.TxnError
	if !errors.As(err, &t) || stale(err) && !(p.last && errors.Is(err, ovsdb.ErrExists)) {
		return nil, false
	}
	tags := t.Objects
	if t.Object != "" {
		tags = []string{t.Object}
	}
	for _, tag := range tags {
		if ref, ok := model.ParseRef(tag); ok {
			blamed = append(blamed, ref)
		}
	}
	if len(blamed) > 1 {
		blamed = nil // one of several: find out which
	}
	return blamed, true
}

func (p *pass) fail(ref model.Ref, err error) {
	p.plan = nil
	p.failed[ref] = model.Notice{Reason: model.NoticeRefused, Message: err.Error()}
}

func objectsOf(ops []plan.Op) []model.Ref {
	var out []model.Ref
	seen := map[model.Ref]bool{}
	for _, o := range ops {
		if !seen[o.Object] {
			seen[o.Object] = true
			out = append(out, o.Object)
		}
	}
	return out
}

func only(ops []plan.Op, objects []model.Ref) []plan.Op {
	in := map[model.Ref]bool{}
	for _, r := range objects {
		in[r] = true
	}
	var out []plan.Op
	for _, o := range ops {
		if in[o.Object] {
			out = append(out, o)
		}
	}
	return out
}
