package ofctl

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// OpenFlow message types, the same from 1.3 to 1.5 (§7.1), and what the flow
// monitor of 1.4 and later adds (§7.3.5.19). In 1.3 that is ONF extension 187, in
// the form that ovs-ofctl 3.1 sends and Open vSwitch answers.
const (
	msgHello, msgError, msgEchoRequest, msgEchoReply = 0, 1, 2, 3
	msgExperimenter                                  = 4
	msgMultipartRequest, msgMultipartReply           = 18, 19
	msgBarrierRequest, msgBarrierReply               = 20, 21
	version13, version14, version15                  = 4, 5, 6
	multipartFlowMonitor, multipartExperimenter      = 16, 0xffff
	headerLen, multipartHeaderLen, fullEventLen      = 8, 16, 24
	onf, onfFlowMonitor                              = 0x4f4e4600, 1870
)

// watch is one OpenFlow connection that listens to a bridge. It tells own
// changes from those of others by a sum over the events: while a change of the
// Client is under way, and until the switch has answered a barrier sent after
// it, the events must add up to what the change says.
type watch struct {
	conn    net.Conn
	version byte
	kick    func()

	mu      sync.Mutex
	pending int    // own changes not yet followed by their barrier
	balance uint64 // events seen, less events expected
	foreign bool   // an event that no own change makes
}

// Watch calls kick once when it listens, and then whenever something that is
// not this Client's Apply has changed a flow of the bridge. A kick is a hint:
// many events may make one, one may come for nothing, and an unusually large
// own change makes one. Flows with a cookie of the kind KindLearned are passed
// over, but for those that tell of a guest that is being moved. Group changes by
// others are seen only if they remove flows.
//
// Watch returns when ctx ends, or with ErrNoSwitch when the switch is gone.
func (c *Client) Watch(ctx context.Context, bridge string, kick func()) error {
	fail := func(err error) error { return &Error{Bridge: bridge, Op: "watch", Line: -1, Err: err} }
	socket, err := c.socket(bridge)
	if err != nil {
		return fail(err)
	}
	dialCtx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(dialCtx, "unix", socket)
	if err != nil {
		return fail(lost(ctx, err))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	w := &watch{conn: conn, kick: kick}
	in := bufio.NewReaderSize(conn, 64<<10)
	if err := w.greet(dialCtx, in); err != nil {
		return fail(lost(ctx, err))
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.watches[bridge] == w {
			delete(c.watches, bridge)
		}
	}()
	for listening := false; ; {
		_, typ, body, err := readMessage(in)
		if err != nil {
			return fail(lost(ctx, err))
		}
		if typ == msgBarrierReply && !listening {
			listening = true
			c.mu.Lock()
			c.watches[bridge] = w
			c.mu.Unlock()
			kick()
			continue
		}
		if err := w.take(typ, body); err != nil {
			c.cfg.Logger.Warn("watch refused", "bridge", bridge, "err", err)
		}
	}
}

// lost makes ErrNoSwitch of a connection that is absent or has ended.
func lost(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w: %w", ErrNoSwitch, err)
	}
	return err
}

// greet agrees on a version, asks for all flow events, and sends a barrier
// whose answer says that they are being reported.
func (w *watch) greet(ctx context.Context, in *bufio.Reader) error {
	deadline, _ := ctx.Deadline()
	if err := w.conn.SetDeadline(deadline); err != nil {
		return err
	}
	// One version bitmap element (§7.5.1): type 1, 8 bytes.
	hello := binary.BigEndian.AppendUint32([]byte{0, 1, 0, 8}, 1<<version13|1<<version14|1<<version15)
	if err := w.send(version15, msgHello, hello); err != nil {
		return err
	}
	theirs, typ, body, err := readMessage(in)
	if err != nil {
		return err
	}
	if w.version = common(theirs, typ, body); w.version < version13 {
		return ErrVersion
	}
	if err := w.send(w.version, msgMultipartRequest, monitorRequest(w.version)); err != nil {
		return err
	}
	if err := w.send(w.version, msgBarrierRequest, nil); err != nil {
		return err
	}
	return w.conn.SetDeadline(time.Time{})
}
