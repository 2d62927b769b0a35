package main

import (
	"context"
	"sync"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

var _ = play(30, "Every guest reaches every guest of its segment", reach)

// reach pings from every guest to every other, segment by segment. Both use the
// same addresses, so an answer from the wrong segment would be seen as a
// duplicate, and a missing one as a loss.
func reach(ctx context.Context, d *demo) error {
	for _, segment := range []string{"red", "blue"} {
		guests := d.guests[segment]
		for _, from := range guests {
			var wg sync.WaitGroup
			answers := make([]int, len(guests))
			for i, to := range guests {
				if from == to {
					continue
				}
				wg.Go(func() { answers[i] = pingOnce(ctx, from, to) })
			}
			wg.Wait()
			for i, to := range guests {
				if from != to {
					d.check(answers[i] == 3, "%-5s → %-5s %s: %d of 3 answers", from.Name, to.Name, to.Addr.Addr(), answers[i])
				}
			}
		}
	}
	return nil
}

func pingOnce(ctx context.Context, from, to *lab.Guest) int {
	// The first packet resolves the underlay's neighbour.
	_, _ = from.Ping(ctx, to.Addr.Addr(), 1, 100*time.Millisecond)
	s, err := from.Ping(ctx, to.Addr.Addr(), 3, 50*time.Millisecond)
	if err != nil {
		return -1
	}
	return s.Received
}
