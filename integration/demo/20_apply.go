package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/greave-sdn/greave/integration/lab"
)

var _ = play(20, "One document to each host", apply)

func guestName(segment string, i int) string { return fmt.Sprintf("%s%d", segment, i+1) }
func guestCIDR(i int) string                 { return fmt.Sprintf("10.0.0.%d/24", i+1) }
func guestMAC(i int) string                  { return fmt.Sprintf("02:00:00:00:00:0%d", i+1) }

// document is what host i should have. The guests of the other hosts are stated
// as FDB entries for red; blue floods.
func document(hosts []*lab.Host, i int) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("host: %s", hosts[i].Name)
	p("vteps: [{name: underlay, address: %s}]", hosts[i].VTEP)
	p("segments:")
	p("- {name: red, key: 100}")
	p("- {name: blue, key: 200}")
	p("peers:")
	for j, h := range hosts {
		if j != i {
			p("- {name: %s, paths: [{remote: %s}], segments: [red, blue]}", h.Name, h.VTEP)
		}
	}
	p("ports:")
	for _, s := range []string{"red", "blue"} {
		n := guestName(s, i)
		p("- {name: %s, device: %s, attachments: [{segment: %s}], macs: [%q]}", n, n, s, guestMAC(i))
	}
	p("fdb:")
	for j, h := range hosts {
		if j != i {
			p("- {segment: red, mac: %q, peer: %s}", guestMAC(j), h.Name)
		}
	}
	// An explicit tunnel on an ordinary bridge, as `ovs-vsctl add-port … type=gre` makes it.
	p("bridges: [{name: br-lan, datapath: %s}]", hosts[i].Datapath())
	p("tunnels:")
	for j, h := range hosts {
		if i+j == 1 { // h1 and h2
			p("- {name: gre-7, bridge: br-lan, remote: {address: %s}, key: {fixed: {in: 7, out: 7}}}", h.VTEP)
		}
	}
	return b.String()
}

func apply(ctx context.Context, d *demo) error {
	for i, h := range d.lab.Hosts {
		text := document(d.lab.Hosts, i)
		if i == 2 {
			text = strings.TrimSuffix(text, "tunnels:\n")
		}
		file, err := h.WriteFile("host.yaml", text)
		if err != nil {
			return err
		}
		if i == 0 {
			d.say("%s$ cat host.yaml", h.Name)
			d.show(text)
			_, err := d.greave(ctx, h, "plan", "-f", file)
			d.check(lab.ExitCode(err) == 2, "the plan has changes: exit status 2")
		}
		_, err = d.greave(ctx, h, "apply", "-f", file)
		d.check(err == nil, "%s: applied and realised", h.Name)
	}
	h := d.lab.Hosts[0]
	_, err := d.greave(ctx, h, "plan")
	d.check(err == nil, "nothing is left to do: exit status 0")
	_, err = d.greave(ctx, h, "status")
	d.check(err == nil, "status answers")
	_, err = d.greave(ctx, h, "status", "--topology")
	d.check(err == nil, "the topology is drawn")
	return nil
}
