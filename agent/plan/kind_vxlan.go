package plan

import "github.com/greave-sdn/greave/model"

var _ = register(kind{encap: model.EncapVXLAN, types: []string{"vxlan"}, port: "4789"})
