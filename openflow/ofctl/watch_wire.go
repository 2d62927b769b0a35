package ofctl

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/greave-sdn/greave/openflow"
)

// kindLearned is openflow.KindLearned: learning is no foreign write.
const kindLearned = openflow.KindLearned

// readMessage returns the version and type of one message, and what follows its
// header.
func readMessage(in *bufio.Reader) (version, typ byte, body []byte, err error) {
	var head [headerLen]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(head[2:]))
	if n < headerLen {
		return 0, 0, nil, fmt.Errorf("message of %d bytes", n)
	}
	body = make([]byte, n-headerLen)
	_, err = io.ReadFull(in, body)
	return head[0], head[1], body, err
}

func (w *watch) send(version, typ byte, body []byte) error {
	msg := []byte{version, typ}
	msg = binary.BigEndian.AppendUint16(msg, uint16(headerLen+len(body)))
	msg = binary.BigEndian.AppendUint32(msg, 1) // one transaction id for all: the order of the answers tells
	_, err := w.conn.Write(append(msg, body...))
	return err
}

// common is the newest version that both sides have, or 0. A hello without a
// bitmap offers all versions up to its own.
func common(theirs, typ byte, body []byte) byte {
	if typ != msgHello {
		return 0
	}
	ours := uint32(1<<version13 | 1<<version14 | 1<<version15)
	offer := uint32(2)<<theirs - 1
	if len(body) >= 8 && binary.BigEndian.Uint16(body) == 1 {
		offer = binary.BigEndian.Uint32(body[4:])
	}
	return byte(bits.Len32(ours&offer) - min(1, bits.Len32(ours&offer)))
}

// monitorRequest asks for additions, removals and modifications of all flows in
// all tables, without their actions.
func monitorRequest(version byte) []byte {
	const (
		anyPort, anyGroup, allTables = 0xffffffff, 0xffffffff, 0xff
		flags                        = 1<<1 | 1<<2 | 1<<3 // OFPFMF_ADD, _REMOVED, _MODIFY
		commandAdd, emptyMatchLen    = 0, 4
	)
	if version == version13 {
		m := append(binary.BigEndian.AppendUint16(nil, multipartExperimenter), 0, 0, 0, 0, 0, 0)
		m = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(m, onf), onfFlowMonitor)
		m = binary.BigEndian.AppendUint32(m, 1) // monitor id
		m = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(m, flags), emptyMatchLen)
		m = append(binary.BigEndian.AppendUint32(m, anyPort), allTables, 0, 0, 0)
		return append(m, 0, 1, 0, 4, 0, 0, 0, 0)
	}
	m := binary.BigEndian.AppendUint16(nil, multipartFlowMonitor)
	m = append(m, 0, 0, 0, 0, 0, 0)         // flags, padding
	m = binary.BigEndian.AppendUint32(m, 1) // monitor id
	m = binary.BigEndian.AppendUint32(m, anyPort)
	m = binary.BigEndian.AppendUint32(m, anyGroup)
	m = binary.BigEndian.AppendUint16(m, flags)
	m = append(m, allTables, commandAdd)
	return append(m, 0, 1, 0, 4, 0, 0, 0, 0) // an empty match, padded to 8 bytes
}

// take handles one message after the greeting.
func (w *watch) take(typ byte, body []byte) error {
	switch typ {
	case msgEchoRequest:
		return w.send(w.version, msgEchoReply, body)
	case msgError:
		return fmt.Errorf("switch answers error %x", body[:min(len(body), 4)])
	case msgBarrierReply:
		w.settle()
	case msgMultipartReply:
		if events, ok := monitorReply(body); ok {
			w.events(events)
		}
	case msgExperimenter: // 1.3: paused or resumed
		w.events([]byte{0, headerLen, 0xff, 0xff, 0, 0, 0, 0})
	}
	return nil
}

// monitorReply finds the events in the body of a multipart reply.
func monitorReply(body []byte) ([]byte, bool) {
	const inner = multipartHeaderLen - headerLen
	switch {
	case len(body) < inner:
		return nil, false
	case binary.BigEndian.Uint16(body) == multipartFlowMonitor:
		return body[inner:], true
	case binary.BigEndian.Uint16(body) == multipartExperimenter && len(body) >= inner+8 &&
		binary.BigEndian.Uint32(body[inner:]) == onf && binary.BigEndian.Uint32(body[inner+4:]) == onfFlowMonitor:
		return body[inner+8:], true
	}
	return nil, false
}

