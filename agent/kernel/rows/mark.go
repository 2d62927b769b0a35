package rows

import (
	"strings"

	"github.com/greave-sdn/greave/model"
)

// Protocol is the number that greave's routes, addresses (Linux 5.18 and later)
// and neighbours carry (rtm_protocol, IFA_PROTO, NDA_PROTOCOL). Whose they are
// their device says.
const Protocol = 103

// GroupMark begins the device group that a device has from its creation until
// its alias is written: the two take two messages, and greaved may die between
// them. The owner's tag is its low half.
const GroupMark = 0x67720000

// aliasMax is the longest alias that the kernel takes, in bytes (IFALIASZ).
const aliasMax = 255

// Alias is the mark of a device: who made it, for what.
func Alias(owner model.Owner, ref model.Ref) string {
	mark := "greave " + owner.Name + " " + ref.Mark()
	return mark[:min(len(mark), aliasMax)]
}

// ParseAlias reads a mark. The object of a mark that was too long is cut short.
func ParseAlias(alias string) (owner string, ref model.Ref, ok bool) {
	words := strings.SplitN(alias, " ", 3)
	if len(words) != 3 || words[0] != "greave" {
		return "", model.Ref{}, false
	}
	ref, ok = model.ParseRef(words[2])
	return words[1], ref, ok
}

// Fallback tells whether a device is one that a driver makes by itself in every
// namespace.
func Fallback(name string) bool {
	switch name {
	case "gre0", "gretap0", "erspan0", "ip6gre0", "tunl0", "ip6tnl0", "sit0", "ip_vti0", "ip6_vti0":
		return true
	}
	return false
}
