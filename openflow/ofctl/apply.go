package ofctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/digitalocean/go-openvswitch/ovs"

	"github.com/greave-sdn/greave/openflow"
)

// Apply carries out a change in one bundle: all of it happens or nothing does.
// An empty one does nothing. Every element is checked first; a refused one is
// named in the *Error as one that the switch refused is.
func (c *Client) Apply(ctx context.Context, bridge string, ch openflow.Change) error {
	if ch.Empty() {
		return nil
	}
	socket, err := c.socket(bridge)
	if err != nil {
		return &Error{Bridge: bridge, Op: "apply", Line: -1, Err: err}
	}
	if kind, line, err := check(ch); err != nil {
		return &Error{Bridge: bridge, Op: "apply", Kind: kind, Line: line, Err: err}
	}
	done := c.expect(bridge, ch)
	if len(ch.Remove)+len(ch.Forget)+len(ch.SetGroups)+len(ch.DropGroups) == 0 {
		err = c.addFlows(ctx, bridge, socket, ch.Add)
	} else {
		err = c.bundle(ctx, bridge, socket, ch)
	}
	var e *Error
	if errors.As(err, &e) && e.Stderr != "" {
		e.Kind, e.Line = attribute(e.Stderr, ch)
	}
	done(err == nil || e != nil && e.Warned)
	return err
}

// lines of a bundle in order; each is one element of the change.
func order(ch openflow.Change) [5]struct {
	kind Kind
	n    int
} {
	return [5]struct {
		kind Kind
		n    int
	}{{KindSetGroup, len(ch.SetGroups)}, {KindAdd, len(ch.Add)}, {KindRemove, len(ch.Remove)}, {KindForget, len(ch.Forget)}, {KindDropGroup, len(ch.DropGroups)}}
}

func check(ch openflow.Change) (Kind, int, error) {
	for i, g := range ch.SetGroups {
		if err := g.Check(); err != nil {
			return KindSetGroup, i, err
		}
	}
	for i, f := range ch.Add {
		if err := f.Check(); err != nil {
			return KindAdd, i, err
		}
	}
	for i, r := range ch.Remove {
		if err := r.Check(); err != nil {
			return KindRemove, i, err
		}
	}
	return KindNone, -1, nil
}

// bundle writes what go-openvswitch has no words for: groups and strict deletes.
func (c *Client) bundle(ctx context.Context, bridge, socket string, ch openflow.Change) error {
	var text []byte
	for _, g := range ch.SetGroups {
		text = append(openflow.AppendGroup(append(text, "group add_or_mod "...), g), '\n')
	}
	for _, f := range ch.Add {
		text = append(openflow.AppendFlow(append(text, "flow add "...), f), '\n')
	}
	for _, r := range ch.Remove {
		text = append(openflow.AppendRemoval(append(text, "flow delete_strict "...), r), '\n')
	}
	for _, f := range ch.Forget {
		text = append(openflow.AppendForget(append(text, "flow delete "...), f), '\n')
	}
	for _, id := range ch.DropGroups {
		text = append(strconv.AppendUint(append(text, "group delete group_id="...), uint64(id), 10), '\n')
	}
	return c.run(ctx, command{
		bridge: bridge, op: "apply", args: []string{"bundle", "--", "unix:" + socket, "-"}, stdin: bytes.NewReader(text),
		lines: len(ch.Add) + len(ch.Remove) + len(ch.Forget) + len(ch.SetGroups) + len(ch.DropGroups), write: true,
	})
}

