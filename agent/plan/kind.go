package plan

import (
	"cmp"
	"fmt"

	"github.com/greave-sdn/greave/model"
)

// kind is how the ports of one encapsulation are written, as
// ovs-vswitchd.conf.db(5) spells it, and when two of them clash. Each has a file
// kind_NAME.go of its own, which registers it.
type kind struct {
	encap model.Encap
	types []string // of Interface, one for each address family where they differ
	// options writes what this encapsulation has and others do not.
	options func(t model.ResolvedTunnel, o map[string]string)
	// port is the UDP port of a row that names none, "" without UDP.
	port string
}

var (
	kinds     = map[model.Encap]kind{}
	kindTypes = map[string]kind{} // by Interface.type
)

func register(k kind) bool {
	kinds[k.encap] = k
	for _, t := range k.types {
		kindTypes[t] = k
	}
	return true
}

// tunnelPort is an explicit tunnel as a row.
func tunnelPort(t model.ResolvedTunnel, d model.Datapath) WantPort {
	o := map[string]string{"remote_ip": t.RemoteAddr.String()}
	if t.LocalAddr.IsValid() {
		o["local_ip"] = t.LocalAddr.String()
	}
	switch {
	case t.KeyIn.Set && t.KeyIn == t.KeyOut:
		o["key"] = fmt.Sprint(t.KeyIn.V)
	default:
		setOpt(o, "in_key", t.KeyIn)
		setOpt(o, "out_key", t.KeyOut)
	}
	setTrue(o, "csum", t.Checksum)
	setTrue(o, "seq", t.Sequence)
	if s := t.TTL.String(); s != "" {
		o["ttl"] = s
	}
	if s := t.TOS.String(); s != "" {
		o["tos"] = s
	}
	setOpt(o, "df_default", t.DF)
	setNum(o, "dst_port", t.DstPort)
	if own := kinds[t.Encap].options; own != nil {
		own(t, o)
	}
	return WantPort{Object: t.Ref(), Name: t.Name, Bridge: t.Bridge, Type: t.Encap.OVSType(d, t.RemoteAddr.Is6()), Options: o, VLAN: t.VLAN, Adopt: t.Adopt}
}

func setOpt[T any](o map[string]string, key string, v model.Opt[T]) {
	if v.Set {
		o[key] = fmt.Sprint(v.V)
	}
}

func setTrue(o map[string]string, key string, v bool) {
	if v {
		o[key] = "true"
	}
}

func setNum(o map[string]string, key string, v uint32) {
	if v != 0 {
		o[key] = fmt.Sprint(v)
	}
}

// tunnelID is what Open vSwitch tells tunnels apart by, with its defaults
// (tnl_match in ofproto/tunnel.c; ovs-vswitchd.conf.db(5), Tunnel Options).
type tunnelID struct{ kind, layer, remote, local, key, port string }

// idOf is of any row; one that greave does not know the type of is compared as
// it is written.
func idOf(typ string, o map[string]string) tunnelID {
	return tunnelID{
		kind: typ, layer: cmp.Or(o["packet_type"], "legacy_l2"), remote: plainAddress(o["remote_ip"]), local: plainAddress(o["local_ip"]),
		key: plainNumber(cmp.Or(o["in_key"], o["key"], "0")), port: plainNumber(cmp.Or(o["dst_port"], kindTypes[typ].port)),
	}
}
