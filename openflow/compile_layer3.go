package openflow

import "github.com/greave-sdn/greave/model"

// layer3 writes what a tunnel of IP packets needs on a bridge that switches
// frames: Open vSwitch takes the Ethernet header off by itself, and puts one of
// zeros around what comes in.
func (c *compiler) layer3(t model.ResolvedTunnel) {
	tunnel, port := c.ofport(t.Name), c.ofport(t.Receiver)
	if t.Receiver == "" || tunnel == 0 || port == 0 {
		return
	}
	w := c.writer(t.Bridge, t.Ref())
	w.flow(TableClassify, prioRule, Match{InPort: tunnel},
		SetEth(FieldEthSrc, model.Layer3MAC), SetEth(FieldEthDst, t.ReceiverMAC), Output{port})
	w.flow(TableClassify, prioRule, Match{InPort: port, EthDst: matchMAC(model.Layer3MAC)}, Output{tunnel})
}
