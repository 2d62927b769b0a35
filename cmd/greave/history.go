package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) historyCmd() *cobra.Command {
	var s statement
	cmd := &cobra.Command{
		Use:   "history [REVISION]",
		Short: "List what a source stated before, or print one document of it",
		Long: `Lists a source's revisions, newest first. With a REVISION: prints its document,
fit for 'greave apply'.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.revision(cmd.Context(), s.source, args[0])
			}
			return a.history(cmd.Context(), s.source)
		},
	}
	s.sourceFlag(cmd)
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

func (a *app) history(ctx context.Context, source string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.deadline(ctx, 0)
	defer cancel()
	resp, err := c.config.ListRevisions(ctx, &greavev1.ListRevisionsRequest{Source: source})
	if err != nil {
		return err
	}
	if done, err := a.emit(resp); done {
		return err
	}
	if len(resp.GetRevisions()) == 0 {
		a.printf("source %s stated nothing yet\n", source)
		return nil
	}
	t := table{{"REVISION", "ACCEPTED", "OBJECTS", "IN FORCE", "COMMENT"}}
	for _, r := range resp.GetRevisions() {
		comment := r.GetComment()
		if r.GetRollbackOf() > 0 {
			comment = fmt.Sprintf("(rollback to %d) %s", r.GetRollbackOf(), comment)
		}
		t.row(fmt.Sprint(r.GetNumber()), a.ago(r.GetAcceptedAt()), fmt.Sprint(r.GetObjects()), yesNo(r.GetInForce()), comment)
	}
	a.printTable(t, "")
	return nil
}

func (a *app) revision(ctx context.Context, source, arg string) error {
	n, err := parseRevision(arg)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.deadline(ctx, 0)
	defer cancel()
	resp, err := c.config.GetState(ctx, &greavev1.GetStateRequest{Source: source, Revision: &n})
	if err != nil {
		return err
	}
	if len(resp.GetSources()) == 0 {
		return fmt.Errorf("source %s has no revision %d", source, n)
	}
	if a.format == "table" { // a document has no table
		a.format = "yaml"
	}
	_, err = a.emit(resp.GetSources()[0].GetState())
	return err
}

func parseRevision(arg string) (uint64, error) {
	n, err := strconv.ParseUint(arg, 10, 64)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("revision %q is not a number from 1; see 'greave history'", arg)
	}
	return n, nil
}
