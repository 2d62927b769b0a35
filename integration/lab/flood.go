package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
)

// FloodResult counts what became of a flood.
type FloodResult struct {
	Sent, Received, Lost int           // distinct packets; Lost = Sent - Received
	Duplicates           int           // arrivals beyond the first of each packet
	LongestLoss          int           // most packets lost in a row: unlike LongestGap blind to a busy machine
	LongestGap           time.Duration // longest silence at the receiver
}

// Flood is a running stream of numbered UDP packets from one guest to another.
type Flood struct {
	out      *net.UDPConn
	in       map[*Guest]*net.UDPConn
	to       netip.AddrPort
	interval time.Duration
	quit     chan struct{}
	first    chan struct{} // closed at the first arrival
	halt     sync.Once
	senders  sync.WaitGroup
	readers  sync.WaitGroup

	sent int // after senders

	mu     sync.Mutex
	seen   map[uint64]int
	last   time.Time
	result FloodResult
}

const (
	floodSize   = 64         // bytes of UDP payload
	floodBuffer = 4 << 20    // bytes of receive buffer: a stall of the reader must not count as loss
	warmUp      = ^uint64(0) // sequence number of the packets sent until the first one arrives
)

// StartFlood sends one packet an interval (1 ms finds outages worth finding) from one guest to the
// address of another, and returns when the path has been seen to work; what is sent until then
// (ARP, learning) does not count. Stop ends it, Close of the lab does too.
//
// Twins are guests of the same address, elsewhere: what arrives at any of them has arrived.
func StartFlood(ctx context.Context, from, to *Guest, interval time.Duration, twins ...*Guest) (*Flood, error) {
	f := &Flood{interval: interval, quit: make(chan struct{}), first: make(chan struct{}), seen: map[uint64]int{}, in: map[*Guest]*net.UDPConn{}}
	port := 0
	for _, g := range append([]*Guest{to}, twins...) {
		conn, err := g.listenUDP(port)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start flood: %w", err), f.close())
		}
		f.in[g], port = conn, conn.LocalAddr().(*net.UDPAddr).Port
	}
	var err error
	if f.out, err = from.listenUDP(0); err != nil {
		return nil, errors.Join(fmt.Errorf("start flood: %w", err), f.close())
	}
	f.to = netip.AddrPortFrom(to.Addr.Addr(), uint16(port))
	from.Host.lab.onClose(func() { f.end() })
	f.senders.Go(f.send)
	for _, conn := range f.in {
		f.readers.Go(func() { f.receive(conn) })
	}
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-f.first:
		return f, nil
	case <-limit.C:
		err = errors.New("nothing arrived in 10 s")
	case <-ctx.Done():
		err = ctx.Err()
	}
	f.end()
	return nil, fmt.Errorf("start flood from %s to %s: %w", from.Name, to.Name, err)
}

// Stop ends the flood, waits for what is under way, and counts.
func (f *Flood) Stop() FloodResult {
	f.end()
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.result
	r.Sent, r.Received = f.sent, len(f.seen)
	r.Lost = r.Sent - r.Received
	run := 0
	for n := range r.Sent {
		if run++; f.seen[uint64(n)] > 0 {
			run = 0
		}
		r.LongestLoss = max(r.LongestLoss, run)
	}
	return r
}

func (f *Flood) end() {
	f.halt.Do(func() {
		close(f.quit)
		f.senders.Wait()
		for _, conn := range f.in {
			_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)) // for what is under way
		}
		f.readers.Wait()
		_ = f.out.Close()
		_ = f.close()
	})
}

func (f *Flood) close() error {
	var errs []error
	for _, conn := range f.in {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// Pause makes one of the receivers deaf, as a guest is that was stopped.
func (f *Flood) Pause(g *Guest) { _ = f.in[g].Close() }

func (f *Flood) send() {
	packet := make([]byte, floodSize)
	for next := time.Now(); ; next = next.Add(f.interval) {
		select {
		case <-f.quit:
			return
		case <-time.After(time.Until(next)): // at once when late: the rate holds on a busy machine
		}
		number := warmUp
		select {
		case <-f.first:
			number = uint64(f.sent)
			f.sent++
		default:
		}
		binary.BigEndian.PutUint64(packet, number)
		_, _ = f.out.WriteToUDPAddrPort(packet, f.to) // one that cannot be sent counts as lost
	}
}

func (f *Flood) receive(conn *net.UDPConn) {
	packet := make([]byte, floodSize)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(packet)
		if err != nil {
			return
		}
		if n != floodSize {
			continue
		}
		f.mu.Lock()
		now := time.Now()
		started := !f.last.IsZero()
		if started {
			f.result.LongestGap = max(f.result.LongestGap, now.Sub(f.last))
		}
		f.last = now
		if number := binary.BigEndian.Uint64(packet); number != warmUp {
			if f.seen[number]++; f.seen[number] > 1 {
				f.result.Duplicates++
			}
		}
		f.mu.Unlock()
		if !started {
			close(f.first)
		}
	}
}

// listenUDP opens a socket in the guest on a port; 0 is a free one.
func (g *Guest) listenUDP(port int) (*net.UDPConn, error) {
	var conn *net.UDPConn
	err := inNS(g.NS, func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{Port: port})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open socket in %s: %w", g.Name, err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, floodBuffer)
	})
	if err = errors.Join(err, set); err != nil {
		return nil, errors.Join(fmt.Errorf("set receive buffer: %w", err), conn.Close())
	}
	return conn, nil
}

// inNS runs f on a thread that is in the namespace. A socket stays in the one it was opened in.
func inNS(name string, f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() { _ = home.Close() }()
	there, err := netns.GetFromName(name)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() { _ = there.Close() }()
	if err := netns.Set(there); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if back := netns.Set(home); back != nil {
		return errors.Join(err, back) // still locked: the thread must serve nobody else
	}
	runtime.UnlockOSThread()
	return err
}
