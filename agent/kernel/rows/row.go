// Package rows owns what greave wants of the kernel's tables, as data: links,
// addresses, neighbours, FDB entries, routes and FOU ports, each a row with the
// key that the kernel knows it by and fields as iproute2 names them. Compile
// makes them of resolved objects.
//
// It is pure: it must not import os, net (net/netip is fine), slog, grpc,
// netlink or libovsdb, nor read the clock.
package rows

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/model"
)

// Table is one of the kernel's tables. Rows are made in the order of tables and
// taken away in the other.
type Table uint8

// Tables.
const (
	FOU       Table = iota + 1 // ports that GRE in UDP is received on
	Link                       // devices
	Address                    // of a device
	Neighbour                  // of a device: NBMA peers of a tunnel, guests behind a bridge
	FDB                        // of a bridge's port, or of a VXLAN device
	Route
)

var tableNames = [...]string{"", "fou", "link", "address", "neighbour", "fdb", "route"}

func (t Table) String() string { return tableNames[t] }

// Key is what the kernel knows a row by. ID has one spelling:
//
//	FOU        "inet 5555": family of the socket and UDP port
//	Link       "": the device is the key
//	Address    "192.0.2.1/30"
//	Neighbour  "192.0.2.2"
//	FDB        "master 02:00:00:00:00:01": the bridge's entry, by MAC
//	           "self 02:00:00:00:00:01 192.0.2.2": the VXLAN device's, by MAC and remote;
//	           MAC 00:00:00:00:00:00 is for floods
//	Route      "192.0.2.0/24 table 254 metric 0"; its device is a field
type Key struct {
	Netns string // name under /run/netns; empty: greaved's own namespace
	Table Table
	Link  string // device; empty for FOU and Route
	ID    string
}

// Compare orders keys by table, namespace, device and ID.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Table, o.Table), cmp.Compare(k.Netns, o.Netns), cmp.Compare(k.Link, o.Link), cmp.Compare(k.ID, o.ID))
}

// String names the row for people and for the list of rows that carry no mark.
func (k Key) String() string {
	parts := []string{k.Table.String()}
	if k.ID != "" {
		parts = append(parts, k.ID)
	}
	switch {
	case k.Link != "" && k.Table == Link:
		parts = append(parts, k.Link)
	case k.Link != "":
		parts = append(parts, "on", k.Link)
	}
	if k.Netns != "" {
		parts = append(parts, "in", k.Netns)
	}
	return strings.Join(parts, " ")
}

// Row is one row, wanted or as read. A wanted row has the fields that greave
// decides; an absent field is not its to decide. A row as read has all.
type Row struct {
	Key
	Fields map[string]string
	// Object is what the row is for: of a wanted row, and of one as read that
	// carries a mark.
	Object model.Ref
	// Owned says of a row as read that it carries this owner's mark.
	Owned bool
	// Unmarked says of a row as read that its table has no place for a mark (FDB
	// entries, FOU ports): it is greave's when the list of such rows names it.
	Unmarked bool
	// Adopt lets a wanted link take over a foreign one of its name.
	Adopt bool
	// Bound says of a wanted link that somebody else made the device: greave
	// writes its fields and never makes or removes it.
	Bound bool
}

// Text is the row on one line, fields in order.
func (r Row) Text() string {
	parts := []string{r.Key.String()}
	for _, f := range slices.Sorted(maps.Keys(r.Fields)) {
		parts = append(parts, fmt.Sprintf("%s=%s", f, r.Fields[f]))
	}
	return strings.Join(parts, " ")
}

// Fields of links that every kind has. The others are those of kinds.
const (
	FieldKind      = "kind"      // rtnetlink's name of the driver; fixed for the device's life
	FieldMTU       = "mtu"       // bytes
	FieldUp        = "up"        // true, false
	FieldMAC       = "mac"       // link-layer address of an Ethernet device
	FieldAlias     = "alias"     // greave's mark
	FieldMaster    = "master"    // name of the bridge or VRF device it is a port of; empty: none
	FieldMulticast = "multicast" // true, false: the flag
	FieldAddrGen   = "addrgen"   // eui64, none: IPv6 link-local addresses of its own
	FieldVLANs     = "vlans"     // of a port of a VLAN-aware bridge: "pvid 10 untagged 10 tagged 2-4094"
)

// Fields of rows of other tables.
const (
	FieldType   = "type"   // FOU: fou, gue
	FieldMACof  = "lladdr" // Neighbour: MAC or underlay address
	FieldDst    = "dst"    // FDB: remote of an entry of a VXLAN device, part of the key
	FieldDev    = "dev"    // Route: device
	FieldVia    = "via"    // Route: next hop
	FieldSource = "src"    // Route: preferred source
	FieldEncap  = "encap"  // Route: "ip id 100 dst 192.0.2.2 ttl 64 key", lightweight tunnel
)

// PortPrefix begins the fields that a link has as a port of a bridge, such as
// "port isolated" (true, false).
const PortPrefix = "port "
