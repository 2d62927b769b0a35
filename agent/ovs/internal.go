package ovs

import (
	"github.com/greave-sdn/greave/agent/plan"
	"github.com/greave-sdn/greave/ovsdb"
)

func mtuColumn(mtu uint32) ovsdb.Opt[int] { return ovsdb.Opt[int]{Value: int(mtu), OK: mtu != 0} }

// changeInternal turns what an internal port is as a device into what is wanted.
func changeInternal(ch *ovsdb.InterfaceChange, w plan.WantPort, have ovsdb.InterfaceRow) {
	if w.Type != "internal" {
		return
	}
	if mac := w.HWAddr.String(); !w.HWAddr.IsZero() && mac != have.MAC {
		ch.MAC = &mac
	}
	if mtu := mtuColumn(w.MTU); mtu != have.MTURequest {
		ch.MTURequest = &mtu
	}
}
