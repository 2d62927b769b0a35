package plan

import "github.com/greave-sdn/greave/model"

var _ = register(kind{
	encap: model.EncapGRE, types: []string{"gre", "ip6gre"},
	options: func(t model.ResolvedTunnel, o map[string]string) {
		if t.Layer == model.LayerL3 {
			o["packet_type"] = "legacy_l3"
		}
	},
})
