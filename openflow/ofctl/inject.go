package ofctl

import (
	"context"
	"encoding/hex"
	"strconv"

	"github.com/greave-sdn/greave/openflow"
)

// portController is OFPP_CONTROLLER (OpenFlow 1.5 §7.2.1).
const portController openflow.Port = 0xfffffffd

// Inject makes the bridge do the actions with frames as if they had come in by a
// port, 0 for none of its own; in order, with one process. No frame is nothing.
func (c *Client) Inject(ctx context.Context, bridge string, in openflow.Port, actions []openflow.Action, frames ...[]byte) error {
	if len(frames) == 0 {
		return nil
	}
	probe := openflow.Flow{Key: openflow.Key{Priority: 1}, Actions: actions}
	if err := probe.Check(); err != nil {
		return &Error{Bridge: bridge, Op: "inject", Line: -1, Err: err}
	}
	if in == 0 {
		in = portController
	}
	socket, err := c.socket(bridge)
	if err != nil {
		return &Error{Bridge: bridge, Op: "inject", Line: -1, Err: err}
	}
	args := []string{"packet-out", "--", "unix:" + socket, strconv.FormatUint(uint64(in), 10), string(openflow.AppendActions(nil, actions))}
	for _, f := range frames {
		args = append(args, hex.EncodeToString(f))
	}
	return c.run(ctx, command{bridge: bridge, op: "inject", args: args, write: true})
}
