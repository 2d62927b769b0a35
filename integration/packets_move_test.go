package integration

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// The guest that is moved, and its neighbours.
const (
	moverMAC = "02:00:00:00:00:aa"
	moverNet = "10.0.0.170/24"
)

var (
	moverIP = addr("10.0.0.170")
	// rarpOf is what QEMU sends when a guest runs on (announce_self).
	rarpOf = lab.RARP([6]byte(hw(moverMAC)))
)

// moveLab is a guest that is on h1 and comes to h2, in the eyes of a guest on each
// of the two and on h3. Both of its selves are there from the start, as with QEMU:
// the one on h2 is silent until it runs.
type moveLab struct {
	*lab.Lab
	from, to *lab.Guest   // the two selves
	ear      *lab.Raw     // at the one that is to come
	guests   []*lab.Guest // gN on each host
}

func startMove(t *testing.T) moveLab {
	t.Helper()
	m := moveLab{Lab: lab.ForTest(t, lab.Options{Hosts: 3})}
	start(t, m.Lab)
	m.guests = redGuests(t, m.Hosts, 0)
	m.from, m.to = m.self(t, 0), m.self(t, 1)
	m.ear = raw(t, m.to)
	return m
}

// self is the guest on one host, on the port that libvirt would make for it.
func (m moveLab) self(t *testing.T, host int) *lab.Guest {
	t.Helper()
	h := m.Hosts[host]
	apply(t, h, segmentDoc(m.Hosts, h, ""))
	g := guest(t, h, "vnet0", moverNet, moverMAC, 0)
	vsctl(t, h, fmt.Sprintf("add-port br-greave vnet0 -- set Interface vnet0 external_ids:attached-mac=%q external_ids:iface-id=vm external_ids:vm-id=vm external_ids:iface-status=active", moverMAC))
	return g
}

// doc is a host's document with a guest in the state that the fields say: port and
// entry are further fields of its port and its FDB entry, "-" is none of them.
func (m moveLab) doc(host int, port, entry string) string {
	doc := segmentDoc(m.Hosts, m.Hosts[host], "")
	if port != "-" {
		doc = strings.Replace(doc, "ports:\n", fmt.Sprintf("ports:\n- {name: vm, iface_id: vm, attachments: [{segment: red}], macs: [%q], ips: [%s]%s}\n", moverMAC, moverIP, port), 1)
	}
	if entry != "-" {
		doc += fmt.Sprintf("- {segment: red, mac: %q, ips: [%s], %s}\n", moverMAC, moverIP, entry)
	}
	return doc
}

// settled states that the guest is on one of the first two hosts.
func (m moveLab) settled(t *testing.T, at int) {
	t.Helper()
	for i, h := range m.Hosts {
		if i == at {
			apply(t, h, m.doc(i, "", "-"))
		} else {
			apply(t, h, m.doc(i, "-", "peer: "+m.Hosts[at].Name))
		}
	}
}

// moving states that the guest moves between the first two hosts.
func (m moveLab) moving(t *testing.T, from, to int, by string) {
	t.Helper()
	a, b := m.Hosts[from].Name, m.Hosts[to].Name
	apply(t, m.Hosts[to], m.doc(to, ", activation: {by: "+by+"}", "peer: "+a))
	apply(t, m.Hosts[2], m.doc(2, "-", fmt.Sprintf("peer: %s, moving_to: %s", a, b)))
	apply(t, m.Hosts[from], m.doc(from, ", moving_to: "+b, "-"))
}

// answers fails the test unless each guest gets answers from the guest that moves,
// and all of them come from one of its selves.
func (m moveLab) answers(t *testing.T, from *lab.Guest) {
	t.Helper()
	for _, g := range m.guests {
		reaches(t, g, moverIP)
		eventually(t, settle, fmt.Sprintf("%s gets 5 answers of the self on %s", g.Name, from.Host.Name), func() bool {
			before := heard(t, from)
			s, err := g.Ping(t.Context(), moverIP, 5, 5*time.Millisecond)
			check(t, err)
			return s.Received == 5 && heard(t, from)-before >= 5
		})
	}
}

func learnedIn(t *testing.T, h *lab.Host, table string) string {
	t.Helper()
	return strings.Join(dumpLines(ofctl(t, h, "br-greave", "--no-stats", "--no-names", "dump-flows", "table="+table)), "\n")
}

