package openflow

import (
	"fmt"
	"strings"
)

// Move copies one field of a packet to another. The two have one width.
type Move struct{ From, To Part }

func (Move) action() {}

// Part names what Move reads and writes.
type Part uint8

// Parts that the pipeline moves.
const (
	PartEthSrc Part = iota
	PartEthDst
	PartARPSHA
	PartARPTHA
	PartNDTLL
	PartARPSPA
	PartARPTPA
	PartIPv6Src
	PartIPv6Dst
	PartNDTarget
	PartOut     // the whole of RegOut
	PartOutPort // the half of RegOut that holds a port number
	PartInPort  // the port of entry: 16 bits, as OpenFlow 1.0 has it
	PartFrom    // RegFrom
	PartPeer    // RegPeer
)

// parts are the names OVS gives them, and their widths in bits.
var parts = [...]struct {
	name  string
	width int
}{
	PartEthSrc: {"NXM_OF_ETH_SRC[]", 48}, PartEthDst: {"NXM_OF_ETH_DST[]", 48},
	PartARPSHA: {"NXM_NX_ARP_SHA[]", 48}, PartARPTHA: {"NXM_NX_ARP_THA[]", 48}, PartNDTLL: {"NXM_NX_ND_TLL[]", 48},
	PartARPSPA: {"NXM_OF_ARP_SPA[]", 32}, PartARPTPA: {"NXM_OF_ARP_TPA[]", 32},
	PartIPv6Src: {"NXM_NX_IPV6_SRC[]", 128}, PartIPv6Dst: {"NXM_NX_IPV6_DST[]", 128}, PartNDTarget: {"NXM_NX_ND_TARGET[]", 128},
	PartOut: {"NXM_NX_REG5[]", 32}, PartOutPort: {"NXM_NX_REG5[0..15]", 16}, PartInPort: {"NXM_OF_IN_PORT[]", 16},
	PartFrom: {"NXM_NX_REG2[]", 32}, PartPeer: {"NXM_NX_REG3[]", 32},
}

// String is the name OVS gives the part.
func (p Part) String() string {
	if int(p) < len(parts) {
		return parts[p].name
	}
	return fmt.Sprintf("part %d", uint8(p))
}

func (m Move) check() error {
	if int(m.From) >= len(parts) || int(m.To) >= len(parts) || m.From == m.To || m.To == PartInPort || parts[m.From].width != parts[m.To].width {
		return fmt.Errorf("move: %s does not fit into %s", m.From, m.To)
	}
	return nil
}

func appendMove(dst []byte, m Move) []byte {
	dst = append(append(dst, "move:"...), m.From.String()...)
	return append(append(dst, "->"...), m.To.String()...)
}

// parseMove reads "FROM->TO"; nil when greave does not write such a thing.
func parseMove(s string) Action {
	from, to, _ := strings.Cut(s, "->")
	m := Move{Part(len(parts)), Part(len(parts))}
	for p, known := range parts {
		if known.name == from {
			m.From = Part(p)
		}
		if known.name == to {
			m.To = Part(p)
		}
	}
	if m.check() != nil {
		return nil
	}
	return m
}
