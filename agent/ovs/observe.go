package ovs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/ovsdb"
)

// hostOf turns rows into what the plan compares.
func hostOf(s ovsdb.Snapshot, kernel bool) model.OVSHost {
	h := model.OVSHost{
		Version:        s.Switch.OVSVersion,
		SystemDatapath: kernel && slices.Contains(s.Switch.DatapathTypes, "system"),
		Bridges:        make(map[string]model.OVSBridge, len(s.Bridges)),
		Ports:          make(map[string]model.OVSPort, len(s.Ports)),
		Attached:       attachedOf(s),
	}
	for _, b := range s.Bridges {
		h.Bridges[b.Name] = bridgeOf(b, s)
		for _, uuid := range b.Ports {
			if p, ok := s.PortByUUID(uuid); ok {
				h.Ports[p.Name] = portOf(p, b.Name, s)
			}
		}
	}
	return h
}

func bridgeOf(b ovsdb.BridgeRow, s ovsdb.Snapshot) model.OVSBridge {
	out := model.OVSBridge{
		Name: b.Name, Datapath: model.DatapathSystem, ExternalIDs: b.ExternalIDs,
		Protocols: slices.Sorted(slices.Values(b.Protocols)),
	}
	for _, c := range b.Controllers {
		out.Controllers = append(out.Controllers, model.OVSController(c))
	}
	if b.DatapathType == "netdev" {
		out.Datapath = model.DatapathNetdev
	}
	switch b.FailMode {
	case "secure":
		out.FailMode = model.FailSecure
	case "standalone":
		out.FailMode = model.FailStandalone
	}
	if m, err := model.ParseMAC(b.OtherConfig["hwaddr"]); err == nil {
		out.HWAddr = m
	}
	if id, err := strconv.ParseUint(b.OtherConfig["datapath-id"], 16, 64); err == nil {
		out.DatapathID = model.Some(id)
	}
	if i, ok := s.Interface(b.Name); ok {
		out.MTURequest = uint32(i.MTURequest.Value)
	}
	return out
}

func portOf(p ovsdb.PortRow, bridge string, s ovsdb.Snapshot) model.OVSPort {
	out := model.OVSPort{Name: p.Name, Bridge: bridge, VLAN: vlanOf(p), ExternalIDs: p.ExternalIDs, Members: len(p.Interfaces)}
	if len(p.Interfaces) != 1 {
		return out // a bond: somebody else's
	}
	i, ok := s.InterfaceByUUID(p.Interfaces[0])
	if !ok {
		return out
	}
	out.Type, out.Options, out.Error = i.Type, i.Options, i.Error
	out.MTURequest = uint32(i.MTURequest.Value)
	if m, err := model.ParseMAC(i.MAC); err == nil {
		out.HWAddr = m
	}
	out.BFD, out.BFDState = i.BFD, i.BFDStatus["state"]
	out.Ofport, out.OfportAsked = i.OFPort.Value, i.OFPortRequest.Value
	if len(i.ExternalIDs) > 0 {
		out.ExternalIDs = maps.Clone(i.ExternalIDs) // libvirt and CNIs write here
		maps.Copy(out.ExternalIDs, p.ExternalIDs)
	}
	return out
}

// images caches what was last read of each bridge's flows and groups. An image
// is dropped on any sign of foreign writing; one that was being read at that
// moment is not kept either.
type images struct {
	sw     *ofctl.Client
	owner  model.Owner
	mu     sync.Mutex // guards all below
	at     map[string]openflow.Image
	doubts map[string]uint64 // how often each bridge was suspected
}

func newImages(sw *ofctl.Client, owner model.Owner) *images {
	return &images{sw: sw, owner: owner, at: map[string]openflow.Image{}, doubts: map[string]uint64{}}
}

// suspect drops the image of one bridge.
func (m *images) suspect(bridge string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.at, bridge)
	m.doubts[bridge]++
}

// drop forgets the image of one bridge, which greave itself has changed.
func (m *images) drop(bridge string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.at, bridge)
}

func (m *images) dropAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.at)
}

// get returns the image of a bridge, if one is cached, and the doubts about it
// so far, for put.
func (m *images) get(bridge string) (i openflow.Image, doubts uint64, cached bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, cached = m.at[bridge]
	return i, m.doubts[bridge], cached
}

