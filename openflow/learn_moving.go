package openflow

import (
	"fmt"
	"strconv"
	"strings"
)

// EtherRARP is the EtherType of RARP (RFC 903).
const EtherRARP = 0x8035

// LearnActive makes the switch learn that a staged port is active.
type LearnActive struct {
	Cookie Cookie // of the learned flow
	Port   Port
}

// LearnMoved makes the switch learn that the source of a packet is behind the peer
// that it came from.
type LearnMoved struct{ Cookie Cookie }

func (LearnActive) action() {}
func (LearnMoved) action()  {}

// Flow is what is learned.
func (l LearnActive) Flow() Flow {
	return Flow{Key{TableActive, prioRule, matchReg(RegStaged, uint32(l.Port))}, l.Cookie, []Action{SetReg(RegOut, uint32(l.Port))}}
}

// Flow is what is learned of a MAC of a segment from a peer.
func (l LearnMoved) Flow(segment uint32, mac MAC, peer uint32) Flow {
	m := matchReg(RegSegment, segment)
	m.EthDst = matchMAC(mac)
	return Flow{Key{TableMoved, prioRule, m}, l.Cookie, []Action{SetReg(RegPeer, peer), SetReg(RegOut, 0)}}
}

// As OVS prints them (ovs-actions(7), learn).
const (
	learnHead   = "learn(table=%d,priority=%d,cookie=%#x,"
	learnActive = learnHead + "reg6=%#x,load:%#x->NXM_NX_REG5[])"
	learnMoved  = learnHead + "NXM_NX_REG1[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_NX_REG2[]->NXM_NX_REG3[],load:0->NXM_NX_REG5[])"
)

func (l LearnActive) text() string {
	return fmt.Sprintf(learnActive, uint8(TableActive), prioRule, uint64(l.Cookie), uint32(l.Port), uint32(l.Port))
}

func (l LearnMoved) text() string {
	return fmt.Sprintf(learnMoved, uint8(TableMoved), prioRule, uint64(l.Cookie))
}

// check refuses what OVS would print in another way, or would not learn.
func (l LearnActive) check() error {
	if l.Cookie.Kind() != KindLearned {
		return fmt.Errorf("learn: cookie %s is not of a learned flow", l.Cookie)
	}
	return checkPort(l.Port)
}

func (l LearnMoved) check() error {
	if l.Cookie.Kind() != KindLearned {
		return fmt.Errorf("learn: cookie %s is not of a learned flow", l.Cookie)
	}
	return nil
}

// parseMoving reads the two; nil when s is another action.
func parseMoving(s string) Action {
	_, rest, _ := strings.Cut(s, ",cookie=")
	word, rest, _ := strings.Cut(rest, ",")
	cookie, ok := number(word, 64)
	if !ok {
		return nil
	}
	if moved := (LearnMoved{Cookie(cookie)}); moved.text() == s && moved.check() == nil {
		return moved
	}
	word, _, _ = strings.Cut(strings.TrimPrefix(rest, "reg"+strconv.Itoa(RegStaged)+"="), ",")
	port, _ := number(word, 32)
	if active := (LearnActive{Cookie(cookie), Port(port)}); active.check() == nil && active.text() == s {
		return active
	}
	return nil
}

// learnSize is at least the bytes of the two: the head, and at most four specs.
const learnSize = 32 + 4*24
