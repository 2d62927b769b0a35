package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Raw sends and hears whole Ethernet frames at a guest's eth0, beside the guest's kernel.
type Raw struct {
	name string
	fd   int
}

// Raw opens a packet socket in the guest, which the lab closes. It needs nothing of the guest's
// kernel: whether that has an address does not matter.
func (g *Guest) Raw() (*Raw, error) {
	r := &Raw{name: g.Name, fd: -1}
	if err := inNS(g.NS, r.open); err != nil {
		return nil, fmt.Errorf("open raw socket in %s: %w", g.Name, err)
	}
	g.Host.lab.onClose(func() { _ = unix.Close(r.fd) })
	return r, nil
}

func (r *Raw) open() error {
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	// No protocol before the bind: the socket would hear all devices until then.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1), // a tag is beside the frame, not in it
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}))
	if err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	r.fd = fd
	return nil
}

// Send sends a frame that begins with its Ethernet addresses.
func (r *Raw) Send(frame []byte) error {
	if _, err := unix.Write(r.fd, frame); err != nil {
		return fmt.Errorf("send %d bytes from %s: %w", len(frame), r.name, err)
	}
	return nil
}

// Heard returns the frames that came in since the last call, in order, with their VLAN tags.
func (r *Raw) Heard() ([][]byte, error) {
	var frames [][]byte
	buffer, oob := make([]byte, 1<<16), make([]byte, 256)
	for {
		n, oobn, _, from, err := unix.Recvmsg(r.fd, buffer, oob, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return frames, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("hear %s: %w", r.name, err)
		}
		if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype != unix.PACKET_OUTGOING {
			frames = append(frames, tagged(buffer[:n], oob[:oobn]))
		}
	}
}

// tagged copies a frame and puts back the VLAN tag that struct tpacket_auxdata of packet(7) holds.
func tagged(frame, oob []byte) []byte {
	messages, _ := unix.ParseSocketControlMessage(oob) // the kernel's own
	for _, m := range messages {
		if m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 || len(frame) < 12 || binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID == 0 {
			continue
		}
		tci, kind := binary.NativeEndian.Uint16(m.Data[16:]), binary.NativeEndian.Uint16(m.Data[18:])
		out := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(append([]byte(nil), frame[:12]...), kind), tci)
		return append(out, frame[12:]...)
	}
	return append([]byte(nil), frame...)
}
