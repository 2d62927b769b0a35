package convert

import (
	"cmp"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

// RefusedEncap is an encapsulation of the API that no dataplane builds.
type RefusedEncap struct {
	Encap           greavev1.Encap
	Reason, Message string
}

// RefusedEncaps lists them in the order of the API.
func RefusedEncaps() []RefusedEncap {
	var out []RefusedEncap
	values := greavev1.Encap(0).Descriptor().Values()
	for i := range values.Len() {
		l, refused := limits[values.Get(i).FullName()]
		if !refused {
			continue
		}
		e := l.refuse("", "")
		out = append(out, RefusedEncap{greavev1.Encap(values.Get(i).Number()), cmp.Or(e.Reason, model.ReasonUnimplemented), e.Message + "; " + e.Remedy})
	}
	return out
}
