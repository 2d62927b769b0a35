package convert

import (
	"cmp"

	"google.golang.org/protobuf/proto"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

// activation reads when a port becomes active; by its presence.
func activation(w *greavev1.Activation) model.Activation {
	if w == nil {
		return 0
	}
	return cmp.Or(activations[w.GetBy()], model.ActivateAnnouncement)
}

func activationToWire(a model.Activation) *greavev1.Activation {
	if a == 0 {
		return nil
	}
	return &greavev1.Activation{By: activations.wire(a)}
}

// peerName is an optional name of a peer. An empty one would be taken for an
// absent one.
func (r *reader) peerName(path string, v *string) string {
	if v != nil && *v == "" {
		r.add(path, "", model.ReasonRequired, "the name of a peer is missing", "name one of peers, or leave it out")
	}
	return (&greavev1.Port{MovingTo: v}).GetMovingTo()
}

func textUnlessEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return proto.String(s)
}
