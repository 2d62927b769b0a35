package main

import (
	"fmt"
	"slices"
	"strings"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// way is a path to a peer across the underlay, whatever encapsulations use it:
// it is up when each of them is, and its MTU is the smallest of theirs.
type way struct {
	local, remote string
	mtu           uint32
	up, selected  bool
}

func (w way) String() string { return fmt.Sprintf("%s to %s%s", w.local, w.remote, down(w.up)) }

// ways are the paths to a peer, each once, in the order in which the host has them.
func ways(p *greavev1.ObservedPeer) (out []way) {
	for _, o := range p.GetPaths() {
		i := slices.IndexFunc(out, func(w way) bool { return w.local == o.GetLocal() && w.remote == o.GetRemote() })
		if i < 0 {
			out = append(out, way{o.GetLocal(), o.GetRemote(), o.GetMtu(), o.GetUp(), o.GetSelected()})
			continue
		}
		w := &out[i]
		w.up, w.selected = w.up && o.GetUp(), w.selected || o.GetSelected()
		if o.GetMtu() != 0 && (w.mtu == 0 || o.GetMtu() < w.mtu) {
			w.mtu = o.GetMtu()
		}
	}
	return out
}

// peerRow shows the first path that traffic uses, and how many of all are up.
func peerRow(s *greavev1.ObjectStatus, o *greavev1.Object) []string {
	p := o.GetPeer()
	all := ways(p)
	remote, mtu, up := "", uint32(0), 0
	for _, w := range all {
		if w.selected && remote == "" {
			remote, mtu = w.remote, w.mtu
		}
		if w.up {
			up++
		}
	}
	paths := ""
	if p != nil {
		paths = fmt.Sprintf("%d/%d", up, len(all))
	}
	return []string{s.GetName(), word(s.GetState()), remote, paths, number(mtu), strings.Join(p.GetSegments(), ",")}
}

// pathText shows the paths that traffic uses, or says that there is none.
func pathText(p *greavev1.ObservedPeer) string {
	var used []string
	for _, w := range ways(p) {
		if w.selected {
			used = append(used, w.String())
		}
	}
	if len(used) == 0 {
		return ", no path"
	}
	return ", " + strings.Join(used, ", ")
}

func down(up bool) string {
	if up {
		return ""
	}
	return " (down)"
}
