package convert

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// Document is a HostState read from one or several files that remembers where
// each of its fields stands.
type Document struct {
	State *greavev1.HostState
	parts []part
}

// part is one file of a document; its objects follow those of the parts before.
type part struct {
	name  string
	at    *Positions
	state *greavev1.HostState
}

// ParseDocument reads one file as Parse does.
func ParseDocument(name string, data []byte) (Document, error) {
	state, at, err := Parse(name, data)
	if err != nil {
		return Document{}, err
	}
	return Document{state, []part{{name, at, state}}}, nil
}

// Join puts the objects of several documents one after the other. The last host
// that is stated counts.
func Join(docs []Document) Document {
	out := Document{State: &greavev1.HostState{}}
	for _, d := range docs {
		proto.Merge(out.State, d.State)
		out.parts = append(out.parts, d.parts...)
	}
	return out
}

// Where says where a field stands: "file:line:column", or nothing when no file
// holds it.
func (d Document) Where(path string) string {
	list, rest, ok := strings.Cut(path, "[")
	number, tail, closed := strings.Cut(rest, "]")
	i, err := strconv.Atoi(number)
	if !ok || !closed || err != nil {
		return d.first(path)
	}
	field := d.State.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(list))
	if field == nil || !field.IsList() {
		return ""
	}
	for _, p := range d.parts {
		n := p.state.ProtoReflect().Get(field).List().Len()
		if i < n {
			return p.find(fmt.Sprintf("%s[%d]%s", list, i, tail))
		}
		i -= n
	}
	return ""
}

func (d Document) first(path string) string {
	for _, p := range d.parts {
		if at := p.find(path); at != "" {
			return at
		}
	}
	return ""
}

func (p part) find(path string) string {
	line, col, ok := p.at.Find(path)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", p.name, line, col)
}
