package plan

import (
	"fmt"
	"slices"

	"github.com/greave-sdn/greave/model"
)

// foreign tells whether the document says that a bridge is somebody else's, and it
// is there.
func (d *differ) foreign(bridge string) bool {
	return slices.ContainsFunc(d.Want.Foreign, func(b model.Bridge) bool { return b.Name == bridge })
}

// disowned keeps bridges that are called foreign and bear greave's mark: they would
// be removed, as none that the document states has made them.
func (d *differ) disowned() {
	for _, b := range d.Want.Foreign {
		if d.owns(d.Have.Bridges[b.Name].ExternalIDs) {
			d.plan.Notices[b.Ref()] = model.Notice{Reason: model.NoticeConflict, Message: fmt.Sprintf(
				"bridge %s is greave's own making: say mode: managed, or give it away with ovs-vsctl remove Bridge %s external_ids %s", b.Name, b.Name, model.MarkOwner)}
		}
	}
}
