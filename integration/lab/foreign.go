package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// What AddForeign makes: 200 objects. All their names begin with foreignPrefix.
const (
	foreignPrefix  = "fgn"
	foreignBridges = 20
	foreignPorts   = 100 // patch ports, 5 a bridge, joined to the next bridge's in pairs
	foreignFlows   = 60
	foreignGroups  = 20
)

// AddForeign puts 20 bridges, 100 ports, 60 flows and 20 groups on the switch that are no concern of
// greave's: with external_ids, options and cookies of an operator's own, and one more GRE tunnel.
// It takes half a second.
func (h *Host) AddForeign(ctx context.Context) error {
	var args []string
	add := func(format string, a ...any) { args = append(args, strings.Fields(fmt.Sprintf("-- "+format, a...))...) }
	for b := range foreignBridges {
		add("add-br fgn%d", b)
		add("set Bridge fgn%d datapath_type=netdev fail_mode=secure external_ids:owner=somebody other_config:hwaddr=02:f0:00:00:00:%02x", b, b)
	}
	pairs := foreignPorts / 2
	for p := range pairs {
		left, right := p%foreignBridges, (p+1)%foreignBridges
		add("add-port fgn%d fgnl%d -- set Interface fgnl%d type=patch options:peer=fgnr%d external_ids:iface-id=vif-%d", left, p, p, p, p)
		add("add-port fgn%d fgnr%d tag=%d -- set Interface fgnr%d type=patch options:peer=fgnl%d", right, p, 100+p, p, p)
	}
	add("add-port fgn0 fgngre -- set Interface fgngre type=gre options:remote_ip=198.51.100.99 options:key=7777 options:tos=inherit")
	add("set Open_vSwitch . external_ids:fgn-note=keep")
	if _, err := h.Vsctl(ctx, args...); err != nil {
		return fmt.Errorf("add foreign bridges: %w", err)
	}
	for b := range foreignBridges {
		var text strings.Builder
		for g := range foreignGroups / foreignBridges {
			fmt.Fprintf(&text, "group add group_id=%d,type=select,bucket=bucket_id:1,weight:7,actions=output:1\n", 5000+g)
		}
		for f := range foreignFlows / foreignBridges {
			fmt.Fprintf(&text, "flow add cookie=0x%x,table=%d,priority=%d,ip,nw_dst=203.0.113.%d,actions=group:5000\n", 0xf00d00+f, f*7, 100+f, b+f)
		}
		path, err := h.WriteFile("foreign.ofctl", text.String())
		if err != nil {
			return err
		}
		// A new bridge that changes its datapath id, as ports come, closes the connections it has.
		for tries := 0; ; tries++ {
			if _, err = h.Ofctl(ctx, fmt.Sprintf("fgn%d", b), "bundle", path); err == nil {
				break
			}
			if tries == 3 || !strings.Contains(err.Error(), "failed to connect") {
				return fmt.Errorf("add foreign flows: %w", err)
			}
		}
	}
	return nil
}

// foreignColumns are compared by ForeignDump: all that a writer could change, nothing that counts.
var foreignColumns = []struct{ table, columns string }{
	{"Bridge", "name,_uuid,ports,datapath_type,datapath_id,fail_mode,protocols,controller,mirrors,flow_tables,stp_enable,external_ids,other_config"},
	{"Port", "name,_uuid,interfaces,tag,trunks,vlan_mode,qos,external_ids,other_config"},
	{"Interface", "name,_uuid,type,options,ofport,ofport_request,error,mac,mtu_request,admin_state,external_ids,other_config"},
}

// ForeignDump returns everything about the objects of AddForeign as text, one line an object, in a
// fixed order, without counters: equal before and after means untouched. It takes 0.3 s.
func (h *Host) ForeignDump(ctx context.Context) (string, error) {
	var lines []string
	for _, t := range foreignColumns {
		rows, err := h.foreignRows(ctx, t.table, t.columns)
		if err != nil {
			return "", fmt.Errorf("dump foreign: %w", err)
		}
		lines = append(lines, rows...)
	}
	note, err := h.Vsctl(ctx, "get", "Open_vSwitch", ".", "external_ids:fgn-note")
	if err != nil {
		return "", fmt.Errorf("dump foreign: %w", err)
	}
	lines = append(lines, "Open_vSwitch fgn-note="+note)
	for b := range foreignBridges {
		bridge := fmt.Sprintf("%s%d", foreignPrefix, b)
		for _, what := range []string{"dump-flows", "dump-groups"} {
			text, err := h.Ofctl(ctx, bridge, "--no-stats", "--no-names", what)
			if err != nil {
				return "", fmt.Errorf("dump foreign: %w", err)
			}
			var own []string
			for line := range strings.Lines(text) {
				if !strings.Contains(line, "(xid=") { // the head of the reply has a random number
					own = append(own, bridge+" "+what+" "+strings.TrimSpace(line))
				}
			}
			slices.Sort(own)
			lines = append(lines, own...)
		}
	}
	return strings.Join(lines, "\n") + "\n", nil
}

func (h *Host) foreignRows(ctx context.Context, table, columns string) ([]string, error) {
	out, err := h.Vsctl(ctx, "--format=json", "--columns="+columns, "list", table)
	if err != nil {
		return nil, err
	}
	var dump struct {
		Headings []string
		Data     [][]json.RawMessage
	}
	if err := json.Unmarshal([]byte(out), &dump); err != nil {
		return nil, fmt.Errorf("list %s: %w", table, err)
	}
	var rows []string
	for _, row := range dump.Data {
		var line strings.Builder
		line.WriteString(table)
		foreign := false
		for i, column := range dump.Headings {
			fmt.Fprintf(&line, " %s=%s", column, row[i])
			foreign = foreign || column == "name" && strings.HasPrefix(string(row[i]), `"`+foreignPrefix)
		}
		if foreign {
			rows = append(rows, line.String())
		}
	}
	slices.Sort(rows)
	return rows, nil
}
