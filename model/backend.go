package model

import "fmt"

// Choice is how `backend: auto` is decided on this host. The zero value takes
// Open vSwitch for every bridge, which is what a host is that was not asked yet.
type Choice struct {
	Auto Backend         // for what was not decided before: BackendOVS or BackendKernel; 0: not known, as BackendOVS
	Kept map[Ref]Backend // decided before: auto never moves an object
}

// Bridge gives the backend of a bridge, and why.
func (c Choice) Bridge(b Bridge) (Backend, string) {
	if b.Backend == BackendOVS || b.Backend == BackendKernel {
		return b.Backend, "stated"
	}
	return c.auto(b.Ref())
}

func (c Choice) auto(r Ref) (Backend, string) {
	if kept := c.Kept[r]; kept != 0 {
		return kept, "it was built there"
	}
	switch c.Auto {
	case BackendKernel:
		return BackendKernel, "no Open vSwitch on this host"
	case BackendOVS:
		return BackendOVS, "Open vSwitch runs here"
	}
	return BackendOVS, "whether Open vSwitch runs here is not known yet"
}

// on gives the backend of what is on a bridge. One that nobody states is as the
// implied one: auto.
func (c Choice) on(bridge string, bridges map[string]Bridge) (Backend, string) {
	b, ok := bridges[bridge]
	if !ok {
		b = Bridge{Name: bridge}
	}
	backend, why := c.Bridge(b)
	return backend, fmt.Sprintf("as bridge %s: %s", bridge, why)
}

// Segment gives the backend of a segment, its bridge's, and why.
func (c Choice) Segment(g Segment, bridges map[string]Bridge) (Backend, string) {
	return c.on(g.Bridge, bridges)
}

// Port gives the backend of a port, its bridge's, and why.
func (c Choice) Port(p Port, bridges map[string]Bridge) (Backend, string) {
	return c.on(p.Bridge, bridges)
}

// Tunnel gives the backend of a tunnel and why: where its bridge or its
// segment's bridge lives; without one it is a device of the kernel, as Open
// vSwitch knows only ports of bridges.
func (c Choice) Tunnel(t Tunnel, bridges map[string]Bridge, segments map[string]Segment) (Backend, string) {
	switch {
	case t.Bridge != "":
		return c.on(t.Bridge, bridges)
	case t.Segment != "":
		return c.on(segments[t.Segment].Bridge, bridges)
	case t.Backend == BackendOVS || t.Backend == BackendKernel:
		return t.Backend, "stated"
	case t.Layer == LayerL2:
		return BackendKernel, "a layer 2 tunnel without a bridge is a device of the kernel"
	}
	return BackendKernel, "a layer 3 tunnel without a bridge is a device of the kernel"
}
