package ovs

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/greave-sdn/greave/model"
)

var errRefused = errors.New("refused")

func objects(n int) []model.Ref {
	out := make([]model.Ref, n)
	for i := range out {
		out[i] = model.Ref{Kind: model.KindTunnel, Name: fmt.Sprint(i)}
	}
	return out
}

// TestSplit: whichever objects are bad, and whether the refusal names them or
// not, no bad one is written, each object is written once or failed, and the
// tries stay within their bound. One bad object costs no other.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "objects")
		list := objects(n)
		bad := map[model.Ref]bool{}
		for range rapid.IntRange(0, 4).Draw(t, "bad") {
			bad[list[rapid.IntRange(0, n-1).Draw(t, "which")]] = true
		}
		named := rapid.Bool().Draw(t, "named")
		written, failed, tries := map[model.Ref]bool{}, map[model.Ref]bool{}, 0
		var culprit model.Ref
		err := newSplitter(n).run(list, func(part []model.Ref) error {
			tries++
			for _, r := range part {
				if written[r] || failed[r] {
					t.Fatalf("%s is tried again", r)
				}
			}
			if i := slices.IndexFunc(part, func(r model.Ref) bool { return bad[r] }); i >= 0 {
				culprit = part[i]
				return errRefused
			}
			for _, r := range part {
				written[r] = true
			}
			return nil
		}, func(error) ([]model.Ref, bool) {
			if named {
				return []model.Ref{culprit}, true
			}
			return nil, true
		}, func(r model.Ref, _ error) { failed[r] = true })
		if err != nil {
			t.Fatal(err)
		}
		if len(written)+len(failed) != n {
			t.Fatalf("%d written and %d failed of %d", len(written), len(failed), n)
		}
		for r := range bad {
			if !failed[r] {
				t.Fatalf("%s is bad and not failed", r)
			}
		}
		if most := 2*bits.Len(uint(n)) + 4; tries > most {
			t.Fatalf("%d tries for %d objects, want %d at most", tries, n, most)
		}
		if (named || len(bad) == 1) && len(failed) != len(bad) {
			t.Fatalf("%d bad objects, %d failed", len(bad), len(failed))
		}
	})
}

// TestSplitEnds: what is no refusal blames nobody and ends the run.
func TestSplitEnds(t *testing.T) {
	lost := errors.New("connection lost")
	tries := 0
	err := newSplitter(9).run(objects(9), func([]model.Ref) error { tries++; return lost },
		func(err error) ([]model.Ref, bool) { return nil, errors.Is(err, errRefused) },
		func(r model.Ref, _ error) { t.Errorf("%s is blamed", r) })
	if !errors.Is(err, lost) || tries != 1 {
		t.Errorf("error %v after %d tries", err, tries)
	}
}
