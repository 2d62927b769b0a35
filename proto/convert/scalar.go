package convert

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

const durationName protoreflect.FullName = "google.protobuf.Duration"

// whole are the numbers that a document may hold. A leading zero would be octal
// to one reader and decimal to another.
var whole = regexp.MustCompile(`^(-?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+)$`)

// scalar reads one value of text, true or false, number or enum.
func (p *parser) scalar(n *yaml.Node, fd protoreflect.FieldDescriptor, path string, at *yaml.Node) (v protoreflect.Value, ok bool) {
	s, ok := p.text(n, path, at)
	if !ok {
		return v, false
	}
	n = follow(n)
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(s), true
	case protoreflect.EnumKind:
		return p.enum(s, fd.Enum(), path, at)
	case protoreflect.BoolKind:
		if quoted(n) || s != "true" && s != "false" {
			p.fail(at, path, "%s is written where true or false is expected", describe(n))
			return v, false
		}
		return protoreflect.ValueOfBool(s == "true"), true
	case protoreflect.Uint32Kind:
		if quoted(n) || !whole.MatchString(s) {
			p.fail(at, path, "%s is written where a whole number is expected, as 100 or 0x64", describe(n))
			return v, false
		}
		u, err := strconv.ParseUint(s, 0, 32)
		if err != nil {
			p.fail(at, path, "%s is outside 0-4294967295", abridge(s))
			return v, false
		}
		return protoreflect.ValueOfUint32(uint32(u)), true
	}
	p.fail(at, path, "cannot be written in YAML")
	return v, false
}

// text is a scalar as it stands in the document. What YAML would take for a
// number or a date needs no quotes where text is expected.
func (p *parser) text(n *yaml.Node, path string, at *yaml.Node) (string, bool) {
	n = p.value(n, path)
	switch {
	case n.Kind != yaml.ScalarNode:
		p.fail(at, path, "%s is written where a single value is expected", describe(n))
	case n.Style&yaml.TaggedStyle != 0:
		p.fail(at, path, "the tag %s is not supported; write the value alone", n.Tag)
	case !utf8.ValidString(n.Value):
		p.fail(at, path, "is not valid UTF-8")
	default:
		return n.Value, true
	}
	return "", false
}

func (p *parser) enum(s string, ed protoreflect.EnumDescriptor, path string, at *yaml.Node) (protoreflect.Value, bool) {
	if v := enumValue(ed, s); v != nil {
		return protoreflect.ValueOfEnum(v.Number()), true
	}
	choices := enumChoices(ed)
	hint := ""
	if near := suggest(s, choices); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	p.fail(at, path, "%q is written where %s is expected%s", abridge(s), alternatives(choices), hint)
	return protoreflect.Value{}, false
}

// duration reads a number of seconds as protobuf writes it ("3s", "1.5s"), and
// what Go reads besides ("500ms", "1m30s").
func (p *parser) duration(n *yaml.Node, m protoreflect.Message, path string, at *yaml.Node) {
	s, ok := p.text(n, path, at)
	if !ok {
		return
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		p.fail(at, path, "%q is written where a time is expected, as 3s, 500ms or 1m30s", abridge(s))
		return
	}
	src, dst := durationpb.New(d).ProtoReflect(), m
	src.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		dst.Set(fd, v)
		return true
	})
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Style&yaml.TaggedStyle == 0
}

func quoted(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

// describe names what stands there, for messages.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a group of fields"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	case n.Kind == yaml.ScalarNode && quoted(n):
		return "text in quotes"
	case n.Kind == yaml.ScalarNode:
		return strconv.Quote(abridge(n.Value))
	}
	return "an alias"
}

// abridge keeps messages readable whatever the document holds.
func abridge(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // nothing that steers a terminal
			return utf8.RuneError
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
