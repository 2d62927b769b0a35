package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
)

// probeBFD watches a path: three packets of 100 ms missed, and it is down
// (bfd:mult is 3; ovs-vswitchd.conf.db(5), Bidirectional Forwarding Detection).
var probeBFD = map[string]string{"enable": "true", "min_tx": "100", "min_rx": "100"}

// probePorts are the ports on which the switch itself watches the paths to peers
// that have several.
func probePorts(r model.Resolved) []WantPort {
	overlay := openflow.Overlay(r)
	if overlay.Name == "" {
		return nil
	}
	var out []WantPort
	probes, hops := openflow.Probes(r)
	for i, p := range probes {
		options := map[string]string{"local_ip": p.Local.String(), "remote_ip": p.Remote.String(), "key": fmt.Sprint(openflow.ProbeKey)}
		setNum(options, "dst_port", p.Encap.UDPPort())
		out = append(out, WantPort{
			Object: model.Ref{Kind: model.KindPeer, Name: hops[i].Peer}, Name: p.Port(), Bridge: overlay.Name,
			Type: p.Encap.OVSType(overlay.Datapath, p.Remote.Is6()), Options: options, BFD: maps.Clone(probeBFD),
		})
	}
	return out
}

// bfd lists what differs of how a port is watched, where greave says how.
func (c *changes) bfd(want, have map[string]string) {
	if want == nil {
		return
	}
	keys := maps.Clone(want)
	maps.Copy(keys, have)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		c.add("bfd:"+k, have[k], want[k])
	}
}
