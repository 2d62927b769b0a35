package ovsdb

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// Result is what a committed transaction yields.
type Result struct {
	// NextCfg is the number to wait for with WaitConfigured.
	NextCfg int
	// UUIDs are those of the rows that were made.
	UUIDs map[RowKey]string
}

// Transact sends t as one transaction, and with it raises next_cfg by one. Errors: *TxnError when the database refused, so that
// nothing happened (or when t holds text that it would refuse); ErrNotConnected when nothing was sent; ErrOutcomeUnknown when no answer came within the deadline of ctx or
// the session's timeout. It never repeats anything by itself.
func (s *Session) Transact(ctx context.Context, t *Txn) (Result, error) {
	root, err := s.root()
	if err != nil {
		return Result{}, fmt.Errorf("transact: %w", err)
	}
	ops := t.build(root.UUID)
	if err := unsendable(ops); err != nil {
		return Result{}, err
	}
	results, err := s.call(ctx, ops)
	if err != nil {
		return Result{}, fmt.Errorf("transact: %w", err)
	}
	if err := refusal(ops, results); err != nil {
		return Result{}, err
	}
	r := Result{UUIDs: make(map[RowKey]string, len(t.created))}
	for _, c := range t.created {
		r.UUIDs[c.key] = results[c.op].UUID.GoUUID
	}
	r.NextCfg = Record(results[len(ops)-1].Rows[0]).Int("next_cfg")
	return r, nil
}

// unsendable finds text that would not arrive as it is: ovsdb-server cuts the connection on a NUL, and invalid UTF-8 changes
// silently on its way into JSON.
func unsendable(ops []op) error {
	for _, o := range ops {
		var values []any
		for _, v := range o.Row {
			values = append(values, v)
		}
		for _, m := range o.Mutations {
			values = append(values, m.Value)
		}
		for _, c := range o.Where {
			values = append(values, c.Value)
		}
		for _, v := range values {
			if text, bad := badText(v); bad {
				return newTxnError(o.tags, o.Op, o.Table, ovsdb.OperationResult{
					Error: "unsendable text", Details: fmt.Sprintf("%q is not UTF-8 without NUL", text)})
			}
		}
	}
	return nil
}

func badText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, !utf8.ValidString(v) || strings.ContainsRune(v, 0)
	case ovsdb.OvsSet:
		for _, e := range v.GoSet {
			if text, bad := badText(e); bad {
				return text, true
			}
		}
	case ovsdb.OvsMap:
		for key, e := range v.GoMap {
			for _, part := range []any{key, e} {
				if text, bad := badText(part); bad {
					return text, true
				}
			}
		}
	}
	return "", false
}

