package model

import (
	"fmt"
	"net/netip"
)

// Datapath is the kind of datapath behind an OVS bridge.
type Datapath uint8

// Datapaths (ovs-vswitchd.conf.db(5), Bridge.datapath_type).
const (
	DatapathAuto   Datapath = iota + 1 // system when the kernel module answers
	DatapathSystem                     // the kernel's
	DatapathNetdev                     // userspace
)

func (d Datapath) String() string {
	switch d {
	case DatapathAuto:
		return "auto"
	case DatapathSystem:
		return "system"
	case DatapathNetdev:
		return "netdev"
	}
	return "unspecified"
}

// FailMode is what an OVS bridge does without a controller.
type FailMode uint8

// Fail modes (ovs-vswitchd.conf.db(5), Bridge.fail_mode).
const (
	FailStandalone FailMode = iota + 1 // switch by NORMAL
	FailSecure                         // only by installed flows
)

func (f FailMode) String() string {
	switch f {
	case FailStandalone:
		return "standalone"
	case FailSecure:
		return "secure"
	}
	return "unspecified"
}

// Forwarding is how a managed bridge forwards.
type Forwarding uint8

// Ways of forwarding.
const (
	ForwardNormal  Forwarding = iota + 1 // as an ordinary learning switch
	ForwardOverlay                       // by greave's pipeline
)

func (f Forwarding) String() string {
	switch f {
	case ForwardNormal:
		return "normal"
	case ForwardOverlay:
		return "overlay"
	}
	return "unspecified"
}

// Bridge is a bridge that greave makes and owns, or a foreign one.
type Bridge struct {
	Name       string
	Foreign    bool // somebody else's: of all below it has at most a backend
	Backend    Backend
	Datapath   Datapath
	Forwarding Forwarding
	FailMode   FailMode
	Protocols  []string // OpenFlow versions as OVS writes them; none: OVS's default
	HWAddr     MAC      // hardware address of the local port; zero: OVS picks one
	DatapathID Opt[uint64]
	Addresses  []netip.Prefix
	MTU        uint32 // MTU of the local port, 68-65535; 0: OVS's default
	Adopt      bool   // take over an existing bridge of this name
	Implied    bool   // not stated, but needed by a segment or port

	SweepOrphans bool // remove ports that others made for guests and left behind
}

// Ref implements Object.
func (b Bridge) Ref() Ref { return Ref{KindBridge, b.Name} }

// Protocols OVS 2.13-3.7 knows.
var openflowVersions = []string{"OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"}

func (b Bridge) check(c *checker, path string) {
	if b.Foreign {
		b.checkForeign(c, path)
		return
	}
	c.createdName(path+".name", b.Name)
	c.oneOf(path+".protocols", b.Protocols, openflowVersions)
	c.mtu(path+".mtu", b.MTU)
	if b.HWAddr.IsMulticast() {
		c.add(path+".hwaddr", b.HWAddr.String(), ReasonInvalid, "is a multicast address", "use one with an even first byte")
	}
	if b.DatapathID.Set && b.DatapathID.V == 0 {
		c.add(path+".datapath_id", "0", ReasonOutOfRange, "is ignored by Open vSwitch", "use 16 hexadecimal digits that are not all zero")
	}
	if b.Forwarding == ForwardOverlay {
		b.checkOverlay(c, path)
	}
	c.localAddresses(path+".addresses", b.Addresses)
	if backend, _ := c.caps.Choice.Bridge(b); backend == BackendKernel {
		b.checkKernel(c, path)
		return
	}
	c.unbuilt(path, []unbuilt{{len(b.Addresses) > 0, ".addresses", fmt.Sprint(len(b.Addresses)), "put them on the bridge with ip addr add", "", ""}})
	if b.Datapath == DatapathSystem && c.caps.OVS && !c.caps.SystemDatapath {
		c.add(path+".datapath", "system", ReasonUnsupported, "cannot be had: the kernel has no openvswitch module loaded", "run modprobe openvswitch, or say datapath: netdev")
	}
}

// checkKernel refuses what only a bridge of Open vSwitch has. Secure is what
// Normalize makes of an overlay bridge whose backend it does not know.
func (b Bridge) checkKernel(c *checker, path string) {
	const message, remedy = "is of Open vSwitch, and the bridge is of the kernel", "leave it out, or say backend: ovs"
	refuse := func(stated bool, field, value string) {
		if stated {
			c.add(path+field, value, ReasonUnsupported, message, remedy)
		}
	}
	implied := b.Forwarding == ForwardOverlay && b.Backend != BackendKernel
	refuse(b.Datapath == DatapathSystem || b.Datapath == DatapathNetdev, ".datapath", b.Datapath.String())
	refuse(len(b.Protocols) > 0, ".protocols", join(b.Protocols))
	refuse(b.FailMode == FailSecure && !implied, ".fail_mode", "secure")
	refuse(b.SweepOrphans, ".sweep_orphans", "true")
	refuse(b.DatapathID.Set, ".datapath_id", fmt.Sprintf("%016x", b.DatapathID.V))
}

func (b Bridge) checkOverlay(c *checker, path string) {
	if b.FailMode == FailStandalone {
		c.add(path+".fail_mode", "standalone", ReasonConflict, "does not go with forwarding: overlay, which is by greave's flows alone", "leave it out, or say secure")
	}
	if len(b.Protocols) > 0 && !contains(b.Protocols, "OpenFlow13", "OpenFlow14", "OpenFlow15") {
		c.add(path+".protocols", join(b.Protocols), ReasonUnsupported, "lacks OpenFlow13 or later, which the pipeline needs", "add OpenFlow15")
	}
	if c.overlay != "" && c.overlay != b.Name {
		c.add(path+".forwarding", "overlay", ReasonConflict, "is what bridge "+c.overlay+" is already, and OVS has one flow-based port per encapsulation", "keep one overlay bridge")
	}
	c.overlay = b.Name
}
