package kernel

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a netlink socket for requests, one at a time. The one of package nl allocates and clears
// 64 KiB for each answer and asks four things of the kernel on the way: on a slow machine that is as
// much as what a request does.
type socket struct {
	fd   int
	port uint32 // its address
	seq  uint32
	buf  []byte
}

// answerMax holds the longest piece of a dump (netlink_recvmsg grows them to 32 KiB).
const answerMax = 64 << 10

func openSocket(protocol int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("open netlink socket", err)
	}
	s := &socket{fd: fd, buf: make([]byte, answerMax)}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		s.close()
		return nil, os.NewSyscallError("bind netlink socket", err)
	}
	if at, err := unix.Getsockname(fd); err == nil {
		if nl, ok := at.(*unix.SockaddrNetlink); ok {
			s.port = nl.Pid
		}
	}
	// All three make answers better and are not needed: an old kernel has them not.
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK, unix.NETLINK_GET_STRICT_CHK} {
		_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1)
	}
	return s, nil
}

func (s *socket) close() {
	_ = unix.Close(s.fd)
	s.fd = -1 // the number may be another's soon
}

// header of a netlink message (struct nlmsghdr), its payload and what is behind it.
type answer struct {
	typ, flags uint16
	seq, port  uint32
	payload    []byte
}

// next takes the first message off b; ok is false at the end, or where it is cut short.
func next(b []byte) (a answer, rest []byte, ok bool) {
	if len(b) < unix.SizeofNlMsghdr {
		return a, nil, false
	}
	size := int(binary.NativeEndian.Uint32(b))
	if size < unix.SizeofNlMsghdr || size > len(b) {
		return a, nil, false
	}
	a = answer{binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), binary.NativeEndian.Uint32(b[8:]),
		binary.NativeEndian.Uint32(b[12:]), b[unix.SizeofNlMsghdr:size]}
	return a, b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):], true
}

// request appends a message to b.
func (s *socket) request(b []byte, typ, flags int, payload []byte) []byte {
	s.seq++
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(payload)))
	b = binary.NativeEndian.AppendUint16(b, uint16(typ))
	b = binary.NativeEndian.AppendUint16(b, uint16(flags|unix.NLM_F_REQUEST))
	b = binary.NativeEndian.AppendUint32(b, s.seq)
	b = binary.NativeEndian.AppendUint32(b, s.port)
	b = append(b, payload...)
	for len(b)%unix.NLMSG_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

// send hands messages to the kernel, which has dealt with them when it returns, and says until when
// their answers are waited for.
func (s *socket) send(ctx context.Context, b []byte) (until time.Time, err error) {
	until = time.Now().Add(patience)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	return until, unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// exchange sends a request and returns the messages that answer it. torn says of a dump that the
// table changed meanwhile.
func (s *socket) exchange(ctx context.Context, typ, flags int, payload []byte) (messages [][]byte, torn bool, err error) {
	until, err := s.send(ctx, s.request(nil, typ, flags, payload))
	if err != nil {
		return nil, false, err
	}
	for {
		b, err := s.receive(until)
		if err != nil {
			return nil, false, err
		}
		// What is kept of a dump must outlive the buffer; all else is an answer of one message.
		b = append([]byte(nil), b...)
		for {
			a, rest, ok := next(b)
			if !ok {
				break
			}
			b = rest
			if a.seq != s.seq || a.port != s.port {
				continue // the late answer to a request that was given up
			}
			torn = torn || a.flags&unix.NLM_F_DUMP_INTR != 0
			switch a.typ {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				return messages, torn, a.err()
			}
			messages = append(messages, a.payload)
			if a.flags&unix.NLM_F_MULTI == 0 {
				return messages, torn, nil
			}
		}
	}
}

// changes sends changes in one piece, as each call to the kernel costs something, and books what
// came of each. One that is refused keeps none behind it from being made.
func (s *socket) changes(ctx context.Context, list []*change) {
	bySeq, b := make(map[uint32]*change, len(list)), []byte(nil)
	for _, c := range list {
		b = s.request(b, c.typ, c.flags|unix.NLM_F_ACK, c.payload)
		bySeq[s.seq] = c
	}
	until, err := s.send(ctx, b)
	for err == nil && len(bySeq) > 0 {
		if b, err = s.receive(until); err != nil {
			break
		}
		for {
			a, rest, ok := next(b)
			if !ok {
				break
			}
			b = rest
			if c := bySeq[a.seq]; c != nil && a.port == s.port && a.typ == unix.NLMSG_ERROR {
				c.err = a.err()
				delete(bySeq, a.seq)
			}
		}
	}
	for _, c := range bySeq { // it may have been made: the next reading tells
		c.err = err
	}
}

// change is a message that wants no more than an acknowledgement.
type change struct {
	typ, flags int
	payload    []byte
	err        error // the kernel's answer
}

// receive reads one piece from the kernel into the buffer. Answers are there when the request
// returns; only a dump has to be waited for, or one behind a lock.
func (s *socket) receive(until time.Time) ([]byte, error) {
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buf, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		switch err {
		case nil:
			if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
				continue // another process may write to the socket too
			}
			if n > len(s.buf) {
				return nil, fmt.Errorf("an answer of %d bytes is too long", n)
			}
			return s.buf[:n], nil
		case unix.EINTR:
		case unix.EAGAIN:
			left := time.Until(until)
			if left <= 0 {
				return nil, unix.EAGAIN
			}
			poll := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(poll, int(left/time.Millisecond)+1); err != nil && err != unix.EINTR {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

// err is what a message that ends an answer says: an errno, with the kernel's words if there are any
// (NLMSGERR_ATTR_MSG).
func (a answer) err() error {
	if len(a.payload) < 4 {
		return nil
	}
	code := int32(binary.NativeEndian.Uint32(a.payload))
	if code >= 0 {
		return nil
	}
	err := error(unix.Errno(-code))
	if a.flags&unix.NLM_F_ACK_TLVS == 0 {
		return err
	}
	rest := a.payload[4:]
	if a.typ == unix.NLMSG_ERROR { // the request is quoted: its header, or all of it
		skip := unix.SizeofNlMsghdr
		if a.flags&unix.NLM_F_CAPPED == 0 && len(rest) >= 4 {
			skip = int(binary.NativeEndian.Uint32(rest)+unix.NLMSG_ALIGNTO-1) &^ (unix.NLMSG_ALIGNTO - 1)
		}
		rest = rest[min(len(rest), max(0, skip)):]
	}
	const message = 1
	for id, v := range attributes(rest) {
		if id == message {
			err = fmt.Errorf("%w: %s", err, cString(v))
		}
	}
	return err
}
