// Package plan owns the difference between what a host should have and what it
// has, as data: typed operations in order, each with its object, its stage and
// what it costs the traffic.
//
// It is pure: it must not import os, net (net/netip is fine), slog, grpc,
// netlink or libovsdb, nor read the clock.
package plan
