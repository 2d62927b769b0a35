package main

import (
	"fmt"
	"slices"
)

// tunnelRow is what greave wrote for one tunnel; the rivals write the same.
type tunnelRow struct {
	Name        string
	Type        string
	Options     any // as OVSDB has maps
	ExternalIDs any `json:"external_ids"`
	Ofport      any `json:"ofport_request"`
}

// rowsOf reads the tunnels' rows.
func rowsOf(db *rawDB) ([]tunnelRow, error) {
	var rows []tunnelRow
	err := db.query("Interface", []string{"name", "type", "options", "external_ids", "ofport_request"}, []any{[]any{"type", "==", "gre"}}, &rows)
	slices.SortFunc(rows, func(a, b tunnelRow) int { return len(a.Name) - len(b.Name) })
	return rows, err
}

func insert(table, named string, row map[string]any) any {
	return map[string]any{"op": "insert", "table": table, "uuid-name": named, "row": row}
}

func namedUUID(n string) any { return []any{"named-uuid", n} }

func set(elements []any) any { return []any{"set", elements} }

// insertRows are the operations that make the tunnels, and the references of their ports.
func insertRows(rows []tunnelRow) (ops, ports []any) {
	for i, t := range rows {
		iface, port := fmt.Sprint("i", i), fmt.Sprint("p", i)
		ops = append(ops,
			insert("Interface", iface, map[string]any{"name": t.Name, "type": t.Type, "options": t.Options, "external_ids": t.ExternalIDs, "ofport_request": t.Ofport}),
			insert("Port", port, map[string]any{"name": t.Name, "interfaces": namedUUID(iface), "external_ids": t.ExternalIDs}))
		ports = append(ports, namedUUID(port))
	}
	return ops, ports
}

// bridgeWith are the operations that make a bridge with the tunnels on it.
func (r *rawDB) bridgeWith(name string, rows []tunnelRow) []any {
	ops, ports := insertRows(rows)
	ops = append(ops,
		insert("Interface", "li", map[string]any{"name": name, "type": "internal"}),
		insert("Port", "lp", map[string]any{"name": name, "interfaces": namedUUID("li")}),
		insert("Bridge", "b", map[string]any{"name": name, "datapath_type": "netdev", "ports": set(append(ports, namedUUID("lp")))}))
	return append(ops, map[string]any{"op": "mutate", "table": "Open_vSwitch", "where": []any{[]any{"_uuid", "==", []any{"uuid", r.root}}},
		"mutations": []any{[]any{"bridges", "insert", namedUUID("b")}}})
}

// addPorts are the operations that put more tunnels on a bridge.
func addPorts(bridge string, rows []tunnelRow) []any {
	ops, ports := insertRows(rows)
	return append(ops, map[string]any{"op": "mutate", "table": "Bridge", "where": []any{[]any{"name", "==", bridge}},
		"mutations": []any{[]any{"ports", "insert", set(ports)}}})
}

// vsctlArgs are the words of ovs-vsctl that add one tunnel.
func (t tunnelRow) vsctlArgs(bridge string) []string {
	args := []string{"--", "add-port", bridge, t.Name, "--", "set", "Interface", t.Name, "type=" + t.Type, fmt.Sprintf("ofport_request=%v", t.Ofport)}
	for column, m := range map[string]any{"options": t.Options, "external_ids": t.ExternalIDs} {
		for _, pair := range m.([]any)[1].([]any) {
			kv := pair.([]any)
			args = append(args, fmt.Sprintf(`%s:%s="%s"`, column, kv[0], kv[1]))
		}
	}
	return args
}
