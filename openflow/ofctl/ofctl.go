// Package ofctl reads and writes the flows and groups of real bridges, by
// ovs-ofctl and by an OpenFlow connection of its own for watching.
//
// It owns the process runner, the bundle and the attribution of its errors. It
// is the only package that imports go-openvswitch, and must not import
// anything that knows desired state: it is told what to do by an
// openflow.Change.
package ofctl

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Config says where the switch is and how long it may take.
type Config struct {
	RunDir  string        // of ovs-vswitchd: where <bridge>.mgmt is
	Timeout time.Duration // of a command that prints nothing, not counting 100 µs for each line it sends; 0 is 5 s
	Logger  *slog.Logger  // nil logs nothing
}

// Client talks to the bridges of one switch. Its methods may be called from
// several goroutines; the caller sees to it that a bridge has one writer.
type Client struct {
	cfg     Config
	mu      sync.Mutex
	watches map[string]*watch
}

// New makes a client; it does no I/O.
func New(cfg Config) *Client {
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Client{cfg: cfg, watches: map[string]*watch{}}
}

// ErrNoSwitch is in the error when the bridge cannot be reached: its management
// socket is absent or refuses, or the connection ended before the answer. A
// write may have happened in the last case.
var ErrNoSwitch = errors.New("no switch answers")

// ErrVersion is in the error when the bridge allows none of OpenFlow 1.3 to 1.5.
var ErrVersion = errors.New("bridge allows none of OpenFlow 1.3, 1.4 and 1.5")

// Kind is the list of a Change that an Error points into.
type Kind uint8

// Kinds of elements.
const (
	KindNone      Kind = iota // Error.Line is -1
	KindAdd                   // Change.Add
	KindRemove                // Change.Remove
	KindSetGroup              // Change.SetGroups
	KindDropGroup             // Change.DropGroups
	KindForget                // Change.Forget
)

// Error is a command on a bridge that failed. A failed bundle has changed
// nothing, but for ErrNoSwitch and a deadline, where nobody knows, and for
// Warned, where it has happened.
type Error struct {
	Bridge string
	Op     string // "dump flows", "apply", …
	Kind   Kind   // which list of the change Line points into
	Line   int    // the element at fault, or -1 when the switch did not say
	Warned bool   // the write was carried out, but ovs-ofctl had something to say about it
	Stderr string // what ovs-ofctl said, at most 64 kB
	Err    error  // has ErrNoSwitch, ErrVersion, context.DeadlineExceeded or context.Canceled in it where that is the cause
}

func (e *Error) Error() string {
	what := e.Op
	switch e.Kind {
	case KindAdd:
		what += fmt.Sprintf(": flow %d", e.Line)
	case KindRemove:
		what += fmt.Sprintf(": removal %d", e.Line)
	case KindSetGroup:
		what += fmt.Sprintf(": group %d", e.Line)
	case KindForget:
		what += fmt.Sprintf(": removal %d of learned flows", e.Line)
	case KindDropGroup:
		what += fmt.Sprintf(": removal of group %d", e.Line)
	}
	if e.Stderr == "" {
		return fmt.Sprintf("%s on %s: %v", what, e.Bridge, e.Err)
	}
	return fmt.Sprintf("%s on %s: %v: %s", what, e.Bridge, e.Err, e.Stderr)
}

func (e *Error) Unwrap() error { return e.Err }

var (
	bridgeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,14}$`)
	// reservedNames mean something else to OVS.
	reservedNames = []string{
		"LOCAL", "ALL", "ANY", "NONE", "NORMAL", "FLOOD", "IN_PORT", "CONTROLLER", "TABLE", "UNSET",
		"drop", "lo", "all", "default", "ovs-netdev", "ovs-system",
	}
)

// socketPathMax is what fits in sun_path with its final zero (unix(7)).
const socketPathMax = 107

// socket is the management socket of a bridge. The name is checked because it
// becomes a path and a command line: "../x", "tcp:…" and "-b" are no bridges.
func (c *Client) socket(bridge string) (string, error) {
	if !bridgeName.MatchString(bridge) || slices.Contains(reservedNames, bridge) {
		return "", fmt.Errorf("%q is no bridge name", bridge)
	}
	path := filepath.Join(c.cfg.RunDir, bridge+".mgmt")
	if !filepath.IsAbs(path) || len(path) > socketPathMax {
		return "", fmt.Errorf("socket path %q is not absolute or longer than %d bytes", path, socketPathMax)
	}
	return path, nil
}
