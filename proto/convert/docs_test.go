package convert

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/greave-sdn/greave/model"
)

// TestDocumentedState holds docs/state.md to the API's comments and to the
// table of what is not built.
func TestDocumentedState(t *testing.T) {
	golden(t, "../../docs/state.md", []byte(stateDoc(t)))
}

const stateIntro = `# The state document

What one host should have: every field of ` + "`HostState`" + `, in the order of the API. The same document goes over gRPC, lies in a file and is read by the command line. This page is written from the comments in ` + "`proto/greave/v1`" + ` and from the table of what is not built yet (` + "`go test ./proto/convert -update`" + `); a test holds it to both.

## How to write it

- A document is all that its source states: what it leaves out is removed. ` + "`greave apply --merge`" + ` adds and replaces instead. The source is ` + "`operator`" + ` unless ` + "`--source`" + ` names another, ` + "`file`" + ` for the directory that ` + "`greaved --file`" + ` watches. An object is of one source; others may refer to it.
- YAML or JSON; one document a file, at most 16 MiB. Unknown fields, fields stated twice and values of another type are errors with file, line and column.
- Field names are in snake_case or lowerCamelCase.
- An enum value is written short and in lower case (` + "`encap: gre`" + `) or in full (` + "`ENCAP_GRE`" + `).
- Numbers are decimal or, with 0x, hexadecimal. Text needs quotes only where YAML asks for them: a name, a MAC or a datapath id may look like a number.
- Durations have a unit: ` + "`3s`, `500ms`, `1m30s`" + `.
- What is left out has its default. A field without a value (` + "`host:`" + `) is an error.
- Anchors and aliases work, and may add 100,000 values; merge keys (` + "`<<`" + `) and tags do not.
- Of the fields marked "one of", a message has one at most.

## What is built

The last column says it. **yes**: it has effect. **no**: it is refused as UNIMPLEMENTED, by its path. **no, only** V: V, which says what is done anyway, is accepted, and every other value is refused. **never**: it is refused as UNSUPPORTED, because Open vSwitch cannot do it.

## Which backend builds it

A bridge says where what is on it is built: its tunnels, segments and ports. ` + "`backend: auto`" + ` is Open vSwitch where it runs, else the kernel, and never moves a bridge that is built. A tunnel without bridge and segment is a device of the kernel. What the one backend cannot do is refused as UNSUPPORTED, by its path and with the reason; what it could and does not yet do, as UNIMPLEMENTED.

On Open vSwitch these are UNIMPLEMENTED: ` + "`vrf` and `netns`" + ` of a VTEP that is used there; ` + "`mtu`" + ` of a segment; ` + "`mtu`" + ` of a ` + "`device`" + ` port, and two attachments of one to one segment; ` + "`addresses`" + ` of a bridge; and of a tunnel ` + "ERSPAN of version 2 or over IPv6 on the kernel datapath, `segment`, `device`, `ignore_df`, `fwmark`, `encap_limit`, `gbp`, `mtu`, `multicast: false`, `admin: down`, `vrf` and `netns`" + `. A tunnel to a peer of several paths is UNIMPLEMENTED everywhere. UNSUPPORTED are ` + "`checksum.in`, `sequence.in`, `udp_encap`" + ` and the remote ` + "`any`" + `.

In the kernel ` + "`security`" + ` of a port and a second path of a segment's peer are UNIMPLEMENTED, and these are UNSUPPORTED: ` + "`iface_id`, `internal` and `patch`" + ` ports; VLAN modes but access and a trunk of all; ` + "`datapath`, `protocols`, `fail_mode: secure` and `datapath_id`" + ` of a bridge; a layer 3 tunnel on a bridge; and what the fields of [Tunnel](#tunnel) say of GRE over IPv6, Geneve, and the remotes ` + "`any` and `flow`" + `.
In the kernel ` + "`security`" + ` of a port and mirrors of a bridge are UNIMPLEMENTED, and these are UNSUPPORTED: samplers; ` + "`iface_id`, `internal` and `patch`" + ` ports; VLAN modes but access and a trunk of all; ` + "`datapath`, `protocols`, `fail_mode: secure` and `datapath_id`" + ` of a bridge; a layer 3 tunnel on a bridge; and what the fields of [Tunnel](#tunnel) say of GRE over IPv6, Geneve, and the remotes ` + "`any` and `flow`" + `.
`

