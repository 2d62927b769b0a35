// Package vswitch holds the generated rows of the Open_vSwitch database and the schema they come from.
//
// The schema beside this file is that of Open vSwitch 3.1 cut down to the tables and columns that package ovsdb monitors, and
// numbered after the oldest schema that has them all. libovsdb refuses to connect when a model has a column that the server
// lacks, and each of these columns exists, with the type given here, from Open vSwitch 2.13 (schema 8.2.0) to 3.7 (8.8.0); so
// one model serves them all. Left out with intent: every column that ovs-vswitchd writes by itself all the time (statistics,
// status, link state), because each change of such a column would wake every client; bfd_status changes only when a session does.
// A new column goes into the schema first,
// then `go generate`, then tables in package ovsdb.
//
// It must not import anything but libovsdb, and only package ovsdb imports it.
package vswitch

//go:generate go tool modelgen -extended -p vswitch -o . vswitch.ovsschema
