package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) applyCmd() *cobra.Command {
	var s statement
	var w waiting
	var base uint64
	req := &greavev1.ApplyRequest{}
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "State what this host should have, and wait until it has it",
		Long: `Makes a document the next revision of its source: the host gets what it says
and loses what the source said before and it does not. Then waits until all of
it was read back from the host. Other sources are not touched. A refused
document leaves the last one in force. Exit code: 0 realised (or, with
--no-wait, accepted), 2 accepted but not realised within --wait, 1 error.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(s.file); err != nil {
				return err
			}
			req.Source, req.Mode, req.State, req.Wait = s.source, s.mode(), a.doc.state, w.duration()
			if cmd.Flags().Changed("base-revision") {
				req.BaseRevision = &base
			}
			if req.ValidateOnly {
				req.Wait = nil
			}
			return a.apply(cmd.Context(), req, w)
		},
	}
	s.flags(cmd)
	_ = cmd.MarkFlagRequired("file")
	w.flags(cmd)
	cmd.Flags().Uint64Var(&base, "base-revision", 0, "refuse it unless the source is at this revision")
	cmd.Flags().BoolVar(&req.ValidateOnly, "validate-only", false, "check and show the plan, change nothing")
	cmd.Flags().BoolVar(&req.AllowMassRemoval, "allow-mass-removal", false, "take away at once what the document no longer states, however much that is")
	cmd.Flags().StringVar(&req.Comment, "comment", "", "why, for the history")
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

func (a *app) apply(ctx context.Context, req *greavev1.ApplyRequest, w waiting) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := w.deadline(ctx, a)
	defer cancel()
	resp, err := c.config.Apply(ctx, req)
	if err != nil {
		return err
	}
	a.warnings(resp.GetWarnings())
	done, err := a.emit(resp)
	switch {
	case err != nil:
		return err
	case req.GetValidateOnly():
		if !done {
			a.printPlan(resp.GetPlan())
		}
		return differs(resp.GetPlan())
	}
	return a.conclude(fmt.Sprintf("revision %d of %s", resp.GetRevision(), req.GetSource()), resp, w)
}
