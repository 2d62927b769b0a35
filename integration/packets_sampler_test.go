package integration

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// sampled is what a collector is told of one ping.
type sampled struct {
	from, to netip.Addr // of the guests
	outer    netip.Addr // address of the far end of the tunnel, where it is told
	key      int        // of the tunnel, -1 where none is told
	domain   uint32     // IPFIX
}

func u32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

func v4(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }

// readSFlow reads the flow samples of a datagram of sFlow version 5 (sflow.org,
// sFlow Datagram version 5; the records of tunnels are in sflow_tunnels.txt there).
func readSFlow(b []byte) (out []sampled, counters int) {
	if len(b) < 28 || u32(b) != 5 || u32(b[4:]) != 1 {
		return nil, 0
	}
	for b = b[28:]; len(b) >= 8; {
		kind, size := u32(b), u32(b[4:])
		sample := b[8:][:size]
		b = b[8+size:]
		if kind == 2 {
			counters++
		}
		if kind != 1 {
			continue
		}
		s := sampled{key: -1}
		for r := sample[32:]; len(r) >= 8; {
			kind, size := u32(r), u32(r[4:])
			record := r[8:][:size]
			r = r[8+size:]
			switch kind {
			case 1: // the packet's header
				if f, err := lab.DecodeFrame(record[16:][:u32(record[12:])]); err == nil {
					s.from, s.to = f.Src, f.Dst
				}
			case 1023: // outer addresses on egress
				s.outer = v4(record[12:])
			case 1024: // and on ingress
				s.outer = v4(record[8:])
			case 1029, 1030: // VNI on egress and ingress
				s.key = int(u32(record))
			}
		}
		out = append(out, s)
	}
	return out, counters
}

// ipfixField is a field of a template of IPFIX (RFC 7011, 3.2).
type ipfixField struct {
	enterprise uint32
	id, size   uint16
}

// readIPFIX reads the flows of a message, with the templates that came before.
func readIPFIX(b []byte, templates map[uint16][]ipfixField) (out []sampled) {
	if len(b) < 16 || binary.BigEndian.Uint16(b) != 10 {
		return nil
	}
	domain := u32(b[12:])
	for b = b[16:]; len(b) >= 4; {
		id, size := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		set := b[4:size]
		b = b[size:]
		if id == 2 {
			readTemplates(set, templates)
			continue
		}
		s := sampled{key: -1, domain: domain}
		for _, f := range templates[id] {
			if f.size == 65535 { // of variable length
				f.size, set = uint16(set[0]), set[1:]
			}
			v := set[:f.size]
			set = set[f.size:]
			switch [2]uint32{f.enterprise, uint32(f.id)} {
			case [2]uint32{0, 8}:
				s.from = v4(v)
			case [2]uint32{0, 12}:
				s.to = v4(v)
			case [2]uint32{6876, 893}: // tunnelSourceIPv4Address of VMware
				s.outer = v4(v)
			case [2]uint32{6876, 892}: // tunnelKey
				s.key = 0
				for _, o := range v {
					s.key = s.key<<8 | int(o)
				}
			}
		}
		out = append(out, s)
	}
	return out
}

func readTemplates(set []byte, templates map[uint16][]ipfixField) {
	for len(set) >= 4 {
		id, n := binary.BigEndian.Uint16(set), binary.BigEndian.Uint16(set[2:])
		set = set[4:]
		var fields []ipfixField
		for range n {
			f := ipfixField{id: binary.BigEndian.Uint16(set), size: binary.BigEndian.Uint16(set[2:])}
			set = set[4:]
			if f.id&0x8000 != 0 {
				f.id, f.enterprise, set = f.id&0x7fff, u32(set), set[4:]
			}
			fields = append(fields, f)
		}
		templates[id] = fields
	}
}

