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
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}); err != nil {
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

// Heard returns the frames that came in since the last call, in order, without the outermost VLAN
// tag of each.
func (r *Raw) Heard() ([][]byte, error) {
	var frames [][]byte
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(r.fd, buffer, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return frames, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("hear %s: %w", r.name, err)
		}
		if link, ok := from.(*unix.SockaddrLinklayer); ok && link.Pkttype != unix.PACKET_OUTGOING {
			frames = append(frames, append([]byte(nil), buffer[:n]...))
		}
	}
}
