package openflow

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

const (
	// tableMax is the last table that flows may use: 254 is OVS's own, and a
	// flow added to 255 ("all tables") lands in table 0.
	tableMax Table = 253
	portMax  Port  = 0xfeff
	groupMax       = 0xffffff00 // also of bucket ids
	// messageMax leaves room for the bundle's header in a message of 65,535
	// bytes. A longer one makes the switch close the connection without a word.
	messageMax = 65000
)

// Check tells why f cannot be written so that the switch holds exactly f.
func (f Flow) Check() error {
	if err := f.Key.check(); err != nil {
		return err
	}
	if err := f.Match.Check(); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	size := 600      // header, longest match, instruction
	match := f.Match // as the actions before have changed it
	for i, a := range f.Actions {
		if err := checkAction(a); err != nil {
			return fmt.Errorf("action %d: %w", i, err)
		}
		if err := checkNeeds(a, match); err != nil {
			return fmt.Errorf("action %d: %w", i, err)
		}
		match = retagged(match, a)
		size += actionSize(a)
	}
	return checkSize(size)
}

func (k Key) check() error {
	if k.Table > tableMax {
		return fmt.Errorf("table %d is above %d", uint8(k.Table), uint8(tableMax))
	}
	if k.Priority == 32768 {
		return errors.New("priority 32768 is the one OVS does not print")
	}
	return nil
}

// Check tells why the removal cannot be written. A MatchText must be a match
// and nothing else: it is the only text here that greave did not make.
func (r Removal) Check() error {
	if err := r.Key.check(); err != nil {
		return err
	}
	if r.MatchText == "" {
		return r.Match.Check()
	}
	if strings.Trim(r.MatchText, matchTextChars) != "" || strings.ContainsFunc(r.MatchText, notMatchText) {
		return fmt.Errorf("match text %q is not one of a switch", r.MatchText)
	}
	for f := range strings.SplitSeq(r.MatchText, ",") {
		if key, _, _ := strings.Cut(f, "="); notMatchKeys[key] {
			return fmt.Errorf("match text %q has %s", r.MatchText, key)
		}
	}
	return nil
}

const matchTextChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=,:./+-|()"

func notMatchText(r rune) bool { return !strings.ContainsRune(matchTextChars, r) }

// notMatchKeys are what ovs-ofctl takes for something else than a match field.
var notMatchKeys = map[string]bool{
	"": true, "table": true, "priority": true, "cookie": true, "out_port": true, "out_group": true,
	"action": true, "actions": true, "duration": true, "n_packets": true, "n_bytes": true,
	"idle_timeout": true, "hard_timeout": true, "importance": true, "idle_age": true, "hard_age": true,
	"send_flow_rem": true, "check_overlap": true, "reset_counts": true, "no_packet_counts": true, "no_byte_counts": true,
}

// Check tells why m cannot be written so that it reads back equal.
func (m Match) Check() error {
	if m.InPort != 0 && m.InPort != PortLocal {
		if err := checkPort(m.InPort); err != nil {
			return fmt.Errorf("in_port: %w", err)
		}
	}
	for n, r := range m.Regs {
		if r.Value&^r.Mask != 0 {
			return fmt.Errorf("reg%d: bits outside the mask", n)
		}
	}
	if m.TunID.Value&^m.TunID.Mask != 0 {
		return errors.New("tun_id: bits outside the mask")
	}
	for _, a := range []netip.Addr{m.TunSrc, m.TunDst} {
		if a.IsValid() && !a.Is4() && !plainIPv6(a) {
			return fmt.Errorf("tunnel address %s is neither IPv4 nor plain IPv6", a)
		}
	}
	for _, e := range []MaskedMAC{m.EthSrc, m.EthDst} {
		for i := range e.Value {
			if e.Value[i]&^e.Mask[i] != 0 {
				return fmt.Errorf("address %s: bits outside the mask", e.Value)
			}
		}
	}
	if err := m.Upper.check(m.EthType); err != nil {
		return err
	}
	return m.VlanTCI.checkVlan()
}

// checkVlan refuses what OpenFlow cannot carry: the priority goes along only
// whole, and only with a tag. OVS drops the rest of such a match in silence.
func (m Masked16) checkVlan() error {
	pcp := m.Mask & vlanPCP
	switch {
	case m.Value&^m.Mask != 0:
		return errors.New("vlan_tci: bits outside the mask")
	case pcp != 0 && (pcp != vlanPCP || m.Value&vlanCFI == 0):
		return errors.New("vlan_tci: priority must be matched whole and with a tag (0x1000)")
	}
	return nil
}

// plainIPv6 tells whether OVS and netip agree on the one text of a: no zone, and
// no IPv4 address inside, which the two print differently.
func plainIPv6(a netip.Addr) bool {
	if !a.Is6() || a.Is4In6() || a.Zone() != "" {
		return false
	}
	b := a.As16()
	return [12]byte(b[:12]) != [12]byte{} || b[12] == 0 && b[13] == 0
}

func checkPort(p Port) error {
	if p == 0 || p > portMax {
		return fmt.Errorf("port %d is not 1-%d", p, portMax)
	}
	return nil
}

