package rpc

import (
	"slices"

	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
)

// foreign lists the bridges, tunnels and ports of the host that are not
// greave's making, in order. What somebody else made and a document binds is
// listed as the port of that document.
func (v *view) foreign() []reconcile.ObjectStatus {
	var out []reconcile.ObjectStatus
	add := func(kind model.Kind, name string) {
		out = append(out, reconcile.ObjectStatus{Ref: model.Ref{Kind: kind, Name: name}, Backend: "ovs", State: reconcile.Foreign})
	}
	stated := func(name string) bool {
		return slices.ContainsFunc(v.want.Foreign, func(b model.Bridge) bool { return b.Name == name })
	}
	for _, name := range sortedNames(v.Facts.OVS.Bridges) {
		if !v.owns(v.Facts.OVS.Bridges[name].ExternalIDs) && !stated(name) {
			add(model.KindBridge, name)
		}
	}
	bound := map[string]bool{}
	for _, p := range v.want.Ports {
		bound[p.Device] = true
	}
	for _, name := range sortedNames(v.Facts.OVS.Ports) {
		p := v.Facts.OVS.Ports[name]
		if v.owns(p.ExternalIDs) || bound[name] || name == p.Bridge {
			continue
		}
		if p.Options["remote_ip"] != "" {
			add(model.KindTunnel, name)
		} else {
			add(model.KindPort, name)
		}
	}
	return out
}
