package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) rollbackCmd() *cobra.Command {
	var s statement
	var w waiting
	req := &greavev1.RollbackRequest{}
	cmd := &cobra.Command{
		Use:   "rollback [REVISION]",
		Short: "State an earlier document again",
		Long: `Makes the document of an earlier revision, by default of the one before, the next
revision of its source, and waits as 'greave apply' does.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				n, err := parseRevision(args[0])
				if err != nil {
					return err
				}
				req.Revision = &n
			}
			req.Source, req.Wait = s.source, w.duration()
			return a.rollback(cmd.Context(), req, w)
		},
	}
	s.sourceFlag(cmd)
	w.flags(cmd)
	cmd.Flags().BoolVar(&req.AllowMassRemoval, "allow-mass-removal", false, "take away at once what that document does not state, however much that is")
	cmd.Flags().StringVar(&req.Comment, "comment", "", "why, for the history")
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

func (a *app) rollback(ctx context.Context, req *greavev1.RollbackRequest, w waiting) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := w.deadline(ctx, a)
	defer cancel()
	resp, err := c.config.Rollback(ctx, req)
	if err != nil {
		return err
	}
	if _, err := a.emit(resp); err != nil {
		return err
	}
	return a.conclude(fmt.Sprintf("revision %d of %s", resp.GetRevision(), req.GetSource()), resp, w)
}
