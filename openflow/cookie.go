package openflow

import "fmt"

// Cookie names the owner and the object behind a flow: 16 bits of owner tag,
// 8 bits of kind, 40 bits of object id. All flows of one object share one
// cookie, so that they can be read, counted and removed by it.
type Cookie uint64

// ObjectID is the 40-bit number of an object, allocated by Bindings.
type ObjectID uint64

// ObjectIDMax is the largest object id that a cookie holds.
const ObjectIDMax ObjectID = 1<<40 - 1

// CookieOwnerMask selects the owner tag of a cookie.
const CookieOwnerMask Cookie = 0xffff << 48

// CookieKindMask selects the kind of a cookie.
const CookieKindMask Cookie = 0xff << 40

// MakeCookie packs owner, kind and object id.
func MakeCookie(owner uint16, kind uint8, id ObjectID) Cookie {
	return Cookie(owner)<<48 | Cookie(kind)<<40 | Cookie(id&ObjectIDMax)
}

// Owner returns the owner tag.
func (c Cookie) Owner() uint16 { return uint16(c >> 48) }

// Kind returns the kind of the object.
func (c Cookie) Kind() uint8 { return uint8(c >> 40) }

// Object returns the object id.
func (c Cookie) Object() ObjectID { return ObjectID(c) & ObjectIDMax }

func (c Cookie) String() string { return fmt.Sprintf("%#x", uint64(c)) }
