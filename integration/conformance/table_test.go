package conformance

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// predicted is the page of a run without surprises.
func predicted() string {
	found := map[string]Cells{}
	for _, c := range Columns {
		found[c.Name] = Cells{}
		for _, r := range Rows() {
			found[c.Name][r.String()] = Predicted(r, c)
		}
	}
	return Render("", found)
}

// TestCommittedTable holds the committed page to the table of refusals, where no switch can run too.
func TestCommittedTable(t *testing.T) {
	text, err := os.ReadFile(page)
	check(t, err)
	if string(text) != predicted() {
		t.Errorf("%s is not what refusals.go predicts: run make test, look at the difference and commit it", page)
	}
}

// TestRecord keeps the other columns, and tells of a difference once.
func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	check(t, os.WriteFile(path, []byte(predicted()), 0o644))
	cells := Cells{}
	for _, r := range Rows() {
		cells[r.String()] = Predicted(r, Columns[0])
	}
	check(t, Record(path, Columns[0].Name, cells))
	row := Rows()[0].String()
	cells[row] = "refused: SOMETHING new"
	if err := Record(path, Columns[0].Name, cells); !errors.Is(err, ErrTableDiffers) {
		t.Errorf("a difference: %v", err)
	}
	check(t, Record(path, Columns[0].Name, cells))
	text, err := os.ReadFile(path)
	check(t, err)
	if want := strings.Replace(predicted(), "| ok |", "| refused: SOMETHING new |", 1); string(text) != want {
		t.Errorf("the page has become\n%s", text)
	}
}
