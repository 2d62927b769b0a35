package rows

import "github.com/greave-sdn/greave/model"

// Values of "df" of VXLAN and Geneve devices.
const dfUnset, dfSet = "0", "1"

func vxlanFields(t model.ResolvedTunnel) map[string]string {
	f := udpFields(t)
	f["dev"], f["gbp"] = bound(t), yes(t.GroupPolicy)
	if a := addr(t.LocalAddr); a != "" {
		f[localField(t.LocalAddr)] = a
	}
	f["learning"] = "true" // of a bridge's port: the far end is one anyway
	return f
}

func geneveFields(t model.ResolvedTunnel) map[string]string {
	f := udpFields(t)
	delete(f, "udp6zerocsumrx") // cannot be set
	if t.RemoteAddr.Is6() {
		f["udp6zerocsumtx"] = "false" // seen: the kernel's receiver drops Geneve over IPv6 without
	}
	return f
}

// udpFields are those that VXLAN and Geneve devices have in common.
func udpFields(t model.ResolvedTunnel) map[string]string {
	f := map[string]string{"id": opt(t.KeyOut), "dstport": num(t.DstPort), remoteField(t.RemoteAddr): addr(t.RemoteAddr)}
	switch {
	case t.TTL.Inherit:
		f["ttl"], f["ttl inherit"] = "0", "true"
	case t.TTL.Fixed.Set:
		f["ttl"] = num(t.TTL.Fixed.V)
	}
	if s := t.TOS.String(); s != "" {
		f["tos"] = s
	}
	if t.DF.Set && !t.DF.V {
		f["df"] = dfUnset
	} else {
		f["df"] = dfSet
	}
	if t.RemoteAddr.Is6() { // RFC 6936: zero is taken, and sent unless a checksum is asked for
		f["udp6zerocsumtx"], f["udp6zerocsumrx"] = yes(!t.Checksum), "true"
	} else {
		f["udpcsum"] = yes(t.Checksum)
	}
	return f
}
