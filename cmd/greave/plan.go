package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) planCmd() *cobra.Command {
	var s statement
	cmd := &cobra.Command{
		Use:   "plan [-f FILE]",
		Short: "Show what applying a document would do; change nothing",
		Long: `Shows, from a fresh look at the host, the operations that applying a document
would do. Without -f: those that would repair what differs from the state in
force. Changes nothing. Exit code: 0 nothing to do, 2 operations to do, 1 error.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.plan(cmd.Context(), s) },
	}
	s.flags(cmd)
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

func (a *app) plan(ctx context.Context, s statement) error {
	req := &greavev1.PlanRequest{Source: s.source, Mode: s.mode()}
	if s.file != "" {
		if err := a.load(s.file); err != nil {
			return err
		}
		req.State = a.doc.state
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.deadline(ctx, 0)
	defer cancel()
	resp, err := c.config.Plan(ctx, req)
	if err != nil {
		return err
	}
	a.warnings(resp.GetWarnings())
	if done, err := a.emit(resp); err != nil {
		return err
	} else if !done {
		a.printPlan(resp.GetPlan())
		if differs(resp.GetPlan()) == nil && len(resp.GetWarnings()) > 0 {
			a.printf("what the warnings name is not as stated, and cannot be for now\n")
		}
	}
	return differs(resp.GetPlan())
}

// differs is errDiffers for a plan with something to do.
func differs(p *greavev1.Plan) error {
	if len(p.GetOperations()) > 0 {
		return errDiffers
	}
	return nil
}

// worst says what a plan's disruption means.
var worst = map[greavev1.Disruption]string{
	greavev1.Disruption_DISRUPTION_NONE:       "the traffic of what stays feels nothing of it",
	greavev1.Disruption_DISRUPTION_BRIEF:      "a few packets may be lost",
	greavev1.Disruption_DISRUPTION_DISRUPTIVE: "traffic of what is marked disruptive stops, for good or until it is made again",
}

func (a *app) printPlan(p *greavev1.Plan) {
	ops := p.GetOperations()
	if len(ops) == 0 {
		a.printf("nothing to do\n")
		return
	}
	t := table{{"DO", "OBJECT", "ON THE HOST", "DISRUPTION", "FIELDS"}}
	for _, o := range ops {
		changes := make([]string, len(o.GetChanges()))
		for i, c := range o.GetChanges() {
			changes[i] = changeText(c)
		}
		if list := o.GetAffects(); len(list) > 0 {
			changes = append(changes, "affects "+strings.Join(list, " "))
		}
		t.row(word(o.GetVerb()), word(o.GetKind())+"/"+o.GetName(), o.GetTarget(), word(o.GetDisruption()), strings.Join(changes, ", "))
	}
	a.printTable(t, "")
	a.printf("%s", plural(len(ops), "operation"))
	if text := worst[p.GetDisruption()]; text != "" {
		a.printf("; %s", text)
	}
	a.printf("\n")
}

func changeText(c *greavev1.FieldChange) string {
	switch {
	case c.GetOld() == "":
		return c.GetField() + "=" + c.GetNew()
	case c.GetNew() == "":
		return c.GetField() + " " + c.GetOld() + "→none"
	}
	return c.GetField() + " " + c.GetOld() + "→" + c.GetNew()
}
