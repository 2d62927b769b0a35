package openflow

import "github.com/greave-sdn/greave/model"

// tableTouch is the last table that a flow can be put into, which nothing leads to.
const tableTouch Table = 253

// Touch is a change after which a bridge is as before, but the switch has looked
// again at all that its datapath knows.
func Touch(owner model.Owner) Change {
	key := Key{Table: tableTouch, Priority: 1}
	cookie := MakeCookie(owner.Tag, uint8(model.KindBridge), 0)
	return Change{Add: []Flow{{Key: key, Cookie: cookie}}, Remove: []Removal{{Key: key, Cookie: cookie}}}
}
