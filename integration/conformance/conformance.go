// Package conformance states in packets what a segment and a tunnel must do, whatever carries them:
// Open vSwitch's userspace or kernel datapath, the kernel alone, or one of each. Its cases run on
// three hosts, each with a greaved that is driven over its real API, and look at frames only. The
// tests of this package make the hosts: in namespaces of this machine, and again in the guest of
// package vm. docs/conformance.md is what they found. It imports the product's API, its arithmetic
// of encapsulation and nothing else of it.
package conformance

import (
	"net/netip"
	"slices"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// Kind is what a host has to build with.
type Kind string

// Kinds of hosts.
const (
	OVSUserspace Kind = "u" // Open vSwitch, userspace datapath
	OVSSystem    Kind = "s" // Open vSwitch, kernel datapath
	Kernel       Kind = "k" // no Open vSwitch
)

// Column is one combination of hosts, a column of the table.
type Column struct {
	Name    string
	Hosts   [3]Kind // tunnels are between the first two
	InGuest bool    // needs the kernel of package vm's guest
}

// Columns are the combinations that greave promises the same on.
var Columns = []Column{
	{Name: "ovs-userspace", Hosts: [3]Kind{OVSUserspace, OVSUserspace, OVSUserspace}},
	{Name: "ovs-kernel", Hosts: [3]Kind{OVSSystem, OVSSystem, OVSSystem}, InGuest: true},
	{Name: "kernel", Hosts: [3]Kind{Kernel, Kernel, Kernel}, InGuest: true},
	{Name: "mixed", Hosts: [3]Kind{OVSSystem, Kernel, Kernel}, InGuest: true},
}

// Host is one machine with a running greaved.
type Host struct {
	Name    string
	Kind    Kind
	Address netip.Addr // underlay
	Config  greavev1.ConfigServiceClient
	Uplink  *Ear // hears its cable from the far end: what the host sends is not Sent there, but received
	Fabric  Fabric
}

// UnderlayMTU is the MTU of every cable between hosts, in bytes.
const UnderlayMTU = 1500

// GuestMTU is that of guests: larger than what fits any tunnel, so that the tunnel is what bounds.
const GuestMTU = 1600

// Fabric is where a host lives.
type Fabric interface {
	// Guest makes a device of the host, up and on no bridge, whose far end is the ear. A second call
	// returns the same.
	Guest(device string) (*Ear, error)
	// Inside runs f in the host's network namespace; sockets that it opens stay there.
	Inside(f func() error) error
	// Logs are the last lines that the host's daemons said.
	Logs() string
}

// Encap is an encapsulation as the table and documents spell it.
type Encap string

// Encapsulations.
const (
	GRE    Encap = "gre" // Ethernet in it: gretap
	VXLAN  Encap = "vxlan"
	Geneve Encap = "geneve"

	// TwoEncaps is GRE between the first two hosts and VXLAN to and from the third. With one, a switch
	// that sends nothing back where it came from hides that it would forward from tunnel to tunnel.
	TwoEncaps Encap = "gre, vxlan"
)

var (
	allEncaps  = []Encap{GRE, VXLAN, Geneve}
	meshEncaps = append(slices.Clone(allEncaps), TwoEncaps)
	onlyGRE    = []Encap{GRE}
)

// wire is that of a segment or tunnel, toPeer what a peer states, between hosts of these numbers.
func (e Encap) wire() greavev1.Encap {
	switch e {
	case VXLAN:
		return greavev1.Encap_ENCAP_VXLAN
	case Geneve:
		return greavev1.Encap_ENCAP_GENEVE
	}
	return greavev1.Encap_ENCAP_GRE
}

func (e Encap) toPeer(a, b int) greavev1.Encap {
	if e == TwoEncaps && (a == 2 || b == 2) {
		return greavev1.Encap_ENCAP_VXLAN
	}
	return greavev1.Encap_ENCAP_UNSPECIFIED
}

// Row is one case under one encapsulation.
type Row struct {
	Case  string // "segment: …" or "tunnel: …"
	Encap Encap
}

// Rows are the rows of the table, in order.
func Rows() []Row {
	var rows []Row
	for _, c := range cases {
		for _, e := range c.encaps {
			rows = append(rows, Row{c.name, e})
		}
	}
	return rows
}
