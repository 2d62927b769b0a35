package guest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 10 * time.Second // for a packet to arrive; the guest is slow

// tap hears all frames of one device and writes them into a file that comes back.
type tap struct {
	t    *testing.T
	fd   int
	pcap *os.File
}

func (h host) listen(device string) *tap {
	h.t.Helper()
	link, err := h.LinkByName(device)
	check(h.t, err)
	s := &tap{t: h.t}
	h.in(func() {
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
		check(h.t, err)
		check(h.t, unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index}))
	})
	check(h.t, unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	s.pcap, err = os.Create(filepath.Join(os.Getenv("GREAVE_ARTIFACTS"), strings.ReplaceAll(h.t.Name(), "/", "_")+".pcap"))
	check(h.t, err)
	// libpcap's file: magic, version 2.4, zone, accuracy, longest frame, Ethernet
	check(h.t, binary.Write(s.pcap, binary.LittleEndian, []uint32{0xa1b2c3d4, 2 | 4<<16, 0, 0, 65535, 1}))
	h.t.Cleanup(func() {
		check(h.t, unix.Close(s.fd))
		check(h.t, s.pcap.Close())
	})
	return s
}

// until returns the frames heard up to and with the first that holds mark.
func (s *tap) until(mark []byte) (frames [][]byte) {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if f := s.next(0); f != nil {
			frames = append(frames, f)
			if bytes.Contains(f, mark) {
				return frames
			}
		}
	}
	s.t.Fatalf("no frame with %q in %v; %d others", mark, patience, len(frames))
	return nil
}

// storm is more frames than any test sends: the network under test loops.
const storm = 200_000

// drain returns the frames heard so far.
func (s *tap) drain() (frames [][]byte) {
	s.t.Helper()
	for f := s.next(unix.MSG_DONTWAIT); f != nil; f = s.next(unix.MSG_DONTWAIT) {
		if frames = append(frames, f); len(frames) == storm {
			s.t.Fatalf("%d frames and no end: a loop", storm)
		}
	}
	return frames
}

// next returns a frame, or nil when there is none for a while.
func (s *tap) next(flags int) []byte {
	s.t.Helper()
	buffer := make([]byte, 1<<16)
	n, _, err := unix.Recvfrom(s.fd, buffer, flags)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	check(s.t, err)
	now := time.Now()
	check(s.t, binary.Write(s.pcap, binary.LittleEndian, []uint32{uint32(now.Unix()), uint32(now.Nanosecond() / 1000), uint32(n), uint32(n)}))
	_, err = s.pcap.Write(buffer[:n])
	check(s.t, err)
	return bytes.Clone(buffer[:n])
}

// line is a pair of UDP sockets with the path under test in between.
type line struct {
	t        *testing.T
	from, to *net.UDPConn
	header   int // bytes of IP and UDP
}

// newLine opens sockets between two addresses and waits until a packet has crossed.
func newLine(t *testing.T, pair [2]host, from, to netip.Addr) line {
	t.Helper()
	l := line{t: t, header: 28}
	if from.Is6() {
		l.header = 48
	}
	var err error
	pair[1].in(func() { l.to, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 4000))) })
	check(t, err)
	pair[0].in(func() {
		l.from, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 4000)))
	})
	check(t, err)
	t.Cleanup(func() { l.from.Close(); l.to.Close() })
	l.neverFragment(from.Is6())
	for end := time.Now().Add(patience); time.Now().Before(end); {
		_, _ = l.from.Write([]byte("hello")) // an ICMP error of an earlier try may come back here
		if l.receive(100*time.Millisecond) == nil {
			continue
		}
		// Earlier tries may be under way still, for which this one waits: the line keeps the order.
		_, err := l.from.Write([]byte("ready"))
		check(t, err)
		for string(l.receive(patience)) == "hello" {
		}
		return l
	}
	t.Fatalf("no packet crossed from %v to %v in %v", from, to, patience)
	return l
}

// neverFragment makes the sender's packets go out whole or not at all, whatever it has been told
// of the path.
func (l line) neverFragment(six bool) {
	raw, err := l.from.SyscallConn()
	check(l.t, err)
	check(l.t, raw.Control(func(fd uintptr) {
		if six {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		}
	}))
	check(l.t, err)
}

// receive returns the payload of the next packet that arrives, nil if none does.
func (l line) receive(wait time.Duration) []byte {
	buffer := make([]byte, 1<<16)
	check(l.t, l.to.SetReadDeadline(time.Now().Add(wait)))
	n, err := l.to.Read(buffer)
	if err != nil {
		return nil
	}
	return bytes.Clone(buffer[:n])
}

// send sends an IP packet of the given size that begins with mark.
func (l line) send(mark string, size int) error {
	payload := make([]byte, size-l.header)
	copy(payload, mark)
	_, err := l.from.Write(payload)
	return err
}

// outer is the outermost IP packet of a frame.
type outer struct {
	length   int
	fragment bool
}

// parseOuter takes the length from the frame, not from the header, which the FOU receiver corrects
// in place while the tap still holds the frame.
func parseOuter(t *testing.T, frame []byte) outer {
	t.Helper()
	packet := frame[14:]
	o := outer{length: len(packet)}
	switch packet[0] >> 4 {
	case 4:
		o.fragment = binary.BigEndian.Uint16(packet[6:])&0x3fff != 0
	case 6:
		next, rest := packet[6], packet[40:]
		for next == unix.IPPROTO_DSTOPTS {
			next, rest = rest[0], rest[8+8*int(rest[1]):]
		}
		o.fragment = next == unix.IPPROTO_FRAGMENT
	default:
		t.Fatalf("no IP packet: %x", frame)
	}
	return o
}
