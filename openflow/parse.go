package openflow

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ParseFlow reads one line of dump-flows (OpenFlow 1.3-1.5, --no-names), with
// or without statistics. A match field or an action that greave does not know
// is no error: see Seen and Opaque. The error is for a line that is no flow.
func ParseFlow(line string) (Seen, error) {
	s := Seen{Parsed: true}
	s.Priority = 32768 // the one that is not printed
	head, actions, ok := strings.Cut(line, "actions=")
	if !ok {
		return Seen{}, errors.New("parse flow: no actions")
	}
	head = strings.TrimRight(head, ", ")
	match := -1
	for at := 0; at < len(head); {
		n := tokenLen(head[at:])
		tok := head[at : at+n]
		if tok != "" {
			meta, err := s.meta(tok)
			if err != nil {
				return Seen{}, fmt.Errorf("parse flow: %w", err)
			}
			switch {
			case !meta && match < 0:
				match = at
				fallthrough
			case !meta:
				s.Parsed = s.Match.parseField(tok) && s.Parsed
			case match >= 0: // the match comes last, so what began it was no field
				s.Parsed = false
			}
		}
		at += n + 1
	}
	s.Parsed = s.Parsed && s.Match.Upper.check(s.Match.EthType) == nil
	if !s.Parsed {
		s.MatchText = strings.Clone(head[match:])
		s.Match = Match{}
	}
	s.Actions = parseActions(actions)
	return s, nil
}

// tokenLen is the length of s up to the next comma or space outside parentheses.
func tokenLen(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',', ' ':
			if depth <= 0 {
				return i
			}
		}
	}
	return len(s)
}

// meta takes one token that is no match field, and tells whether it was one.
func (s *Seen) meta(tok string) (bool, error) {
	key, val, _ := strings.Cut(tok, "=")
	var v uint64
	ok := true
	switch key {
	case "cookie":
		v, ok = number(val, 64)
		s.Cookie = Cookie(v)
	case "table":
		v, ok = number(val, 8)
		s.Table = Table(v)
	case "priority":
		v, ok = number(val, 16)
		s.Priority = uint16(v)
	case "n_packets":
		s.Packets, ok = number(val, 64)
	case "n_bytes":
		s.Bytes, ok = number(val, 64)
	case "duration", "idle_timeout", "hard_timeout", "importance", "idle_age", "hard_age",
		"send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts":
	default:
		return false, nil
	}
	if !ok {
		return false, fmt.Errorf("%s %q is no number in range", key, val)
	}
	return true, nil
}

// number reads a decimal or 0x number of at most the given bits.
func number(s string, bits int) (uint64, bool) {
	base := 10
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		s, base = hex, 16
	}
	v, err := strconv.ParseUint(s, base, bits)
	return v, err == nil
}

// parseActions keeps what it does not know as it is; "drop" is the empty list.
func parseActions(s string) []Action {
	if s == "drop" || s == "" {
		return nil
	}
	as := make([]Action, 0, strings.Count(s, ",")+1)
	for {
		n := actionLen(s)
		as = append(as, parseAction(s[:n]))
		if n == len(s) {
			return as
		}
		s = s[n+1:]
	}
}

// actionLen is the length of s up to the next comma outside parentheses.
func actionLen(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth <= 0 {
				return i
			}
		}
	}
	return len(s)
}

func parseAction(s string) Action {
	if a := knownAction(s); a != nil {
		return a
	}
	return Opaque{strings.Clone(s)}
}

func knownAction(s string) Action {
	switch s {
	case "NORMAL":
		return Normal{}
	case pushVLANText:
		return PushVLAN{}
	case popVLANText:
		return PopVLAN{}
	case "LOCAL":
		return Output{PortLocal}
	case "IN_PORT":
		return Output{PortInPort}
	}
	name, arg, ok := strings.Cut(s, ":")
	switch {
	case strings.HasPrefix(s, learnText):
		return parseLearn(s)
	case strings.HasPrefix(s, "learn("):
		return parseMoving(s)
	case strings.HasPrefix(s, "resubmit(,") && strings.HasSuffix(s, ")"):
		if v, ok := number(s[len("resubmit(,"):len(s)-1], 8); ok {
			return Resubmit{Table(v)}
		}
	case !ok:
	case name == "set_field":
		return parseSet(arg)
	case name == "move":
		return parseMove(arg)
	case name == "output":
		if v, ok := number(arg, 32); ok && checkPort(Port(v)) == nil {
			return Output{Port(v)}
		}
	case name == "group":
		if v, ok := number(arg, 32); ok {
			return ToGroup{GroupID(v)}
		}
	}
	return nil
}

// parseSet reads "VALUE->FIELD"; nil when greave does not write such a thing.
func parseSet(s string) Action {
	val, name, ok := strings.Cut(s, "->")
	if !ok {
		return nil
	}
	for f, known := range fieldNames {
		if known != name {
			continue
		}
		set := SetField{Field: Field(f)}
		if set.Field.ofMAC() {
			var m MAC
			ok = parseMAC(&m, val)
			set.Value = macBits(m)
		} else if set.Field >= FieldTunSrc && set.Field < FieldEthSrc {
			set.Addr, ok = address(val)
		} else {
			set.Value, ok = number(val, 64)
		}
		if ok && set.check() == nil {
			return set
		}
	}
	return nil
}
