package plan

import (
	"fmt"

	"github.com/greave-sdn/greave/model"
)

// Open vSwitch reads the index and the engine's id as hexadecimal, with 0x or
// without; it sends nothing by a port that states no version.
var _ = register(kind{
	encap: model.EncapERSPAN, types: []string{"erspan", "ip6erspan"},
	options: func(t model.ResolvedTunnel, o map[string]string) {
		o["erspan_ver"] = fmt.Sprint(t.ERSPAN.Version)
		if t.ERSPAN.Version != 2 {
			o["erspan_idx"] = fmt.Sprintf("%#x", t.ERSPAN.Index)
			return
		}
		o["erspan_dir"] = map[bool]string{false: "0", true: "1"}[t.ERSPAN.Egress]
		o["erspan_hwid"] = fmt.Sprintf("%#x", t.ERSPAN.HardwareID)
	},
})
