package model

import (
	"fmt"
	"strconv"
	"strings"
)

// MAC is an Ethernet address (EUI-48). The zero value means "not set".
type MAC [6]byte

func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// IsZero tells whether the address is not set.
func (m MAC) IsZero() bool { return m == MAC{} }

// IsMulticast tells whether the group bit is set.
func (m MAC) IsMulticast() bool { return m[0]&1 == 1 }

// ParseMAC reads six colon-separated pairs of hexadecimal digits.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	parts := strings.Split(s, ":")
	if len(parts) != len(m) {
		return MAC{}, fmt.Errorf("%q is not a MAC address: write six pairs of hexadecimal digits, as 02:00:00:00:00:01", s)
	}
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 16, 8)
		if err != nil || len(p) != 2 {
			return MAC{}, fmt.Errorf("%q is not a MAC address: write six pairs of hexadecimal digits, as 02:00:00:00:00:01", s)
		}
		m[i] = byte(v)
	}
	return m, nil
}