// TestLimitsOfTheModel holds what the introduction says of Open vSwitch.
func TestLimitsOfTheModel(t *testing.T) {
	s, errs := FromWire(parse(t, `
vteps: [{name: a, address: 2001:db8::1, netns: under}]
peers: [{name: p, paths: [{vtep: a, remote: 2001:db8::2}], segments: [s]}]
segments: [{name: s, key: 1, mtu: 1400}]
bridges: [{name: br0, addresses: [192.0.2.1/24]}, {name: br1, datapath: system}]
ports:
  - {name: a, device: eth1, bridge: br0, mtu: 1400}
  - {name: b, device: eth2, attachments: [{segment: s, vlan: 3}, {segment: s, vlan: 4}]}
tunnels:
  - {name: t, bridge: br0, remote: {address: 2001:db8::9}, device: eth0, ignore_df: true, fwmark: 1, encap_limit: 1, mtu: 1400, multicast: false, admin: down, netns: x}
  - {name: u, layer: l3, bridge: br0, remote: {address: 192.0.2.9}, vrf: red}
  - {name: v, encap: erspan, erspan: {version: 2}, bridge: br1, remote: {address: 2001:db8::10}, key: {fixed: {in: 1, out: 1}}}
  - {name: w, encap: vxlan, gbp: true, segment: s, remote: {address: 192.0.2.10}, key: {fixed: {in: 1, out: 1}}}
`))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	errs, _ = model.Validate(model.Normalize(s, model.HostState{}), nil, "h", model.Capabilities{}).(model.FieldErrors)
	for _, path := range []string{"vteps[0].netns",
		"segments[0].mtu", "bridges[0].addresses",
		"ports[0].mtu", "ports[1].attachments[1].segment",
		"tunnels[0].device", "tunnels[0].ignore_df", "tunnels[0].fwmark", "tunnels[0].encap_limit",
		"tunnels[0].mtu", "tunnels[0].multicast", "tunnels[0].admin", "tunnels[0].netns",
		"tunnels[1].vrf", "tunnels[2].erspan.version", "tunnels[2].encap", "tunnels[3].gbp", "tunnels[3].segment"} {
		if !slices.ContainsFunc(errs, func(e model.FieldError) bool { return e.Path == path && e.Reason == model.ReasonUnimplemented }) {
			t.Errorf("%s is not refused as unimplemented: %v", path, errs)
		}
	}
}

func stateDoc(t *testing.T) string {
	comments := readComments(t)
	var b strings.Builder
	b.WriteString(stateIntro)
	var enums []protoreflect.EnumDescriptor
	within := map[protoreflect.FullName]bool{} // enums of refused fields only
	for _, md := range messages() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", md.Name(), comments.of(t, md))
		b.WriteString("| field | type | meaning | default | range | built |\n|---|---|---|---|---|---|\n")
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			c := split(comments.of(t, fd))
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", fd.Name(), typeOf(fd), c.meaning, c.def, c.limits, state(fd, refusedMessages[string(md.FullName())]))
			if ed := fd.Enum(); ed != nil {
				refused := state(fd, refusedMessages[string(md.FullName())]) != "yes"
				if old, seen := within[ed.FullName()]; !seen {
					enums = append(enums, ed)
					within[ed.FullName()] = refused
				} else {
					within[ed.FullName()] = old && refused
				}
			}
		}
	}
	b.WriteString("\n# Values\n")
	for _, ed := range enums {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| value | meaning | built |\n|---|---|---|\n", ed.Name(), comments.of(t, ed))
		for i := 1; i < ed.Values().Len(); i++ {
			v := ed.Values().Get(i)
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", shortEnum(v), comments.of(t, v), state(v, within[ed.FullName()]))
		}
	}
	return b.String()
}

