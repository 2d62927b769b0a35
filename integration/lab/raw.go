package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// EtherTest is the EtherType of frames for experiments (IEEE 802, local experimental 1).
const EtherTest = 0x88b5

// Tag is one VLAN tag of a frame.
type Tag struct {
	Type     uint16 // 0 means 0x8100
	VID      uint16 // 0-4095
	Priority uint8  // 0-7
}

// Frame is an Ethernet frame of type EtherTest, with the VLAN tags that it has on the wire, the
// outer one first.
type Frame struct {
	Dst, Src [6]byte
	Tags     []Tag
	Data     string
}

// Raw sends and receives whole frames at a guest's end of its cable.
type Raw struct {
	fd, index int
}

// OpenRaw opens the guest's eth0 for frames of type EtherTest. Close it.
func (g *Guest) OpenRaw() (*Raw, error) {
	r := &Raw{}
	err := inNS(g.NS, func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		r.index = link.Index
		const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8
		if r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
			return err
		}
		err = errors.Join(
			unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: r.index}),
			unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1)) // the kernel takes the outer tag off
		if err != nil {
			_ = unix.Close(r.fd)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open packet socket of guest %s: %w", g.Name, err)
	}
	g.Host.lab.onClose(r.Close)
	return r, nil
}

// Close closes the socket. It may be called more than once.
func (r *Raw) Close() {
	if r.fd >= 0 {
		_ = unix.Close(r.fd)
		r.fd = -1
	}
}

// Send puts a frame on the wire.
func (r *Raw) Send(f Frame) error {
	b := slices.Concat(f.Dst[:], f.Src[:])
	for _, t := range f.Tags {
		if t.Type == 0 {
			t.Type = etherVLAN
		}
		b = binary.BigEndian.AppendUint16(b, t.Type)
		b = binary.BigEndian.AppendUint16(b, uint16(t.Priority)<<13|t.VID)
	}
	b = append(binary.BigEndian.AppendUint16(b, EtherTest), f.Data...)
	b = append(b, make([]byte, max(0, 60-len(b)))...)
	if err := unix.Sendto(r.fd, b, 0, &unix.SockaddrLinklayer{Ifindex: r.index}); err != nil {
		return fmt.Errorf("send frame: %w", err)
	}
	return nil
}

// Heard returns the frames that have come in since the last call, until the wire is quiet for a
// while. Those that the guest sent itself are not among them.
func (r *Raw) Heard(quiet time.Duration) ([]Frame, error) {
	timeout := unix.NsecToTimeval(int64(quiet))
	if err := unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, fmt.Errorf("receive frames: %w", err)
	}
	var out []Frame
	b, oob := make([]byte, 9216), make([]byte, 256)
	for {
		n, control, _, from, err := unix.Recvmsg(r.fd, b, oob, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return out, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return out, fmt.Errorf("receive frames: %w", os.NewSyscallError("recvmsg", err))
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if f, ok := decodeTest(b[:n], oob[:control]); ok {
			out = append(out, f)
		}
	}
}

// decodeTest reads a frame of type EtherTest with the tag that the kernel has taken off.
func decodeTest(b, oob []byte) (f Frame, ok bool) {
	if len(b) < 14 {
		return f, false
	}
	f.Dst, f.Src = [6]byte(b[:6]), [6]byte(b[6:12])
	if messages, err := unix.ParseSocketControlMessage(oob); err == nil {
		for _, m := range messages { // struct tpacket_auxdata
			const tagged, typed = unix.TP_STATUS_VLAN_VALID, unix.TP_STATUS_VLAN_TPID_VALID
			if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 {
				continue
			}
			if status := binary.NativeEndian.Uint32(m.Data); status&tagged != 0 {
				t := tagOf(etherVLAN, binary.NativeEndian.Uint16(m.Data[16:]))
				if status&typed != 0 {
					t.Type = binary.NativeEndian.Uint16(m.Data[18:])
				}
				f.Tags = append(f.Tags, t)
			}
		}
	}
	b = b[12:]
	for len(b) >= 4 && (binary.BigEndian.Uint16(b) == etherVLAN || binary.BigEndian.Uint16(b) == 0x88a8) {
		f.Tags = append(f.Tags, tagOf(binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])))
		b = b[4:]
	}
	if binary.BigEndian.Uint16(b) != EtherTest {
		return f, false
	}
	data := b[2:]
	for len(data) > 0 && data[len(data)-1] == 0 { // padding
		data = data[:len(data)-1]
	}
	f.Data = string(data)
	return f, true
}

func tagOf(kind, tci uint16) Tag {
	return Tag{Type: kind, VID: tci & 0xfff, Priority: uint8(tci >> 13)}
}
