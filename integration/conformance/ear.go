package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Ear hears every frame of one device, and sends frames out of it.
type Ear struct {
	Name  string
	fd    int
	heard []heard
}

// heard is a frame as it was on the device, VLAN tag included.
type heard struct {
	frame []byte
	sent  bool // by this side of the device; what the ear sends it does not hear
}

// Listen opens an ear in the network namespace of the calling thread.
func Listen(name, device string) (*Ear, error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", device, err)
	}
	// No protocol before the bind: the socket would hear all devices until then.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", device, err)
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1), // a tag is beside the frame, not in it
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", device, errors.Join(err, unix.Close(fd)))
	}
	return &Ear{Name: name, fd: fd}, nil
}

// Close closes the ear.
func (e *Ear) Close() error { return unix.Close(e.fd) }

// send sends a frame that begins with its Ethernet addresses.
func (e *Ear) send(frame []byte) error {
	if _, err := unix.Write(e.fd, frame); err != nil {
		return fmt.Errorf("send %d bytes from %s: %w", len(frame), e.Name, err)
	}
	return nil
}

// listen takes in what has arrived.
func (e *Ear) listen() error {
	buffer, oob := make([]byte, 1<<16), make([]byte, 256)
	for {
		n, oobn, _, from, err := unix.Recvmsg(e.fd, buffer, oob, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return e.missed()
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("hear %s: %w", e.Name, err)
		}
		frame, err := tagged(buffer[:n], oob[:oobn])
		if err != nil {
			return fmt.Errorf("hear %s: %w", e.Name, err)
		}
		link, _ := from.(*unix.SockaddrLinklayer)
		e.heard = append(e.heard, heard{frame, link != nil && link.Pkttype == unix.PACKET_OUTGOING})
	}
}

// missed is an error when frames were lost for want of room.
func (e *Ear) missed() error {
	stats, err := unix.GetsockoptTpacketStats(e.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err == nil && stats.Drops > 0 {
		err = fmt.Errorf("missed %d frames", stats.Drops)
	}
	if err != nil {
		return fmt.Errorf("hear %s: %w", e.Name, err)
	}
	return nil
}

// tagged copies a frame and puts back the VLAN tag that struct tpacket_auxdata of packet(7) holds.
func tagged(frame, oob []byte) ([]byte, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 || len(frame) < 12 {
			continue
		}
		status := binary.NativeEndian.Uint32(m.Data)
		if status&unix.TP_STATUS_VLAN_VALID == 0 {
			continue
		}
		tci, kind := binary.NativeEndian.Uint16(m.Data[16:]), uint16(unix.ETH_P_8021Q)
		if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			kind = binary.NativeEndian.Uint16(m.Data[18:])
		}
		out := append([]byte(nil), frame[:12]...)
		out = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(out, kind), tci)
		return append(out, frame[12:]...), nil
	}
	return bytes.Clone(frame), nil
}

// received returns the frames with a mark that came from the far side, sent those that left.
func (e *Ear) received(mark []byte) [][]byte { return e.with(mark, false) }
func (e *Ear) sent(mark []byte) [][]byte     { return e.with(mark, true) }

func (e *Ear) with(mark []byte, sent bool) (out [][]byte) {
	for _, h := range e.heard {
		if h.sent == sent && bytes.Contains(h.frame, mark) {
			out = append(out, h.frame)
		}
	}
	return out
}