// flowEvent is what the switch says of one flow; neither added nor removed is
// modified.
type flowEvent struct {
	added, removed bool
	table          openflow.Table
	priority       uint16
	cookie         openflow.Cookie
}

// event reads one event of at least fullEventLen bytes; ok is false for one that
// says that others were left out.
func (w *watch) event(b []byte) (e flowEvent, ok bool) {
	kind, cookie := binary.BigEndian.Uint16(b[2:]), openflow.Cookie(binary.BigEndian.Uint64(b[16:]))
	if w.version == version13 { // struct nx_flow_update_full: added, deleted, modified
		return flowEvent{kind == 0, kind == 1, openflow.Table(b[14]), binary.BigEndian.Uint16(b[6:]), cookie}, kind <= 2
	}
	// struct ofp_flow_update_full: initial, added, removed, modified
	return flowEvent{kind == 1, kind == 2, openflow.Table(b[4]), binary.BigEndian.Uint16(b[10:]), cookie}, kind >= 1 && kind <= 3
}

// events adds up what the switch reports.
func (w *watch) events(b []byte) {
	var sum uint64
	any, odd, news := false, false, false
	for len(b) >= 4 {
		n := int(binary.BigEndian.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		var e flowEvent
		full := false
		if n >= fullEventLen {
			e, full = w.event(b)
		}
		switch {
		case !full: // paused, resumed: events were left out
			any, odd = true, true
		case e.cookie.Kind() == kindLearned:
			news = news || e.added && ofMoves(e.table)
		default:
			any = true
			sum += mark(e.removed, e.table, e.priority, e.cookie)
		}
		b = b[n:]
	}
	w.mu.Lock()
	w.balance += sum
	w.foreign = w.foreign || odd
	calm := w.pending > 0 || !any
	if !calm {
		w.balance, w.foreign = 0, false
	}
	w.mu.Unlock()
	if news {
		w.wake()
	}
	if !calm || news {
		w.kick()
	}
}

// wake makes ovs-vswitchd look at its tables. What the thread that handles a packet
// has learned counts at once for what has no cached datapath flow; the cached ones
// are held against the tables when the main thread runs next (3.1), which an idle
// switch does after up to half a second (63 packets lost of one each 10 ms), and now
// for this message (2 at most).
func (w *watch) wake() { _ = w.send(w.version, msgEchoRequest, nil) } // a connection that is lost ends the watch

// ofMoves tells whether what is learned in a table is news: a guest that is being
// moved has announced itself.
func ofMoves(t openflow.Table) bool { return t == openflow.TableActive || t == openflow.TableMoved }

// mark is a number for one event, spread so that sums of different sets differ
// (the finaliser of splitmix64).
func mark(removed bool, t openflow.Table, priority uint16, c openflow.Cookie) uint64 {
	x := uint64(c)*0x9e3779b97f4a7c15 + uint64(t)<<17 + uint64(priority)<<1
	if removed {
		x++
	}
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// expect announces an own change to the bridge's watch. What it returns is to
// be called when the change is over, and whether it was carried out.
func (c *Client) expect(bridge string, ch openflow.Change) func(done bool) {
	c.mu.Lock()
	w := c.watches[bridge]
	c.mu.Unlock()
	if w == nil {
		return func(bool) {}
	}
	w.mu.Lock()
	w.pending++
	w.mu.Unlock()
	return func(done bool) {
		var sum uint64
		if done {
			sum = expected(ch)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.balance -= sum
		// A write that fails has ended the connection, and the watch with it.
		_ = w.send(w.version, msgBarrierRequest, nil)
	}
}

func expected(ch openflow.Change) uint64 {
	var sum uint64
	for _, f := range ch.Add {
		if f.Cookie.Kind() != kindLearned {
			sum += mark(false, f.Table, f.Priority, f.Cookie)
		}
	}
	for _, r := range ch.Remove {
		if r.Cookie.Kind() != kindLearned {
			sum += mark(true, r.Table, r.Priority, r.Cookie)
		}
	}
	return sum
}

// settle closes one own change: all its events have come.
func (w *watch) settle() {
	w.mu.Lock()
	w.pending--
	kick := w.pending == 0 && (w.balance != 0 || w.foreign)
	if w.pending == 0 {
		w.balance, w.foreign = 0, false
	}
	w.mu.Unlock()
	if kick {
		w.kick()
	}
}
