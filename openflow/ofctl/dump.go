package ofctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// DumpFilter selects flows. The zero value selects all.
type DumpFilter struct {
	Cookie, Mask openflow.Cookie // flows whose cookie is Cookie under Mask; a zero mask selects every cookie
	Table        openflow.Table
	OneTable     bool // only the flows of Table
	// Learned, when set, counts the flows that greave's own learned, which are not
	// among those returned then.
	Learned openflow.Learned
	Owner   model.Owner // of the learned ones
}

func (f DumpFilter) text() string {
	var parts []string
	if f.Mask != 0 {
		parts = append(parts, fmt.Sprintf("cookie=%s/%s", f.Cookie, f.Mask))
	}
	if f.OneTable {
		parts = append(parts, fmt.Sprintf("table=%d", uint8(f.Table)))
	}
	return strings.Join(parts, ",")
}

// Dump reads the flows that the filter selects, in the order of the switch. A
// flow of others that greave does not understand is among them (openflow.Seen).
func (c *Client) Dump(ctx context.Context, bridge string, filter DumpFilter) ([]openflow.Seen, error) {
	var flows []openflow.Seen
	err := c.read(ctx, bridge, "dump flows", []string{"dump-flows", filter.text()}, func(line string) {
		if filter.Learned != nil && filter.Learned.Take(line, filter.Owner) {
			return
		}
		if f, err := openflow.ParseFlow(line); err == nil {
			flows = append(flows, f)
		} else if strings.HasPrefix(line, " ") { // not the header of a reply
			c.cfg.Logger.Warn("flow skipped", "bridge", bridge, "line", line, "err", err)
		}
	})
	if err != nil {
		return nil, err
	}
	return flows, nil
}

// DumpGroups reads all groups.
func (c *Client) DumpGroups(ctx context.Context, bridge string) ([]openflow.SeenGroup, error) {
	var groups []openflow.SeenGroup
	err := c.read(ctx, bridge, "dump groups", []string{"dump-groups", ""}, func(line string) {
		if g, err := openflow.ParseGroup(line); err == nil {
			groups = append(groups, g)
		} else if strings.HasPrefix(line, " ") {
			c.cfg.Logger.Warn("group skipped", "bridge", bridge, "line", line, "err", err)
		}
	})
	if err != nil {
		return nil, err
	}
	return groups, nil
}

// Aggregate counts the flows whose cookie is cookie under mask, and the packets
// that matched them, without reading them.
func (c *Client) Aggregate(ctx context.Context, bridge string, cookie, mask openflow.Cookie) (flows, packets uint64, err error) {
	filter := DumpFilter{Cookie: cookie, Mask: mask}
	found := false
	err = c.read(ctx, bridge, "count flows", []string{"dump-aggregate", filter.text()}, func(line string) {
		for _, word := range strings.Fields(line) {
			key, val, _ := strings.Cut(word, "=")
			switch key {
			case "packet_count":
				packets, _ = strconv.ParseUint(val, 10, 64)
			case "flow_count":
				var bad error
				flows, bad = strconv.ParseUint(val, 10, 64)
				found = bad == nil
			}
		}
	})
	if err == nil && !found {
		err = &Error{Bridge: bridge, Op: "count flows", Line: -1, Err: errors.New("no count in the answer")}
	}
	return flows, packets, err
}

// PortCounters are what a port has counted since it was added. A counter that
// the device does not keep is 0.
type PortCounters struct {
	RxPackets, RxBytes, RxDropped, RxErrors uint64
	TxPackets, TxBytes, TxDropped, TxErrors uint64
}

// PortStats reads the counters of all ports.
func (c *Client) PortStats(ctx context.Context, bridge string) (map[openflow.Port]PortCounters, error) {
	stats := map[openflow.Port]PortCounters{}
	var port openflow.Port
	err := c.read(ctx, bridge, "read port counters", []string{"dump-ports", ""}, func(line string) {
		line = strings.TrimSpace(line)
		name, rest, ok := strings.Cut(line, ": ")
		if num, isPort := strings.CutPrefix(name, "port "); ok && isPort {
			port, line = portNumber(strings.TrimSpace(num)), rest
		}
		s := stats[port]
		if v, ok := strings.CutPrefix(line, "rx pkts="); ok {
			s.RxPackets, s.RxBytes, s.RxDropped, s.RxErrors = counters(v)
		} else if v, ok := strings.CutPrefix(line, "tx pkts="); ok {
			s.TxPackets, s.TxBytes, s.TxDropped, s.TxErrors = counters(v)
		}
		stats[port] = s
	})
	delete(stats, 0) // what was no port
	if err != nil {
		return nil, err
	}
	return stats, nil
}

func portNumber(s string) openflow.Port {
	if s == "LOCAL" {
		return openflow.PortLocal
	}
	v, _ := strconv.ParseUint(s, 10, 32)
	return openflow.Port(v)
}

// counters reads "1, bytes=2, drop=3, errs=?…".
func counters(s string) (packets, bytes, dropped, errs uint64) {
	var v [4]uint64
	for i, part := range strings.SplitN(s, ", ", 5) {
		if i < len(v) {
			v[i], _ = strconv.ParseUint(part[strings.IndexByte(part, '=')+1:], 10, 64)
		}
	}
	return v[0], v[1], v[2], v[3]
}

// read runs a command that only reads: its name and its last argument, which
// may be empty.
func (c *Client) read(ctx context.Context, bridge, op string, args []string, each func(string)) error {
	socket, err := c.socket(bridge)
	if err != nil {
		return &Error{Bridge: bridge, Op: op, Line: -1, Err: err}
	}
	argv := []string{args[0], "--", "unix:" + socket}
	if args[1] != "" {
		argv = append(argv, args[1])
	}
	out := &lineWriter{each: each}
	if err := c.run(ctx, command{bridge: bridge, op: op, args: argv, stdout: out}); err != nil {
		return err
	}
	if len(bytes.TrimSpace(out.part)) != 0 {
		return &Error{Bridge: bridge, Op: op, Line: -1, Err: errors.New("output ends within a line")}
	}
	return nil
}
