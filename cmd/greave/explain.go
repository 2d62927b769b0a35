package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) explainCmd() *cobra.Command {
	req := &greavev1.ExplainRequest{}
	cmd := &cobra.Command{
		Use:   "explain COOKIE|FLOW|GROUP",
		Short: "Say which object a flow or group of a bridge belongs to",
		Long: `Says which object a flow or a group belongs to, and what its table is for. Give
the flow's cookie, or the line of 'ovs-ofctl dump-flows' or dump-groups, quoted or
not.`,
		Example: `  greave explain 0x3fa1020000000007
  greave explain 'cookie=0x3fa1020000000007, table=40, priority=10 actions=drop'
  greave explain group_id=1728053248`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text := strings.Join(args, " ")
			if cookie, err := strconv.ParseUint(text, 0, 64); err == nil {
				req.Subject = &greavev1.ExplainRequest_Cookie{Cookie: cookie}
			} else {
				req.Subject = &greavev1.ExplainRequest_Flow{Flow: text}
			}
			return a.explain(cmd.Context(), req)
		},
	}
	cmd.Flags().StringVar(&req.Bridge, "bridge", "", "bridge of the flow; not needed, the cookie tells")
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

func (a *app) explain(ctx context.Context, req *greavev1.ExplainRequest) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.deadline(ctx, 0)
	defer cancel()
	resp, err := c.config.Explain(ctx, req)
	if err != nil {
		return err
	}
	if done, err := a.emit(resp); done {
		return err
	}
	whose := "the pipeline itself"
	switch {
	case resp.GetForeign():
		whose = "not of greave's making"
	case resp.GetKind() != 0:
		whose = word(resp.GetKind()) + "/" + resp.GetName()
		if resp.GetSource() != "" {
			whose += " of source " + resp.GetSource()
		}
	}
	where := ""
	if resp.Table != nil {
		where = fmt.Sprintf(", table %d", resp.GetTable())
	}
	if resp.Group != nil {
		a.printf("group %d: %s\n", resp.GetGroup(), whose)
	} else {
		a.printf("cookie 0x%x%s: %s\n", resp.GetCookie(), where, whose)
	}
	if resp.GetText() != "" && !resp.GetForeign() {
		a.printf("%s\n", resp.GetText())
	}
	return nil
}
