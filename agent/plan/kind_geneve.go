package plan

import "github.com/greave-sdn/greave/model"

var _ = register(kind{encap: model.EncapGeneve, types: []string{"geneve"}, port: "6081"})
