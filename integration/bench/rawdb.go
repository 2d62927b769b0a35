package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// rawDB is the least client of ovsdb-server that can tell when the switch has carried out a
// transaction: one socket, JSON as RFC 7047 has it, a monitor of cur_cfg. Nothing is faster.
type rawDB struct {
	conn   net.Conn
	in     *json.Decoder
	root   string // UUID of the Open_vSwitch row
	curCfg int
}

// patience bounds every wait of a measurement.
const patience = 2 * time.Minute

type rpcMessage struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

func dialRaw(ctx context.Context, endpoint string) (*rawDB, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(endpoint, "unix:"))
	if err != nil {
		return nil, fmt.Errorf("dial database: %w", err)
	}
	r := &rawDB{conn: conn, in: json.NewDecoder(conn)}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	result, err := r.call("monitor", []any{"Open_vSwitch", nil, map[string]any{"Open_vSwitch": map[string]any{"columns": []string{"cur_cfg"}}}})
	if err != nil {
		return nil, err
	}
	return r, r.note(result)
}

// note takes the rows of a monitor's reply or update.
func (r *rawDB) note(tables json.RawMessage) error {
	var t map[string]map[string]struct {
		New struct {
			CurCfg int `json:"cur_cfg"`
		} `json:"new"`
	}
	if err := json.Unmarshal(tables, &t); err != nil {
		return fmt.Errorf("read update: %w", err)
	}
	for uuid, row := range t["Open_vSwitch"] {
		r.root, r.curCfg = uuid, row.New.CurCfg
	}
	return nil
}

// next reads one message, and takes what asks for no reply of the caller.
func (r *rawDB) next() (m rpcMessage, err error) {
	if err := r.in.Decode(&m); err != nil {
		return m, fmt.Errorf("read database: %w", err)
	}
	switch m.Method {
	case "update":
		var params [2]json.RawMessage
		if err := json.Unmarshal(m.Params, &params); err != nil {
			return m, fmt.Errorf("read update: %w", err)
		}
		return m, r.note(params[1])
	case "echo":
		_, err = fmt.Fprintf(r.conn, `{"id":%s,"result":%s,"error":null}`, m.ID, m.Params)
	}
	return m, err
}

func (r *rawDB) call(method string, params any) (json.RawMessage, error) {
	request, err := json.Marshal(map[string]any{"id": 1, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	return r.send(request)
}

func (r *rawDB) send(request []byte) (json.RawMessage, error) {
	if err := r.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := r.conn.Write(request); err != nil {
		return nil, fmt.Errorf("write database: %w", err)
	}
	for {
		m, err := r.next()
		switch {
		case err != nil:
			return nil, err
		case m.Method != "":
		case len(m.Error) > 0 && string(m.Error) != "null":
			return nil, fmt.Errorf("database says %s", m.Error)
		default:
			return m.Result, nil
		}
	}
}

// transaction is a request that is ready to send; it raises next_cfg and reads it back.
func (r *rawDB) transaction(ops ...any) ([]byte, error) {
	me := []any{[]any{"_uuid", "==", []any{"uuid", r.root}}}
	ops = append(append([]any{"Open_vSwitch"}, ops...),
		map[string]any{"op": "mutate", "table": "Open_vSwitch", "where": me, "mutations": []any{[]any{"next_cfg", "+=", 1}}},
		map[string]any{"op": "select", "table": "Open_vSwitch", "where": me, "columns": []string{"next_cfg"}})
	return json.Marshal(map[string]any{"id": 1, "method": "transact", "params": ops})
}

// realise sends a transaction and returns when the switch has carried it out and the interfaces that
// where selects all have a number and no error.
func (r *rawDB) realise(request []byte, where []any) error {
	result, err := r.send(request)
	if err != nil {
		return err
	}
	var results []struct {
		Error   string
		Details string
		Rows    []struct {
			NextCfg int `json:"next_cfg"`
		}
	}
	if err := json.Unmarshal(result, &results); err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	nextCfg := 0
	for _, o := range results {
		if o.Error != "" {
			return fmt.Errorf("transaction refused: %s: %s", o.Error, o.Details)
		}
		if len(o.Rows) == 1 {
			nextCfg = o.Rows[0].NextCfg
		}
	}
	for r.curCfg < nextCfg {
		if _, err := r.next(); err != nil {
			return err
		}
	}
	return r.checkPorts(where)
}

func (r *rawDB) checkPorts(where []any) error {
	var interfaces []struct {
		Name   string
		Ofport any
		Error  any
	}
	if err := r.query("Interface", []string{"name", "ofport", "error"}, where, &interfaces); err != nil {
		return err
	}
	if len(interfaces) == 0 {
		return errors.New("no such interface")
	}
	for _, i := range interfaces {
		if n, ok := i.Ofport.(float64); !ok || n <= 0 {
			return fmt.Errorf("interface %s has ofport %v, error %v", i.Name, i.Ofport, i.Error)
		}
	}
	return nil
}

// query selects rows into a list.
func (r *rawDB) query(table string, columns []string, where []any, list any) error {
	result, err := r.call("transact", []any{"Open_vSwitch", map[string]any{"op": "select", "table": table, "columns": columns, "where": where}})
	if err != nil {
		return err
	}
	var results []struct{ Rows json.RawMessage }
	if err := json.Unmarshal(result, &results); err != nil || len(results) == 0 {
		return fmt.Errorf("select from %s: %w: %s", table, err, result)
	}
	return json.Unmarshal(results[0].Rows, list)
}

func (r *rawDB) close() { r.conn.Close() }
