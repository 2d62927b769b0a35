package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// MaxDocument is the largest document that Parse reads, in bytes. It has room
// for some 200,000 FDB entries; a larger state goes over the API.
const MaxDocument = 16 << 20

// maxYAMLErrors is how many errors of one document are told.
const maxYAMLErrors = 50

// YAMLError is one thing wrong with the text of a document.
type YAMLError struct {
	File         string // as given to Parse
	Line, Column int    // from 1; a column of 0 is not known
	Path         string // field path; empty: the document as a whole
	Message      string
}

func (e *YAMLError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:", e.File, e.Line)
	if e.Column > 0 {
		fmt.Fprintf(&b, "%d:", e.Column)
	}
	if e.Path != "" {
		fmt.Fprintf(&b, " %s:", e.Path)
	}
	return b.String() + " " + e.Message
}

// YAMLErrors is all that is wrong with the text of a document, in its order, at
// most 50 and a last one that says that there are more.
type YAMLErrors []*YAMLError

func (e YAMLErrors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Parse reads a document in YAML, and so in JSON. Field names are in snake_case
// or lowerCamelCase; enum values have their full name or the short one in lower
// case (`encap: gre`). The error is a YAMLErrors; name is the file's in it. The
// state is as written: FromWire and model.Validate judge it, and Positions tells
// where in the text the fields stand that they speak of.
func Parse(name string, data []byte) (*greavev1.HostState, *Positions, error) {
	p := &parser{file: name, budget: len(data) + aliasBudget}
	root := p.document(data)
	if root == nil {
		return nil, nil, p.errs
	}
	s := &greavev1.HostState{}
	p.message(root, s.ProtoReflect(), "", root)
	if len(p.errs) > 0 {
		return nil, nil, p.errs
	}
	return s, &Positions{root: root}, nil
}

// aliasBudget bounds how many values aliases may add to a document; without
// aliases it has fewer values than bytes.
const aliasBudget = 100_000

type parser struct {
	file   string
	errs   YAMLErrors
	budget int // values that may still be read
}

func (p *parser) stopped() bool { return p.budget < 0 || len(p.errs) > maxYAMLErrors }

func (p *parser) fail(at *yaml.Node, path, format string, args ...any) {
	switch n := len(p.errs); {
	case n < maxYAMLErrors:
		p.errs = append(p.errs, &YAMLError{p.file, at.Line, at.Column, path, fmt.Sprintf(format, args...)})
	case n == maxYAMLErrors:
		p.errs = append(p.errs, &YAMLError{p.file, at.Line, at.Column, "", "and more errors from here on"})
	}
}

// document yields the root value of the one document in data, or nil.
func (p *parser) document(data []byte) *yaml.Node {
	top := &yaml.Node{Line: 1, Column: 1}
	if len(data) > MaxDocument {
		p.fail(top, "", "the document has %d bytes, more than the %d that are read; send it over the API", len(data), MaxDocument)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		p.fail(top, "", "the document is empty; write allow_empty: true if nothing is what this source wants")
		return nil
	case err != nil:
		p.syntax(err, data)
		return nil
	}
	root := doc.Content[0]
	if isNull(root) {
		p.fail(top, "", "the document is empty; write allow_empty: true if nothing is what this source wants")
		return nil
	}
	if err := dec.Decode(&next); err == nil {
		p.fail(&next, "", "a second document starts here; one file holds one document")
		return nil
	} else if !errors.Is(err, io.EOF) {
		p.syntax(err, data)
		return nil
	}
	return root
}

var yamlLine = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// syntax tells an error of the YAML library.
func (p *parser) syntax(err error, data []byte) {
	line, text := syntaxError(err)
	if len(data) <= searchMax {
		line = firstBadLine(data, text)
	}
	p.fail(&yaml.Node{Line: line}, "", "not valid YAML: %s", text)
}

// syntaxError takes the text of an error apart: the library puts the line into
// it, and often means that of the enclosing value.
func syntaxError(err error) (line int, text string) {
	line, text = 1, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	return line, text
}

// searchMax keeps firstBadLine under a second.
const searchMax = 1 << 20

// firstBadLine is the line with which the error appears when the document is
// read line by line more of it.
func firstBadLine(data []byte, text string) int {
	lines := bytes.SplitAfter(data, []byte("\n"))
	return 1 + sort.Search(len(lines)-1, func(i int) bool {
		dec := yaml.NewDecoder(bytes.NewReader(bytes.Join(lines[:i+1], nil)))
		for {
			if err := dec.Decode(&yaml.Node{}); err != nil {
				_, same := syntaxError(err)
				return same == text
			}
		}
	})
}

// value follows an alias, and counts.
func (p *parser) value(n *yaml.Node, path string) *yaml.Node {
	if p.budget--; p.budget == -1 {
		p.fail(n, path, "aliases add more than %d values; write them out, or use fewer", aliasBudget)
	}
	return follow(n)
}

// message reads the fields of a mapping; at is where errors about it as a whole
// are told.
func (p *parser) message(n *yaml.Node, m protoreflect.Message, path string, at *yaml.Node) {
	md := m.Descriptor()
	if n = p.value(n, path); n.Kind != yaml.MappingNode {
		p.fail(at, path, "%s is written where fields are expected: %s", describe(n), alternatives(built(md.Fields())))
		return
	}
	stated := map[protoreflect.Name]*yaml.Node{} // fields and choices
	for i := 0; i+1 < len(n.Content) && !p.stopped(); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		fd := p.key(p.value(key, path), md, path, key)
		if fd == nil {
			continue
		}
		field := join(path, string(fd.Name()))
		if first := stated[fd.Name()]; first != nil {
			p.fail(key, field, "is stated twice, first on line %d", first.Line)
			continue
		}
		stated[fd.Name()] = key
		if one := fd.ContainingOneof(); one != nil && !one.IsSynthetic() {
			if first := stated[one.Name()]; first != nil {
				p.fail(key, field, "contradicts %q on line %d; keep one of the two", first.Value, first.Line)
				continue
			}
			stated[one.Name()] = key
		}
		p.field(value, m, fd, field, key)
	}
}

