package ovsdb

import (
	"errors"
	"fmt"
)

// Errors that a caller branches on, all found with errors.Is.
var (
	// ErrNotSynced says that there is no trustworthy image of the database now: not connected, or the monitor's reply is
	// still to come. What was read earlier is not repeated in its place.
	ErrNotSynced = errors.New("database not synced")
	// ErrNotConnected says that nothing was sent, so nothing happened.
	ErrNotConnected = errors.New("database not connected")
	// ErrOutcomeUnknown says that a request was (or may have been) sent and no answer came. A write may have happened: read
	// a new snapshot before a retry.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrRowChanged is the cause of a TxnError whose guard failed: the row is gone, or has another name or lost the
	// external_ids it was observed with. Observe again.
	ErrRowChanged = errors.New("row is gone or no longer what was observed")
	// ErrRowGone is the cause of a TxnError whose operation matched no row.
	ErrRowGone = errors.New("row is gone")
	// ErrExists is the cause of a TxnError for a row whose name is taken.
	ErrExists = errors.New("name is taken by another row")
	// ErrSwitchStalled is what a StalledError unwraps to.
	ErrSwitchStalled = errors.New("switch has not taken up the configuration")
)

// StalledError says that ovs-vswitchd did not reach NextCfg in time. It is the only sign of a dead ovs-vswitchd in the
// database: all rows keep their last good values.
type StalledError struct {
	NextCfg int // what was waited for
	CurCfg  int // where ovs-vswitchd was when the wait ended
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("wait for cur_cfg %d: %v: it is at %d", e.NextCfg, ErrSwitchStalled, e.CurCfg)
}

// Unwrap returns ErrSwitchStalled.
func (e *StalledError) Unwrap() error { return ErrSwitchStalled }

// TxnError is the database's refusal of a transaction: nothing of it happened.
type TxnError struct {
	// Object is the tag to blame, or "" when none or several are.
	Object string
	// Objects are all tags that the refused operation or row serves; empty when the refusal names nothing known.
	Objects []string
	// Op is the operation: guard, insert, update, mutate, select, comment, or commit for what the database found at the end.
	Op string
	// Table is the table of Op, or "" for commit.
	Table string
	// Code is the error of RFC 7047 section 3.1, such as "constraint violation", Details what ovsdb-server says of it.
	Code, Details string

	cause error // ErrRowChanged, ErrRowGone, ErrExists or nil
}

func (e *TxnError) Error() string {
	s := "transact"
	if e.Object != "" {
		s += " " + e.Object
	}
	s += ": " + e.Op
	if e.Table != "" {
		s += " " + e.Table
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	s += ": " + e.Code
	if e.Details != "" {
		s += ": " + e.Details
	}
	return s
}

// Unwrap returns ErrRowChanged, ErrRowGone, ErrExists or nil.
func (e *TxnError) Unwrap() error { return e.cause }
