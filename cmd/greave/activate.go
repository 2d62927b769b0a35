package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) activateCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "activate PORT",
		Short: "Let a guest that was moved here begin",
		Long: `Makes a port active that a document states with an activation: frames go to its
guest and leave it. Then announces the guest to all hosts of its segments, which
send to it from then on where their documents say that it moves here. Of an active
port it only announces.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.activate(cmd.Context(), &greavev1.ActivateRequest{Port: args[0]})
		},
	}
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

func (a *app) activate(ctx context.Context, req *greavev1.ActivateRequest) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.deadline(ctx, 0)
	defer cancel()
	resp, err := c.ports.Activate(ctx, req)
	if err != nil {
		return err
	}
	if done, err := a.emit(resp); done || err != nil {
		return err
	}
	word := "is active"
	if resp.GetWasActive() {
		word = "was active"
	}
	fmt.Fprintf(writer{a}, "port %s %s; announcements sent: %d\n", req.GetPort(), word, resp.GetAnnouncements())
	return nil
}

// stateText is the state of an object in one word. That a port is as stated does not
// mean yet that its guest is here.
func stateText(s *greavev1.ObjectStatus) string {
	for _, c := range s.GetConditions() {
		if c.GetType() == "Activated" && c.GetStatus() == greavev1.ConditionStatus_CONDITION_STATUS_FALSE {
			return "staged"
		}
	}
	return word(s.GetState())
}
