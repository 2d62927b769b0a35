package main

import (
	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) deleteCmd() *cobra.Command {
	var s statement
	var w waiting
	req := &greavev1.ApplyRequest{Mode: greavev1.ApplyMode_APPLY_MODE_MERGE}
	cmd := &cobra.Command{
		Use:   "delete KIND NAME",
		Short: "Take one object out of what a source states",
		Long: `Takes one object out of what a source states, as a new revision, and waits until
it is gone from the host. KIND is one of
  ` + kindChoices + `
and the NAME of an fdb entry is SEGMENT/MAC. What others refer to stays: take it
out of them first, or apply a document without both.`,
		Example:   "  greave delete tunnel gre-7\n  greave delete fdb blue/02:00:00:00:00:01",
		Args:      cobra.ExactArgs(2),
		ValidArgs: kindWords(),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := parseKind(args[0])
			if err != nil {
				return err
			}
			req.Source, req.Wait = s.source, w.duration()
			req.Remove = []*greavev1.ObjectRef{{Kind: kind, Name: args[1]}}
			return a.apply(cmd.Context(), req, w)
		},
	}
	s.sourceFlag(cmd)
	w.flags(cmd)
	cmd.Flags().StringVar(&req.Comment, "comment", "", "why, for the history")
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}