// call sends operations while synced.
func (s *Session) call(ctx context.Context, ops []op) ([]ovsdb.OperationResult, error) {
	c, _, err := s.ready()
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotConnected, ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	plain := make([]ovsdb.Operation, len(ops))
	for i, o := range ops {
		plain[i] = o.Operation
	}
	// The library's ErrNotConnected also stands for a connection that was cut while the answer was awaited.
	results, err := c.Transact(ctx, plain...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return results, nil
}

// refusal turns results into a *TxnError unless every operation did what it should.
func refusal(ops []op, results []ovsdb.OperationResult) error {
	for i, r := range results {
		switch {
		case i >= len(ops) && r.Error != "": // one result more than operations: refused at commit, RFC 7047 section 4.1.3
			tags := blame(ops, results, r.Details)
			e := newTxnError(tags, "commit", "", r)
			if strings.Contains(r.Details, "identical values") {
				e.cause = ErrExists
			}
			return e
		case i >= len(ops):
		case r.Error != "" && ops[i].Op == ovsdb.OperationWait:
			e := newTxnError(ops[i].tags, "guard", ops[i].Table, r)
			if r.Error == "timed out" {
				e.cause = ErrRowChanged
			}
			return e
		case r.Error != "":
			return newTxnError(ops[i].tags, ops[i].Op, ops[i].Table, r)
		}
	}
	if len(results) < len(ops) {
		return fmt.Errorf("transact: %w: %d results for %d operations", ErrOutcomeUnknown, len(results), len(ops))
	}
	for i, o := range ops {
		none := results[i].Count == 0 && (o.Op == ovsdb.OperationUpdate || o.Op == ovsdb.OperationMutate)
		if none || o.Op == ovsdb.OperationSelect && len(results[i].Rows) == 0 {
			e := newTxnError(o.tags, o.Op, o.Table, ovsdb.OperationResult{Error: "no row matched"})
			e.cause = ErrRowGone
			return e
		}
	}
	return nil
}

func newTxnError(tags []string, op, table string, r ovsdb.OperationResult) *TxnError {
	e := &TxnError{Op: op, Table: table, Code: r.Error, Details: r.Details}
	e.Objects = slices.Compact(slices.Sorted(slices.Values(tags)))
	if len(e.Objects) == 1 {
		e.Object = e.Objects[0]
	}
	return e
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// blame finds whom the error of a commit is about: ovsdb-server names the UUIDs of the rows in its message, and those of new
// rows are in the results. Where a new row is named, a row that was there before is not to blame.
func blame(ops []op, results []ovsdb.OperationResult, details string) []string {
	named := uuidText.FindAllString(details, -1)
	var inserted, others []string
	for i, o := range ops {
		if o.Op == ovsdb.OperationInsert {
			if slices.Contains(named, results[i].UUID.GoUUID) {
				inserted = append(inserted, o.tags...)
			}
		} else if len(o.Where) > 0 {
			id, _ := o.Where[0].Value.(ovsdb.UUID)
			if slices.Contains(named, id.GoUUID) {
				others = append(others, o.tags...)
			}
		}
	}
	if inserted != nil {
		return inserted
	}
	return others
}

// Cond is one condition of a Select; Op is one of ==, !=, <, <=, >, >=, includes, excludes (RFC 7047 section 5.1). Value is a
// string, an int, a bool, or a map[string]string; for column _uuid the UUID as a string.
type Cond struct {
	Column, Op string
	Value      any
}

// Record is a row of a Select.
type Record map[string]any

// Text returns a string column, or the UUID in a column of one, or "".
func (r Record) Text(column string) string {
	switch v := r[column].(type) {
	case string:
		return v
	case ovsdb.UUID:
		return v.GoUUID
	}
	return ""
}

// Int returns an integer column, or 0. It is exact up to 2^53.
func (r Record) Int(column string) int {
	v, _ := r[column].(float64)
	return int(v)
}

// Bool returns a boolean column, or false.
func (r Record) Bool(column string) bool {
	v, _ := r[column].(bool)
	return v
}

// Texts returns a map column of strings.
func (r Record) Texts(column string) map[string]string { return mapColumn[string](r[column]) }

// Counters returns a map column of integers, such as Interface.statistics. They are exact up to 2^53.
func (r Record) Counters(column string) map[string]uint64 {
	out := map[string]uint64{}
	for k, v := range mapColumn[float64](r[column]) {
		out[k] = uint64(v)
	}
	return out
}

func mapColumn[V any](column any) map[string]V {
	out := map[string]V{}
	m, _ := column.(ovsdb.OvsMap)
	for k, v := range m.GoMap {
		key, isText := k.(string)
		value, isV := v.(V)
		if isText && isV {
			out[key] = value
		}
	}
	return out
}

// Select reads columns that are not monitored, straight from the server: of all rows, or of those for which all conditions hold.
// Interface statistics read so are up to 5 s old: ovs-vswitchd writes them at its own interval. Errors are as for Transact,
// but an unknown outcome is no harm here.
func (s *Session) Select(ctx context.Context, table string, columns []string, where ...Cond) ([]Record, error) {
	o := ovsdb.Operation{Op: ovsdb.OperationSelect, Table: table, Columns: columns}
	for _, c := range where {
		value := c.Value
		switch v := value.(type) {
		case string:
			if c.Column == "_uuid" {
				value = ovsdb.UUID{GoUUID: v}
			}
		case map[string]string:
			value = mapOf(v)
		}
		o.Where = append(o.Where, ovsdb.NewCondition(c.Column, ovsdb.ConditionFunction(c.Op), value))
	}
	results, err := s.call(ctx, []op{{Operation: o}})
	if err != nil {
		return nil, fmt.Errorf("select from %s: %w", table, err)
	}
	if len(results) == 0 {
		return nil, fmt.Errorf("select from %s: %w: no result", table, ErrOutcomeUnknown)
	}
	if results[0].Error != "" {
		return nil, newTxnError(nil, o.Op, table, results[0])
	}
	rows := make([]Record, len(results[0].Rows))
	for i, r := range results[0].Rows {
		rows[i] = Record(r)
	}
	return rows, nil
}
