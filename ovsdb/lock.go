package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
)

// Lock is a lock of ovsdb-server (RFC 7047 sections 4.1.8 to 4.1.10) that at most one client has at a time. It is on a connection
// of its own, because libovsdb asks for none and answers no "locked" or "stolen"; so it cannot be asserted inside a transaction
// (section 5.2.10): ask State before each one. The server gives it to the next in line when the connection ends, however it ends.
type Lock struct {
	id         string
	path       string
	endpoint   string // as it was given, for messages
	log        *slog.Logger
	probeEvery time.Duration
	changes    chan struct{}

	mu    sync.Mutex // guards state
	state LockState
}

// LockState says who has a lock.
type LockState uint8

// States of a lock.
const (
	LockUnknown LockState = iota // no connection, or no answer yet
	LockHeld                     // this client has it
	LockWaiting                  // another client has it, this one is in line
)

// NewLock returns a lock that Run asks for. Two clients that give the same owner compete for it.
func NewLock(cfg Config, owner string) *Lock {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Lock{
		id: lockID(owner), path: strings.TrimPrefix(cfg.Endpoint, "unix:"), endpoint: cfg.Endpoint, log: cfg.Logger,
		probeEvery: 5 * time.Second, changes: make(chan struct{}, 1),
	}
}

// lockID is the name of an owner's lock: an <id> of RFC 7047 section 3.1, a different one for each owner.
func lockID(owner string) string {
	var b strings.Builder
	b.WriteString("greave_")
	for _, c := range []byte(owner) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// ID is the lock's name in the database.
func (l *Lock) ID() string { return l.id }

// State says who has the lock now.
func (l *Lock) State() LockState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Standby says why this client must not write, "" when it may, or when the database is out of reach.
func (l *Lock) Standby() string {
	if l.State() != LockWaiting {
		return ""
	}
	return fmt.Sprintf("another process has the lock %s of the database at %s: a second greaved of this name. This one changes nothing until that one ends; give it another --name if both are meant to work", l.id, l.endpoint)
}

// Changes tells that State may have changed. There must be one reader. It is never closed.
func (l *Lock) Changes() <-chan struct{} { return l.changes }

func (l *Lock) set(s LockState) {
	l.mu.Lock()
	was := l.state
	l.state = s
	l.mu.Unlock()
	if was == s {
		return
	}
	switch s {
	case LockHeld:
		l.log.Info("database lock taken", "lock", l.id)
	case LockWaiting:
		l.log.Warn("database lock is another's", "lock", l.id)
	}
	select {
	case l.changes <- struct{}{}:
	default:
	}
}

// Run asks for the lock, on a new connection whenever one is lost, until ctx ends; then the lock is free. It returns nil.
func (l *Lock) Run(ctx context.Context) error {
	pause := minBackoff
	for ctx.Err() == nil {
		answered, err := l.connect(ctx)
		l.set(LockUnknown)
		if answered {
			pause = minBackoff
		}
		l.log.Debug("database lock lost", "lock", l.id, "err", err)
		if !sleep(ctx, pause) {
			break
		}
		pause = min(2*pause, maxBackoff)
	}
	return nil
}

// message is a request, a notification or an answer of JSON-RPC 1.0.
type message struct {
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
	ID     json.RawMessage `json:"id"`
}

var errSilent = errors.New("the database does not answer")

// connect holds one connection until it ends, and says whether the server answered at all.
func (l *Lock) connect(ctx context.Context) (answered bool, err error) {
	conn, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "unix", l.path)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	w := &lockWire{conn: conn}
	if err := w.call("lock", l.id, idLock); err != nil {
		return false, err
	}
	in := json.NewDecoder(conn)
	for silent := false; ; {
		// A server that is gone without a word, or stands still, has this client's lock: let go of it.
		if err := conn.SetReadDeadline(time.Now().Add(l.probeEvery)); err != nil {
			return answered, err
		}
		var m message
		err := in.Decode(&m)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			if silent {
				return answered, errSilent
			}
			silent = true
			if err := w.call("echo", l.id, idEcho); err != nil {
				return answered, err
			}
			in = json.NewDecoder(io.MultiReader(in.Buffered(), conn)) // a decoder keeps its first error
			continue
		}
		if err != nil {
			return answered, err
		}
		answered, silent = true, false
		if err := l.take(w, m); err != nil {
			return answered, err
		}
	}
}

// Ids of requests.
const idLock, idEcho, idUnlock = "lock", "echo", "unlock"

// take acts on one message.
func (l *Lock) take(w *lockWire, m message) error {
	var about []string
	_ = json.Unmarshal(m.Params, &about)
	mine := len(about) == 1 && about[0] == l.id
	switch {
	case m.Method == "echo":
		return w.answer(m)
	case m.Method == "locked" && mine:
		l.set(LockHeld)
	case m.Method == "stolen" && mine: // get in line again; a second "lock" needs an "unlock" before it
		l.set(LockWaiting)
		if err := w.call("unlock", l.id, idUnlock); err != nil {
			return err
		}
		return w.call("lock", l.id, idLock)
	case m.Method == "" && string(m.ID) == `"`+idLock+`"`:
		var r struct{ Locked bool }
		if err := json.Unmarshal(m.Result, &r); err != nil {
			return fmt.Errorf("ask for lock %s: %s", l.id, m.Error)
		}
		if r.Locked {
			l.set(LockHeld)
		} else {
			l.set(LockWaiting)
		}
	}
	return nil
}

// lockWire writes messages.
type lockWire struct{ conn net.Conn }

func (w *lockWire) write(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := w.conn.SetWriteDeadline(time.Now().Add(connectTimeout)); err != nil {
		return err
	}
	_, err = w.conn.Write(text)
	return err
}

func (w *lockWire) call(method, param, id string) error {
	return w.write(map[string]any{"method": method, "params": []string{param}, "id": id})
}

func (w *lockWire) answer(m message) error {
	return w.write(map[string]any{"result": m.Params, "error": nil, "id": m.ID})
}
