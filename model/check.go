package model

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Reasons of field errors. They are part of the API: never reword.
const (
	ReasonRequired      = "REQUIRED"
	ReasonInvalid       = "INVALID"
	ReasonInvalidName   = "INVALID_NAME"
	ReasonOutOfRange    = "OUT_OF_RANGE"
	ReasonDuplicate     = "DUPLICATE"
	ReasonUnknownRef    = "UNKNOWN_REFERENCE"
	ReasonConflict      = "CONFLICT"
	ReasonUnsupported   = "UNSUPPORTED"
	ReasonUnimplemented = "UNIMPLEMENTED"
	ReasonWrongHost     = "WRONG_HOST"
	ReasonEmpty         = "EMPTY_DOCUMENT"
)

// FieldError is one thing wrong with a document: where, what stands there, why
// it cannot be, and what to do.
type FieldError struct {
	Path    string // "tunnels[2].ttl.fixed"; empty: the whole document
	Value   string
	Reason  string
	Message string
	Remedy  string
}

func (e FieldError) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	if e.Value != "" {
		fmt.Fprintf(&b, "%q ", e.Value)
	}
	b.WriteString(e.Message)
	if e.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(e.Remedy)
	}
	return b.String()
}

// FieldErrors is everything wrong with a document.
type FieldErrors []FieldError

func (e FieldErrors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Capabilities is what the host can do, as far as validation needs it.
type Capabilities struct {
	OVS            bool // Open vSwitch answers; when not, nothing below is known
	SystemDatapath bool // the kernel datapath answers
	Choice         Choice
}

// Others is what the other sources state, normalised, by source.
type Others map[string]HostState

// Merge joins the states of all sources.
func (o Others) Merge() HostState {
	var all HostState
	for _, source := range slices.Sorted(maps.Keys(o)) {
		all = all.Merge(o[source])
	}
	return all
}

// Validate checks s, already normalised, for host, beside the objects of other
// sources. It returns nil or FieldErrors.
func Validate(s HostState, by Others, host string, caps Capabilities) error {
	c := &checker{caps: caps}
	others := by.Merge()
	union := Union(others, s)
	own := byName(s.Bridges)
	for _, b := range union.Bridges {
		if _, ours := own[b.Name]; !ours && b.Forwarding == ForwardOverlay {
			c.overlay = b.Name
		}
	}
	c.collect(&union)
	if s.Host != "" && s.Host != host {
		c.add("host", s.Host, ReasonWrongHost, fmt.Sprintf("is not this host, which is called %q", host), "apply it there, or correct host")
	}
	if s.Empty() && !s.AllowEmpty {
		c.add("", "", ReasonEmpty, "the document names no object", "set allow_empty: true if nothing is what this source wants")
	}
	s.Each(func(path string, o Object) {
		if o, ok := o.(interface{ check(*checker, string) }); ok {
			o.check(c, path)
		}
	})
	c.duplicates(&s, by, &union)
	c.memberships(&s, &union)
	full, fullUnion, fullBy := s.withCollectors(), union.withCollectors(), Others{}
	for source, o := range by {
		fullBy[source] = o.withCollectors()
	}
	c.tunnels(&full, fullBy, &fullUnion)
	c.ownAddresses(&s, &union)
	c.underlays(&s, &union)
	c.oneOfASlot(&full, &fullUnion)
	c.layer3Bridges(&s, &union)
	c.patches(&s, &union)
	c.mirrors(&s, &union)
	c.danglers(by)
	if len(c.errs) == 0 {
		return nil
	}
	return c.errs
}

type checker struct {
	errs     FieldErrors
	caps     Capabilities
	refs     map[Ref]bool
	bridges  map[string]Bridge
	segments map[string]Segment
	vteps    map[string]Vtep
	peers    map[string]Peer
	overlay  string // the overlay bridge seen so far
}

// valueMax bounds how much of a value an error repeats.
const valueMax = 80

func (c *checker) add(path, value, reason, message, remedy string) {
	if len(value) > valueMax {
		value = fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(value[:valueMax], ""), len(value))
	}
	c.errs = append(c.errs, FieldError{path, value, reason, message, remedy})
}

func (c *checker) outOfRange(path string, v, low, high uint64) {
	c.add(path, fmt.Sprint(v), ReasonOutOfRange, fmt.Sprintf("is outside %d-%d", low, high), "use a value in that range")
}

