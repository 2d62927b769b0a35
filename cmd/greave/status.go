package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

func (a *app) statusCmd() *cobra.Command {
	var topology bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how far the host is as it should be",
		Long: `Shows the host, who states what, and each object with its state, and why where
it is not active. With --topology: a drawing of what the host has, bridge by
bridge, local ports on the left and peers and tunnels on the right.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), topology) },
	}
	cmd.Flags().BoolVar(&topology, "topology", false, "draw bridges, segments, ports, peers and tunnels")
	a.addFormat(cmd, "table, json or yaml")
	return cmd
}

func (a *app) status(ctx context.Context, topology bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	list, err := a.list(ctx, c, &greavev1.ListRequest{})
	if err != nil {
		return err
	}
	ctx, cancel := a.deadline(ctx, 0)
	defer cancel()
	host, err := c.state.Get(ctx, &greavev1.GetRequest{})
	if err != nil {
		return err
	}
	switch {
	case a.format == "json":
		return a.statusJSON(host, list)
	case a.format == "yaml": // two mappings without a common key, one after the other, are one
		if _, err := a.emit(host); err != nil {
			return err
		}
		_, err := a.emit(list)
		return err
	case topology:
		a.topology(host.GetStatus().GetHost(), list.GetObjects())
		return nil
	}
	a.printHost(host.GetStatus())
	a.printSources(host.GetStatus())
	a.printObjects(list.GetObjects())
	return nil
}

// statusJSON prints {"status": …, "objects": […]}.
func (a *app) statusJSON(host *greavev1.GetResponse, list *greavev1.ListResponse) error {
	both := struct {
		Status  json.RawMessage `json:"status"`
		Objects json.RawMessage `json:"objects"`
	}{json.RawMessage("{}"), json.RawMessage("[]")}
	text, err := jsonText(host)
	if err == nil {
		err = json.Unmarshal(text, &both)
	}
	if err == nil {
		text, err = jsonText(list)
	}
	if err == nil {
		err = json.Unmarshal(text, &both)
	}
	if err == nil {
		text, err = json.MarshalIndent(both, "", "  ")
	}
	if err != nil {
		return fmt.Errorf("format the answer: %w", err)
	}
	fmt.Fprintln(writer{a}, escape(string(text), true))
	return nil
}

func (a *app) printHost(h *greavev1.HostStatus) {
	a.printf("host      %s\n", h.GetHost())
	started := ""
	if h.GetStartedAt() != nil {
		started = ", started " + a.ago(h.GetStartedAt())
	}
	a.printf("agent     greaved %s%s, owner id %s\n", h.GetVersion(), started, h.GetOwnerId())
	a.printf("switch    %s\n", ovsText(h.GetOvs()))
	if h.GetObservedAt() == nil {
		a.printf("observed  not yet\n")
	} else {
		a.printf("observed  %s\n", a.ago(h.GetObservedAt()))
	}
	for _, c := range h.GetConditions() {
		if c.GetMessage() != "" {
			a.printf("note      %s: %s\n", c.GetReason(), c.GetMessage())
		}
	}
}

func ovsText(o *greavev1.OvsStatus) string {
	switch o.GetState() {
	case greavev1.OvsState_OVS_STATE_CONNECTED:
		text := fmt.Sprintf("Open vSwitch %s at %s", cmp.Or(o.GetVersion(), "(version not stated)"), o.GetSocket())
		if len(o.GetDatapathTypes()) > 0 {
			text += ", datapaths " + strings.Join(o.GetDatapathTypes(), ", ")
		}
		return text
	case greavev1.OvsState_OVS_STATE_SWITCH_STALLED:
		return "Open vSwitch: ovs-vswitchd does not follow its database; start it: systemctl restart openvswitch-switch"
	case greavev1.OvsState_OVS_STATE_DISCONNECTED:
		return fmt.Sprintf("Open vSwitch: no connection to ovsdb-server at %s, it is tried again; start it: systemctl start openvswitch-switch", o.GetSocket())
	case greavev1.OvsState_OVS_STATE_ABSENT:
		return "the kernel; there is no Open vSwitch on this host"
	}
	return "Open vSwitch: not known"
}

func (a *app) printSources(h *greavev1.HostStatus) {
	if len(h.GetSources()) == 0 {
		a.printf("\nnothing was stated yet; see 'greave example'\n")
		return
	}
	t := table{{"SOURCE", "REVISION", "REALISED", "OBJECTS", "ACCEPTED"}}
	for _, s := range h.GetSources() {
		realised := "not yet"
		if s.GetRealisedRevision() > 0 {
			realised = fmt.Sprint(s.GetRealisedRevision())
		}
		t.row(s.GetSource(), fmt.Sprint(s.GetRevision()), realised, fmt.Sprint(s.GetObjects()), a.ago(s.GetAcceptedAt()))
	}
	a.printf("\n")
	a.printTable(t, "")
}

func (a *app) printObjects(objects []*greavev1.Object) {
	if len(objects) == 0 {
		return
	}
	t := table{{"OBJECT", "SOURCE", "STATE", "SINCE", "REASON", "MESSAGE"}}
	for _, o := range objects {
		s := o.GetStatus()
		t.troubled(s, objectName(s), s.GetSource(), word(s.GetState()), a.ago(s.GetSince()))
	}
	a.printf("\n")
	a.printTable(t, "")
}
