package convert

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// Positions tells where in a document its fields stand.
type Positions struct{ root *yaml.Node }

// Find yields the line and column, from 1, of the field with the given path
// ("tunnels[2].ttl.fixed"), or of the nearest one around it that the document
// has. A leading "state.", as in the paths of requests, is skipped. Not ok: the
// path is empty, or the document has nothing of it.
func (p *Positions) Find(path string) (line, col int, ok bool) {
	if p == nil || p.root == nil {
		return 0, 0, false
	}
	md := (&greavev1.HostState{}).ProtoReflect().Descriptor()
	node := p.root
	var at *yaml.Node
	for step := range strings.SplitSeq(strings.TrimPrefix(path, "state."), ".") {
		name, index, listed := strings.Cut(step, "[")
		if md == nil {
			break
		}
		fd := fieldByName(md, name)
		key, value := entry(node, fd)
		if key == nil {
			break
		}
		at, node, md = key, value, fd.Message()
		if !listed {
			continue
		}
		i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if err != nil || i < 0 || node.Kind != yaml.SequenceNode || i >= len(node.Content) {
			break
		}
		at, node = node.Content[i], follow(node.Content[i])
	}
	if at == nil {
		return 0, 0, false
	}
	return at.Line, at.Column, true
}

// entry finds a field in a mapping, under either of its names.
func entry(n *yaml.Node, fd protoreflect.FieldDescriptor) (key, value *yaml.Node) {
	if fd == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if name := follow(n.Content[i]).Value; name == string(fd.Name()) || name == fd.JSONName() {
			return n.Content[i], follow(n.Content[i+1])
		}
	}
	return nil, nil
}

func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
