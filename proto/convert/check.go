package convert

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/greave-sdn/greave/model"
)

// check lists what can be told from the form of m alone: what is not built or
// not known, and choices that choose nothing.
func check(m protoreflect.Message) model.FieldErrors {
	var errs model.FieldErrors
	walk(m, "", &errs)
	return errs
}

func walk(m protoreflect.Message, path string, errs *model.FieldErrors) {
	if raw := m.GetUnknown(); len(raw) > 0 {
		n, _, _ := protowire.ConsumeTag(raw)
		*errs = append(*errs, model.FieldError{Path: path, Value: fmt.Sprint(n), Reason: model.ReasonUnimplemented,
			Message: "is the number of a field that this version does not know", Remedy: "update greaved, or leave the field out"})
	}
	checkChoices(m, path, errs)
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) {
			continue
		}
		at, v := join(path, string(fd.Name())), m.Get(fd)
		if l, ok := limits[fd.FullName()]; ok {
			if text := display(fd, v); l.accept == "" || text != l.accept {
				*errs = append(*errs, l.refuse(at, text))
			}
			continue
		}
		switch {
		case fd.IsList() && fd.Message() != nil:
			for i := range v.List().Len() {
				walk(v.List().Get(i).Message(), fmt.Sprintf("%s[%d]", at, i), errs)
			}
		case fd.Message() != nil:
			walk(v.Message(), at, errs)
		case fd.Enum() != nil:
			checkEnum(fd.Enum(), v.Enum(), at, errs)
		}
	}
}

func checkEnum(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber, at string, errs *model.FieldErrors) {
	v := ed.Values().ByNumber(n)
	if v == nil {
		*errs = append(*errs, model.FieldError{Path: at, Value: fmt.Sprint(n), Reason: model.ReasonInvalid,
			Message: "is not known to this version", Remedy: "use " + alternatives(enumChoices(ed))})
	} else if l, ok := limits[v.FullName()]; ok {
		*errs = append(*errs, l.refuse(at, shortEnum(v)))
	}
}

// checkChoices refuses what the model would take for absent: a message that is
// nothing but a choice and makes none, a chosen name that is empty, and the
// false of a choice that says only "this one".
func checkChoices(m protoreflect.Message, path string, errs *model.FieldErrors) {
	md := m.Descriptor()
	for i := range md.Oneofs().Len() {
		one := md.Oneofs().Get(i)
		if one.IsSynthetic() {
			continue
		}
		pure, fd := one.Fields().Len() == md.Fields().Len(), m.WhichOneof(one)
		switch {
		case fd == nil && pure:
			*errs = append(*errs, model.FieldError{Path: path, Reason: model.ReasonRequired,
				Message: "nothing is chosen", Remedy: "say " + alternatives(built(one.Fields()))})
		case fd == nil:
		case fd.Kind() == protoreflect.StringKind && m.Get(fd).String() == "":
			*errs = append(*errs, model.FieldError{Path: join(path, string(fd.Name())), Reason: model.ReasonRequired,
				Message: "is empty", Remedy: "fill it in, or leave it out"})
		case fd.Kind() == protoreflect.BoolKind && pure && !m.Get(fd).Bool():
			*errs = append(*errs, model.FieldError{Path: join(path, string(fd.Name())), Value: "false", Reason: model.ReasonInvalid,
				Message: "means nothing", Remedy: "write true, or leave it out"})
		}
	}
}

// display is a scalar as a document writes it; empty for messages and lists.
func display(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case fd.IsList() || fd.IsMap() || fd.Message() != nil:
		return ""
	case fd.Enum() != nil:
		if ev := fd.Enum().Values().ByNumber(v.Enum()); ev != nil {
			return shortEnum(ev)
		}
	}
	return fmt.Sprint(v.Interface())
}
