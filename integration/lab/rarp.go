package lab

import (
	"encoding/binary"
	"slices"
)

// RARP is the broadcast by which QEMU says that a guest runs on where it was moved
// to: a request reverse (RFC 903) for its own address.
func RARP(mac [6]byte) []byte {
	b := slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac[:])
	b = binary.BigEndian.AppendUint16(b, 0x8035)
	b = slices.Concat(b, []byte{0, 1, 8, 0, 6, 4, 0, 3}, mac[:], make([]byte, 4), mac[:], make([]byte, 4))
	return append(b, make([]byte, 60-len(b))...)
}
