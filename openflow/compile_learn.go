package openflow

import (
	"cmp"
	"maps"
	"slices"

	"github.com/greave-sdn/greave/model"
)

// learners are the hops and segments that learn.
func (c *compiler) learners() (hops map[model.Hop]bool, any bool) {
	hops = map[model.Hop]bool{}
	for _, s := range c.r.Segments {
		if s.Learning && s.Bridge == c.overlay {
			any = true
			for _, h := range s.Users {
				hops[h] = true
			}
		}
	}
	return hops, any
}

// learnTables is the frame of learning, where a segment learns: what has a group
// address or none for its source is learned nowhere, and a learned flow has said a peer, a
// port or, for an unknown address, neither.
func (c *compiler) learnTables(w writer) {
	if _, any := c.learners(); !any {
		return
	}
	w.flow(TableLearn, prioGuard, Match{EthSrc: groupBit}, Resubmit{TableReply})
	w.flow(TableLearn, prioGuard, Match{EthSrc: matchMAC(MAC{})}, Resubmit{TableReply})
	nowhere := matchReg(RegPeer, 0)
	w.flow(TableWhither, prioDefault, Match{}, Resubmit{TablePath})
	w.flow(TableWhither, prioRule, nowhere, Resubmit{TableLocalOut})
	nowhere.Regs[RegOut] = Exact32(0)
	w.flow(TableWhither, prioExcept, nowhere, Resubmit{TableFlood})
}

// learning looks for the addresses that nobody states among the learned ones.
func (c *compiler) learning(w writer, s model.ResolvedSegment, id uint32) {
	if s.Learning {
		w.flow(TableL2, prioLearned, matchReg(RegSegment, id), Resubmit{TableL2Learned}, Resubmit{TableWhither})
	}
}

// learnPeer learns what a peer sends under one encapsulation.
func (c *compiler) learnPeer(w writer, h model.Hop, peer uint32) {
	if !c.learn[h] {
		return
	}
	m := matchReg(RegFrom, peer)
	m.Regs[RegFlags] = Masked32{FlagFromTunnel | FlagLearns, FlagFromTunnel | FlagLearns}
	w.flow(TableLearn, prioRule, m, Learn{LearnedCookie(w.cookie), LoadPeer}, Resubmit{TableReply})
}

// learnPort learns what a local port sends, unless it is held to the addresses
// that the document states.
func (c *compiler) learnPort(w writer, p model.ResolvedPort, port Port, segments map[string]model.ResolvedSegment) {
	learn := slices.ContainsFunc(p.Attachments, func(a model.Attachment) bool { return segments[a.Segment].Learning })
	if !learn || p.Security.MAC {
		return
	}
	m := Match{InPort: port}
	m.Regs[RegFlags] = Masked32{FlagLearns, FlagFromTunnel | FlagLearns}
	w.flow(TableLearn, prioRule, m, Learn{LearnedCookie(w.cookie), LoadPort}, Resubmit{TableReply})
}

func sortedForgets(set map[Forget]bool) []Forget {
	return slices.SortedFunc(maps.Keys(set), func(a, b Forget) int {
		return cmp.Or(cmp.Compare(a.Cookie, b.Cookie), cmp.Compare(a.Segment, b.Segment))
	})
}
