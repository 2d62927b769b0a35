package convert

import (
	"strings"
	"unicode"

	"google.golang.org/protobuf/reflect/protoreflect"
)

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// shortEnum is the name of a value without the enum's: ENCAP_GRE is gre.
func shortEnum(v protoreflect.EnumValueDescriptor) string {
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), enumPrefix(v.Parent().Name())))
}

// enumPrefix is what buf's STANDARD rules put before each value: FailMode is
// FAIL_MODE_.
func enumPrefix(enum protoreflect.Name) string {
	var b strings.Builder
	for i, r := range string(enum) {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String() + "_"
}

// enumValue finds a value by its full or short name. The zero value, which
// means not set, has no name in a document.
func enumValue(ed protoreflect.EnumDescriptor, name string) protoreflect.EnumValueDescriptor {
	for i := range ed.Values().Len() {
		v := ed.Values().Get(i)
		if v.Number() != 0 && (string(v.Name()) == name || shortEnum(v) == name) {
			return v
		}
	}
	return nil
}

// enumChoices are the short names of the values that are built.
func enumChoices(ed protoreflect.EnumDescriptor) []string {
	var out []string
	for i := range ed.Values().Len() {
		v := ed.Values().Get(i)
		if _, no := limits[v.FullName()]; !no && v.Number() != 0 {
			out = append(out, shortEnum(v))
		}
	}
	return out
}

// fieldList is a message's fields or those of one choice.
type fieldList interface {
	Len() int
	Get(int) protoreflect.FieldDescriptor
}

// built are the snake_case names of the fields that are built.
func built(fields fieldList) []string {
	return namesOf(fields, func(fd protoreflect.FieldDescriptor) bool {
		_, no := limits[fd.FullName()]
		return !no
	})
}

func namesOf(fields fieldList, keep func(protoreflect.FieldDescriptor) bool) []string {
	var out []string
	for i := range fields.Len() {
		if fd := fields.Get(i); keep(fd) {
			out = append(out, string(fd.Name()))
		}
	}
	return out
}

// fieldByName finds a field by its snake_case or lowerCamelCase name.
func fieldByName(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByName(protoreflect.Name(name)); fd != nil {
		return fd
	}
	return md.Fields().ByJSONName(name)
}

// alternatives joins names as people do: "a, b or c".
func alternatives(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// suggest is the name nearest to a misspelt one, or empty when none is near.
func suggest(word string, names []string) string {
	word = strings.ToLower(strings.ReplaceAll(word, "-", "_"))
	if len(word) > 64 {
		return ""
	}
	best, at := max(1, len(word)/3)+1, ""
	for _, n := range names {
		if d := distance(word, n); d < best {
			best, at = d, n
		}
	}
	return at
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
