package openflow

import "github.com/greave-sdn/greave/model"

// port writes a local attachment: what its packets belong to, where its
// addresses are, and the way out.
func (c *compiler) port(p model.ResolvedPort, segments map[string]model.ResolvedSegment) {
	port := c.ofport(p.Device)
	if port == 0 || p.Bridge != c.overlay {
		return
	}
	w := c.writer(p.Bridge, p.Ref())
	for _, a := range p.Attachments {
		s, ok := segments[a.Segment]
		if !ok {
			continue // left out: without it there is no key
		}
		id := c.numbers.segment(s.Name)
		w.arrive(p, port, a, c.enter(s, id, 0, append([]Action{SetField{Field: FieldTunID, Value: s.Key}}, entry(p, port)...)...)...)
		for _, mac := range p.MACs {
			m := matchReg(RegSegment, id)
			m.EthDst = matchMAC(mac)
			c.toPort(w, p, s, m, port)
		}
		w.leave(p, port, a, id)
	}
	if p.Trunk() {
		w.flow(TableClassify, prioDefault, Match{InPort: port}) // drop, and count with the port
	}
	c.staged(w, p, port)
	c.security(w, p, port)
	c.learnPort(w, p, port, segments)
	c.portAnswers(w, p, segments)
}

func matchMAC(m MAC) MaskedMAC {
	return MaskedMAC{m, MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
}
