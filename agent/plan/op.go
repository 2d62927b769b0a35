package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/agent/kernel/rows"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// Verb is what an operation does.
type Verb uint8

// Verbs, in the order in which a stage does them.
const (
	Create   Verb = iota + 1
	Update        // in place
	Recreate      // what cannot change in place
	Install       // flows and groups of an object
	Withdraw      // flows and groups of an object
	Mark          // external_ids of somebody else's row
	Unmark
	Delete
	Sweep // delete somebody else's row, which its device left behind
)

var verbNames = [...]string{"", "create", "update", "recreate", "install", "withdraw", "mark", "unmark", "delete", "sweep"}

func (v Verb) String() string { return verbNames[v] }

// Stage is when an operation is done: rows are added before flows change, and
// taken away after.
type Stage uint8

// Stages of a pass.
const (
	StageAdd Stage = iota + 1
	StageFlows
	StageRemove
)

// Disruption is what an operation costs the traffic of its object.
type Disruption uint8

// Classes of disruption.
const (
	None       Disruption = iota + 1 // no packet is lost
	Brief                            // packets in flight may be lost
	Disruptive                       // traffic stops, or is interrupted
)

var disruptionNames = [...]string{"", "none", "brief", "disruptive"}

func (d Disruption) String() string { return disruptionNames[d] }

// Change is one field that an operation changes. Old is empty on creation.
type Change struct{ Field, Old, New string }

func (c Change) String() string {
	if c.Old == "" {
		return fmt.Sprintf("%s=%s", c.Field, c.New)
	}
	if c.New == "" {
		return fmt.Sprintf("%s %s→none", c.Field, c.Old)
	}
	return fmt.Sprintf("%s %s→%s", c.Field, c.Old, c.New)
}

// Op is one operation. Exactly one of Bridge, Port and Attached is set for operations
// on rows of Open vSwitch, and Row for those on the kernel's; Install and Withdraw
// are carried out by the plan's bundles.
type Op struct {
	Verb       Verb
	Stage      Stage
	Object     model.Ref
	Target     string // "bridge br0", "port gre-7", "flows of br-greave"
	Changes    []Change
	Disruption Disruption
	Affects    []model.Ref // objects whose traffic it touches besides its own
	Bridge     *WantBridge
	Port       *WantPort
	Attached   *WantAttached
	Row        *rows.Row // as wanted; of a Delete as read
}

// String renders the operation on one line.
func (o Op) String() string {
	parts := make([]string, len(o.Changes))
	for i, c := range o.Changes {
		parts[i] = c.String()
	}
	line := fmt.Sprintf("%-8s %s", o.Verb, o.Target)
	if o.Target != o.Object.String() {
		line += fmt.Sprintf(" (%s)", o.Object)
	}
	if len(parts) > 0 {
		line += ": " + strings.Join(parts, ", ")
	}
	line = fmt.Sprintf("%s [%s]", line, o.Disruption)
	if len(o.Affects) > 0 {
		names := make([]string, len(o.Affects))
		for i, r := range o.Affects {
			names[i] = r.String()
		}
		line += " affects " + strings.Join(names, ", ")
	}
	return line
}

// Plan is what turns observed into desired.
type Plan struct {
	Ops     []Op
	Bundles map[string]openflow.Change // by bridge
	// Notices say why an object is not, or not wholly, part of the plan.
	Notices map[model.Ref]model.Notice
	// Warnings say what is wrong with an object that is part of it all the same.
	Warnings map[model.Ref]model.Notice
	// Held says why nothing of the plan is done until somebody agrees; empty: it may be done.
	Held string
	// Remarks say of an object that is as it should be what else is to be known.
	Remarks map[model.Ref]string
	// Used names every binding in use, for Bindings.Retain.
	Used openflow.Names
	// Foresees says that it depends on Input.Predict.
	Foresees bool
	// Program is what the bundles lead to, by bridge.
	Programs map[string]*openflow.Program
}

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Ops) == 0 }

// Stage returns the operations of one stage, in order.
func (p Plan) Stage(s Stage) []Op {
	var out []Op
	for _, o := range p.Ops {
		if o.Stage == s {
			out = append(out, o)
		}
	}
	return out
}

// With adds the plan of another part of the host, stage by stage.
func (p Plan) With(o Plan) Plan {
	both := p
	both.Ops = nil
	for _, s := range []Stage{StageAdd, StageFlows, StageRemove} {
		both.Ops = append(append(both.Ops, p.Stage(s)...), o.Stage(s)...)
	}
	both.Notices = maps.Clone(p.Notices)
	maps.Copy(both.Notices, o.Notices)
	if both.Remarks = maps.Clone(p.Remarks); both.Remarks == nil {
		both.Remarks = o.Remarks
	} else {
		maps.Copy(both.Remarks, o.Remarks)
	}
	both.Warnings = maps.Clone(o.Warnings) // the kernel's are known before its plan
	both.Bundles, both.Programs, both.Foresees = o.Bundles, o.Programs, o.Foresees
	both.Held = cmp.Or(p.Held, o.Held)
	return both
}

// Text renders the plan, an operation a line.
func (p Plan) Text() string {
	var b strings.Builder
	for _, o := range p.Ops {
		b.WriteString(o.String())
		b.WriteByte('\n')
	}
	return b.String()
}

func sortOps(ops []Op) {
	slices.SortFunc(ops, func(a, b Op) int {
		if c := cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.order(), b.order()), cmp.Compare(a.Verb, b.Verb)); c != 0 {
			return c
		}
		if c := a.Object.Compare(b.Object); c != 0 {
			return c
		}
		return strings.Compare(a.Target, b.Target)
	})
}

// order puts bridges before their ports, these before what refers to them, and the
// other way round on removal.
func (o Op) order() int {
	rank := 1
	switch {
	case o.Bridge != nil:
		rank = 0
	case o.Attached != nil:
		rank = 2
	}
	if o.Stage == StageRemove {
		return -rank
	}
	return rank
}