func (c *checker) collect(s *HostState) {
	c.refs = map[Ref]bool{}
	for _, r := range s.Refs() {
		c.refs[r] = true
	}
	c.bridges, c.segments = byName(s.Bridges), byName(s.Segments)
	c.vteps, c.peers = byName(s.Vteps), byName(s.Peers)
}

// onKernel tells whether the kernel builds what is on a bridge.
func (c *checker) onKernel(bridge string) bool {
	b, _ := c.caps.Choice.on(bridge, c.bridges)
	return b == BackendKernel
}

// unbuilt is a field that a backend does not build yet, or cannot.
type unbuilt struct {
	stated                       bool
	field, value, remedy, reason string // reason empty: UNIMPLEMENTED
	message                      string // empty: "is not supported on Open vSwitch yet"
}

func (c *checker) unbuilt(path string, list []unbuilt) {
	for _, u := range list {
		if u.stated {
			c.add(path+u.field, u.value, cmp.Or(u.reason, ReasonUnimplemented), cmp.Or(u.message, "is not supported on Open vSwitch yet"), u.remedy)
		}
	}
}

func (c *checker) isOverlay(bridge string) bool {
	return c.bridges[bridge].Forwarding == ForwardOverlay
}

// datapath is the datapath a bridge will have, 0 when it cannot be known here.
func (c *checker) datapath(bridge string) Datapath {
	d := c.bridges[bridge].Datapath
	if d == DatapathAuto && c.caps.OVS {
		if c.caps.SystemDatapath {
			return DatapathSystem
		}
		return DatapathNetdev
	}
	return d
}

