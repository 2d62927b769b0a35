package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// wire is what a drawing shows as one line of joined ends: a segment, or a
// bridge with its tunnels.
type wire struct {
	title       string
	left, right []string
}

// topology draws what the host has. What was not seen on it is named below.
func (a *app) topology(host string, objects []*greavev1.Object) {
	a.printf("%s\n", host)
	peers := map[string]*greavev1.ObservedPeer{}
	ports := map[string]*greavev1.ObservedPort{}
	seen := map[string]bool{} // bridges that are drawn
	for _, o := range objects {
		if p := o.GetPeer(); p != nil {
			peers[o.GetStatus().GetName()] = p
		}
		if p := o.GetPort(); p != nil {
			ports[o.GetStatus().GetName()] = p
		}
	}
	for _, o := range objects {
		if o.GetBridge() == nil {
			continue
		}
		name := o.GetStatus().GetName()
		seen[name] = true
		a.printf("  %s\n", bridgeTitle(name, o.GetBridge()))
		a.drawBridge(name, objects, peers, ports)
	}
	for _, o := range objects { // on bridges that are not among the objects
		for _, b := range []string{o.GetSegment().GetBridge(), o.GetTunnel().GetBridge(), o.GetPort().GetBridge()} {
			if b != "" && !seen[b] {
				seen[b] = true
				a.printf("  bridge %s\n", b)
				a.drawBridge(b, objects, peers, ports)
			}
		}
	}
	var missing []string
	for _, o := range objects {
		if o.GetObserved() == nil {
			missing = append(missing, fmt.Sprintf("%s (%s)", objectName(o.GetStatus()), word(o.GetStatus().GetState())))
		}
	}
	if len(missing) > 0 {
		a.printf("  not seen on the host: %s\n", strings.Join(missing, ", "))
	}
}

func bridgeTitle(name string, b *greavev1.ObservedBridge) string {
	notes := []string{b.GetDatapath()}
	if !b.GetOwned() {
		notes = append(notes, "foreign")
	}
	return fmt.Sprintf("bridge %s (%s)", name, strings.Join(notes, ", "))
}

// drawBridge draws the segments of a bridge, and then, as one more wire, its
// tunnels and the ports that are in no segment.
func (a *app) drawBridge(bridge string, objects []*greavev1.Object, peers map[string]*greavev1.ObservedPeer, ports map[string]*greavev1.ObservedPort) {
	var wires []wire
	var own wire
	for _, o := range objects {
		name := o.GetStatus().GetName()
		if g := o.GetSegment(); g != nil && g.GetBridge() == bridge {
			w := wire{title: fmt.Sprintf("segment %s, %s key %d, mtu %d", name, word(g.GetEncap()), g.GetKey(), g.GetMtu())}
			for _, p := range g.GetPorts() {
				w.left = append(w.left, p+down(ports[p] == nil || ports[p].GetUp()))
			}
			for _, m := range g.GetMembers() {
				w.right = append(w.right, m+pathText(peers[m]))
			}
			wires = append(wires, w)
		}
		if t := o.GetTunnel(); t != nil && t.GetBridge() == bridge {
			own.right = append(own.right, tunnelText(name, t))
		}
		if p := o.GetPort(); p != nil && p.GetBridge() == bridge && len(p.GetSegments()) == 0 {
			own.left = append(own.left, name+down(p.GetUp()))
		}
	}
	if len(own.left)+len(own.right) > 0 {
		wires = append(wires, own)
	}
	for _, w := range wires {
		a.drawWire(w)
	}
}

func (a *app) drawWire(w wire) {
	if w.title != "" {
		a.printf("    %s\n", w.title)
	}
	width := 0
	for _, s := range w.left {
		width = max(width, utf8.RuneCountInString(safe(s)))
	}
	for i := range max(len(w.left), len(w.right)) {
		left, right := "", ""
		if len(w.left) > 0 {
			left = strings.Repeat(" ", width+3)
		}
		if i < len(w.left) {
			s := safe(w.left[i])
			left = s + " " + strings.Repeat("-", width-utf8.RuneCountInString(s)+2)
		}
		if i < len(w.right) {
			right = "== " + w.right[i]
		}
		a.printf("      %s+%s\n", left, right)
	}
}

func tunnelText(name string, t *greavev1.ObservedTunnel) string {
	key := ""
	if k := keyText(t); k != "" {
		key = ", key " + k
	}
	local := t.GetLocal()
	if local == "" {
		local = "any"
	}
	return fmt.Sprintf("%s, %s%s, %s to %s%s", name, t.GetType(), key, local, t.GetRemote(), down(t.GetUp()))
}
