package rows

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
	Spare   bool   // a kernel may lack it: a new device goes without while it has the default
}

// Kind is one driver of links, with all its attributes that greave writes.
type Kind struct {
	Name  string // IFLA_INFO_KIND
	Attrs []Attr
	// Whole says that a change must repeat every attribute, as what is left out
	// is reset. Of other kinds a change may hold only what changes.
	Whole bool
	// Module is what modprobe loads.
	Module string
	// First gives the fields to write before a change that the kernel does not
	// take at once, from those wanted and the old values of those that change;
	// nil: none. No First: any change is taken at once.
	First func(want, was map[string]string) map[string]string
}

// Kinds lists every kind of link, by name.
var Kinds = map[string]Kind{}

func register(kinds ...Kind) bool {
	for _, k := range kinds {
		Kinds[k.Name] = k
	}
	return true
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

// Turns tells whether a change of an attribute makes another sort of device of
// it: a layer 3 GRE device with a remote is point to point, one without is not,
// and the kernel takes the one for the other only when made anew.
func Turns(k Kind, field, before, after string) bool {
	return (k.Name == "gre" || k.Name == "ip6gre") && field == "remote" && (before == "") != (after == "")
}
