package model

import (
	"fmt"
	"strings"
)

// checkForeign checks a bridge that somebody else made: greave says nothing of it
// but that it is there.
func (b Bridge) checkForeign(c *checker, path string) {
	c.deviceName(path+".name", b.Name)
	for _, f := range []struct {
		stated       bool
		field, value string
	}{
		{b.Datapath != 0, ".datapath", b.Datapath.String()},
		{len(b.Protocols) > 0, ".protocols", strings.Join(b.Protocols, ", ")},
		{b.FailMode != 0, ".fail_mode", b.FailMode.String()},
		{!b.HWAddr.IsZero(), ".hwaddr", b.HWAddr.String()},
		{b.DatapathID.Set, ".datapath_id", fmt.Sprintf("%016x", b.DatapathID.V)},
		{len(b.Addresses) > 0, ".addresses", fmt.Sprint(len(b.Addresses))},
		{b.MTU != 0, ".mtu", fmt.Sprint(b.MTU)},
		{b.Forwarding != 0, ".forwarding", b.Forwarding.String()},
		{b.Adopt, ".adopt", "true"},
		{b.SweepOrphans, ".sweep_orphans", "true"},
	} {
		if f.stated {
			c.add(path+f.field, f.value, ReasonConflict, "is of a bridge that greave makes, and this one is foreign", "leave it out, or say mode: managed")
		}
	}
	if backend, _ := c.caps.Choice.Bridge(b); backend == BackendKernel {
		c.add(path+".mode", "foreign", ReasonUnimplemented, "is not supported in the kernel yet", "use a bridge of Open vSwitch, or join the bridges by a veth pair and name its end in device")
	}
}

// notOnForeign refuses what would be on a bridge that is not greave's: beside the
// far end of a patch nothing is put there.
func (c *checker) notOnForeign(path, bridge, remedy string) {
	if c.bridges[bridge].Foreign {
		c.add(path+".bridge", bridge, ReasonUnimplemented, "is foreign, where greave puts nothing yet but the far end of a patch", remedy)
	}
}

// foreign finds a bridge that somebody else is to have made.
func (r *Resolved) foreign(b Bridge, f Facts) {
	have, ok := f.OVS.Bridges[b.Name]
	if !ok {
		r.Blocked[b.Ref()] = Notice{Reason: NoticeBridgeAbsent, Message: fmt.Sprintf("Open vSwitch has no bridge %q yet", b.Name)}
		return
	}
	b.Datapath = have.Datapath
	r.Foreign = append(r.Foreign, b)
}
