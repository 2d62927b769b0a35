package conformance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// Cells are the cells of one column, by row as Row.String has it.
type Cells map[string]string

func (r Row) String() string { return r.Case + " / " + string(r.Encap) }

const preamble = `# Conformance

What a segment and a tunnel do on each kind of host, found by packets. ` + "`make test`" + `
writes this page: each column is what its run found, and a run that finds
something else rewrites its column and fails until the page is committed. The
cases are in integration/conformance; what is refused is predicted there, and
everything else must work. *ovs-userspace* runs in namespaces, the others in the
guest of integration/vm; *mixed* is an Open vSwitch host with kernel hosts.

`

// ErrTableDiffers is wrapped by the error of Record when the page said something else.
var ErrTableDiffers = errors.New("is not what this run found; the column has been rewritten: look at the difference and commit it")

// Record holds one column of the page at path to what was found, and rewrites it where it differs.
// Several processes may do so at once.
func Record(path string, column string, found Cells) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("record conformance: %w", err)
	}
	defer f.Close() // which unlocks
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("record conformance: %w", err)
	}
	old, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("record conformance: %w", err)
	}
	page := Render(string(old), map[string]Cells{column: found})
	if page == string(old) {
		return nil
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, page)); err != nil {
		return fmt.Errorf("record conformance: %w", err)
	}
	return fmt.Errorf("%s: column %s %w", path, column, ErrTableDiffers)
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// Render is the page with the columns that were found, and with those of an earlier page.
func Render(old string, found map[string]Cells) string {
	before := parse(old)
	var b strings.Builder
	b.WriteString(preamble + "| case | encapsulation |")
	for _, c := range Columns {
		b.WriteString(" " + c.Name + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(Columns)) + "\n")
	for _, r := range Rows() {
		fmt.Fprintf(&b, "| %s | %s |", r.Case, r.Encap)
		for _, c := range Columns {
			text := found[c.Name][r.String()]
			if found[c.Name] == nil {
				text = before[c.Name][r.String()]
			}
			if text == "" {
				text = notRun
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// parse reads a page that Render wrote, whatever its columns were.
func parse(page string) map[string]Cells {
	out := map[string]Cells{}
	var names []string
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case len(cells) < 3 || strings.HasPrefix(cells[0], "---"):
		case cells[0] == "case":
			names = cells[2:]
			for _, n := range names {
				out[n] = Cells{}
			}
		case len(cells) == len(names)+2:
			for i, n := range names {
				out[n][Row{cells[0], Encap(cells[1])}.String()] = cells[2+i]
			}
		}
	}
	return out
}
