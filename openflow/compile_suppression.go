package openflow

import (
	"net/netip"
	"slices"

	"github.com/greave-sdn/greave/model"
)

// Parts of an advertisement (RFC 4861 §4.4 and §4.6).
const (
	ndSolicitedOverride = 0x60000000
	ndTargetOption      = 2
)

var broadcastMAC = MaskedMAC{macOnes, macOnes}

// stated is an address of a segment.
type stated struct {
	segment string
	addr    netip.Addr
}

// statedAddresses finds who has which address in the segments that suppress.
// One that two have, as while a guest moves, nobody answers for.
func (c *compiler) statedAddresses(segments map[string]model.ResolvedSegment) map[stated]MAC {
	macs := map[stated]MAC{}
	add := func(segment string, mac MAC, ips []netip.Addr) {
		s := segments[segment]
		if !s.Suppression.Enabled {
			return
		}
		for _, ip := range ips {
			key := stated{segment, ip}
			if have, taken := macs[key]; taken && have != mac {
				macs[key] = MAC{}
			} else {
				macs[key] = mac
			}
		}
	}
	for _, p := range c.r.Ports {
		for _, a := range p.Attachments {
			add(a.Segment, soleMAC(p.MACs), p.IPs)
		}
	}
	for _, e := range c.r.Fdb {
		add(e.Segment, e.MAC, e.IPs)
	}
	return macs
}

// soleMAC is the one MAC behind a port; zero when it states none or several, of
// which no document says who has which address.
func soleMAC(macs []MAC) MAC {
	if macs = distinct(macs); len(macs) == 1 {
		return macs[0]
	}
	return MAC{}
}

// replyTables writes what is common to all answers: whom not to answer, and how
// a question whose answer is known becomes that answer.
//
// It takes two tables: a switch lets a flow write the target's link-layer
// address only if it matches an advertisement, and what comes in is a
// solicitation, which the first table therefore turns into one.
func (c *compiler) replyTables(w writer) {
	if !slices.ContainsFunc(c.r.Segments, func(s model.ResolvedSegment) bool { return s.Suppression.Enabled }) {
		return
	}
	// A probe (RFC 5227 §2.1) and duplicate address detection (RFC 4862 §5.4) ask
	// whether anybody else has the address: that is for all to hear. Without a
	// link-layer address in the question there is no place for one in the answer.
	w.flow(TableReply, prioGuard, Match{EthType: EtherARP, Upper: Upper{Src: netip.IPv4Unspecified()}}, Resubmit{TableL2})
	dad, bare := icmpv6(NDSolicit), icmpv6(NDSolicit)
	dad.Upper.Src, bare.Upper.HW = netip.IPv6Unspecified(), Exactly(MAC{})
	w.flow(TableReply, prioGuard+1, dad, Resubmit{TableL2})
	w.flow(TableReply, prioGuard, bare, Resubmit{TableL2})

	// Back by local out, which knows the port's form of the segment. The switch
	// holds back what leaves by its port of entry, so that one is forgotten.
	back := []Action{SetReg(RegOut, 0), Move{PartInPort, PartOutPort}, SetField{Field: FieldInPort}, Resubmit{TableLocalOut}}
	w.flow(TableAnswer, prioMiss, Match{})
	w.flow(TableAnswer, prioRule, Match{EthType: EtherARP}, append([]Action{
		SetField{Field: FieldARPOp, Value: ARPReply},
		Move{PartARPSHA, PartARPTHA}, Move{PartEthSrc, PartARPSHA},
		Move{PartARPTPA, PartOut}, Move{PartARPSPA, PartARPTPA}, Move{PartOut, PartARPSPA}}, back...)...)
	if c.directsND() {
		return
	}
	w.flow(TableAnswer, prioRule, icmpv6(NDAdvert), append([]Action{
		SetField{Field: FieldNDReserved, Value: ndSolicitedOverride},
		SetField{Field: FieldNDOptionsType, Value: ndTargetOption},
		Move{PartEthSrc, PartNDTLL}}, back...)...)
}

// directsND tells that a solicitation is not answered but sent to the one whom it
// asks for: the kernel's datapath writes neither the flags nor the option's type
// of an advertisement, and ovs-vswitchd refuses a flow that would.
func (c *compiler) directsND() bool { return c.datapath == model.DatapathSystem }

// answers writes, for the addresses of one object in one segment, the questions
// from local ports that are answered with its MAC.
func (c *compiler) answers(w writer, s model.ResolvedSegment, mac MAC, ips []netip.Addr) {
	if !s.Suppression.Enabled || mac.IsZero() {
		return
	}
	for _, ip := range distinct(ips) {
		excluded := slices.ContainsFunc(s.Suppression.Excluded, func(p netip.Prefix) bool { return p.Contains(ip) })
		if excluded || c.stated[stated{s.Name, ip}] != mac || !ip.Is4() && !plainIPv6(ip) {
			continue
		}
		m := matchReg(RegSegment, c.numbers.segment(s.Name))
		m.VlanTCI = untagged // what is inside a tag is another network's, whose addresses nobody stated
		back := []Action{Move{PartEthSrc, PartEthDst}, SetField{Field: FieldEthSrc, Value: macBits(mac)}}
		if ip.Is6() {
			m.EthDst = groupBit // a unicast one asks whether the guest is alive: it says so itself
			m.EthType, m.Upper = EtherIPv6, Upper{Proto: ProtoICMPv6, ICMPType: NDSolicit, NDTarget: ip}
			if c.directsND() { // IPv6 multicast to a unicast MAC is RFC 6085
				w.flow(TableReply, prioRule, fromLocal(m), SetField{Field: FieldEthDst, Value: macBits(mac)}, Resubmit{TableL2})
				continue
			}
			w.flow(TableReply, prioRule, fromLocal(m), append(back,
				Move{PartIPv6Src, PartIPv6Dst}, Move{PartNDTarget, PartIPv6Src},
				SetField{Field: FieldICMPv6Type, Value: NDAdvert}, Resubmit{TableAnswer})...)
			continue
		}
		m.EthDst = broadcastMAC
		m.EthType, m.Upper = EtherARP, Upper{Dst: ip, Proto: ARPRequest}
		w.flow(TableReply, prioRule, fromLocal(m), append(back, Resubmit{TableAnswer})...)
		m.Upper.Src = ip // gratuitous: an announcement, not a question
		w.flow(TableReply, prioExcept, fromLocal(m), Resubmit{TableL2})
	}
}

// portAnswers writes those of a local port, once for each of its segments.
func (c *compiler) portAnswers(w writer, p model.ResolvedPort, segments map[string]model.ResolvedSegment) {
	if p.Staged {
		return // it is not here yet
	}
	var in []string
	for _, a := range p.Attachments {
		in = append(in, a.Segment)
	}
	for _, name := range distinct(in) {
		c.answers(w, segments[name], soleMAC(p.MACs), p.IPs)
	}
}

// fromLocal adds to m the match on packets that came from no tunnel: their
// questions were answered, or meant to be heard, where they were asked.
func fromLocal(m Match) Match {
	m.Regs[RegFlags] = Masked32{Mask: FlagFromTunnel}
	return m
}
