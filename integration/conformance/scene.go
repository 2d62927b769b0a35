package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// end is a guest.
type end struct {
	*Ear
	net  string
	host int
	mac  mac
}

// scene is a column under one encapsulation, its documents in force.
type scene struct {
	t     *testing.T
	encap Encap
	hosts []*Host
	ends  map[string][]*end // by net, then by host
}

const (
	patience = 20 * time.Second       // for what must come
	settle   = 300 * time.Millisecond // for what must not
	tick     = 5 * time.Millisecond
)

// shot is one frame and the guests that must hear it, once each; all others must not.
type shot struct {
	from  *end
	mark  []byte
	frame []byte
	to    []*end
	as    func(e *end) []byte // the frame as an end hears it; nil: as it was sent
	told  bool                // its sender may hear that it is too large (RFC 1191), with the head of it
}

// fire sends the shots and holds every guest of the column to what it must hear.
func (s *scene) fire(shots ...shot) {
	s.t.Helper()
	s.listen(true)
	for _, x := range shots {
		s.ok(x.from.send(x.frame))
	}
	for limit := time.Now().Add(patience); !complete(shots) && time.Now().Before(limit); time.Sleep(tick) {
		s.listen(false)
	}
	time.Sleep(settle) // a second copy, a loop, or a stranger's
	s.listen(false)
	for _, x := range shots {
		s.judge(x)
	}
}

func (s *scene) judge(x shot) {
	s.t.Helper()
	for _, ends := range s.ends {
		for _, e := range ends {
			copies, due := e.received(x.mark), 0
			if x.told && e == x.from {
				copies = slices.DeleteFunc(copies, tooLarge)
			}
			if slices.Contains(x.to, e) {
				due = 1
			}
			if len(copies) != due {
				s.t.Errorf("%s from %s of %d bytes to %x: %s heard %d copies, want %d", x.mark, x.from.Name, len(x.frame), x.frame[:6], e.Name, len(copies), due)
			}
			for _, c := range copies {
				want := x.frame
				if x.as != nil {
					want = x.as(e)
				}
				if !bytes.Equal(c, want) {
					s.t.Errorf("%s from %s arrived at %s as\n%x, want\n%x", x.mark, x.from.Name, e.Name, c, want)
				}
			}
		}
	}
}

// listen lets all ears take in what has arrived; with forget, they begin anew.
func (s *scene) listen(forget bool) {
	s.t.Helper()
	hear := func(e *Ear) {
		s.ok(e.listen())
		if forget {
			e.heard = nil
		}
	}
	for _, h := range s.hosts {
		hear(h.Uplink)
	}
	for _, ends := range s.ends {
		for _, e := range ends {
			hear(e.Ear)
		}
	}
}

// to is a frame of one guest for an address, with an echo request in it.
func (e *end) to(address mac, ends ...*end) shot {
	mark := newMark()
	packet := ping(guestIP(e.host), guestIP(int(address[5])-1), mark, 84)
	return shot{from: e, mark: mark, frame: ethernet(address, e.mac, 0, etherIPv4, packet), to: ends}
}

// in is the same shot with a VLAN tag on its frame; 0 is none.
func (x shot) in(vlan uint16) shot {
	if vlan != 0 {
		x.frame = ethernet(mac(x.frame), mac(x.frame[6:]), vlan, etherIPv4, x.frame[14:])
	}
	return x
}

// others are the guests of a net without one.
func (s *scene) others(e *end) (out []*end) {
	for _, o := range s.ends[e.net] {
		if o != e {
			out = append(out, o)
		}
	}
	return out
}

// pairs calls f for every ordered pair of guests of a net.
func (s *scene) pairs(net string, f func(from, to *end)) {
	for _, a := range s.ends[net] {
		for _, b := range s.others(a) {
			f(a, b)
		}
	}
}

// connect waits until the guests of a net hear each other's broadcasts: the first find out about
// the underlay, and are lost on some hosts. Some of them may be under way when it returns.
func (s *scene) connect(net string, vlan func(host int) uint16) {
	s.t.Helper()
	for limit := time.Now().Add(patience); ; {
		shots := s.broadcasts(net)
		s.listen(true)
		for i := range shots {
			if vlan != nil {
				shots[i] = shots[i].in(vlan(shots[i].from.host))
			}
			s.ok(shots[i].from.send(shots[i].frame))
		}
		for next := time.Now().Add(settle); time.Now().Before(next); time.Sleep(tick) {
			if s.listen(false); complete(shots) {
				return
			}
		}
		if time.Now().After(limit) {
			s.t.Fatalf("%s: broadcasts do not arrive everywhere within %v", net, patience)
		}
	}
}

// complete says whether all that is to hear a shot has.
func complete(shots []shot) bool {
	for _, x := range shots {
		for _, e := range x.to {
			if len(e.received(x.mark)) == 0 {
				return false
			}
		}
	}
	return true
}

// onWire are the packets that a host sent with a mark in them, and those that were sent to it.
func (s *scene) onWire(host int, mark []byte) (sent, received []lab.OuterPacket) {
	s.t.Helper()
	decode := func(frames [][]byte) (out []lab.OuterPacket) {
		for _, f := range frames {
			p, err := lab.DecodeFrame(f)
			s.ok(err)
			out = append(out, p)
		}
		return out
	}
	uplink := s.hosts[host].Uplink // the far end of the cable
	return decode(uplink.received(mark)), decode(uplink.sent(mark))
}

// wire demands the number of packets with a mark that a host sent, and returns them.
func (s *scene) wire(host int, mark []byte, want int) []lab.OuterPacket {
	s.t.Helper()
	sent, _ := s.onWire(host, mark)
	if len(sent) != want {
		s.t.Fatalf("%s: %s sent it %d times, want %d", mark, s.hosts[host].Name, len(sent), want)
	}
	return sent
}

// keyOf is the tunnel key of a packet, none as a text.
func keyOf(p lab.OuterPacket) string {
	switch {
	case p.Key != nil:
		return fmt.Sprint(*p.Key)
	case p.VNI != nil:
		return fmt.Sprint(*p.VNI)
	}
	return "none"
}

func (s *scene) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
