package model

import "slices"

// datapaths decides `datapath: auto` of the bridges of Open vSwitch: what there is
// stays; a new bridge takes the type of the one that a patch joins it to, since a
// patch joins bridges of one type only.
func (r *Resolved) datapaths(s HostState, f Facts) map[string]Datapath {
	known := map[string]Datapath{}
	if f.OVS == nil {
		return known
	}
	for _, b := range s.Bridges {
		have, exists := f.OVS.Bridges[b.Name]
		switch {
		case r.On[b.Ref()] != BackendOVS:
		case b.Datapath == DatapathSystem || b.Datapath == DatapathNetdev:
			known[b.Name] = b.Datapath
		case exists:
			known[b.Name] = have.Datapath // auto never moves a bridge
		}
	}
	joined := func(p Port) bool {
		a, b := known[p.Bridge], known[p.Patch.Bridge]
		if p.Patch.Bridge == "" || (a == 0) == (b == 0) {
			return false
		}
		known[p.Bridge], known[p.Patch.Bridge] = max(a, b), max(a, b)
		return true
	}
	for slices.ContainsFunc(s.Ports, joined) {
		continue
	}
	for _, b := range s.Bridges {
		if known[b.Name] != 0 || b.Foreign || r.On[b.Ref()] != BackendOVS {
			continue
		}
		known[b.Name] = DatapathNetdev
		if f.OVS.SystemDatapath {
			known[b.Name] = DatapathSystem
		}
	}
	return known
}

// joinNotice says what keeps a patch from joining its bridges.
func (r *Resolved) joinNotice(p Port, datapaths map[string]Datapath) Notice {
	if p.Patch.Bridge == "" {
		return Notice{}
	}
	bridge := Ref{KindBridge, p.Patch.Bridge}
	if _, blocked := r.Blocked[bridge]; blocked {
		return Notice{Reason: NoticeBlockedOn, Message: "waits for " + bridge.String(), On: []Ref{bridge}}
	}
	near, far := datapaths[p.Bridge], datapaths[p.Patch.Bridge]
	if near != far {
		return Notice{Reason: NoticeConflict, Message: "bridge " + bridge.Name + " " + datapathsDiffer(p, near, far) + ": " + oneDatapath(far, p.Bridge), On: []Ref{bridge}}
	}
	return Notice{}
}
