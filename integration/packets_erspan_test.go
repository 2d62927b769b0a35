package integration

import (
	"encoding/binary"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
)

// erspanHeader is what a packet says of the mirror it comes from
// (draft-foschiano-erspan-03, §4.2 and §4.3). Its GRE has a sequence number only.
type erspanHeader struct {
	Version, Session uint32
	Index            uint32 // type II
	HardwareID       uint32 // type III
	Egress           bool   // type III
}

func erspanOf(t *testing.T, p lab.OuterPacket) (h erspanHeader) {
	t.Helper()
	if p.Proto != 47 || p.GREFlags != 0x1000 || p.Sequence == nil || p.Key != nil || len(p.Inner) < 12 {
		t.Fatalf("protocol %d, GRE flags %#04x, sequence %v: %x", p.Proto, p.GREFlags, p.Sequence, p.Inner)
	}
	first, second := binary.BigEndian.Uint32(p.Inner), binary.BigEndian.Uint32(p.Inner[4:])
	h.Version, h.Session = first>>28, first&0x3ff
	switch {
	case h.Version == 1 && p.GREProtocol == 0x88be:
		h.Index = second & 0xfffff
	case h.Version == 2 && p.GREProtocol == 0x22eb:
		last := binary.BigEndian.Uint16(p.Inner[10:])
		h.HardwareID, h.Egress = uint32(last>>4&0x3f), last&8 != 0
	default:
		t.Fatalf("GRE protocol %#04x with version %d", p.GREProtocol, h.Version)
	}
	return h
}

// mirrors demands these headers of what is sent and of what comes back.
func mirrors(out, in erspanHeader) func(*testing.T, lab.OuterPacket, lab.OuterPacket) {
	return func(t *testing.T, o, r lab.OuterPacket) {
		t.Helper()
		if got := erspanOf(t, o); got != out {
			t.Errorf("sent %+v, want %+v", got, out)
		}
		if got := erspanOf(t, r); got != in {
			t.Errorf("received %+v, want %+v", got, in)
		}
	}
}

// TestT10ERSPAN: a tunnel of ERSPAN carries frames with the header that its document
// states, of both versions and over both families, towards greave and towards what
// an operator made.
func TestT10ERSPAN(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{IPv6: true})
	for _, h := range l.Hosts { // without the foreign objects: a GRE port is among them
		check(t, h.StartGreaved(t.Context()))
	}
	same := func(h erspanHeader) func(*testing.T, lab.OuterPacket, lab.OuterPacket) { return mirrors(h, h) }
	erspan := func(fields string) string { return "encap: erspan, " + fields }
	byHand := wire{near: erspan(key(8) + ", erspan: {index: 255}"), byHand: "type=erspan options:key=8 options:erspan_ver=1 options:erspan_idx=fe"}.
		as("towards ovs-vsctl", mirrors(erspanHeader{Version: 1, Session: 8, Index: 255}, erspanHeader{Version: 1, Session: 8, Index: 254}))
	far6 := both(erspan(key(10)+", erspan: {index: 703710}")).as("over IPv6", same(erspanHeader{Version: 1, Session: 10, Index: 703710}))
	third6 := both(erspan(key(11)+", erspan: {version: 2, direction: egress, hardware_id: 1}")).as("type III over IPv6", same(erspanHeader{Version: 2, Session: 11, HardwareID: 1, Egress: true}))
	far6.v6, third6.v6 = true, true
	numbered := both(erspan(key(9))).as("sequence numbers", same(erspanHeader{Version: 1, Session: 9}))
	numbered.all = sequence
	wires := []*wire{
		both(erspan(key(1)+", erspan: {index: 1048575}")).as("type II", same(erspanHeader{Version: 1, Session: 1, Index: 1<<20 - 1})),
		both(erspan(key(1023)+", erspan: {index: 16}")).as("largest session", same(erspanHeader{Version: 1, Session: 1023, Index: 16})),
		both(erspan(key(2)+", erspan: {version: 2, direction: egress, hardware_id: 63}")).as("type III, egress", same(erspanHeader{Version: 2, Session: 2, HardwareID: 63, Egress: true})),
		both(erspan(key(3)+", erspan: {version: 2, hardware_id: 10}")).as("type III, ingress", same(erspanHeader{Version: 2, Session: 3, HardwareID: 10})),
		wire{near: erspan("key: {fixed: {in: 41, out: 42}}"), far: erspan("key: {fixed: {in: 42, out: 41}}")}.
			as("a session each way", mirrors(erspanHeader{Version: 1, Session: 42}, erspanHeader{Version: 1, Session: 41})),
		both(erspan(key(5)+", ttl: {fixed: 17}, tos: {fixed: 40}")).as("fixed ttl and tos", outer(17, 40, true)),
		both(erspan(key(6)+", df: false")).as("without DF", outer(64, 0, false)),
		wire{near: erspan(key(71)), far: erspan(key(72)), silent: true}.as("another session", nil),
		byHand, numbered, far6, third6,
	}
	layWires(t, l, wires, 0)
	runWires(t, l, wires, "proto gre or ip6 proto 47")
}
