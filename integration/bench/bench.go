package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// bench is one run: its sizes, and the figures so far.
type bench struct {
	scale    int // every size is divided by it
	rounds   int // of each pair
	profiles string
	out      io.Writer
	figures  []figure
}

// figure is one measure beside its rival's of the same run.
type figure struct {
	Name       string  `json:"name"`
	Value      float64 `json:"value"`
	Unit       string  `json:"unit"`
	Rival      string  `json:"rival"`
	RivalValue float64 `json:"rival_value"`
	// Ratio is the median of the rounds' ratios, greave's by the rival's.
	Ratio float64 `json:"ratio"`
	Goal  string  `json:"goal"` // "": none
	Met   bool    `json:"met"`
}

// n is a size at the scale of the run.
func (b *bench) n(full int) int { return max(full/b.scale, 2) }

// goal is a bound, of a figure's ratio unless it says otherwise.
type goal struct {
	text string
	met  func(figure) bool
}

func atMost(ratio float64) goal {
	return goal{fmt.Sprintf("≤ %g×", ratio), func(f figure) bool { return f.Ratio <= ratio }}
}

// faster is at most one n-th of the rival's time.
func faster(n float64) goal {
	return goal{fmt.Sprintf("≥ %g× faster", n), func(f figure) bool { return f.Ratio <= 1/n }}
}

// value bounds greave's own figure, which is then no time.
func valueAtMost(v float64, unit string) goal {
	return goal{fmt.Sprintf("≤ %g %s", v, unit), func(f figure) bool { return f.Value <= v }}
}

var noGoal = goal{}

// pairs are the figures of greave and of a rival, round by round.
type pairs struct{ ours, theirs []float64 }

// add books figures of pairs.
func (b *bench) add(name, unit, rival string, p pairs, g goal) {
	ratios := make([]float64, 0, len(p.ours))
	for i := range min(len(p.ours), len(p.theirs)) {
		ratios = append(ratios, p.ours[i]/p.theirs[i])
	}
	b.book(figure{Name: name, Value: median(p.ours), Unit: unit, Rival: rival, RivalValue: median(p.theirs), Ratio: median(ratios)}, g)
}

func (b *bench) book(f figure, g goal) {
	f.Goal, f.Met = g.text, g.met == nil || g.met(f)
	b.figures = append(b.figures, f)
	verdict := ""
	if g.met != nil {
		verdict = map[bool]string{true: "met", false: "MISSED"}[f.Met]
	}
	fmt.Fprintf(b.out, "%-58s %12s %-7s %-52s %12s  ratio %8s  %-14s %s\n",
		f.Name, digits(f.Value), f.Unit, f.Rival, digits(f.RivalValue), digits(f.Ratio), f.Goal, verdict)
}

// digits is a number with three that count.
func digits(v float64) string {
	if v == 0 {
		return "0"
	}
	places := min(max(2-int(math.Floor(math.Log10(math.Abs(v)))), 0), 6)
	return fmt.Sprintf("%.*f", places, v)
}

// median of the figures; of an even number, the mean of the middle two.
func median(figures []float64) float64 {
	if len(figures) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(figures))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// measure is one run of one side: what it took, in the unit of the figure.
type measure func(ctx context.Context) (float64, error)

// inTurn runs both sides once a round, and who is first alternates.
func (b *bench) inTurn(ctx context.Context, ours, theirs measure) (pairs, error) {
	var p pairs
	for round := range b.rounds {
		order := []struct {
			side measure
			to   *[]float64
		}{{ours, &p.ours}, {theirs, &p.theirs}}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, o := range order {
			v, err := o.side(ctx)
			if err != nil {
				return p, err
			}
			*o.to = append(*o.to, v)
		}
	}
	return p, nil
}

// seconds is how long f takes.
func seconds(f func() error) (float64, error) {
	began := time.Now()
	err := f()
	return time.Since(began).Seconds(), err
}
