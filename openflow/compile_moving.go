package openflow

import (
	"net/netip"

	"github.com/greave-sdn/greave/model"
)

// A guest that is moved between hosts is in the documents of three kinds of host.
// On the one that it is moved to its port is staged: all is in place, and a gate
// on each of the ways in and out (tables 5, 57, 105) asks table 6 whether the port
// is active. The guest's announcement makes the switch learn that by itself. On
// the others its MAC moves to a peer (moving_to): its announcement from there, in
// table 28, makes the switch learn into table 55 that frames are to follow.
//
// A learned flow can set registers, and cannot resubmit or make VLAN tags. So the
// learned ones are only asked, and what follows from the answer is stated.

// segmentMAC is an address of a segment.
type segmentMAC struct {
	segment string
	mac     MAC
}

// mover is a local port with an activation.
type mover struct {
	port   Port
	staged bool
}

// movers finds the addresses of ports with an activation, which an FDB entry may
// state too.
func (c *compiler) movers(segments map[string]model.ResolvedSegment) map[segmentMAC]mover {
	out := map[segmentMAC]mover{}
	for _, p := range c.r.Ports {
		port := c.ofport(p.Device)
		if p.Activation == 0 || port == 0 || p.Bridge != c.overlay {
			continue
		}
		for _, a := range p.Attachments {
			if _, ok := segments[a.Segment]; !ok {
				continue
			}
			for _, mac := range p.MACs {
				out[segmentMAC{a.Segment, mac}] = mover{port, p.Staged}
			}
		}
	}
	return out
}

// entriesOf are the addresses that FDB entries lead to peers.
func (c *compiler) entriesOf(segments map[string]model.ResolvedSegment) map[segmentMAC]bool {
	out := map[segmentMAC]bool{}
	for _, e := range c.r.Fdb {
		if b := segments[e.Segment].Bridge; b != "" && b == c.overlay && c.leads(e.Hop) {
			out[segmentMAC{e.Segment, e.MAC}] = true
		}
	}
	return out
}

// announcedSegments are those in which announcements from tunnels are heeded.
func (c *compiler) announcedSegments() map[string]bool {
	out := map[string]bool{}
	for _, e := range c.r.Fdb {
		if e.MovingTo != "" {
			out[e.Segment] = true
		}
	}
	for _, p := range c.r.Ports {
		for _, a := range p.Attachments {
			if p.MovingTo != "" {
				out[a.Segment] = true
			}
		}
	}
	return out
}

// afterKey is where a segment's packets from tunnels go on.
func (c *compiler) afterKey(segment string) Table {
	if c.announced[segment] {
		return TableAnnounced
	}
	return TableLearn
}

// movingTables writes what is common to all guests that are being moved; only
// while there is one.
func (c *compiler) movingTables(w writer) {
	staged, leaving := false, len(c.announced) > 0
	for _, p := range c.r.Ports {
		staged = staged || p.Staged
	}
	if staged {
		w.flow(TableActivation, prioMiss, Match{})
		w.flow(TableActive, prioMiss, Match{}) // no answer: not active
		w.flow(TableStagedOut, prioMiss, Match{})
	}
	if leaving {
		w.flow(TableAnnounced, prioMiss, Match{}, Resubmit{TableLearn})
		w.flow(TableMoved, prioMiss, Match{}) // no answer: not moved
	}
	if staged || leaving {
		w.flow(TableMovedOut, prioMiss, Match{}, Resubmit{TableLocalOut})
		nowhere := matchReg(RegOut, 0)
		w.flow(TableMovedOut, prioRule, nowhere, Resubmit{TablePath})
		nowhere.Regs[RegPeer] = Exact32(0)
		w.flow(TableMovedOut, prioExcept, nowhere, Resubmit{TableFlood})
		if _, any := c.learners(); any {
			nowhere.Regs[RegFlags] = Masked32{FlagLearns, FlagLearns}
			w.flow(TableMovedOut, prioGuard, nowhere, Resubmit{TableL2Learned}, Resubmit{TableWhither})
		}
	}
}

// askStaged asks whether a staged port is active, which puts its number into
// RegOut or leaves 0 there, and goes on in a table that looks at the answer.
func askStaged(port Port, next Table) []Action {
	return []Action{SetReg(RegOut, 0), SetReg(RegStaged, uint32(port)), Resubmit{TableActive}, Resubmit{next}}
}

