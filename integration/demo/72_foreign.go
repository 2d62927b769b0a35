package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/greave-sdn/greave/integration/lab"
)

var _ = play(72, "A guest on somebody else's bridge", foreign)

const foreignPicture = `
   br-int, made by another program          br-greave
  +----------------------------------+     +------------------+
  | vm1 (VLAN 10)           trunk 10 |-----| VLAN 10: red     |---- GRE, key 100
  +----------------------------------+     +------------------+
                                     one patch`

// foreign makes a bridge and a guest as libvirt and a controller of its own would,
// and joins it to segment red, where the guest's VLAN is that of the patch.
func foreign(ctx context.Context, d *demo) error {
	h := d.lab.Hosts[0]
	d.show(foreignPicture)
	if _, err := h.Vsctl(ctx, "--", "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type="+h.Datapath(), "external_ids:made-by=another"); err != nil {
		return err
	}
	vm, err := h.AddBoundGuest(ctx, "br-int", "vm-1", "vm1", "10.0.0.21/24", "02:00:00:00:00:15", 1400)
	if err != nil {
		return err
	}
	if _, err := h.Vsctl(ctx, "set", "Port", vm.Dev, "tag=10"); err != nil {
		return err
	}
	before, err := rowsOf(ctx, h)
	if err != nil {
		return err
	}
	file, err := h.WriteFile("join.yaml", `bridges: [{name: br-int, mode: foreign}]
ports: [{name: to-int, patch: {bridge: br-int, far_port: to-greave}, attachments: [{segment: red, vlan: 10}]}]
`)
	if err != nil {
		return err
	}
	_, err = d.greave(ctx, h, "plan", "--merge", "-f", file)
	d.check(lab.ExitCode(err) == 2, "the plan puts one port on br-int")
	_, err = d.greave(ctx, h, "apply", "--merge", "-f", file)
	d.check(err == nil, "%s: applied and realised", h.Name)
	for _, to := range d.guests["red"] {
		n := pingOnce(ctx, vm, to)
		d.check(n == 3, "%-5s → %-5s %s: %d of 3 answers", vm.Name, to.Name, to.Addr.Addr(), n)
	}
	blue := d.guests["blue"][1]
	d.check(pingOnce(ctx, d.guests["red"][1], vm) == 3, "%s → %s: back as well; %s, of another segment, has the same address as %s", d.guests["red"][1].Name, vm.Name, blue.Name, d.guests["red"][1].Name)
	after, err := rowsOf(ctx, h)
	if err != nil {
		return err
	}
	d.check(after == before, "br-int's own columns and flows are what they were")
	for _, object := range [][2]string{{"port", "to-int"}, {"bridge", "br-int"}} {
		_, err := d.greave(ctx, h, "delete", object[0], object[1])
		d.check(err == nil, "%s %s is stated no more", object[0], object[1])
	}
	ports, err := h.Vsctl(ctx, "list-ports", "br-int")
	if err != nil {
		return err
	}
	d.check(strings.Fields(ports)[0] == vm.Dev && len(strings.Fields(ports)) == 1, "br-int is left with %s alone", vm.Dev)
	_, err = h.Vsctl(ctx, "del-br", "br-int")
	return err
}

// rowsOf is what another program has said of br-int, and its flows.
func rowsOf(ctx context.Context, h *lab.Host) (string, error) {
	columns, err := h.Vsctl(ctx, "--columns=name,_uuid,datapath_id,datapath_type,fail_mode,protocols,controller,other_config,external_ids,flow_tables,mirrors", "list", "Bridge", "br-int")
	if err != nil {
		return "", err
	}
	flows, err := h.Ofctl(ctx, "br-int", "--no-stats", "dump-flows")
	if err != nil {
		return "", err
	}
	var own []string
	for line := range strings.Lines(flows) {
		if !strings.Contains(line, "(xid=") {
			own = append(own, line)
		}
	}
	return fmt.Sprint(columns, own), nil
}