// readNetFlow reads the flows of a datagram of NetFlow version 5.
func readNetFlow(b []byte) (out []sampled) {
	if len(b) < 24 || binary.BigEndian.Uint16(b) != 5 {
		return nil
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	for b = b[24:]; n > 0 && len(b) >= 48; n-- {
		out = append(out, sampled{from: v4(b), to: v4(b[4:]), key: -1})
		b = b[48:]
	}
	return out
}

// told counts what collectors were told of the pings between two guests.
type told struct {
	sflow, ipfix, netflow                   int // flows of requests
	sflowKey, sflowKeyBack, ipfixKey, count int // with the tunnel's key; reports of counters
}

func readSamples(t *testing.T, packets []lab.OuterPacket, from, to, far netip.Addr) (n told) {
	t.Helper()
	templates := map[uint16][]ipfixField{}
	for _, p := range packets {
		switch p.DstPort {
		case 6343:
			list, counters := readSFlow(p.Inner)
			n.count += counters
			for _, s := range list {
				if s.from == from && s.to == to {
					n.sflow++
				}
				if s.from == from && s.to == to && s.outer == far && s.key == 100 {
					n.sflowKey++
				}
				if s.from == to && s.to == from && s.outer == far && s.key == 100 {
					n.sflowKeyBack++
				}
			}
		case 4739:
			for _, s := range readIPFIX(p.Inner, templates) {
				if s.from == from && s.to == to && s.domain == 123 {
					n.ipfix++
				}
				if s.from == to && s.to == from && s.outer == far && s.key == 100 {
					n.ipfixKey++
				}
			}
		case 2055:
			for _, s := range readNetFlow(p.Inner) {
				if s.from == from && s.to == to {
					n.netflow++
				}
			}
		}
	}
	return n
}

// TestO15Samplers: collectors of all three formats are told of the pings of a
// segment, with the outer address and the key of the tunnel, and of nothing more when
// the samplers are gone. Another's sampler is no rival on another bridge, and a
// conflict on the same one.
func TestO15Samplers(t *testing.T) {
	t.Parallel()
	l := lab.ForTest(t, lab.Options{})
	start(t, l)
	h1, h2 := l.Hosts[0], l.Hosts[1]
	s := &mirrorSite{h1: h1, h2: h2, red1: guest(t, h1, "red1", "10.2.0.1/24", guestMAC(11), 0), r2: guest(t, h2, "r2", "10.2.0.2/24", guestMAC(12), 0)}
	apply(t, h2, s.base(h2, h1, "r2")+"bridges: [{name: br-greave, datapath: netdev}]\n")
	base := s.base(h1, h2, "red1") + "bridges: [{name: br-greave, datapath: netdev}]\n"
	from, to := s.red1.Addr.Addr(), s.r2.Addr.Addr()
	apply(t, h1, base)
	reaches(t, s.red1, to) // the datapath knows the flow already
	filter := "udp port 6343 or udp port 4739 or udp port 2055"
	stop := capture(t, h2, "", filter)
	apply(t, h1, base+fmt.Sprintf(`samplers:
- {name: s, targets: ['%s:6343'], sflow: {sampling: 1, header: 128, polling: 1, agent: br-phy}}
- {name: i, targets: ['%s:4739'], ipfix: {sampling: 1, observation_domain: 123, cache_timeout: 0}}
- {name: n, bridge: br-greave, targets: ['%s:2055'], netflow: {active_timeout: 1}}
`, h2.VTEP, h2.VTEP, h2.VTEP))
	if n := echo(t, s.red1, to, "-c", "20"); n != 20 {
		t.Errorf("%d of 20 answered", n)
	}
	// One packet in 1 is sampled, but for those that the switch has no time for.
	got := readSamples(t, stop(), from, to, h2.VTEP)
	t.Logf("told: %+v", got)
	if got.sflow < 10 || got.sflowKey < 10 || got.sflowKeyBack < 10 || got.ipfix < 10 || got.ipfixKey < 10 || got.count == 0 {
		t.Errorf("of 20 pings the collectors were told: %+v", got)
	}
	r, err := dial(t, h1).List(t.Context(), &greavev1.ListRequest{Kind: greavev1.ObjectKind_OBJECT_KIND_SAMPLER, Name: "i"})
	check(t, err)
	if o := r.GetObjects()[0].GetSampler(); o.GetTable() != "IPFIX" || o.GetColumns()["obs_domain_id"] != "123" || !o.GetOwned() {
		t.Errorf("observed %v", o)
	}

	apply(t, h1, base)
	stop = capture(t, h2, "", filter)
	if n := echo(t, s.red1, to); n != 5 {
		t.Errorf("%d of 5 answered", n)
	}
	if got := readSamples(t, stop(), from, to, h2.VTEP); got != (told{}) {
		t.Errorf("without samplers: %+v", got)
	}

	vsctl(t, h1, "-- --id=@s create sFlow targets=\"192.0.2.9\" sampling=7 -- set Bridge br-greave sflow=@s")
	w, err := dial(t, h1).Apply(t.Context(), &greavev1.ApplyRequest{State: parse(t, base+"samplers: [{name: s, targets: ['192.0.2.2:6343'], sflow: {}}]\n"), Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE})
	check(t, err)
	if w.GetRealised() {
		t.Errorf("a second sFlow on one bridge is realised: %v", w)
	}
	eventually(t, settle, "the conflict is told", func() bool {
		r, err := dial(t, h1).List(t.Context(), &greavev1.ListRequest{Kind: greavev1.ObjectKind_OBJECT_KIND_SAMPLER, Name: "s"})
		check(t, err)
		return len(r.GetObjects()) == 1 && len(r.GetObjects()[0].GetStatus().GetConditions()) > 0 && r.GetObjects()[0].GetStatus().GetConditions()[0].GetReason() == "CONFLICT"
	})
	if n := vsctl(t, h1, "get sFlow . sampling"); n != "7" {
		t.Errorf("the other's sFlow has sampling %s", n)
	}
}
