package ovs

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/greave-sdn/greave/model"
)

// splitter carries out an all-or-nothing write for many objects so that one bad
// object does not stop the others: who is named by the refusal is left out;
// when nobody is, halves are tried, a bounded number of times.
type splitter struct{ tries int }

// newSplitter allows 2·log2(n)+4 tries.
func newSplitter(n int) *splitter { return &splitter{tries: 2*bits.Len(uint(n)) + 4} }

// run calls write for objects, or for parts of them. blame reads a refusal;
// what is no refusal (a lost connection, a deadline) ends the run. fail is told
// of each object that is left out.
func (s *splitter) run(objects []model.Ref, write func([]model.Ref) error,
	blame func(error) ([]model.Ref, bool), fail func(model.Ref, error)) error {
	for len(objects) > 0 {
		if s.tries--; s.tries < 0 {
			for _, r := range objects {
				fail(r, fmt.Errorf("not tried: too many objects of one pass were refused"))
			}
			return nil
		}
		err := write(objects)
		if err == nil {
			return nil
		}
		blamed, refused := blame(err)
		switch {
		case !refused:
			return err
		case len(blamed) == 0 && len(objects) == 1:
			fail(objects[0], err)
			return nil
		case len(blamed) == 0:
			half := len(objects) / 2
			if err := s.run(objects[:half], write, blame, fail); err != nil {
				return err
			}
			objects = objects[half:]
		default:
			left := slices.DeleteFunc(slices.Clone(objects), func(r model.Ref) bool { return slices.Contains(blamed, r) })
			if len(left) == len(objects) {
				return err // it blames what was not part of it
			}
			for _, r := range blamed {
				fail(r, err)
			}
			objects = left
		}
	}
	return nil
}
