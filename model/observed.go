package model

import "net/netip"

// OVSBridge is a bridge as the host's OVSDB has it.
type OVSBridge struct {
	Name        string
	Datapath    Datapath
	FailMode    FailMode
	Protocols   []string
	HWAddr      MAC // other_config:hwaddr
	DatapathID  Opt[uint64]
	MTURequest  uint32 // of the local port
	ExternalIDs map[string]string
	Controllers []OVSController // by target
}

// OVSController is an OpenFlow controller that somebody set on a bridge.
type OVSController struct {
	Target    string // "tcp:192.0.2.1:6653"
	Connected bool   // up to 5 s old, as is Role
	Role      string // other, master or slave while connected
}

func (c OVSController) String() string {
	switch {
	case c.Connected && c.Role != "":
		return c.Target + " (connected, role " + c.Role + ")"
	case c.Connected:
		return c.Target + " (connected)"
	}
	return c.Target
}

// OVSPort is a port with its one interface as the host's OVSDB has it.
// Bonds are ports of other people's: their interfaces are not listed.
type OVSPort struct {
	Name        string
	Bridge      string
	Type        string // Interface.type; "" or "system", "internal", "gre", "vxlan" …
	Options     map[string]string
	BFD         map[string]string // how the switch watches the far end of a tunnel …
	BFDState    string            // … and what it found: "up", "down", "init"
	VLAN        VLAN              // normal
	HWAddr      MAC               // that was asked for
	MTURequest  uint32            // 0: none
	ExternalIDs map[string]string
	Ofport      int // -1: the switch refused it; 0: not yet known
	Members     int // interfaces: several are a bond
	OfportAsked int
	Error       string
}

// OVSHost is what one observation of Open vSwitch read.
type OVSHost struct {
	Version        string
	SystemDatapath bool // the kernel datapath answers
	Bridges        map[string]OVSBridge
	Ports          map[string]OVSPort
	Attached       map[string]OVSAttached // by an id of the database's
}

// OVSAttached is a row that a bridge refers to and that goes with it: a mirror.
type OVSAttached struct {
	Table       string // as ovs-vswitchd.conf.db(5) names it
	Bridge      string
	Fields      map[string]string // columns as text, sets in order and with commas, ports by name
	ExternalIDs map[string]string
}

// Marks in external_ids by which greave knows what it made.
const (
	MarkOwner     = "greave-owner"     // the owner's name
	MarkObject    = "greave-object"    // Ref.Mark of the object behind it
	MarkGroups    = "greave-groups"    // on an overlay bridge: the range of group ids that is greave's
	MarkInstalled = "greave-installed" // on a bound port: "owner since" (RFC 3339), once its flows are in
)

// Keys of external_ids that libvirt and CNIs write on the ports they make.
const (
	IDIface       = "iface-id"
	IDAttachedMAC = "attached-mac"
)

// Device is a network device of the host with its addresses.
type Device struct {
	Name   string
	Index  int
	Kind   string // of the driver, "" for hardware
	Master string // bridge or VRF that it is a port of
	Up     bool
	MTU    int
	Table  int          // routing table of a VRF device
	Addrs  []string     // without prefix length
	Global []netip.Addr // those of global scope that are not deprecated, in the kernel's order
	Tunnel DeviceTunnel // of a tunnel device
	Marked bool         // its alias says that a greaved made it
}

// WayAsk asks for the route to an underlay address.
type WayAsk struct {
	Remote             netip.Addr
	VRF, Netns, Device string // in a VRF, in a namespace, by a device; empty: not
}

// Way is the kernel's route to an underlay address.
type Way struct {
	Source netip.Addr
	Device string
	MTU    int // of the route, or of the device
}

// Facts is what only the host knows.
type Facts struct {
	OVS     *OVSHost // nil: Open vSwitch does not answer, or the host has none
	OVSHere bool     // the host has Open vSwitch, whether it answers or not
	OVSAway string   // why it does not answer
	Devices map[string]Device
	Ways    map[WayAsk]Way
	// AskFor lists the routes to look up; nil: none. It is set by who asks for
	// facts, as is Choice.Kept.
	AskFor func(Choice) []WayAsk
	Choice Choice
	Owner  string // of what greave made
}