func checkAction(a Action) error {
	switch a := a.(type) {
	case SetField:
		return a.check()
	case Resubmit:
		if a.Table > tableMax {
			return fmt.Errorf("resubmit: table %d is above %d", uint8(a.Table), uint8(tableMax))
		}
		return nil
	case ToGroup:
		if a.Group > groupMax {
			return fmt.Errorf("group %#x is reserved", uint32(a.Group))
		}
		return nil
	case Output:
		if a.Port == PortLocal || a.Port == PortInPort {
			return nil
		}
		return checkPort(a.Port)
	case Move:
		return a.check()
	case Learn:
		return a.check()
	case LearnActive:
		return a.check()
	case LearnMoved:
		return a.check()
	case Normal, PushVLAN, PopVLAN:
		return nil
	}
	return fmt.Errorf("%T is read, not written", a)
}

func (s SetField) check() error {
	var ok bool
	switch {
	case s.Field <= FieldReg6:
		ok = !s.Addr.IsValid() && s.Value < 1<<32
	case s.Field == FieldTunID:
		ok = !s.Addr.IsValid()
	case s.Field == FieldTunSrc || s.Field == FieldTunDst:
		ok = s.Value == 0 && s.Addr.Is4()
	case s.Field == FieldTunIPv6Src || s.Field == FieldTunIPv6Dst:
		ok = s.Value == 0 && plainIPv6(s.Addr)
	case s.Field == FieldVLANVID:
		ok = !s.Addr.IsValid() && s.Value&^vlanVID == VLANPresent
	case s.Field <= FieldEthDst:
		ok = !s.Addr.IsValid() && s.Value <= fieldMax[s.Field]
	}
	if !ok {
		return fmt.Errorf("%s cannot hold value %d, address %s", s.Field, s.Value, s.Addr)
	}
	return nil
}

// fieldMax is the largest value of the fields above the tunnel's.
var fieldMax = map[Field]uint64{
	FieldEthSrc: 1<<48 - 1, FieldInPort: 0, FieldARPOp: 1<<8 - 1, FieldICMPv6Type: 1<<8 - 1, FieldNDReserved: 1<<32 - 1, FieldNDOptionsType: 1<<8 - 1, FieldEthDst: 1<<48 - 1,
}

// actionSize is the number of bytes of an action in OpenFlow 1.5.
func actionSize(a Action) int {
	switch a := a.(type) {
	case ToGroup:
		return 8
	case SetField:
		if a.Field >= FieldTunIPv6Src {
			return 24
		}
	case Move:
		return 24
	case Learn:
		return 104
	case LearnActive, LearnMoved:
		return learnSize
	}
	return 16
}

func checkSize(n int) error {
	if n > messageMax {
		return fmt.Errorf("%d bytes of OpenFlow, a message holds %d", n, messageMax)
	}
	return nil
}

// Check tells why g cannot be written so that the switch holds exactly g.
func (g Group) Check() error {
	switch {
	case g.ID > groupMax:
		return fmt.Errorf("group %#x is reserved", uint32(g.ID))
	case g.Type < GroupAll || g.Type > GroupFastFailover:
		return fmt.Errorf("%s is unknown", g.Type)
	case g.ByFlow && g.Type != GroupSelect:
		return fmt.Errorf("a group of type %s picks no bucket by flow", g.Type)
	case g.Type == GroupIndirect && len(g.Buckets) != 1:
		return fmt.Errorf("indirect group has %d buckets, not 1", len(g.Buckets))
	}
	seen := make(map[uint32]bool, len(g.Buckets))
	size := 24
	for _, b := range g.Buckets {
		if seen[b.ID] || b.ID > groupMax {
			return fmt.Errorf("bucket %d is there twice or reserved", b.ID)
		}
		seen[b.ID] = true
		n, err := g.checkBucket(b)
		if err != nil {
			return fmt.Errorf("bucket %d: %w", b.ID, err)
		}
		size += n
	}
	return checkSize(size)
}

// checkWatch holds a bucket to what its group watches.
func (g Group) checkWatch(b Bucket) error {
	watches := b.Watch != 0 || b.WatchGroup != 0
	switch {
	case g.Type == GroupFastFailover && (b.Watch != 0) == (b.WatchGroup != 0):
		return errors.New("a bucket of a fast failover group watches a port or a group")
	case g.Type != GroupFastFailover && b.WatchGroup != 0, g.Type != GroupFastFailover && g.Type != GroupSelect && watches:
		return fmt.Errorf("a bucket of a group of type %s watches nothing", g.Type)
	case b.WatchGroup == g.ID && b.WatchGroup != 0 || b.WatchGroup > groupMax:
		return errors.New("watches its own group, or a reserved one")
	case b.Watch != 0:
		if err := checkPort(b.Watch); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
	}
	return nil
}

// checkBucket returns the size of b in bytes.
func (g Group) checkBucket(b Bucket) (int, error) {
	if b.Weight != 0 && g.Type != GroupSelect {
		return 0, errors.New("weight outside a select group")
	}
	if err := g.checkWatch(b); err != nil {
		return 0, err
	}
	size := 16
	for _, s := range b.Sets {
		if err := s.check(); err != nil {
			return 0, err
		}
		if err := checkNeeds(s, Match{}); err != nil {
			return 0, err
		}
		size += actionSize(s)
	}
	switch t := b.Then.(type) {
	case Resubmit:
	case ToGroup:
		if t.Group == g.ID {
			return 0, errors.New("names its own group")
		}
	default:
		return 0, fmt.Errorf("ends in %T, not in a resubmit or a group", b.Then)
	}
	return size + actionSize(b.Then), checkAction(b.Then)
}
