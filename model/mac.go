package model

import (
	"fmt"
	"strconv"
	"strings"
)

// MAC is an Ethernet address (EUI-48). The zero value means "not set".
type MAC [6]byte

func (m MAC) String() string {
	const digits = "0123456789abcdef"
	var text [17]byte
	for i, b := range m {
		if i > 0 {
			text[3*i-1] = ':'
		}
		text[3*i], text[3*i+1] = digits[b>>4], digits[b&15]
	}
	return string(text[:])
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
