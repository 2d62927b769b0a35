package conformance

import (
	"slices"
	"strings"
)

// refusal predicts what a column refuses of a case. Every field that is not empty narrows it: case
// to those that begin so, columns to those named.
type refusal struct {
	cases   string
	encap   Encap
	columns string // names, with spaces between
	reason  string // reason and field, or reason and kind of object
}

// refusals is the truth table: where nothing is predicted, the case works. All that apply to a cell
// are expected together; one that does not come true is an error.
var refusals = []refusal{
	// Linux drops GRE with a checksum on every collect-metadata receiver, and the kernel datapath sends no numbers.
	{cases: "tunnel: checksum", encap: GRE, columns: "ovs-kernel mixed", reason: "UNSUPPORTED tunnels.checksum.out"},
	{cases: "tunnel: sequence", encap: GRE, columns: "ovs-kernel mixed", reason: "UNSUPPORTED tunnels.sequence.out"},
}

// Predicted is what the table says of a cell: "ok" or "refused: …", and "not run" where a
// row does not belong to a column.
func Predicted(r Row, c Column) string {
	if !r.in(c) {
		return notRun
	}
	var reasons []string
	for _, p := range refusals {
		if strings.HasPrefix(r.Case, p.cases) && (p.encap == "" || p.encap == r.Encap) &&
			(p.columns == "" || slices.Contains(strings.Fields(p.columns), c.Name)) {
			reasons = append(reasons, p.reason)
		}
	}
	return cell(reasons)
}

const notRun = "not run"

// cell is the text of a cell that was refused for these reasons, if any.
func cell(reasons []string) string {
	if len(reasons) == 0 {
		return "ok"
	}
	slices.Sort(reasons)
	return "refused: " + strings.Join(slices.Compact(reasons), ", ")
}
