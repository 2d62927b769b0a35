package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// document is a HostState read from a file, with the places of its fields.
type document struct {
	name      string
	state     *greavev1.HostState
	positions *convert.Positions
}

// documentError is what is wrong with a document: lines that begin with
// file:line:column.
type documentError struct{ err error }

func (e *documentError) Error() string { return e.err.Error() }
func (e *documentError) Unwrap() error { return e.err }

// load reads a document; "-" is standard input.
func (a *app) load(file string) error {
	name, in := file, a.stdin
	if file == "-" {
		name = "<stdin>"
	} else {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("read document: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, convert.MaxDocument+1)) // Parse refuses what is longer
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	state, positions, err := convert.Parse(name, data)
	if err != nil {
		return &documentError{err}
	}
	a.doc = &document{name, state, positions}
	return nil
}

// statement is how a command states something: where from, for whom, how.
type statement struct {
	file, source string
	merge        bool
}

func (s *statement) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.file, "file", "f", "", "document to read; - is standard input")
	s.sourceFlag(cmd)
	cmd.Flags().BoolVar(&s.merge, "merge", false, "add or replace the objects in the document, keep the source's others")
}

func (s *statement) sourceFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.source, "source", "operator", "who states it")
}

func (s *statement) mode() greavev1.ApplyMode {
	if s.merge {
		return greavev1.ApplyMode_APPLY_MODE_MERGE
	}
	return greavev1.ApplyMode_APPLY_MODE_REPLACE
}

func (a *app) warnings(list []*greavev1.Warning) {
	findings := make([]finding, len(list))
	for i, w := range list {
		findings[i] = a.find(w.GetField(), "warning: "+w.GetMessage())
	}
	a.warnFindings(findings)
}

// waiting is for how long a command waits for the host.
type waiting struct {
	wait   time.Duration
	noWait bool
}

func (w *waiting) flags(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&w.wait, "wait", 30*time.Second, "longest time to wait until the host has it, or cannot have it for now")
	cmd.Flags().BoolVar(&w.noWait, "no-wait", false, "return when it is accepted")
	cmd.MarkFlagsMutuallyExclusive("wait", "no-wait")
}

// duration is for a request; nil does not wait.
func (w *waiting) duration() *durationpb.Duration {
	if w.noWait {
		return nil
	}
	return durationpb.New(w.wait)
}

func (w *waiting) deadline(ctx context.Context, a *app) (context.Context, context.CancelFunc) {
	if w.noWait {
		return a.deadline(ctx, 0)
	}
	return a.deadline(ctx, w.wait)
}

// fate is what the answers to Apply, Rollback and Purge have in common.
type fate interface {
	GetRealised() bool
	GetNotRealised() []*greavev1.ObjectStatus
}

// conclude prints what became of what, or fails with errDiffers.
func (a *app) conclude(what string, f fate, w waiting) error {
	say := a.printf
	if a.format != "table" { // the answer itself was printed
		say = func(string, ...any) {}
	}
	switch {
	case f.GetRealised():
		say("%s: realised\n", what)
		return nil
	case w.noWait:
		say("%s: accepted; see 'greave status'\n", what)
		return nil
	case len(f.GetNotRealised()) == 0:
		say("%s: accepted, not realised yet; see 'greave status'\n", what)
		return errDiffers
	case a.format != "table":
		return errDiffers
	}
	say("%s: accepted, not realised yet: %s\n", what, plural(len(f.GetNotRealised()), "object"))
	t := table{{"OBJECT", "STATE", "REASON", "MESSAGE"}}
	for _, o := range f.GetNotRealised() {
		t.troubled(o, objectName(o), word(o.GetState()))
	}
	a.printTable(t, "  ")
	return errDiffers
}

// trouble is why an object is not as it should be.
type trouble struct{ reason, message string }

// troubles lists what hinders an object: conditions that do not hold, or, when
// none is false, those that explain its state; then what it waits for, unless a
// condition told that. There is at least one, maybe empty.
func troubles(o *greavev1.ObjectStatus) []trouble {
	var list []trouble
	add := func(holds func(greavev1.ConditionStatus) bool) {
		for _, c := range o.GetConditions() {
			if holds(c.GetStatus()) && (c.GetReason() != "" || c.GetMessage() != "") {
				list = append(list, trouble{c.GetReason(), c.GetMessage()})
			}
		}
	}
	add(func(s greavev1.ConditionStatus) bool { return s == greavev1.ConditionStatus_CONDITION_STATUS_FALSE })
	if len(list) == 0 && o.GetState() != greavev1.ResourceState_RESOURCE_STATE_ACTIVE {
		add(func(greavev1.ConditionStatus) bool { return true })
	}
	told := slices.ContainsFunc(list, func(t trouble) bool { return t.reason == "BLOCKED_ON" })
	if len(o.GetBlockedOn()) > 0 && !told {
		list = append(list, trouble{"", "waits for " + strings.Join(o.GetBlockedOn(), ", ")})
	}
	if len(list) == 0 {
		list = append(list, trouble{})
	}
	return list
}

// troubled adds an object's row and, below it, what more there is to say.
func (t *table) troubled(o *greavev1.ObjectStatus, cells ...string) {
	for i, c := range troubles(o) {
		if i > 0 {
			cells = slices.Repeat([]string{" "}, len(cells))
		}
		t.row(append(slices.Clone(cells), c.reason, c.message)...)
	}
}

func objectName(o *greavev1.ObjectStatus) string { return word(o.GetKind()) + "/" + o.GetName() }
