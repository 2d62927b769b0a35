package rows

import (
	"net/netip"
	"slices"
)

// Form is how an attribute's value is written in a netlink message and as text.
type Form uint8

// Forms. Multi-byte numbers are in host order unless BE.
const (
	U8 Form = iota + 1
	U16
	U32
	BE16
	BE32
	Bool    // one byte: true, false
	Flag    // there or not: true, false
	Bit     // Bit of attribute Of, whose form is BE16 or U32: true, false
	KeyBE32 // BE32 that counts while Bit of attribute Of is set; empty: absent
	IP4     // an IPv4 address; empty: absent or 0.0.0.0
	IP6     // an IPv6 address; empty: absent or ::
	Device  // index of a device, as its name; empty: none
	TTL     // one byte; 0 is "inherit"
	TOS     // one byte; 1 is "inherit"
)

// Attr is one attribute of a kind of link.
type Attr struct {
	Name    string // as ip-link(8) calls it
	ID      int    // number of the netlink attribute
	Form    Form
	Of, Bit int    // of Bit and KeyBE32: the attribute with the flags, and the flag
	Default string // what the device has when a document says nothing
	Fixed   bool   // the kernel changes it only by making the device anew
	// Within says that the kernel changes it in place only within its class: none, one host, a group
	// of hosts. InPlace knows.
	Within bool
	// Sticks says that the kernel changes it in place, but not to nothing.
	Sticks bool
}

// Kind is one driver of links, with all its attributes that greave writes.
type Kind struct {
	Name  string // IFLA_INFO_KIND
	Attrs []Attr
	// Whole says that a change must repeat every attribute, as what is left out
	// is reset. Of other kinds a change may hold only what changes.
	Whole bool
	// Here says that the kernel does not tell of a device in which namespace its underlay is, so that
	// both must be in one.
	Here bool
	// Module is what modprobe loads.
	Module string
}

// adapt returns attributes with changes to some, by name.
func adapt(attrs []Attr, change func(*Attr), names ...string) []Attr {
	for i := range attrs {
		if slices.Contains(names, attrs[i].Name) {
			change(&attrs[i])
		}
	}
	return attrs
}

// Kinds lists every kind of link, by name.
var Kinds = map[string]Kind{}

func register(kinds ...Kind) bool {
	for _, k := range kinds {
		Kinds[k.Name] = k
	}
	return true
}

// InPlace tells whether the kernel changes the attribute from one value to the other without making
// the device anew.
func (a Attr) InPlace(from, to string) bool {
	return !a.Fixed && (!a.Within || class(from) == class(to)) && !(a.Sticks && to == "")
}

// class is of an address or the name of a device.
func class(value string) string {
	if value == "" {
		return "none"
	}
	if a, err := netip.ParseAddr(value); err == nil && a.IsMulticast() {
		return "group"
	}
	return "one"
}

// Attr finds an attribute by name.
func (k Kind) Attr(name string) (Attr, bool) {
	for _, a := range k.Attrs {
		if a.Name == name {
			return a, true
		}
	}
	return Attr{}, false
}

// Defaults are the fields of a device for which a document says nothing.
func (k Kind) Defaults() map[string]string {
	out := map[string]string{FieldKind: k.Name}
	for _, a := range k.Attrs {
		out[a.Name] = a.Default
	}
	return out
}
