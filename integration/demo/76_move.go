package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

var _ = play(76, "A guest is moved, and its frames follow", move)

const (
	moverMAC = "02:00:00:00:00:aa"
	moverNet = "10.0.0.170/24"
)

// move takes a guest from h1 to h2 while a guest on h3 sends to it. Both of its
// selves are there, as with QEMU: the one on h2 does nothing before it runs, and
// then says so with the RARP packet that QEMU sends.
func move(ctx context.Context, d *demo) error {
	var selves []*lab.Guest
	for _, h := range d.lab.Hosts[:2] {
		g, err := h.AddBoundGuest(ctx, "br-greave", "vm", "vnet9", moverNet, moverMAC, 1400)
		if err != nil {
			return err
		}
		selves = append(selves, g)
	}
	port := func(more string) string {
		return fmt.Sprintf("ports: [{name: vm, iface_id: vm, attachments: [{segment: red}], macs: [%q]%s}]\n", moverMAC, more)
	}
	entry := func(fields string) string {
		return fmt.Sprintf("fdb: [{segment: red, mac: %q, %s}]\n", moverMAC, fields)
	}
	if err := d.state(ctx, []string{port(", moving_to: h2"), port(", activation: {by: announcement}") + entry("peer: h1"), entry("peer: h1, moving_to: h2")}); err != nil {
		return err
	}
	out, err := d.greave(ctx, d.lab.Hosts[1], "get", "port", "vm")
	if err != nil {
		return err
	}
	d.check(strings.Contains(out, "staged"), "h2: all is in place for a guest that is not there yet")
	still, moved, err := d.moveUnder(ctx, selves)
	if err != nil {
		return err
	}
	d.show(floodText("undisturbed", still))
	d.show(floodText("moved to h2", moved))
	gap := time.Duration(moved.LongestLoss) * moverPace
	d.check(moved.Duplicates == 0 && gap <= time.Second, "the guest was deaf for %v, measured with a packet each %v", gap, moverPace)
	h2 := d.lab.Hosts[1]
	d.check(within(ctx, 15*time.Second, func() bool {
		out, err := h2.Vsctl(ctx, "--if-exists", "get", "Interface", "vnet9", "external_ids:greave-activated")
		return err == nil && out != ""
	}), "h2: the port is marked as active")
	// What a controller states now: where the guest is.
	if _, err := d.greave(ctx, h2, "delete", "fdb", "red/"+moverMAC); err != nil {
		return err
	}
	return d.state(ctx, []string{"", port(""), entry("peer: h2")})
}

// moverPace is between two packets.
const moverPace = 10 * time.Millisecond

// moveUnder moves the guest while packets are sent to it, after as many without.
func (d *demo) moveUnder(ctx context.Context, selves []*lab.Guest) (still, moved lab.FloodResult, err error) {
	voice, err := selves[1].Raw()
	if err != nil {
		return still, moved, err
	}
	mac, err := net.ParseMAC(moverMAC)
	if err != nil {
		return still, moved, err
	}
	var both [2]lab.FloodResult
	for i := range both {
		f, err := lab.StartFlood(ctx, d.guests["red"][2], selves[0], moverPace, selves[1])
		if err != nil {
			return still, moved, err
		}
		time.Sleep(time.Second)
		if i == 1 {
			f.Pause(selves[0])
			err = voice.Send(lab.RARP([6]byte(mac)))
		}
		time.Sleep(time.Second)
		both[i] = f.Stop()
		if err != nil {
			return still, moved, err
		}
	}
	return both[0], both[1], nil
}

// state adds to the documents of the first hosts.
func (d *demo) state(ctx context.Context, docs []string) error {
	var errs []error
	for i, doc := range docs {
		if doc == "" {
			continue
		}
		h := d.lab.Hosts[i]
		d.say("%s$ greave apply --merge -f -", h.Name)
		d.show(doc)
		_, stderr, err := h.GreaveInput(ctx, doc, "apply", "--merge", "-f", "-")
		if err != nil {
			d.show(stderr)
		}
		d.check(err == nil, "%s: applied and realised", h.Name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
