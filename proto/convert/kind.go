package convert

import (
	"fmt"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"

	"github.com/greave-sdn/greave/model"
)

var kinds = enumMap[greavev1.ObjectKind, model.Kind]{
	greavev1.ObjectKind_OBJECT_KIND_VTEP:    model.KindVtep,
	greavev1.ObjectKind_OBJECT_KIND_PEER:    model.KindPeer,
	greavev1.ObjectKind_OBJECT_KIND_SEGMENT: model.KindSegment,
	greavev1.ObjectKind_OBJECT_KIND_BRIDGE:  model.KindBridge,
	greavev1.ObjectKind_OBJECT_KIND_PORT:    model.KindPort,
	greavev1.ObjectKind_OBJECT_KIND_FDB:     model.KindFdb,
	greavev1.ObjectKind_OBJECT_KIND_TUNNEL:  model.KindTunnel,
	greavev1.ObjectKind_OBJECT_KIND_MIRROR:  model.KindMirror,
	greavev1.ObjectKind_OBJECT_KIND_SAMPLER: model.KindSampler,
}

// KindToWire is the API's number of a kind; unspecified for one it has not.
func KindToWire(k model.Kind) greavev1.ObjectKind { return kinds.wire(k) }

// KindFromWire is the model's kind; ok is false for an unspecified or unknown
// number.
func KindFromWire(k greavev1.ObjectKind) (kind model.Kind, ok bool) {
	kind, ok = kinds[k]
	return kind, ok
}

// RefToWire is a reference as the API writes it.
func RefToWire(r model.Ref) *greavev1.ObjectRef {
	return &greavev1.ObjectRef{Kind: KindToWire(r.Kind), Name: r.Name}
}

// RefsFromWire reads references; path is that of the list ("remove"). The MAC
// in the name of an FDB entry is put into canonical form.
func RefsFromWire(path string, list []*greavev1.ObjectRef) ([]model.Ref, model.FieldErrors) {
	var refs []model.Ref
	var errs model.FieldErrors
	for i, w := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		k, ok := KindFromWire(w.GetKind())
		if !ok {
			errs = append(errs, model.FieldError{Path: at + ".kind", Reason: model.ReasonRequired, Message: "the kind of the object is missing or not known",
				Remedy: "use " + alternatives(enumChoices(w.GetKind().Descriptor()))})
		}
		if w.GetName() == "" {
			errs = append(errs, model.FieldError{Path: at + ".name", Reason: model.ReasonRequired, Message: "the name of the object is missing", Remedy: "add it"})
		}
		refs = append(refs, canonical(model.Ref{Kind: k, Name: w.GetName()}))
	}
	return refs, errs
}