// hold tells whether the images of all these bridges are cached.
func (m *images) hold(bridges []string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !slices.ContainsFunc(bridges, func(b string) bool {
		_, cached := m.at[b]
		return !cached
	})
}

// put keeps an image unless the bridge was suspected while it was read.
func (m *images) put(bridge string, i openflow.Image, doubts uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.doubts[bridge] == doubts {
		m.at[bridge] = i
	}
}

// read returns the image of a bridge, from the switch when none is cached.
func (m *images) read(ctx context.Context, bridge string) (openflow.Image, error) {
	i, doubts, cached := m.get(bridge)
	if cached {
		return i, nil
	}
	var err error
	if i, err = readImage(ctx, m.sw, bridge, m.owner); err != nil {
		return openflow.Image{}, err
	}
	m.put(bridge, i, doubts)
	return i, nil
}

// readImage reads a bridge from the switch.
func readImage(ctx context.Context, sw *ofctl.Client, bridge string, owner model.Owner) (openflow.Image, error) {
	i := openflow.Image{Learned: openflow.Learned{}}
	var err error
	if i.Flows, err = sw.Dump(ctx, bridge, ofctl.DumpFilter{Learned: i.Learned, Owner: owner}); err != nil {
		return i, fmt.Errorf("read flows of bridge %s: %w", bridge, err)
	}
	if i.Groups, err = sw.DumpGroups(ctx, bridge); err != nil {
		return i, fmt.Errorf("read groups of bridge %s: %w", bridge, err)
	}
	return i, nil
}

// scopedReads is the most objects that are read back one by one: each costs a
// process, a full dump costs one for all.
const scopedReads = 8

// readBack reads what a change has just written: by cookie when few objects
// are concerned, in full otherwise.
func (m *images) readBack(ctx context.Context, bridge string, ch openflow.Change) error {
	cookies, added := map[openflow.Cookie]bool{}, map[openflow.Key]bool{}
	for _, f := range ch.Add {
		cookies[f.Cookie], added[f.Key] = true, true
	}
	for _, r := range ch.Remove {
		cookies[r.Cookie] = true
	}
	image, doubts, cached := m.get(bridge)
	m.drop(bridge)
	if !cached || len(cookies) > scopedReads {
		_, err := m.read(ctx, bridge)
		return err
	}
	var err error
	flows := make([]openflow.Seen, 0, len(image.Flows)+len(ch.Add))
	for _, f := range image.Flows {
		replaced := f.Parsed && added[f.Key] // another object had it
		if !cookies[f.Cookie] && !replaced {
			flows = append(flows, f)
		}
	}
	for c := range cookies {
		seen, err := m.sw.Dump(ctx, bridge, ofctl.DumpFilter{Cookie: c, Mask: ^openflow.Cookie(0)})
		if err != nil {
			return fmt.Errorf("read back flows of bridge %s: %w", bridge, err)
		}
		flows = append(flows, seen...)
	}
	if len(ch.SetGroups)+len(ch.DropGroups) > 0 {
		groups, err := m.sw.DumpGroups(ctx, bridge)
		if err != nil {
			return fmt.Errorf("read back groups of bridge %s: %w", bridge, err)
		}
		image.Groups = groups
	}
	if len(ch.Forget) > 0 {
		if image.Learned, err = m.readLearned(ctx, bridge); err != nil {
			return err
		}
	}
	m.put(bridge, openflow.Image{Flows: flows, Groups: image.Groups, Learned: image.Learned}, doubts)
	return nil
}

// readLearned counts what greave's flows have learned, and reads no others.
func (m *images) readLearned(ctx context.Context, bridge string) (openflow.Learned, error) {
	l := openflow.Learned{}
	_, err := m.sw.Dump(ctx, bridge, ofctl.DumpFilter{
		Cookie: openflow.MakeCookie(m.owner.Tag, openflow.KindLearned, 0), Mask: openflow.MakeCookie(0xffff, 0xff, 0), Learned: l, Owner: m.owner,
	})
	if err != nil {
		return nil, fmt.Errorf("read back learned flows of bridge %s: %w", bridge, err)
	}
	return l, nil
}