// TestK3LiveMigration: before its activation nothing reaches a guest that is to
// come and nothing leaves it; its first RARP makes the frames of all hosts follow,
// with no word of any greaved; and greave makes of it what is stated.
func TestK3LiveMigration(t *testing.T) {
	t.Parallel()
	m := startMove(t)
	h1, h2, h3 := m.Hosts[0], m.Hosts[1], m.Hosts[2]
	m.settled(t, 0)
	m.answers(t, m.from)
	m.moving(t, 0, 1, "announcement")
	m.answers(t, m.from)
	t.Run("silent before", func(t *testing.T) {
		count(t, m.ear, nil)
		broadcast(t, m.guests[2], 3)
		own := ethernet(everyone, moverMAC, 0x88b5, []byte("not an announcement"))
		other := ethernet(everyone, guestMAC(9), 0x8035, arp(3, guestMAC(9), addr("0.0.0.0"), guestMAC(9), addr("0.0.0.0")))
		ears := []*lab.Raw{raw(t, m.guests[1]), raw(t, m.guests[2])}
		send(t, m.ear, own)
		send(t, m.ear, other)
		time.Sleep(delivery)
		if got, err := m.ear.Heard(); err != nil || len(got) != 0 {
			t.Errorf("%d frames reached it: %x, %v", len(got), got, err)
		}
		for i, e := range ears {
			if n := count(t, e, own) + count(t, e, other); n != 0 {
				t.Errorf("g%d heard %d of its frames", i+2, n)
			}
		}
	})
	t.Run("spoofed", func(t *testing.T) { // by a guest of a host that it does not move to
		send(t, raw(t, m.guests[2]), rarpOf)
		send(t, raw(t, m.guests[0]), rarpOf)
		time.Sleep(delivery)
		m.answers(t, m.from)
		for _, h := range m.Hosts {
			if got := learnedIn(t, h, "6") + learnedIn(t, h, "55"); strings.Contains(got, "set_field") {
				t.Errorf("%s believed it: %s", h.Name, got)
			}
		}
	})

	for _, h := range m.Hosts { // the switches do it alone
		check(t, h.StopGreaved())
	}
	ear := raw(t, m.guests[2])
	count(t, ear, nil)
	wires := []func() []lab.OuterPacket{capture(t, h2, "", "proto gre and src host "+h2.VTEP.String())}
	send(t, m.ear, rarpOf)
	m.answers(t, m.to)
	if n := count(t, ear, rarpOf); n != 1 {
		t.Errorf("g3 heard the RARP %d times, want once", n)
	}
	sent := wires[0]()
	for _, h := range []*lab.Host{h1, h3} {
		if n := inside(pick(sent, func(p lab.OuterPacket) bool { return p.Dst == h.VTEP }), h2.VTEP, rarpOf); n != 1 {
			t.Errorf("%d copies of the RARP to %s, want 1", n, h.Name)
		}
	}

	for _, h := range m.Hosts {
		check(t, h.StartGreaved(t.Context()))
	}
	s2 := site{h2, dial(t, h2), t}
	s2.becomes(portKind, "vm", active, "ACTIVATED")
	s2.waitPlan()
	if got := s2.vsctl("get", "Interface", "vnet0", "external_ids:greave-activated"); !strings.Contains(got, h2.Name+" 20") {
		t.Errorf("greave-activated = %s", got)
	}
	if got := learnedIn(t, h2, "6"); got != "" {
		t.Errorf("left of its activation: %s", got)
	}
	m.answers(t, m.to)
	m.settled(t, 1)
	for _, h := range m.Hosts {
		if got := learnedIn(t, h, "6") + learnedIn(t, h, "55"); got != "" {
			t.Errorf("left of the move on %s: %s", h.Name, got)
		}
	}
	if got := s2.vsctl("get", "Interface", "vnet0", "external_ids"); strings.Contains(got, "greave-activated") {
		t.Errorf("still marked: %s", got)
	}
	m.answers(t, m.to)
}

