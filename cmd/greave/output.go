package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/greave-sdn/greave/proto/convert"
)

// writer is stdout; it remembers a failure for the exit code.
type writer struct{ *app }

func (w writer) Write(p []byte) (int, error) {
	n, err := w.stdout.Write(p)
	if err != nil && w.writeErr == nil {
		w.writeErr = err
	}
	return n, err
}

// printf writes to stdout. Text among the arguments may come from anywhere: what
// a terminal would obey, or take for another line, is escaped.
func (a *app) printf(format string, args ...any) {
	fmt.Fprintf(writer{a}, format, safeArgs(args)...)
}

// warnf writes to stderr, as printf does.
func (a *app) warnf(format string, args ...any) {
	fmt.Fprintf(a.stderr, format, safeArgs(args)...)
}

func safeArgs(args []any) []any {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			args[i] = safe(v)
		case error:
			args[i] = safe(v.Error())
		case fmt.Stringer:
			args[i] = safe(v.String())
		}
	}
	return args
}

// safe escapes what is not printable: control characters of both sets, line
// and paragraph separators, marks that turn the direction of text.
func safe(s string) string { return escape(s, false) }

func escape(s string, keepLines bool) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r), keepLines && r == '\n':
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00 // what JSON asks for
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// table is aligned text. The first row is the heading.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

func (a *app) printTable(t table, indent string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range t {
		for i, cell := range row {
			if row[i] = safe(cell); cell == "" && i < len(row)-1 {
				row[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a strings.Builder takes all
	for line := range strings.Lines(b.String()) {
		a.printf("%s%s\n", indent, strings.TrimRight(line, " \n"))
	}
}

// emit prints a message as -o asks, and tells whether it did: a table is up to
// the caller.
func (a *app) emit(m proto.Message) (bool, error) {
	switch a.format {
	case "json":
		text, err := jsonText(m)
		if err != nil {
			return true, err
		}
		var b bytes.Buffer
		if err := json.Indent(&b, text, "", "  "); err != nil {
			return true, fmt.Errorf("format the answer: %w", err)
		}
		fmt.Fprintln(writer{a}, b.String())
		return true, nil
	case "yaml":
		text, err := convert.Format(m)
		if err != nil {
			return true, fmt.Errorf("format the answer: %w", err)
		}
		fmt.Fprint(writer{a}, escape(string(text), true))
		return true, nil
	}
	return false, nil
}

// jsonText returns a message on one line. protojson varies its spaces from
// build to build on purpose; they are taken out.
func jsonText(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("format the answer: %w", err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return nil, fmt.Errorf("format the answer: %w", err)
	}
	return []byte(safe(b.String())), nil
}

// word is an enum's value as people say it: RESOURCE_STATE_ACTIVE is active.
// Unset is empty, a value of a newer agent its number.
func word(e protoreflect.Enum) string {
	values := e.Descriptor().Values()
	v := values.ByNumber(e.Number())
	if v == nil {
		return fmt.Sprint(e.Number())
	}
	prefix := strings.TrimSuffix(string(values.ByNumber(0).Name()), "UNSPECIFIED")
	if e.Number() == 0 {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), prefix))
}

// ago is how long before now a time was.
func (a *app) ago(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	d := a.now().Sub(t.AsTime())
	if d < time.Second {
		return "now"
	}
	return length(d) + " ago"
}

// length is a duration in its largest unit that gives two of it.
func length(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// number is empty for 0, which the API uses for none.
func number[T ~int32 | ~uint32](n T) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
