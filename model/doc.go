// Package model owns the vocabulary: the desired state of a host, the facts
// that only the host knows, and the resolved state that backends build, with
// their defaults, checks and comparisons.
//
// It is pure: it must not import os, net (net/netip is fine), slog, grpc,
// netlink or libovsdb, nor read the clock.
package model
