package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/greave-sdn/greave/model"
)

// samplerRows turns samplers into rows of the tables of their formats.
func samplerRows(r model.Resolved) []WantAttached {
	out := make([]WantAttached, 0, len(r.Samplers))
	for _, s := range r.Samplers {
		targets := make([]string, len(s.Targets))
		for i, t := range s.Targets {
			targets[i] = t.String()
		}
		slices.Sort(targets)
		fields := map[string]string{"targets": strings.Join(targets, ",")}
		setOpt(fields, "sampling", s.Sampling)
		w := WantAttached{Object: s.Ref(), Bridge: s.Bridge, Fields: fields}
		switch s.Format {
		case model.FormatSFlow:
			w.Table = "sFlow"
			setNum(fields, "header", s.Header)
			setNum(fields, "polling", s.Polling)
			if s.Agent != "" {
				fields["agent"] = s.Agent
			}
		case model.FormatIPFIX:
			w.Table = "IPFIX"
			setOpt(fields, "obs_domain_id", s.Domain)
			setOpt(fields, "obs_point_id", s.Point)
			setOpt(fields, "cache_active_timeout", s.CacheTimeout)
			setOpt(fields, "cache_max_flows", s.CacheFlows)
			fields["other_config"] = fmt.Sprintf("enable-tunnel-sampling=%t", !s.NoTunnel)
		case model.FormatNetFlow:
			w.Table = "NetFlow"
			fields["add_id_to_interface"] = "false"
			fields["active_timeout"] = fmt.Sprint(s.ActiveTimeout) // 0 is Open vSwitch's 600
		}
		out = append(out, w)
	}
	return out
}
