package main

import (
	"context"
	"fmt"

	"github.com/greave-sdn/greave/integration/lab"
)

var _ = play(75, "Open vSwitch at one end, the kernel at the other, over each encapsulation", mixed)

// mixed joins the first host, which has Open vSwitch, and the last, which has
// none, in a segment over each encapsulation at once.
func mixed(ctx context.Context, d *demo) error {
	ends := [2]*lab.Host{d.lab.Hosts[0], d.lab.Hosts[len(d.lab.Hosts)-1]}
	encaps := []string{"gre", "vxlan", "geneve"}
	for _, driver := range []string{"gretap", "vxlan", "geneve"} {
		if !ends[1].HasDriver(ctx, driver) {
			d.say("this kernel makes no %s device: make demo-vm plays this scene on one that does", driver)
			return nil
		}
	}
	var guests [2][]*lab.Guest
	for i, h := range ends {
		document := "segments:\n"
		for n, encap := range encaps {
			document += fmt.Sprintf("- {name: over-%s, key: %d, encap: %s}\n", encap, 300+n, encap)
		}
		far := ends[1-i]
		document += fmt.Sprintf("peers: [{name: %s, paths: [{remote: %s}], segments: [red, over-gre, over-vxlan, over-geneve]}]\nports:\n", far.Name, far.VTEP)
		for n, encap := range encaps {
			g, err := h.AddGuest(ctx, fmt.Sprintf("%s-%d", encap, h.N), fmt.Sprintf("10.0.%d.%d/24", n+1, h.N), fmt.Sprintf("02:00:00:00:%02d:%02d", n+1, h.N), 1400)
			if err != nil {
				return err
			}
			guests[i] = append(guests[i], g)
			document += fmt.Sprintf("- {name: %s, device: %s, attachments: [{segment: over-%s}], macs: [%q]}\n", g.Name, g.Dev, encap, g.MAC)
		}
		file, err := h.WriteFile("mixed.yaml", document)
		if err != nil {
			return err
		}
		_, err = d.greave(ctx, h, "apply", "--merge", "-f", file)
		d.check(err == nil, "%s: applied and realised", h.Name)
	}
	for n, encap := range encaps {
		for i := range ends {
			from, to := guests[i][n], guests[1-i][n]
			answers := pingOnce(ctx, from, to)
			d.check(answers == 3, "%-8s → %-8s over %-6s: %d of 3 answers", from.Name, to.Name, encap, answers)
		}
	}
	_, err := d.greave(ctx, ends[1], "status")
	d.check(err == nil, "status of the host without Open vSwitch")
	return nil
}
