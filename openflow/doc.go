// Package openflow owns the overlay pipeline: its tables, registers and
// cookies, the typed flows and groups, the compiler that turns a resolved
// state into them, their diff and their text form.
//
// It is pure: it must not import os, net (net/netip is fine), slog, grpc,
// netlink or libovsdb, nor read the clock.
package openflow
