package ovs

import (
	"context"
	"fmt"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/ovsdb"
)

// readLearned reads what the switch has learned of guests that move: in each pass
// while there are such guests, in full observations otherwise, for what was left
// behind. These flows are in no image, as the switch makes them by itself.
func (p *pass) readLearned(ctx context.Context) error {
	if p.learned != nil {
		return nil
	}
	p.learned = map[string][]openflow.Seen{}
	moves := movesIn(p.in.Want)
	if !moves && !p.in.Full && !p.moving {
		return nil
	}
	p.moving = moves
	for bridge := range p.images {
		if p.host.Bridges[bridge].ExternalIDs[model.MarkGroups] == "" {
			continue // no overlay bridge
		}
		for _, t := range []openflow.Table{openflow.TableActive, openflow.TableMoved} {
			seen, err := p.cfg.Switch.Dump(ctx, bridge, ofctl.DumpFilter{
				Cookie: openflow.MakeCookie(p.cfg.Owner.Tag, openflow.KindLearned, 0), Mask: openflow.CookieOwnerMask | openflow.CookieKindMask,
				Table: t, OneTable: true,
			})
			if err != nil {
				return fmt.Errorf("read learned flows of bridge %s: %w", bridge, err)
			}
			p.learned[bridge] = append(p.learned[bridge], seen...)
			p.moving = p.moving || len(seen) > 0
		}
	}
	return nil
}

func movesIn(r model.Resolved) bool {
	for _, p := range r.Ports {
		if p.Staged || p.MovingTo != "" {
			return true
		}
	}
	for _, e := range r.Fdb {
		if e.MovingTo != "" {
			return true
		}
	}
	return false
}

// warm has the switch find the ways that a guest's move will need, before it does:
// the userspace datapath drops packets to a peer whose hardware address it does not
// know yet, the announcement too. Losing it costs no more than that first packet.
func (p *pass) warm(ctx context.Context) {
	if !movesIn(p.in.Want) || !p.in.Full && len(p.out.Done) == 0 {
		return
	}
	bridge := openflow.Overlay(p.in.Want).Name
	if _, read := p.images[bridge]; !read {
		return
	}
	actions := openflow.Warming(p.in.Want, p.in.Bindings)
	if len(actions) == 0 {
		return
	}
	if err := p.cfg.Switch.Inject(ctx, bridge, 0, actions, openflow.WarmingFrame()); err != nil && p.cfg.Logger != nil {
		p.cfg.Logger.Warn("ways of a move not tried", "bridge", bridge, "err", err)
	}
}

// Activate makes a staged port active: it marks the port's row, and the pass that
// follows from that compiles it so. It shares nothing with the loop but the row.
func (b *Backend) Activate(ctx context.Context, port model.ResolvedPort) error {
	snap, err := b.cfg.Session.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("read Open vSwitch: %w", err)
	}
	row, ok := snap.Port(port.Device)
	if !ok || len(row.Interfaces) != 1 {
		return fmt.Errorf("activate %s: OVS port %s is gone", port.Ref(), port.Device)
	}
	i, _ := snap.InterfaceByUUID(row.Interfaces[0])
	t := ovsdb.NewTxn("activate")
	t.UpdateInterface(port.Ref().Mark(), ovsdb.RowRef{UUID: i.UUID, Name: i.Name},
		ovsdb.InterfaceChange{ExternalIDs: ovsdb.MapChange{Set: map[string]string{model.MarkActivated: b.cfg.mark()}}})
	if _, err := b.cfg.Session.Transact(ctx, t); err != nil {
		return fmt.Errorf("activate %s: %w", port.Ref(), err)
	}
	return nil
}

// Announce sends the announcements of an active port's guest on its behalf, as if
// it had sent them itself, and returns how many.
func (b *Backend) Announce(ctx context.Context, port model.ResolvedPort) (int, error) {
	snap, err := b.cfg.Session.Snapshot(ctx)
	if err != nil {
		return 0, fmt.Errorf("read Open vSwitch: %w", err)
	}
	have := hostOf(snap, false).Ports[port.Device]
	if have.Ofport <= 0 {
		return 0, fmt.Errorf("announce %s: the switch does not carry OVS port %s", port.Ref(), port.Device)
	}
	frames := openflow.Announcements(port)
	if err := b.cfg.Switch.Inject(ctx, have.Bridge, openflow.Port(have.Ofport), []openflow.Action{openflow.Resubmit{Table: openflow.TableClassify}}, frames...); err != nil {
		return 0, fmt.Errorf("announce %s: %w", port.Ref(), err)
	}
	return len(frames), nil
}