func state(d protoreflect.Descriptor, within bool) string {
	l, refused := limits[d.FullName()]
	switch {
	case l.reason != "" && l.accept == "":
		return "never"
	case l.reason != "":
		return "never; only `" + l.accept + "`"
	case l.accept != "":
		return "no, only `" + l.accept + "`"
	case refused || within:
		return "no"
	}
	return "yes"
}

func typeOf(fd protoreflect.FieldDescriptor) string {
	name := fd.Kind().String()
	switch {
	case fd.Message() != nil && fd.Message().FullName() == durationName:
		name = "duration"
	case fd.Message() != nil:
		name = link(string(fd.Message().Name()))
	case fd.Enum() != nil:
		name = link(string(fd.Enum().Name()))
	}
	if fd.IsList() {
		name = "list of " + name
	}
	if one := fd.ContainingOneof(); one != nil && !one.IsSynthetic() {
		name += ", one of `" + string(one.Name()) + "`"
	}
	return name
}

func link(name string) string { return "[" + name + "](#" + strings.ToLower(name) + ")" }

// described is a comment with its default and range taken out.
type described struct{ meaning, def, limits string }

var sentenceEnd = regexp.MustCompile(`[.] ([A-Z])`)

func split(comment string) described {
	d := described{}
	for sentence := range strings.SplitSeq(sentenceEnd.ReplaceAllString(comment, ".\x00$1"), "\x00") {
		into := &d.meaning
		for prefix, column := range map[string]*string{"Default: ": &d.def, "Range: ": &d.limits, "Range of each: ": &d.limits} {
			if rest, ok := strings.CutPrefix(sentence, prefix); ok {
				into, sentence = column, strings.TrimSuffix(rest, ".")
			}
		}
		if *into != "" {
			*into += " "
		}
		*into += sentence
	}
	return d
}

// commentsOf maps the full name of what a .proto declares to its comment.
type commentsOf map[protoreflect.FullName]string

func (c commentsOf) of(t *testing.T, d protoreflect.Descriptor) string {
	text, ok := c[d.FullName()]
	if !ok || text == "" {
		t.Errorf("%s has no comment", d.FullName())
	}
	return strings.ReplaceAll(text, "|", `\|`)
}

var (
	opens    = regexp.MustCompile(`^(message|enum|oneof|service|rpc) (\w+).*\{$`)
	declares = regexp.MustCompile(`^(?:[\w. ]+ )?(\w+) = \d+;$`)
)

// readComments reads the .proto files as buf formats them: a declaration a line,
// its comment above it.
func readComments(t *testing.T) commentsOf {
	files, err := filepath.Glob("../greave/v1/*.proto")
	if err != nil || len(files) == 0 {
		t.Fatalf("no .proto files: %v", err)
	}
	out := commentsOf{}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out.read(string(src))
	}
	return out
}

func (c commentsOf) read(src string) {
	const pkg = "greave.v1"
	var comment []string
	var scopes []string // messages; an empty one adds nothing to names
	for line := range strings.Lines(src) {
		line = strings.TrimSpace(line)
		name := pkg
		for _, s := range scopes {
			if s != "" {
				name += "." + s
			}
		}
		switch m := opens.FindStringSubmatch(line); {
		case strings.HasPrefix(line, "//"):
			comment = append(comment, strings.TrimSpace(line[2:]))
			continue
		case m != nil:
			c[protoreflect.FullName(name+"."+m[2])] = paragraph(comment)
			scope := m[2]
			if m[1] != "message" { // names of enum values and of choices are those of the scope around
				scope = ""
			}
			scopes = append(scopes, scope)
		case line == "}":
			scopes = scopes[:len(scopes)-1]
		default:
			if d := declares.FindStringSubmatch(line); d != nil {
				c[protoreflect.FullName(name+"."+d[1])] = paragraph(comment)
			}
		}
		comment = nil
	}
}

func paragraph(lines []string) string {
	text := strings.Join(lines, "\n")
	text = strings.ReplaceAll(text, "\n\n", "\x00")
	text = strings.ReplaceAll(text, "\n", " ")
	return strings.ReplaceAll(text, "\x00", "\n\n")
}