// entry is where the frames of a port go on once they have their segment.
func entry(p model.ResolvedPort, port Port) []Action {
	if p.Staged {
		return askStaged(port, TableActivation)
	}
	return []Action{Resubmit{TablePortSecurity}}
}

// toPort writes where frames to a MAC of a port go. An FDB entry that states the
// MAC of a staged one writes it itself.
func (c *compiler) toPort(w writer, p model.ResolvedPort, s model.ResolvedSegment, m Match, port Port) {
	switch {
	case p.Staged && c.entries[segmentMAC{s.Name, m.EthDst.Value}]:
	case p.Staged:
		w.flow(TableL2, prioRule, m, askStaged(port, TableMovedOut)...)
	case p.MovingTo != "":
		c.follow(w, s, m.EthDst.Value, p.IPs, p.MovingTo)
		w.flow(TableL2, prioRule, m, SetReg(RegOut, uint32(port)), Resubmit{TableMoved}, Resubmit{TableMovedOut})
	default:
		w.flow(TableL2, prioRule, m, SetReg(RegOut, uint32(port)), Resubmit{TableLocalOut})
	}
}

// outTable is where the ways out of a port are written: behind a gate for a staged
// one.
func (w writer) outTable(p model.ResolvedPort, m Match, port Port) Table {
	if !p.Staged {
		return TableLocalOut
	}
	w.flow(TableLocalOut, prioRule, m, askStaged(port, TableStagedOut)...)
	return TableStagedOut
}

// staged writes the gate for what a port sends whose guest is being moved here.
func (c *compiler) staged(w writer, p model.ResolvedPort, port Port) {
	if !p.Staged {
		return
	}
	on := []Action{SetReg(RegOut, 0), Resubmit{TablePortSecurity}}
	active := Match{InPort: port}
	active.Regs[RegOut] = Exact32(uint32(port))
	w.flow(TableActivation, prioGuard, active, on...)
	w.flow(TableActivation, prioDefault, Match{InPort: port})
	learn := LearnActive{Cookie: LearnedCookie(w.cookie), Port: port}
	w.p.Learned = append(w.p.Learned, learn.Flow())
	if p.Activation != model.ActivateAnnouncement {
		return
	}
	for _, mac := range distinct(p.MACs) {
		for _, m := range announcements(mac, p.IPs) {
			m.InPort = port
			w.flow(TableActivation, prioRule, m, append([]Action{learn}, on...)...)
		}
	}
}

// follow writes the announcements of a MAC from the peer that it moves to.
func (c *compiler) follow(w writer, s model.ResolvedSegment, mac MAC, ips []netip.Addr, to string) {
	hop, ok := s.HopOf(to)
	if !ok || !c.leads(hop) {
		return
	}
	learn := LearnMoved{Cookie: LearnedCookie(w.cookie)}
	segment, peer := c.numbers.segment(s.Name), c.peer(hop)
	w.p.Learned = append(w.p.Learned, learn.Flow(segment, mac, peer))
	for _, m := range announcements(mac, ips) {
		m.Regs[RegSegment], m.Regs[RegFrom] = Exact32(segment), Exact32(peer)
		w.flow(TableAnnounced, prioRule, m, learn, Resubmit{TableLearn})
	}
}

// announcements match what says that a guest is at the sender's: RARP, as QEMU
// sends it when a guest runs on (RFC 903), ARP for the sender's own address (RFC
// 5227 §3), and an unsolicited neighbour advertisement (RFC 4861 §7.2.6).
func announcements(mac MAC, ips []netip.Addr) []Match {
	from := matchMAC(mac)
	out := []Match{{EthSrc: from, EthType: EtherRARP}}
	advert := icmpv6(NDAdvert)
	advert.EthSrc, advert.EthDst = from, groupBit
	for _, ip := range distinct(append(model.Port{MACs: []MAC{mac}}.LinkLocals(), ips...)) {
		switch {
		case ip.Is4():
			out = append(out, Match{EthSrc: from, EthType: EtherARP, Upper: Upper{Src: ip, Dst: ip}})
		case plainIPv6(ip):
			advert.Upper.NDTarget = ip
			out = append(out, advert)
		}
	}
	return out
}
