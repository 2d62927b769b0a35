package conformance

import (
	"net"
	"net/netip"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// outer is a packet on the wire, and the number of the host that sent it.
type outer struct {
	lab.OuterPacket
	from int
}

// innerAddress is that of a host in the tunnel of layer 3.
func innerAddress(i int, six bool) netip.Addr {
	if six {
		return netip.AddrFrom16([16]byte{0xfd, 9, 15: byte(i + 1)})
	}
	return netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)})
}

// layer3 sends datagrams from host to host, of both families and both ways.
func layer3(s *scene) {
	for i := range 2 {
		for _, six := range []bool{false, true} {
			s.datagram(i, innerAddress(i, six), innerAddress(1-i, six))
		}
	}
}

func (s *scene) datagram(from int, source, target netip.Addr) {
	s.t.Helper()
	var in, out *net.UDPConn
	s.ok(s.hosts[1-from].Fabric.Inside(func() (err error) {
		in, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(target, 0)))
		return err
	}))
	defer func() { _ = in.Close() }()
	s.ok(s.hosts[from].Fabric.Inside(func() (err error) {
		out, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), in.LocalAddr().(*net.UDPAddr))
		return err
	}))
	defer func() { _ = out.Close() }()
	buffer := make([]byte, 100)
	for limit := time.Now().Add(patience); time.Now().Before(limit); {
		mark := newMark()
		s.listen(true)
		_, _ = out.Write(mark) // an error of an earlier one may come back here
		s.ok(in.SetReadDeadline(time.Now().Add(settle)))
		if n, err := in.Read(buffer); err != nil || string(buffer[:n]) != string(mark) {
			continue
		}
		s.listen(false)
		p := s.wire(from, mark, 1)[0]
		if kind := map[bool]uint16{false: etherIPv4, true: 0x86dd}[source.Is6()]; p.GREProtocol != kind {
			s.t.Errorf("GRE carries %#x, want %#x", p.GREProtocol, kind)
		}
		return
	}
	s.t.Errorf("no datagram from %s arrived at %s within %v", source, target, patience)
}
