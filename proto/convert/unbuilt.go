package convert

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/greave-sdn/greave/model"
)

// limit says that a field or an enum value is refused, and what to do instead.
type limit struct {
	accept  string // the one value that says what is done anyway; empty: none
	reason  string // empty: UNIMPLEMENTED
	message string // empty: "is not supported yet"
	remedy  string
}

const leaveOut = "leave it out"

const goneMessage = "was removed in Open vSwitch 3.6 and carries no packets in userspace"

// limits are the fields and enum values of the API that are not built, by full
// name. Each other field and value reaches the model: a test proves it. What only
// one backend builds is the model's to refuse on the other.
var limits = map[protoreflect.FullName]limit{
	"greave.v1.ENCAP_GTPU":    {remedy: "use gre, vxlan or geneve"},
	"greave.v1.ENCAP_BAREUDP": {remedy: "use gre, vxlan or geneve"},
	"greave.v1.ENCAP_STT":     {reason: model.ReasonUnsupported, message: goneMessage, remedy: "use gre, vxlan or geneve"},
	"greave.v1.ENCAP_LISP":    {reason: model.ReasonUnsupported, message: goneMessage, remedy: "use gre, vxlan or geneve"},

	"greave.v1.REPLICATION_MODE_MULTICAST": {remedy: "use head_end"},
	"greave.v1.Replication.group":          {remedy: leaveOut},

	"greave.v1.Port.addresses": {remedy: "put them on the device with ip addr add"},

	"greave.v1.TunnelRemote.dns": {remedy: "state the address"},
	"greave.v1.Tunnel.mss_clamp": {remedy: leaveOut},
	"greave.v1.Tunnel.keepalive": {remedy: leaveOut},
}

func (l limit) refuse(path, value string) model.FieldError {
	e := model.FieldError{Path: path, Value: value, Reason: l.reason, Message: l.message, Remedy: l.remedy}
	if e.Reason == "" {
		e.Reason = model.ReasonUnimplemented
	}
	if e.Message == "" {
		e.Message = "is not supported yet"
	}
	return e
}
