package rows

import "github.com/greave-sdn/greave/model"

func greFields(t model.ResolvedTunnel) map[string]string {
	f := map[string]string{"dev": bound(t), "fwmark": num(t.FwMark), "external": yes(t.Far == model.FarFlow)}
	if t.Far == model.FarFlow { // every packet names its own
		return f
	}
	f["local"], f["remote"] = addr(t.LocalAddr), addr(t.RemoteAddr)
	f["ikey"], f["okey"] = opt(t.KeyIn), opt(t.KeyOut)
	// ip_tunnel_rcv drops a packet that has a checksum where none is asked for, as
	// it does one without where one is.
	in := t.Checksum
	if t.ChecksumIn.Set {
		in = t.ChecksumIn.V
	}
	f["icsum"], f["ocsum"] = yes(in), yes(t.Checksum)
	f["iseq"], f["oseq"] = yes(t.SequenceIn), yes(t.Sequence)
	if t.Outer().Is6() {
		greOver6Fields(t, f)
		return f
	}
	if s := t.TTL.String(); s != "" {
		f["ttl"] = s
	}
	if s := t.TOS.String(); s != "" {
		f["tos"] = s
	}
	if t.DF.Set {
		f["pmtudisc"] = yes(t.DF.V)
	}
	if t.Encap != model.EncapERSPAN {
		f["ignore-df"] = yes(t.IgnoreDF)
	}
	return f
}

func greOver6Fields(t model.ResolvedTunnel, f map[string]string) {
	if t.TTL.Fixed.Set {
		f["hoplimit"] = num(t.TTL.Fixed.V)
	}
	if t.TOS.Fixed.Set {
		f["flowinfo"] = num(t.TOS.Fixed.V << 20) // the traffic class above the flow label
	}
	f["tclass inherit"] = yes(t.TOS.Inherit)
	if t.EncapLimit.Set {
		f["no encaplimit"], f["encaplimit"] = "false", num(t.EncapLimit.V)
	}
}

// Numbers of GRE in UDP (linux/if_tunnel.h, TUNNEL_ENCAP_*).
const encapChecksum = 1

// fou makes the socket that a tunnel in UDP is received on, and says how the
// device sends.
func (c *compiler) fou(t model.ResolvedTunnel, fields map[string]string) {
	kind, family := "fou", "inet"
	if t.UDP.Type == model.UDPEncapGUE {
		kind = "gue"
	}
	if t.Outer().Is6() {
		family = "inet6"
	}
	fields["encap"] = num(uint32(t.UDP.Type))
	fields["encap-sport"], fields["encap-dport"] = num(t.UDP.SrcPort), num(t.UDP.DstPort)
	if t.UDP.Checksum {
		fields["encap-flags"] = num(uint32(encapChecksum))
	}
	c.put(Row{Key: Key{t.UnderNetns, FOU, "", family + " " + num(t.UDP.DstPort)}, Object: t.Ref(), Unmarked: true,
		Fields: map[string]string{FieldType: kind}})
}
