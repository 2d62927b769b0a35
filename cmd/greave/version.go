package main

import (
	"runtime/debug"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of greave and, when it answers, of the agent",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.printf("greave %s\n", ownVersion())
			c, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := a.deadline(cmd.Context(), 0)
			defer cancel()
			if host, err := c.state.Get(ctx, &greavev1.GetRequest{}); err == nil {
				a.printf("greaved %s\n", host.GetStatus().GetVersion())
			} else {
				a.printf("greaved does not answer\n")
			}
			return nil
		},
	}
}

func ownVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
