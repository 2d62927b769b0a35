package openflow

import (
	"net/netip"
	"strings"
)

var etherTypes = func() map[string]uint16 {
	m := make(map[string]uint16, len(etherNames))
	for t, name := range etherNames {
		m[name] = t
	}
	return m
}()

// parseField takes one match field, and tells whether greave knows it.
func (m *Match) parseField(tok string) bool {
	key, val, has := strings.Cut(tok, "=")
	if !has {
		if pair, ok := protosByName[key]; ok {
			m.EthType, m.Upper.Proto = pair[0], uint8(pair[1])
			return true
		}
		t, ok := etherTypes[key]
		m.EthType = t
		return ok
	}
	switch key {
	case "in_port":
		return m.parseInPort(val)
	case "tun_id":
		v, mask, ok := masked(val, 64)
		m.TunID = Masked64{v, mask}
		return ok
	case "tun_src":
		return parseTunnel(&m.TunSrc, val, true)
	case "tun_dst":
		return parseTunnel(&m.TunDst, val, true)
	case "tun_ipv6_src":
		return parseTunnel(&m.TunSrc, val, false)
	case "tun_ipv6_dst":
		return parseTunnel(&m.TunDst, val, false)
	case "dl_src":
		return m.EthSrc.parse(val)
	case "dl_dst":
		return m.EthDst.parse(val)
	case "dl_type":
		v, ok := number(val, 16)
		m.EthType = uint16(v)
		return ok && v != 0
	}
	if n, ok := strings.CutPrefix(key, "reg"); ok {
		return m.parseReg(n, val)
	}
	if isVlan(key) {
		return m.VlanTCI.parse(key, val)
	}
	return m.parseUpper(key, val)
}

func (m *Match) parseReg(n, val string) bool {
	if len(n) != 1 || n[0] < '0' || n[0] >= '0'+NumRegs {
		return false
	}
	v, mask, ok := masked(val, 32)
	m.Regs[n[0]-'0'] = Masked32{uint32(v), uint32(mask)}
	return ok
}

func (m *Match) parseInPort(val string) bool {
	if val == "LOCAL" {
		m.InPort = PortLocal
		return true
	}
	v, ok := number(val, 32)
	m.InPort = Port(v)
	return ok && checkPort(m.InPort) == nil
}

func isVlan(key string) bool { return key == "dl_vlan" || key == "dl_vlan_pcp" || key == "vlan_tci" }

// parse takes one of the three ways in which OVS prints parts of a TCI.
func (m *Masked16) parse(key, val string) bool {
	var add Masked16
	var v, mask uint64
	var ok bool
	switch key {
	case "dl_vlan":
		v, ok = number(val, 12)
		add = Masked16{vlanCFI | uint16(v), vlanCFI | vlanVID}
	case "dl_vlan_pcp":
		v, ok = number(val, 3)
		add = Masked16{vlanCFI | uint16(v)<<13, vlanCFI | vlanPCP}
	case "vlan_tci":
		v, mask, ok = masked(val, 16)
		add = Masked16{uint16(v), uint16(mask)}
	}
	m.Value |= add.Value
	m.Mask |= add.Mask
	return ok
}

// parseTunnel takes a whole tunnel address of the one family that its key names.
func parseTunnel(a *netip.Addr, val string, v4 bool) bool {
	if a.IsValid() { // the other family's: no single address holds both
		return false
	}
	var ok bool
	*a, ok = address(val)
	return ok && a.Is4() == v4
}

// address reads an address that can be written again as it was read.
func address(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && (a.Is4() || plainIPv6(a))
}

// masked reads "V" or "V/MASK". An empty mask is not one that OVS prints.
func masked(s string, bits int) (v, mask uint64, ok bool) {
	val, m, has := strings.Cut(s, "/")
	v, ok = number(val, bits)
	mask = ^uint64(0) >> (64 - bits)
	if has && ok {
		mask, ok = number(m, bits)
	}
	return v & mask, mask, ok && mask != 0
}

func (m *MaskedMAC) parse(s string) bool {
	val, mask, has := strings.Cut(s, "/")
	ok := parseMAC(&m.Value, val)
	m.Mask = macOnes
	if has && ok {
		ok = parseMAC(&m.Mask, mask)
	}
	for i := range m.Value {
		m.Value[i] &= m.Mask[i]
	}
	return ok && m.Mask != MAC{}
}

func parseMAC(m *MAC, s string) bool {
	if len(s) != 17 {
		return false
	}
	for i := range m {
		hi, lo := hexDigit(s[3*i]), hexDigit(s[3*i+1])
		if hi < 0 || lo < 0 || i > 0 && s[3*i-1] != ':' {
			return false
		}
		m[i] = byte(hi<<4 | lo)
	}
	return true
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