// TestK3Call: a guest that is activated by a call alone. A move that is given up
// leaves the other hosts as they were. A call announces the guest (K4): one copy
// of each announcement at each member, from where frames then come.
func TestK3Call(t *testing.T) {
	t.Parallel()
	m := startMove(t)
	h1, h2, h3 := m.Hosts[0], m.Hosts[1], m.Hosts[2]
	ports := m.ports(t, h2)
	m.settled(t, 0)
	m.moving(t, 0, 1, "call")
	send(t, m.ear, rarpOf)
	time.Sleep(delivery)
	m.answers(t, m.from)

	before := [][]string{flowsOf(t, h1, "br-greave"), flowsOf(t, h3, "br-greave")}
	apply(t, h2, m.doc(1, "-", "peer: "+h1.Name))
	m.answers(t, m.from)
	if after := [][]string{flowsOf(t, h1, "br-greave"), flowsOf(t, h3, "br-greave")}; !slices.EqualFunc(before, after, slices.Equal[[]string]) {
		t.Errorf("flows of the others changed when the move was given up")
	}
	_, err := ports.Activate(t.Context(), &greavev1.ActivateRequest{Port: "vm"})
	refused(t, err, codes.NotFound, "NOT_FOUND", "vm")
	_, err = ports.Activate(t.Context(), &greavev1.ActivateRequest{Port: "g2"})
	refused(t, err, codes.FailedPrecondition, "NO_ACTIVATION", "g2")
	m.moving(t, 0, 1, "call")

	ears := []*lab.Raw{raw(t, m.guests[0]), raw(t, m.guests[1]), raw(t, m.guests[2])}
	for _, e := range ears {
		count(t, e, nil)
	}
	wire := capture(t, h2, "", "proto gre and src host "+h2.VTEP.String())
	r, err := ports.Activate(t.Context(), &greavev1.ActivateRequest{Port: "vm"})
	if err != nil || r.WasActive || r.Announcements != 2 {
		t.Fatalf("activate: %v, %v; want two announcements", r, err)
	}
	garp := ethernet(everyone, moverMAC, 0x0806, arp(1, moverMAC, moverIP, nobodyMAC, moverIP))
	time.Sleep(delivery)
	sent := wire()
	for i, h := range m.Hosts {
		heard, err := ears[i].Heard()
		check(t, err)
		for name, frame := range map[string][]byte{"RARP": rarpOf, "gratuitous ARP": garp} {
			frame = slices.Concat(frame, make([]byte, 60-len(frame))) // as long as Ethernet wants it
			copies := inside(pick(sent, func(p lab.OuterPacket) bool { return p.Dst == h.VTEP }), h2.VTEP, frame)
			n := 0
			for _, f := range heard {
				if bytes.Equal(f, frame) {
					n++
				}
			}
			if want := min(1, 1-i%2); n != 1 || copies != want {
				t.Errorf("%s: %d at g%d, want 1; %d copies on the wire to %s, want %d", name, n, i+1, copies, h.Name, want)
			}
		}
	}
	m.answers(t, m.to)
	out, stderr, err := h2.Greave(t.Context(), "activate", "vm")
	if err != nil || out != "port vm was active; announcements sent: 2\n" {
		t.Errorf("greave activate: %v, %s%s", err, out, stderr)
	}
	m.settled(t, 1)
	m.answers(t, m.to)
}

