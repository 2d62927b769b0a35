package mtu

import (
	"errors"
	"fmt"
	"slices"
)

// FieldError says which field is refused, its value, why, and what to do.
type FieldError struct {
	Field  string // as in Spec, in snake case: geneve_options, esp.outer; or underlay_mtu, inner_mtu
	Value  string
	Reason string
	Remedy string
}

// Error returns one line without a final stop.
func (e *FieldError) Error() string {
	return fmt.Sprintf("check %s %s: %s; %s", e.Field, e.Value, e.Reason, e.Remedy)
}

func tooSmall(field string, value, least int) error {
	return &FieldError{field, fmt.Sprint(value), "too small", fmt.Sprintf("give at least %d", least)}
}

func tooLarge(field string, value, most int) error {
	return &FieldError{field, fmt.Sprint(value), "too large", fmt.Sprintf("give at most %d", most)}
}

// Validate returns nil for a Spec that can exist on the wire, else every
// *FieldError joined. It knows formats, not what a given datapath supports.
func (s Spec) Validate() error {
	var errs []error
	refuse := func(bad bool, field string, value any, reason, remedy string) {
		if bad {
			errs = append(errs, &FieldError{field, fmt.Sprint(value), reason, remedy})
		}
	}
	if refuse(!s.Encap.known(), "encap", s.Encap, "not known", "set one of the named encapsulations"); errs != nil {
		return errs[0]
	}
	rule := encapRules[s.Encap]
	refuse(!s.Outer.known(), "outer", s.Outer, "not known", "say ipv4 or ipv6")
	refuse(s.Encap == SIT && s.Outer == IPv6, "outer", s.Outer, "sit is IPv6 in IPv4", "use ipip over ipv6")
	refuse(s.layer() == 0, "layer", s.Layer, "vxlan-gpe carries frames or packets", "say l2 or l3")
	refuse(!slices.Contains(rule.layers, s.Layer) && s.Layer != 0, "layer", s.Layer,
		"not carried by "+rule.name, "say "+rule.layers[len(rule.layers)-1].String())

	const words, remedy = "a word of the GRE header", "leave it out: only gre and gretap take it"
	refuse(s.Key && !rule.words, "key", s.Key, words, remedy)
	refuse(s.Checksum && !rule.words, "checksum", s.Checksum, words, remedy)
	refuse(s.Sequence && !rule.words, "sequence", s.Sequence, words, remedy)

	refuse(!options(s.GeneveOptions, maxGeneve), "geneve_options", s.GeneveOptions,
		"not whole words in the header", "give a multiple of 4 from 0 to 252")
	refuse(s.GeneveOptions != 0 && s.Encap != Geneve, "geneve_options", s.GeneveOptions,
		rule.name+" has no options", "leave it out")
	refuse(s.EncapLimit && (s.Outer == IPv4 || rule.overUDP), "encap_limit", s.EncapLimit,
		"sent only by tunnels that are an IPv6 protocol", "leave it out")
	refuse(!s.UDPEncap.known(), "udp_encap", s.UDPEncap, "not known", "say none, fou or gue")
	refuse(s.UDPEncap != 0 && rule.overUDP, "udp_encap", s.UDPEncap, rule.name+" is UDP already", "leave it out")
	refuse(!options(s.GUEOptions, maxGUE), "gue_options", s.GUEOptions,
		"not whole words in the header", "give a multiple of 4 from 0 to 124")
	refuse(s.GUEOptions != 0 && s.UDPEncap != GUE, "gue_options", s.GUEOptions, "no GUE header", "leave it out")

	const depth = "give 0 to 8"
	refuse(s.InnerVLANs < 0 || s.InnerVLANs > maxVLANs, "inner_vlans", s.InnerVLANs, "not a tag depth", depth)
	refuse(s.InnerVLANs > 0 && s.layer() == L3, "inner_vlans", s.InnerVLANs, "an IP packet has no tag", "leave it out")
	refuse(s.OuterVLANs < 0 || s.OuterVLANs > maxVLANs, "outer_vlans", s.OuterVLANs, "not a tag depth", depth)
	return errors.Join(append(errs, s.ESP.validate()...)...)
}

func (e ESP) validate() []error {
	switch {
	case e == ESP{}:
		return nil
	case !e.Suite.known() || e.Suite == 0:
		return []error{&FieldError{"esp.suite", e.Suite.String(), "not known", "set one of the named suites"}}
	case e.Tunnel && !e.Outer.known():
		return []error{&FieldError{"esp.outer", e.Outer.String(), "not known", "tunnel mode needs ipv4 or ipv6"}}
	case !e.Tunnel && e.Outer != 0:
		return []error{&FieldError{"esp.outer", e.Outer.String(), "transport mode adds no IP header", "leave it out"}}
	}
	return nil
}

func options(bytes, most int) bool { return bytes >= 0 && bytes <= most && bytes%optionAlign == 0 }