// createdName is the pattern of names that greave makes on the host: they are
// device names, and so short, and never an option, a path or a port word.
var createdName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,14}$`)

var idName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)

// ValidName tells whether a name can be that of a host, peer, segment or VTEP.
func ValidName(name string) bool { return idName.MatchString(name) }

// reservedNames mean something to OVS, ovs-ofctl or the kernel.
var reservedNames = map[string]bool{
	"local": true, "all": true, "any": true, "none": true, "normal": true, "flood": true,
	"in_port": true, "controller": true, "table": true, "drop": true, "lo": true,
	"default": true, "ovs-netdev": true, "ovs-system": true, "gre0": true, "gretap0": true,
	"erspan0": true, "ip6gre0": true, "ip6tnl0": true, "tunl0": true, "sit0": true,
	"ip_vti0": true, "ip6_vti0": true,
}

// reservedPrefix is that of the device names greave derives itself.
const reservedPrefix = "gs-"

func (c *checker) createdName(path, name string) {
	switch {
	case name == "":
		c.add(path, "", ReasonRequired, "a name is missing", "add one")
	case !createdName.MatchString(name):
		c.add(path, name, ReasonInvalidName, "cannot be the name of a device", "use 1-15 letters, digits, '_', '.' or '-', a letter first")
	case reservedNames[strings.ToLower(name)]:
		c.add(path, name, ReasonInvalidName, "is a reserved name of Open vSwitch or the kernel", "choose another name")
	case strings.HasPrefix(name, reservedPrefix) || strings.Contains(name, "_sys"): // vxlan_sys_4789, gre_sys
		c.add(path, name, ReasonInvalidName, "is of the form of derived device names", "choose another name")
	}
}

func (c *checker) idName(path, name string) {
	if name == "" {
		c.add(path, "", ReasonRequired, "a name is missing", "add one")
	} else if !idName.MatchString(name) {
		c.add(path, name, ReasonInvalidName, "is no valid name", "use 1-253 letters, digits, '.', '_' or '-'")
	}
}

// deviceName checks the name of a device that exists: any that the kernel takes
// (dev_valid_name), without control characters.
func (c *checker) deviceName(path, name string) {
	bad := len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/: \t") ||
		strings.ContainsFunc(name, func(r rune) bool { return r < 0x21 || r == 0x7f || r == 0xfffd })
	switch {
	case bad:
		c.add(path, name, ReasonInvalidName, "cannot be the name of a network device", "name a device that ip link shows")
	case strings.HasPrefix(name, reservedPrefix):
		c.add(path, name, ReasonInvalidName, "is of the form of derived device names", "name another device")
	}
}

func (c *checker) text(path, s string, max int) {
	if len(s) > max || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0xfffd }) {
		c.add(path, s, ReasonInvalid, fmt.Sprintf("is longer than %d bytes or holds control characters", max), "write it plainly")
	}
}

func (c *checker) oneOf(path string, list, known []string) {
	for i, v := range list {
		if !slices.Contains(known, v) {
			c.add(index(path, i), v, ReasonInvalid, "is not known", "use one of "+join(known))
		}
	}
}

func (c *checker) mtu(path string, v uint32) {
	if v != 0 && (v < 68 || v > 65535) {
		c.outOfRange(path, uint64(v), 68, 65535)
	}
}

func (c *checker) unicast(path string, m MAC) {
	if m.IsZero() {
		c.add(path, "", ReasonRequired, "a MAC address is missing", "add one")
	} else if m.IsMulticast() {
		c.add(path, m.String(), ReasonInvalid, "is a multicast address", "use a unicast one: an even first byte")
	}
}

// underlayAddr checks the address of a host. Its family is judged where it is
// known which backend uses it.
func (c *checker) underlayAddr(path string, a netip.Addr) {
	switch {
	case !a.IsValid():
		c.add(path, "", ReasonRequired, "an address is missing", "add the IP address of a host")
	case a.IsMulticast() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		c.add(path, a.String(), ReasonInvalid, "is not a unicast address", "use the address of a host")
	}
}

// hostBits checks a prefix that stands for all its addresses.
func (c *checker) hostBits(path string, p netip.Prefix) {
	if !p.IsValid() {
		c.add(path, "", ReasonRequired, "a prefix is missing", "add one such as 192.0.2.0/24")
	} else if p != p.Masked() {
		c.add(path, p.String(), ReasonInvalid, "has bits beyond its length", "write it as "+p.Masked().String())
	}
}

// localAddresses checks addresses with prefix lengths that greave puts on a device.
func (c *checker) localAddresses(path string, list []netip.Prefix) {
	for i, p := range list {
		at := index(path, i)
		switch a := p.Addr(); {
		case !p.IsValid():
			c.add(at, "", ReasonRequired, "an address is missing", "add one with its prefix length, such as 192.0.2.1/24")
		case a.IsMulticast() || a.IsUnspecified():
			c.add(at, p.String(), ReasonInvalid, "is not the address of a host", "use a unicast address")
		case slices.Contains(list[:i], p):
			c.add(at, p.String(), ReasonDuplicate, "is stated before", "keep one of the two")
		}
	}
}

// netnsName is the name of a file below /run/netns.
var netnsName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)

func (c *checker) netns(path, name string) {
	if name != "" && (!netnsName.MatchString(name) || name == "." || name == "..") {
		c.add(path, name, ReasonInvalidName, "cannot be the name of a network namespace", "name one that ip netns shows: 1-253 letters, digits, '.', '_' or '-'")
	}
}

// tunnelKey checks a key. Open vSwitch cannot tell key 0 from no key.
func (c *checker) tunnelKey(path string, key uint64, e Encap) {
	switch {
	case key == 0 || key > e.KeyMax():
		c.outOfRange(path, key, 1, e.KeyMax())
	case key >= ReservedKeyMin && key <= ReservedKeyMax:
		c.add(path, fmt.Sprint(key), ReasonOutOfRange, fmt.Sprintf("is in the range %d-%d, which is reserved for probes", ReservedKeyMin, ReservedKeyMax), "choose another key")
	}
}

// ref checks that a named object exists. An empty name was filled by Normalize
// where it may be.
func (c *checker) ref(path string, r Ref) {
	if r.Name == "" {
		remedy := "add it"
		if r.Kind == KindVtep {
			remedy = "name one of vteps; it may be left out where there is exactly one"
		}
		c.add(path, "", ReasonRequired, fmt.Sprintf("the name of a %s is missing", r.Kind), remedy)
	} else if !c.refs[r] {
		c.add(path, r.Name, ReasonUnknownRef, fmt.Sprintf("is no %s of this host's state", r.Kind), fmt.Sprintf("add the %s, or correct the name", r.Kind))
	}
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func join(list []string) string { return strings.Join(list, ", ") }

func contains(list []string, any ...string) bool {
	return slices.ContainsFunc(any, func(a string) bool { return slices.Contains(list, a) })
}
