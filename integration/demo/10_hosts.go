package main

import (
	"context"
	"strings"

	"github.com/greave-sdn/greave/integration/lab"
)

var _ = play(10, "Three hosts, one underlay", hosts)

const picture = `
   h1 192.0.2.1          h2 192.0.2.2          h3 192.0.2.3
  +--------------+      +--------------+      +--------------+
  | red1   blue1 |      | red2   blue2 |      | red3   blue3 |   guests
  |   \     /    |      |   \     /    |      |   \     /    |
  |  br-greave   |      |  br-greave   |      |  br-greave   |   made by greave
  |      :       |      |      :       |      |      :       |   one GRE port, all peers
  |   br-phy     |      |   br-phy     |      |   br-phy     |
  +------+-------+      +------+-------+      +------+-------+
         |                     |                     |
  =======+=====================+=====================+=======   underlay`

// hosts makes the hosts and starts greaved on each. It makes the guests too:
// the two segments reuse the same addresses.
func hosts(ctx context.Context, d *demo) error {
	var err error
	if d.lab, err = lab.Start(ctx, d.opts); err != nil {
		return err
	}
	datapath := d.lab.Hosts[0].Datapath()
	if datapath == "system" {
		d.show(strings.ReplaceAll(picture, "br-phy", " eth0 "))
	} else {
		d.show(picture)
	}
	for i, h := range d.lab.Hosts {
		if err := h.StartGreaved(ctx); err != nil {
			return err
		}
		for _, segment := range []string{"red", "blue"} {
			g, err := h.AddGuest(ctx, guestName(segment, i), guestCIDR(i), guestMAC(i), 1400)
			if err != nil {
				return err
			}
			d.guests[segment] = append(d.guests[segment], g)
		}
	}
	d.check(true, "3 hosts, each with ovsdb-server, ovs-vswitchd (datapath %s) and greaved", datapath)
	return nil
}
