package main

import (
	"testing"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestWays: three encapsulations over one path are one path, and it is down with one of them.
func TestWays(t *testing.T) {
	path := func(remote string, mtu uint32, up, selected bool) *greavev1.ObservedPath {
		return &greavev1.ObservedPath{Local: "192.0.2.1", Remote: remote, Mtu: mtu, Up: up, Selected: selected}
	}
	for _, c := range []struct {
		name, row, text string
		paths           []*greavev1.ObservedPath
	}{
		{"none", "0/0", ", no path", nil},
		{"one for three", "1/1", ", 192.0.2.1 to 192.0.2.2", []*greavev1.ObservedPath{path("192.0.2.2", 1458, true, true), path("192.0.2.2", 1450, true, true), path("192.0.2.2", 1450, true, false)}},
		{"one of three down", "0/1", ", 192.0.2.1 to 192.0.2.2 (down)", []*greavev1.ObservedPath{path("192.0.2.2", 1458, true, true), path("192.0.2.2", 1450, false, true)}},
		{"two", "1/2", ", 192.0.2.1 to 192.0.2.3", []*greavev1.ObservedPath{path("192.0.2.2", 1458, false, false), path("192.0.2.3", 1450, true, true)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &greavev1.ObservedPeer{Paths: c.paths}
			row := peerRow(&greavev1.ObjectStatus{Name: "far"}, &greavev1.Object{Observed: &greavev1.Object_Peer{Peer: p}})
			if row[3] != c.row || pathText(p) != c.text {
				t.Errorf("paths %s%s, want %s%s", row[3], pathText(p), c.row, c.text)
			}
		})
	}
	mixed := ways(&greavev1.ObservedPeer{Paths: []*greavev1.ObservedPath{path("192.0.2.2", 1458, true, true), path("192.0.2.2", 1450, true, true)}})
	if mixed[0].mtu != 1450 {
		t.Errorf("MTU %d, want that of the encapsulation that leaves least", mixed[0].mtu)
	}
}
