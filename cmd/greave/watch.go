package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) watchCmd() *cobra.Command {
	req := &greavev1.WatchRequest{}
	cmd := &cobra.Command{
		Use:   "watch [KIND]...",
		Short: "Print objects as they are, then each change",
		Long: `Prints a line for each object as it is, then 'synced', then a line for each
change of its state until it is interrupted. KIND is one of
  ` + kindChoices + `
and none of them means all. -o json prints one JSON object a line.`,
		ValidArgs: kindWords(),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				kind, err := parseKind(arg)
				if err != nil {
					return err
				}
				req.Kinds = append(req.Kinds, kind)
			}
			if a.format == "yaml" {
				return errors.New("-o yaml: say table or json")
			}
			return a.watch(cmd.Context(), req)
		},
	}
	cmd.Flags().BoolVar(&req.Foreign, "foreign", false, "also what is not of greave's making (not supported yet)")
	a.addFormat(cmd, "table or json")
	return cmd
}

func (a *app) watch(ctx context.Context, req *greavev1.WatchRequest) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	stream, err := c.state.Watch(ctx, req)
	if err != nil {
		return err
	}
	for a.writeErr == nil {
		event, err := stream.Recv()
		switch {
		case ctx.Err() != nil && (errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled):
			return nil // interrupted, which is how a watch ends
		case errors.Is(err, io.EOF):
			return errors.New("the agent ended the watch")
		case err != nil:
			return err
		}
		if err := a.printEvent(event); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printEvent(e *greavev1.WatchResponse) error {
	if a.format == "json" {
		text, err := jsonText(e)
		if err != nil {
			return err
		}
		fmt.Fprintf(writer{a}, "%s\n", text)
		return nil
	}
	at := e.GetAt().AsTime().Local().Format("15:04:05")
	if e.GetObject() == nil {
		a.printf("%s %s\n", at, word(e.GetType()))
		return nil
	}
	s := e.GetObject().GetStatus()
	a.printf("%s %s %s", at, word(e.GetType()), objectName(s))
	if e.GetType() != greavev1.EventType_EVENT_TYPE_REMOVED {
		a.printf(" %s", stateText(s))
		for _, t := range troubles(s) {
			if t.reason != "" {
				a.printf(" %s", t.reason)
			}
			if t.message != "" {
				a.printf(": %s", t.message)
			}
		}
	}
	a.printf("\n")
	return nil
}