func (p *parser) key(n *yaml.Node, md protoreflect.MessageDescriptor, path string, at *yaml.Node) protoreflect.FieldDescriptor {
	if n.Kind != yaml.ScalarNode {
		p.fail(at, path, "%s is written where the name of a field is expected", describe(n))
		return nil
	}
	if n.Value == "<<" {
		p.fail(at, path, "merge keys (<<) are not supported; write the fields out")
		return nil
	}
	fd := fieldByName(md, n.Value)
	if fd == nil {
		all := namesOf(md.Fields(), func(protoreflect.FieldDescriptor) bool { return true })
		hint := "the fields here are " + strings.Join(built(md.Fields()), ", ")
		if near := suggest(n.Value, all); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		p.fail(at, join(path, abridge(n.Value)), "unknown field; %s", hint)
	}
	return fd
}

func (p *parser) field(n *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor, path string, at *yaml.Node) {
	switch {
	case isNull(follow(n)):
		p.fail(at, path, "has no value; give it one, or leave it out")
	case fd.IsList():
		p.list(n, m, fd, path, at)
	case fd.Message() != nil && fd.Message().FullName() == durationName:
		p.duration(n, m.Mutable(fd).Message(), path, at)
	case fd.Message() != nil:
		p.message(n, m.Mutable(fd).Message(), path, at)
	default:
		if v, ok := p.scalar(n, fd, path, at); ok {
			m.Set(fd, v)
		}
	}
}

func (p *parser) list(n *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor, path string, at *yaml.Node) {
	if n = p.value(n, path); n.Kind != yaml.SequenceNode {
		p.fail(at, path, "%s is written where a list is expected; start each item with \"- \"", describe(n))
		return
	}
	list := m.Mutable(fd).List()
	for i, item := range n.Content {
		if p.stopped() {
			return
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case isNull(follow(item)):
			p.fail(item, at, "has no value; give it one, or leave it out")
		case fd.Message() != nil:
			p.message(item, list.AppendMutable().Message(), at, item)
		default:
			if v, ok := p.scalar(item, fd, at, item); ok {
				list.Append(v)
			}
		}
	}
}
