package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) capabilitiesCmd() *cobra.Command {
	var encap string
	var why bool
	cmd := &cobra.Command{
		Use:   "capabilities",
		Short: "Show which tunnels and options each dataplane carries, and which dataplanes are here",
		Long: `Shows, for the userspace and the kernel datapath of Open vSwitch and for the
kernel without it, which kinds of tunnels and segments they carry, with which
options, and with --why the reason of each no. It is what 'greave validate'
would say of a document with just that. The dataplanes that this host has are
listed first.`,
		Example: "  greave capabilities\n  greave capabilities --encap gre --why",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.capabilities(cmd, encap, why)
		},
	}
	cmd.Flags().StringVar(&encap, "encap", "", "only this encapsulation: gre, vxlan, geneve, erspan, …")
	cmd.Flags().BoolVar(&why, "why", false, "tell the reason of each no")
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

func (a *app) capabilities(cmd *cobra.Command, encap string, why bool) error {
	conn, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := a.deadline(cmd.Context(), 0)
	defer cancel()
	r, err := conn.state.GetCapabilities(ctx, &greavev1.GetCapabilitiesRequest{})
	if err != nil {
		return err
	}
	if encap != "" {
		r.Capabilities = slices.DeleteFunc(r.Capabilities, func(c *greavev1.Capability) bool { return word(c.Encap) != encap })
	}
	if done, err := a.emit(r); done {
		return err
	}
	here := table{{"DATAPLANE", "HERE", "DETAIL"}}
	head := []string{"ENCAP", "LAYER", "UNDERLAY", "OF", "OPTION"}
	for _, d := range r.Dataplanes {
		here.row(d.Name, yesNo(d.Present), d.Detail)
		head = append(head, strings.ToUpper(d.Name))
	}
	a.printTable(here, "")
	a.printf("\n")
	list := table{head}
	for _, c := range r.Capabilities {
		row := []string{word(c.Encap), fmt.Sprint(c.Layer), "ipv4", "tunnel", c.Option}
		if c.Ipv6 {
			row[2] = "ipv6"
		}
		if c.Segment {
			row[3] = "segment"
		}
		for _, v := range c.Verdicts {
			row = append(row, yesNo(v.Carried))
		}
		list.row(row...)
	}
	a.printTable(list, "")
	if why {
		a.reasons(r)
	}
	return nil
}

// reasons tells each reason once, with all that it is the reason of.
func (a *app) reasons(r *greavev1.GetCapabilitiesResponse) {
	var order []string
	of := map[string][]string{}
	for _, c := range r.Capabilities {
		for i, v := range c.Verdicts {
			if v.Carried || i >= len(r.Dataplanes) {
				continue
			}
			family := map[bool]string{false: "ipv4", true: "ipv6"}[c.Ipv6]
			what := strings.TrimSpace(fmt.Sprintf("%s layer %d %s %s", word(c.Encap), c.Layer, family, c.Option)) + " on " + r.Dataplanes[i].Name
			text := v.Reason + ": " + v.Message
			if _, seen := of[text]; !seen {
				order = append(order, text)
			}
			of[text] = append(of[text], what)
		}
	}
	for _, text := range order {
		a.printf("\n%s\n", text)
		for _, what := range of[text] {
			a.printf("  %s\n", what)
		}
	}
}