func (m moveLab) ports(t *testing.T, h *lab.Host) greavev1.PortServiceClient {
	t.Helper()
	c, err := grpc.NewClient("unix:"+strings.TrimPrefix(h.GreavedSocket(), "unix:"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return greavev1.NewPortServiceClient(c)
}

// moves is how often a guest is moved, and as many floods without a move beside it.
const moves = 3

// gapPromise is how long a moved guest is deaf, from its announcement on, at most;
// a busy machine gets ten times that.
const gapPromise = 100 * time.Millisecond

// pace is between two packets of a flood.
const pace = 10 * time.Millisecond

// TestK3MoveGap measures how many packets miss a guest that is moved, when its old
// self stops and the new one announces itself at that moment, against floods
// without a move. No switch has sent to the new host before: its first move takes
// no longer than the others.
func TestK3MoveGap(t *testing.T) {
	t.Parallel()
	m := startMove(t)
	selves := []*lab.Guest{m.from, m.to}
	var gaps, control []time.Duration
	for i := range moves {
		from, to := i%2, 1-i%2
		m.settled(t, from)
		for _, h := range m.Hosts {
			for _, forget := range []string{"tnl/neigh/flush", "dpctl/del-flows"} { // it takes up an ARP reply only when that is new to it
				_, err := h.Appctl(t.Context(), forget)
				check(t, err)
			}
		}
		m.moving(t, from, to, "announcement")
		voice := raw(t, selves[to])
		flood := func(during func(f *lab.Flood)) lab.FloodResult {
			f, err := lab.StartFlood(t.Context(), m.guests[2], selves[from], pace, selves[to])
			check(t, err)
			time.Sleep(500 * time.Millisecond)
			during(f)
			time.Sleep(500 * time.Millisecond)
			return f.Stop()
		}
		still := flood(func(*lab.Flood) {})
		moved := flood(func(f *lab.Flood) {
			f.Pause(selves[from])
			send(t, voice, rarpOf)
		})
		gaps, control = append(gaps, time.Duration(moved.LongestLoss)*pace), append(control, time.Duration(still.LongestLoss)*pace)
		t.Logf("move %d: %d of %d packets lost, %d in a row, longest silence %v; without a move %d lost, %v", i+1, moved.Lost, moved.Sent, moved.LongestLoss, moved.LongestGap, still.Lost, still.LongestGap)
		if moved.Duplicates > 0 {
			t.Errorf("%d packets arrived at both selves", moved.Duplicates)
		}
	}
	first := gaps[0]
	gap, without := median(gaps), median(control)
	t.Logf("K3: of %d moves, one packet each %v: median of the longest loss %v, of the first %v, without a move %v", moves, pace, gap, first, without)
	if gap > without+10*gapPromise || first > without+10*gapPromise {
		t.Errorf("losses %v, without a move %v; want at most %v more", gaps, control, gapPromise)
	}
}

func median(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// TestK3Announcements: which frames of a guest say that it is here, and which do not.
func TestK3Announcements(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{Hosts: 1})
	start(t, l)
	h := l.Hosts[0]
	s := site{h, dial(t, h), t}
	doc := vtepOf(h) + "segments: [{name: red, key: 100}]\nports:\n"
	ip4, ip6 := guestAddr, func(n int) netip.Addr { return addr("fd00::%d", n) }
	var voices []*lab.Raw
	for n := 1; n <= 4; n++ {
		name := fmt.Sprint("g", n)
		voices = append(voices, raw(t, guest(t, h, name, "", guestMAC(n), 0)))
		doc += fmt.Sprintf("- {name: %s, device: %s, attachments: [{segment: red}], macs: [%q], ips: [%s, %q], activation: {by: announcement}}\n", name, name, guestMAC(n), ip4(n), ip6(n))
	}
	apply(t, h, doc)
	nodes, nodesMAC := addr("ff02::1"), "33:33:00:00:00:01"
	advert := func(n int, to netip.Addr, mac string, target netip.Addr) []byte {
		return ethernet(mac, guestMAC(n), 0x86dd, icmp6(136, target, to, nd(0x20000000, target, 2, guestMAC(n))))
	}
	for name, frame := range map[string][]byte{
		"a probe":                      ethernet(everyone, guestMAC(4), 0x0806, arp(1, guestMAC(4), addr("0.0.0.0"), nobodyMAC, ip4(4))),
		"a question":                   ethernet(everyone, guestMAC(4), 0x0806, arp(1, guestMAC(4), ip4(4), nobodyMAC, ip4(1))),
		"an announcement of another":   ethernet(everyone, guestMAC(4), 0x0806, arp(1, guestMAC(4), ip4(9), nobodyMAC, ip4(9))),
		"an answer to one":             advert(4, ip6(1), guestMAC(1), ip6(4)),
		"a RARP of another MAC":        lab.RARP([6]byte(hw(guestMAC(9)))),
		"an advertisement for another": advert(4, nodes, nodesMAC, ip6(9)),
	} {
		t.Log("no announcement: ", name)
		send(t, voices[3], frame)
	}
	for i, frame := range [][]byte{
		ethernet(everyone, guestMAC(1), 0x0806, arp(1, guestMAC(1), ip4(1), nobodyMAC, ip4(1))),
		ethernet(everyone, guestMAC(2), 0x0806, arp(2, guestMAC(2), ip4(2), everyone, ip4(2))),
		advert(3, nodes, nodesMAC, ip6(3)),
	} {
		send(t, voices[i], frame)
		s.becomes(portKind, fmt.Sprint("g", i+1), active, "ACTIVATED")
	}
	if o := s.object(portKind, "g4"); !reasons(o)["STAGED"] {
		t.Errorf("g4 is not staged any more: %v", o)
	}
	send(t, voices[3], lab.RARP([6]byte(hw(guestMAC(4)))))
	s.becomes(portKind, "g4", active, "ACTIVATED")
	s.waitPlan()
}
