package model_test

import "github.com/greave-sdn/greave/model"

// onLayer3 makes the first tunnel one of layer 3, with a port to hand packets to.
func onLayer3(edit func(s *model.HostState)) func(s *model.HostState) {
	return func(s *model.HostState) {
		s.Tunnels[0].Layer = model.LayerL3
		s.Ports = append(s.Ports, model.Port{Name: "vm", Device: "vm", Bridge: "br0", MACs: []model.MAC{{2, 1}}})
		edit(s)
	}
}
