package model

import (
	"crypto/sha256"
	"encoding/binary"
)

// NewOwner derives who greave is from the name it was given.
func NewOwner(name string) Owner {
	sum := sha256.Sum256([]byte("greave owner\x00" + name))
	tag := binary.BigEndian.Uint16(sum[:2])
	if tag == 0 { // the tag of cookies that nobody marked
		tag = 1
	}
	return Owner{Name: name, Tag: tag}
}
