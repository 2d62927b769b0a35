package convert

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Format writes a message of the API as YAML: fields in the order of the .proto
// under their snake_case names, enums by their short names, times as RFC 3339,
// and nothing that is unset. Parse reads a HostState back as it was. It fails
// for text that is not UTF-8 and for enum values that it does not know.
func Format(m proto.Message) ([]byte, error) {
	node, err := formatMessage(m.ProtoReflect())
	if err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	node.Style = 0
	if len(node.Content) == 0 {
		return []byte("{}\n"), nil
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(node), enc.Close()); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), nil
}

func formatMessage(m protoreflect.Message) (*yaml.Node, error) {
	switch m.Descriptor().FullName() {
	case durationName:
		return plain(seconds(m)), nil
	case "google.protobuf.Timestamp":
		sec, nano := secondsNanos(m)
		return plain(time.Unix(sec, nano).UTC().Format(time.RFC3339Nano)), nil
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) {
			continue
		}
		v, err := formatField(fd, m.Get(fd))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fd.Name(), err)
		}
		n.Content = append(n.Content, plain(string(fd.Name())), v)
	}
	if compact(n) {
		n.Style = yaml.FlowStyle
	}
	return n, nil
}

func formatField(fd protoreflect.FieldDescriptor, v protoreflect.Value) (*yaml.Node, error) {
	switch {
	case fd.IsList():
		return formatList(fd, v.List())
	case fd.IsMap():
		return formatMap(fd, v.Map())
	}
	return formatValue(fd, v)
}

func formatList(fd protoreflect.FieldDescriptor, list protoreflect.List) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	size := 0
	for i := range list.Len() {
		v, err := formatValue(fd, list.Get(i))
		if err != nil {
			return nil, err
		}
		size += len(v.Value) + 2
		n.Content = append(n.Content, v)
	}
	if fd.Message() == nil && size < 72 {
		n.Style = yaml.FlowStyle
	}
	if slices.ContainsFunc(n.Content, func(v *yaml.Node) bool { return v.Style&yaml.FlowStyle == 0 }) {
		for _, v := range n.Content { // the items of a list look alike
			v.Style &^= yaml.FlowStyle
		}
	}
	return n, nil
}

func formatMap(fd protoreflect.FieldDescriptor, m protoreflect.Map) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	var keys []protoreflect.MapKey
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return bytes.Compare([]byte(a.String()), []byte(b.String())) })
	for _, k := range keys {
		key, err := formatValue(fd.MapKey(), k.Value())
		if err != nil {
			return nil, err
		}
		v, err := formatValue(fd.MapValue(), m.Get(k))
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, key, v)
	}
	return n, nil
}

func formatValue(fd protoreflect.FieldDescriptor, v protoreflect.Value) (*yaml.Node, error) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return formatMessage(v.Message())
	case protoreflect.StringKind:
		return text(v.String())
	case protoreflect.EnumKind:
		ev := fd.Enum().Values().ByNumber(v.Enum())
		if ev == nil {
			return nil, fmt.Errorf("the value %d is not known", v.Enum())
		}
		return plain(shortEnum(ev)), nil
	case protoreflect.BytesKind:
		return nil, errors.New("bytes have no form in YAML")
	}
	return plain(fmt.Sprint(v.Interface())), nil
}

// plain is a scalar that needs no quotes.
func plain(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

var simple = regexp.MustCompile(`^[!-~]([ -~]*[!-~])?$`)

// text is a scalar that reads back as text, whatever it holds.
func text(s string) (*yaml.Node, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%q is not valid UTF-8", s)
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if !simple.MatchString(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n, nil
}

// compact tells whether a mapping is short enough to read well on one line.
func compact(n *yaml.Node) bool {
	if len(n.Content) > 6 {
		return false
	}
	for i, v := range n.Content {
		flow := v.Style&yaml.FlowStyle != 0
		if i%2 == 1 && !(v.Kind == yaml.ScalarNode && len(v.Value) < 40 || flow && len(n.Content) == 2) {
			return false
		}
	}
	return true
}

func secondsNanos(m protoreflect.Message) (sec, nano int64) {
	f := m.Descriptor().Fields()
	return m.Get(f.ByName("seconds")).Int(), m.Get(f.ByName("nanos")).Int()
}

// seconds writes a duration as protobuf's JSON does.
func seconds(m protoreflect.Message) string {
	sec, nano := secondsNanos(m)
	sign := ""
	if sec < 0 || nano < 0 {
		sign, sec, nano = "-", -sec, -nano
	}
	text := sign + strconv.FormatInt(sec, 10)
	if nano != 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%09d", nano), "0")
	}
	return text + "s"
}
