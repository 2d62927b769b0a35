package model

// Choice is how `backend: auto` is decided on this host.
type Choice struct {
	Auto Backend         // for what was not decided before: BackendOVS or BackendKernel; 0: not known, as OVS
	Kept map[Ref]Backend // decided before: auto never moves an object
}

// Bridge decides for a bridge, and says why.
func (c Choice) Bridge(b Bridge) (Backend, string) {
	if b.Backend == BackendOVS || b.Backend == BackendKernel {
		return b.Backend, "stated"
	}
	if k, ok := c.Kept[b.Ref()]; ok {
		return k, "it was built there"
	}
	if c.Auto == BackendKernel {
		return BackendKernel, "no Open vSwitch on this host"
	}
	return BackendOVS, "Open vSwitch runs here"
}

// Tunnel decides for a tunnel.
func (c Choice) Tunnel(t Tunnel, bridges map[string]Bridge, segments map[string]Segment) (Backend, string) {
	bridge := t.Bridge
	if t.Segment != "" {
		bridge = segments[t.Segment].Bridge
	}
	if bridge == "" {
		return BackendKernel, "a layer 3 tunnel without a bridge is a device of the kernel"
	}
	return c.on(bridge, bridges)
}

func (c Choice) on(bridge string, bridges map[string]Bridge) (Backend, string) {
	b, ok := bridges[bridge]
	if !ok {
		b = Bridge{Name: bridge}
	}
	on, _ := c.Bridge(b)
	if on == BackendKernel {
		return on, "bridge " + bridge + " is a Linux bridge"
	}
	return on, "bridge " + bridge + " is an OVS bridge"
}

// Segment decides for a segment.
func (c Choice) Segment(s Segment, bridges map[string]Bridge) (Backend, string) {
	return c.on(s.Bridge, bridges)
}

// Port decides for a port.
func (c Choice) Port(p Port, bridges map[string]Bridge) (Backend, string) {
	return c.on(p.Bridge, bridges)
}
