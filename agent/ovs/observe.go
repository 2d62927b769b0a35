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
		Protocols:   slices.Sorted(slices.Values(b.Protocols)),
		Controllers: len(b.Controllers),
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
	out := model.OVSPort{Name: p.Name, Bridge: bridge, Tag: uint32(p.Tag.Value), ExternalIDs: p.ExternalIDs}
	if len(p.Interfaces) != 1 {
		return out // a bond: somebody else's
	}
	i, ok := s.InterfaceByUUID(p.Interfaces[0])
	if !ok {
		return out
	}
	out.Type, out.Options, out.Error = i.Type, i.Options, i.Error
	out.Ofport, out.OfportAsked = i.OFPort.Value, i.OFPortRequest.Value
	if len(i.ExternalIDs) > 0 {
		out.ExternalIDs = maps.Clone(i.ExternalIDs) // libvirt and CNIs write here
		maps.Copy(out.ExternalIDs, p.ExternalIDs)
	}
	return out
}

// images caches what was last read of each bridge's flows and groups. An image
// is dropped on any sign of foreign writing.
type images struct {
	sw *ofctl.Client
	mu sync.Mutex // guards all below
	at map[string]openflow.Image
}

func newImages(sw *ofctl.Client) *images {
	return &images{sw: sw, at: map[string]openflow.Image{}}
}

// suspect drops the image of one bridge.
func (m *images) suspect(bridge string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.at, bridge)
}

func (m *images) dropAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.at)
}

func (m *images) get(bridge string) (openflow.Image, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.at[bridge]
	return i, ok
}

func (m *images) put(bridge string, i openflow.Image) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at[bridge] = i
}

// read returns the image of a bridge, from the switch when none is cached.
func (m *images) read(ctx context.Context, bridge string) (openflow.Image, error) {
	if i, ok := m.get(bridge); ok {
		return i, nil
	}
	flows, err := m.sw.Dump(ctx, bridge, ofctl.DumpFilter{})
	if err != nil {
		return openflow.Image{}, fmt.Errorf("read flows of bridge %s: %w", bridge, err)
	}
	groups, err := m.sw.DumpGroups(ctx, bridge)
	if err != nil {
		return openflow.Image{}, fmt.Errorf("read groups of bridge %s: %w", bridge, err)
	}
	i := openflow.Image{Flows: flows, Groups: groups}
	m.put(bridge, i)
	return i, nil
}

// scopedReads is the most objects that are read back one by one: each costs a
// process, a full dump costs one for all.
const scopedReads = 8

// readBack reads what a change has just written: by cookie when few objects
// are concerned, in full otherwise.
func (m *images) readBack(ctx context.Context, bridge string, ch openflow.Change) error {
	cookies := map[openflow.Cookie]bool{}
	for _, f := range ch.Add {
		cookies[f.Cookie] = true
	}
	for _, r := range ch.Remove {
		cookies[r.Cookie] = true
	}
	image, cached := m.get(bridge)
	m.suspect(bridge)
	if !cached || len(cookies) > scopedReads {
		_, err := m.read(ctx, bridge)
		return err
	}
	flows := make([]openflow.Seen, 0, len(image.Flows)+len(ch.Add))
	for _, f := range image.Flows {
		if !cookies[f.Cookie] {
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
	m.put(bridge, openflow.Image{Flows: flows, Groups: image.Groups})
	return nil
}