// addFlows hands flows to go-openvswitch, which runs them through run.
func (c *Client) addFlows(ctx context.Context, bridge, socket string, flows []openflow.Flow) error {
	var failed error
	client := ovs.New(
		ovs.Exec(func(cmd string, args ...string) ([]byte, error) {
			return nil, fmt.Errorf("unexpected %s %q", cmd, args)
		}),
		ovs.Pipe(func(stdin io.Reader, _ string, args ...string) ([]byte, error) {
			failed = c.run(ctx, command{bridge: bridge, op: "apply", args: args, stdin: stdin, lines: len(flows), write: true})
			return nil, failed
		}),
	)
	err := client.OpenFlow.AddFlowBundle("unix:"+socket, func(tx *ovs.FlowTransaction) error {
		for _, f := range flows {
			tx.Add(libraryFlow(f))
		}
		return tx.Commit()
	})
	if failed != nil || err == nil {
		return failed // the library's error hides its cause
	}
	return &Error{Bridge: bridge, Op: "apply", Line: -1, Err: err}
}

// libraryFlow has greave's own text as its only match and its only action.
func libraryFlow(f openflow.Flow) *ovs.Flow {
	lf := &ovs.Flow{
		Priority: int(f.Priority), Table: int(f.Table), Cookie: uint64(f.Cookie),
		Actions: []ovs.Action{text(openflow.AppendActions(nil, f.Actions))},
	}
	if m := openflow.AppendMatch(nil, f.Match); len(m) > 0 {
		lf.Matches = []ovs.Match{text(m)}
	}
	return lf
}

// text is a match or an action that is already in its text form.
type text []byte

// MarshalText returns the text itself.
func (t text) MarshalText() ([]byte, error) { return t, nil }

// GoString is asked for by the library's interfaces.
func (t text) GoString() string { return strconv.Quote(string(t)) }

// attribute finds the element that a message of ovs-ofctl is about. Two forms
// name one. ovs-ofctl's own: "ovs-ofctl: -:LINE: …". The switch's: "Error
// OFPBAC_BAD_OUT_GROUP for: OFPT_FLOW_MOD (OF1.5) (xid=0x5df): ADD …", where
// the messages of a bundle are numbered from 2 in the order of its lines; the
// quoted message is held against the element before it is believed.
func attribute(said string, ch openflow.Change) (Kind, int) {
	line, quoted := -1, ""
	if _, rest, ok := strings.Cut(said, "ovs-ofctl: -:"); ok {
		if _, err := fmt.Sscanf(rest, "%d:", &line); err == nil {
			line--
		}
	} else if _, rest, ok := strings.Cut(said, "Error OFP"); ok {
		if _, rest, ok = strings.Cut(rest, "(xid="); ok {
			if _, err := fmt.Sscanf(rest, "0x%x", &line); err == nil {
				line -= 2
			}
			_, quoted, _ = strings.Cut(rest, "):")
			quoted, _, _ = strings.Cut(quoted, "\nError OFP")
		}
	}
	if line < 0 {
		return KindNone, -1
	}
	for _, part := range order(ch) {
		if line < part.n {
			if !agrees(quoted, part.kind, line, ch) {
				break
			}
			return part.kind, line
		}
		line -= part.n
	}
	return KindNone, -1
}

// agrees tells whether a quoted message can be that of the element. A message
// that the switch could not decode is quoted in hexadecimal only.
func agrees(quoted string, kind Kind, i int, ch openflow.Change) bool {
	if quoted == "" || strings.Contains(quoted, "***decode error") {
		return true
	}
	words := strings.FieldsFunc(quoted, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' })
	has := func(want string) bool {
		for _, w := range words {
			if w == want {
				return true
			}
		}
		return false
	}
	switch kind {
	case KindAdd:
		f := ch.Add[i]
		return has("ADD") && (f.Table == 0 || has(fmt.Sprintf("table:%d", uint8(f.Table)))) &&
			has(fmt.Sprintf("priority=%d", f.Priority)) && (f.Cookie == 0 || has("cookie:"+f.Cookie.String()))
	case KindRemove:
		return has("DEL_STRICT") && has(fmt.Sprintf("priority=%d", ch.Remove[i].Priority))
	case KindForget:
		return has("DEL")
	case KindSetGroup:
		return has(fmt.Sprintf("group_id=%d", ch.SetGroups[i].ID))
	case KindDropGroup:
		return has(fmt.Sprintf("group_id=%d", ch.DropGroups[i]))
	}
	return false
}
