package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) validateCmd() *cobra.Command {
	var s statement
	var offline bool
	cmd := &cobra.Command{
		Use:   "validate -f FILE",
		Short: "Check a document; change nothing",
		Long: `Checks a document against the rules, what other sources state and what this
host can do. Changes nothing. With --offline the agent is not asked: only the
rules that hold on every host are checked, and references must be to the
document itself. -o yaml or json prints it with all defaults filled in.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.load(s.file); err != nil {
				return err
			}
			if offline {
				return a.validateOffline()
			}
			return a.validate(cmd.Context(), s)
		},
	}
	s.flags(cmd)
	_ = cmd.MarkFlagRequired("file")
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask the agent")
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

func (a *app) validate(ctx context.Context, s statement) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.deadline(ctx, 0)
	defer cancel()
	resp, err := c.config.Validate(ctx, &greavev1.ValidateRequest{Source: s.source, Mode: s.mode(), State: a.doc.state})
	if err != nil {
		return err
	}
	a.warnings(resp.GetWarnings())
	return a.validDocument(resp.GetNormalised())
}

func (a *app) validateOffline() error {
	state, errs := convert.FromWire(a.doc.state)
	if len(errs) == 0 {
		state = model.Normalize(state, model.HostState{})
		if err := model.Validate(state, nil, state.Host, model.Capabilities{}); err != nil && !errors.As(err, &errs) {
			return err
		}
	}
	if len(errs) > 0 {
		findings := make([]finding, len(errs))
		for i, e := range errs {
			field := "state." + e.Path
			e.Path = ""
			findings[i] = a.find(strings.TrimSuffix(field, "."), e.Error())
		}
		a.warnFindings(findings)
		return errors.New(a.doc.name + " is not valid: " + plural(len(errs), "error"))
	}
	return a.validDocument(convert.ToWire(state))
}

func (a *app) validDocument(normalised *greavev1.HostState) error {
	if done, err := a.emit(normalised); done {
		return err
	}
	n := a.doc.state
	objects := len(n.GetVteps()) + len(n.GetPeers()) + len(n.GetSegments()) + len(n.GetBridges()) +
		len(n.GetPorts()) + len(n.GetFdb()) + len(n.GetTunnels()) + len(n.GetMirrors()) + len(n.GetSamplers())
	a.printf("%s is valid: %s\n", a.doc.name, plural(objects, "object"))
	return nil
}
