package ovs

import (
	"context"
	"errors"
	"fmt"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/ovsdb"
)

// Inspection is the host as people ask for it: rows, flows with their counters,
// and live port counters, all read now. Bridges of others are not dumped, nor
// those that cannot be read for a reason of their own.
type Inspection struct {
	Facts  model.Facts
	Images map[string]openflow.Image
	Ports  map[string]ofctl.PortCounters // by OVS port
	Copies map[string]Copies             // by id of the mirror
	Socket string
}

// Copies is what a mirror has made, as the switch wrote it last: up to 5 s ago.
type Copies struct{ Packets, Bytes uint64 }

// Inspect reads the host for people. It shares nothing with the loop.
func (b *Backend) Inspect(ctx context.Context) (Inspection, error) {
	in := Inspection{Images: map[string]openflow.Image{}, Ports: map[string]ofctl.PortCounters{}, Copies: map[string]Copies{}}
	if err := b.Facts(ctx, &in.Facts); err != nil {
		return in, err
	}
	if err := b.inspectMirrors(ctx, in); err != nil {
		return in, err
	}
	var silent error
	for name, br := range in.Facts.OVS.Bridges {
		if br.ExternalIDs[model.MarkOwner] != b.cfg.Owner.Name {
			continue
		}
		err := b.inspectBridge(ctx, name, in)
		switch {
		case errors.Is(err, ofctl.ErrNoSwitch):
			silent = err
		case err != nil && !errors.Is(err, ofctl.ErrVersion):
			return in, err
		}
	}
	if len(in.Images) == 0 {
		return in, silent
	}
	return in, nil
}

func (b *Backend) inspectMirrors(ctx context.Context, in Inspection) error {
	if len(in.Facts.OVS.Attached) == 0 {
		return nil
	}
	rows, err := b.cfg.Session.Select(ctx, ovsdb.MirrorTable, []string{"_uuid", "statistics"})
	if err != nil {
		return fmt.Errorf("read statistics of mirrors: %w", err)
	}
	for _, r := range rows {
		c := r.Counters("statistics")
		in.Copies[r.Text("_uuid")] = Copies{c["tx_packets"], c["tx_bytes"]}
	}
	return nil
}

func (b *Backend) inspectBridge(ctx context.Context, name string, in Inspection) error {
	image, err := readImage(ctx, b.cfg.Switch, name, b.cfg.Owner)
	if err != nil {
		return err
	}
	in.Images[name] = image
	return b.portCounters(ctx, name, in)
}

func (b *Backend) portCounters(ctx context.Context, bridge string, in Inspection) error {
	stats, err := b.cfg.Switch.PortStats(ctx, bridge)
	if err != nil {
		return fmt.Errorf("read counters of bridge %s: %w", bridge, err)
	}
	for name, p := range in.Facts.OVS.Ports {
		if p.Bridge == bridge && p.Ofport > 0 {
			in.Ports[name] = stats[openflow.Port(p.Ofport)]
		}
		if name == bridge {
			in.Ports[name] = stats[openflow.PortLocal]
		}
	}
	return nil
}
