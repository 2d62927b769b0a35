package lab

import (
	"encoding/binary"
	"slices"
)

// EtherTest is the EtherType of frames for experiments (IEEE 802, local experimental 1).
const EtherTest = 0x88b5

// Tag is one VLAN tag of a frame.
type Tag struct {
	Type     uint16 // 0 means 0x8100
	VID      uint16 // 0-4095
	Priority uint8  // 0-7
}

// Frame is an Ethernet frame of type EtherTest, with the VLAN tags that it has on the wire, the
// outer one first.
type Frame struct {
	Dst, Src [6]byte
	Tags     []Tag
	Data     string
}

// Bytes is the frame as it is sent, of at least 60 bytes.
func (f Frame) Bytes() []byte {
	b := slices.Concat(f.Dst[:], f.Src[:])
	for _, t := range f.Tags {
		if t.Type == 0 {
			t.Type = etherVLAN
		}
		b = binary.BigEndian.AppendUint16(b, t.Type)
		b = binary.BigEndian.AppendUint16(b, uint16(t.Priority)<<13|t.VID)
	}
	b = append(binary.BigEndian.AppendUint16(b, EtherTest), f.Data...)
	return append(b, make([]byte, max(0, 60-len(b)))...)
}

// ParseFrame reads a frame of type EtherTest; false for others.
func ParseFrame(b []byte) (f Frame, ok bool) {
	if len(b) < 14 {
		return f, false
	}
	f.Dst, f.Src = [6]byte(b[:6]), [6]byte(b[6:12])
	b = b[12:]
	for len(b) >= 6 && (binary.BigEndian.Uint16(b) == etherVLAN || binary.BigEndian.Uint16(b) == 0x88a8) {
		tci := binary.BigEndian.Uint16(b[2:])
		f.Tags = append(f.Tags, Tag{Type: binary.BigEndian.Uint16(b), VID: tci & 0xfff, Priority: uint8(tci >> 13)})
		b = b[4:]
	}
	if binary.BigEndian.Uint16(b) != EtherTest {
		return f, false
	}
	data := b[2:]
	for len(data) > 0 && data[len(data)-1] == 0 { // padding
		data = data[:len(data)-1]
	}
	f.Data = string(data)
	return f, true
}
