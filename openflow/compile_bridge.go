package openflow

import (
	"cmp"

	"github.com/greave-sdn/greave/model"
)

// Priorities within a table: the miss, a default, the rule, its exceptions.
const (
	prioMiss    = 0
	prioLearned = 10
	prioDefault = 50
	prioRule    = 100
	prioExcept  = 110
	prioGuard   = 200
)

// groupBit matches every multicast and broadcast address (IEEE 802 group bit).
var groupBit = MaskedMAC{Value: MAC{1}, Mask: MAC{1}}

// unicastBit matches every unicast address.
var unicastBit = MaskedMAC{Mask: MAC{1}}

// bridge writes what a bridge has without any segment: the frame of the
// pipeline, and what carries tunnel packets into it.
func (c *compiler) bridge(b model.Bridge) {
	w := c.writer(b.Name, b.Ref())
	if b.Forwarding == model.ForwardNormal {
		if b.FailMode == model.FailSecure {
			w.flow(TableClassify, prioMiss, Match{}, Normal{})
		}
		return
	}
	c.overlay = b.Name
	for _, t := range []Table{TableClassify, TableTunnelSource, TableTunnelKey, TableFlood, TablePath, TableTunnelOut, TableLocalOut} {
		w.flow(t, prioMiss, Match{}) // drop, and count what was dropped where
	}
	next := func(from, to Table) { w.flow(from, prioMiss, Match{}, Resubmit{to}) }
	next(TablePortSecurity, TableLearn)
	next(TableLearn, TableReply)
	next(TableReply, TableL2)
	next(TableL2, TableFlood)
	w.flow(TableL2, prioDefault, Match{EthDst: groupBit}, Resubmit{TableFlood})
	c.securityTables(w)
	c.learnTables(w)
	c.replyTables(w)
	c.movingTables(w)
	horizon := Match{}
	horizon.Regs[RegFlags] = Masked32{FlagFromTunnel, FlagFromTunnel | FlagRelays}
	w.flow(TablePath, prioGuard, horizon) // split horizon: drop
	for _, carrier := range c.carriers {
		if port := c.ofport(carrier.Port()); port != 0 {
			w.flow(TableClassify, prioRule, Match{InPort: port}, SetReg(RegFlags, FlagFromTunnel), Resubmit{TableTunnelSource})
		}
	}
}

func compareHops(a, b model.Hop) int {
	return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Encap, b.Encap))
}
