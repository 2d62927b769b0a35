package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/greave-sdn/greave/integration/lab"
)

var _ = play(70, "A fourth host has no Open vSwitch", kernelHost)

// kernelHost joins a host without Open vSwitch to the segment red: the same
// document, built with devices of the kernel. Where the running kernel has no
// GRE it joins over VXLAN, and the segment has two encapsulations.
func kernelHost(ctx context.Context, d *demo) error {
	others := d.lab.Hosts
	h, err := d.lab.AddKernelHost(ctx)
	if err != nil {
		return err
	}
	if err := h.StartGreaved(ctx); err != nil {
		return err
	}
	i := len(others)
	guest, err := h.AddGuest(ctx, guestName("red", i), guestCIDR(i), guestMAC(i), 1400)
	if err != nil {
		return err
	}
	encap, over := "gre", ""
	if !h.HasDriver(ctx, "gretap") {
		encap, over = "vxlan", "encap: vxlan, "
		d.say("this kernel has no GRE (modprobe ip_gre would load it): %s joins over VXLAN; make demo-vm runs on one that has it", h.Name)
	}
	for _, o := range others {
		doc := fmt.Sprintf("peers: [{name: %s, %spaths: [{remote: %s}], segments: [red]}]\nfdb: [{segment: red, mac: %q, peer: %s}]\n",
			h.Name, over, h.VTEP, guestMAC(i), h.Name)
		if _, _, err := o.GreaveInput(ctx, doc, "apply", "--merge", "-f", "-"); err != nil {
			return err
		}
	}
	file, err := h.WriteFile("host.yaml", kernelDocument(others, h, guest, encap))
	if err != nil {
		return err
	}
	_, err = d.greave(ctx, h, "apply", "-f", file)
	d.check(err == nil, "%s: applied and realised", h.Name)
	_, err = d.greave(ctx, h, "status")
	d.check(err == nil, "status answers")
	for _, g := range d.guests["red"] {
		n := pingOnce(ctx, guest, g)
		d.check(n == 3, "%-5s → %-5s %s: %d of 3 answers", guest.Name, g.Name, g.Addr.Addr(), n)
	}
	return nil
}

func kernelDocument(others []*lab.Host, h *lab.Host, guest *lab.Guest, encap string) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("host: %s", h.Name)
	p("vteps: [{name: underlay, device: %s}]", h.NIC)
	p("segments: [{name: red, key: 100, encap: %s}]", encap)
	p("peers:")
	for _, o := range others {
		p("- {name: %s, paths: [{remote: %s}], segments: [red]}", o.Name, o.VTEP)
	}
	p("ports: [{name: %s, device: %s, attachments: [{segment: red}], macs: [%q]}]", guest.Name, guest.Dev, guest.MAC)
	p("fdb:")
	for i, o := range others {
		p("- {segment: red, mac: %q, peer: %s}", guestMAC(i), o.Name)
	}
	return b.String()
}
