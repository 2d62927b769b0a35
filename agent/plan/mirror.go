package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/model"
)

// mirrorRows turns resolved mirrors into rows of table Mirror.
func mirrorRows(r model.Resolved) []WantAttached {
	out := make([]WantAttached, 0, len(r.Mirrors))
	for _, m := range r.Mirrors {
		fields := map[string]string{
			"name": m.Name, "select_all": fmt.Sprint(m.All),
			"select_src_port": strings.Join(m.In, ","), "select_dst_port": strings.Join(m.Out, ","),
			"select_vlan": numbers(m.VLANs), "output_port": m.Output,
		}
		setNum(fields, "output_vlan", m.VLAN)
		setNum(fields, "snaplen", m.Snaplen)
		out = append(out, WantAttached{Object: m.Ref(), Table: "Mirror", Bridge: m.Bridge, Fields: fields, Room: true,
			Ports: []string{"select_src_port", "select_dst_port", "output_port"}})
	}
	return out
}

// mirrorPorts are the devices that mirrors output to. A tunnel to a collector is
// among the tunnels.
func mirrorPorts(r model.Resolved) []WantPort {
	var out []WantPort
	for _, m := range r.Mirrors {
		if m.Device != "" {
			out = append(out, WantPort{Object: m.Ref(), Name: m.Output, Bridge: m.Bridge})
		}
	}
	return out
}

// numbers is a set as text, in the order of text.
func numbers(list []uint32) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = fmt.Sprint(n)
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ",")
}
