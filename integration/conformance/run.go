package conformance

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// applyLimit is how long a host may take to become what a document says. On a busy machine a switch
// keeps greaved waiting, which says so, ends the wait of Apply and tries again.
const applyLimit = time.Minute

// Run runs all cases on the hosts of a column and returns what each came to. A cell that is not as
// the table of refusals predicts is an error of t.
func Run(t *testing.T, c Column, hosts []*Host) Cells {
	cells := Cells{}
	for _, e := range meshEncaps {
		t.Run(string(e), func(t *testing.T) {
			r := runner{column: c, encap: e, hosts: hosts, refused: map[*part][]string{}, broken: map[*part][]string{}}
			r.run(t, cells)
		})
	}
	return cells
}

// runner runs a column under one encapsulation.
type runner struct {
	column  Column
	encap   Encap
	hosts   []*Host
	ends    map[string][]*end
	refused map[*part][]string // reasons
	broken  map[*part][]string // objects that are not realised, with the status
}

func (r *runner) run(t *testing.T, cells Cells) {
	t.Cleanup(func() {
		if t.Failed() {
			for _, h := range r.hosts {
				t.Logf("%s:\n%s", h.Name, h.Fabric.Logs())
			}
		}
	})
	began, used := time.Now(), r.usedParts()
	for _, step := range []func(context.Context, []*part) error{r.offer, r.populate, r.apply} {
		if err := step(t.Context(), used); err != nil {
			t.Fatal(err)
		}
		t.Logf("after %.1f s", time.Since(began).Seconds())
	}
	for _, p := range used {
		if !p.dumb && len(r.refused[p])+len(r.broken[p]) == 0 {
			r.connect(t, p)
		}
	}
	for _, k := range cases {
		if !(Row{k.name, r.encap}).in(r.column) {
			cells[Row{k.name, r.encap}.String()] = notRun
		} else if slices.Contains(k.encaps, r.encap) {
			t.Run(k.name, func(t *testing.T) { r.try(t, k, cells) })
		}
	}
}

// try runs a case, or says why it cannot run, and holds that to the prediction.
func (r *runner) try(t *testing.T, k testCase, cells Cells) {
	row, p := Row{k.name, r.encap}, partNamed(k.part)
	if broken := r.broken[p]; len(broken) > 0 {
		t.Fatalf("not realised:\n%s", strings.Join(broken, "\n"))
	}
	got, want := cell(slices.Clone(r.refused[p])), Predicted(row, r.column)
	if got == "ok" {
		k.run(&scene{t: t, encap: r.encap, hosts: r.hosts, ends: r.ends})
	}
	switch {
	case t.Failed():
		return
	case got != want && got == "ok":
		t.Errorf("it works, and the table of refusals is stale: it predicts %q", want)
	case got != want:
		t.Errorf("got %q, the table of refusals predicts %q", got, want)
	}
	cells[row.String()] = got
}

func (r *runner) connect(t *testing.T, p *part) {
	for _, n := range p.nets {
		t.Run("connect "+n, func(t *testing.T) { (&scene{t: t, encap: r.encap, hosts: r.hosts, ends: r.ends}).connect(n, p.vlan) })
	}
}

// usedParts are those that a case under this encapsulation needs.
func (r *runner) usedParts() (used []*part) {
	for _, p := range parts {
		if slices.ContainsFunc(cases, func(k testCase) bool {
			return k.part == p.name && slices.Contains(k.encaps, r.encap) && Row{k.name, r.encap}.in(r.column)
		}) {
			used = append(used, p)
		}
	}
	return used
}

// offer lets every host validate every part, each alone.
func (r *runner) offer(ctx context.Context, used []*part) error {
	for i, h := range r.hosts {
		for _, p := range used {
			own := p.state(r.encap, r.hosts, i)
			if proto.Size(own) == 0 {
				continue
			}
			doc := base(r.encap, r.hosts, i)
			proto.Merge(doc, own)
			ctx, cancel := context.WithTimeout(ctx, applyLimit)
			_, err := h.Config.Validate(ctx, &greavev1.ValidateRequest{State: doc})
			cancel()
			if err == nil {
				continue
			}
			reasons := reasonsOf(err)
			if len(reasons) == 0 {
				return fmt.Errorf("%s validates %s: %w", h.Name, p.name, err)
			}
			r.refused[p] = append(r.refused[p], reasons...)
		}
	}
	return nil
}

var index = regexp.MustCompile(`\[\d+\]`)

// reasonsOf lists reason and field of each fault of a document, none for an error of another kind.
func reasonsOf(err error) (out []string) {
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.FieldViolations {
				out = append(out, v.Reason+" "+index.ReplaceAllString(strings.TrimPrefix(v.Field, "state."), ""))
			}
		}
	}
	return out
}

// populate makes the guests of the parts that were not refused.
func (r *runner) populate(_ context.Context, used []*part) error {
	r.ends = map[string][]*end{}
	for _, p := range used {
		if len(r.refused[p]) > 0 {
			continue
		}
		for _, n := range p.nets {
			for i := range p.guests(r.encap, r.hosts) {
				ear, err := r.hosts[i].Fabric.Guest(device(n))
				if err != nil {
					return err
				}
				r.ends[n] = append(r.ends[n], &end{Ear: ear, net: n, host: i, mac: guestMAC(i)})
			}
		}
	}
	return nil
}

// apply states the documents, on all hosts at once, and waits until they are in force.
func (r *runner) apply(ctx context.Context, used []*part) error {
	answers := make([]*greavev1.ApplyResponse, len(r.hosts))
	g, ctx := errgroup.WithContext(ctx)
	for i, h := range r.hosts {
		doc := base(r.encap, r.hosts, i)
		for _, p := range used {
			if len(r.refused[p]) == 0 {
				proto.Merge(doc, p.state(r.encap, r.hosts, i))
			}
		}
		g.Go(func() (err error) {
			answers[i], err = h.realise(ctx, doc)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, a := range answers {
		for _, o := range a.NotRealised {
			if err := r.notRealised(used, o); err != nil {
				return fmt.Errorf("%s: %w", r.hosts[i].Name, err)
			}
		}
	}
	return nil
}

// realise states a document until the host has all of it but what it refuses; an unchanged document
// is no new revision. The last answer says what is missing at the end of the time.
func (h *Host) realise(ctx context.Context, doc *greavev1.HostState) (*greavev1.ApplyResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*applyLimit)
	defer cancel()
	for limit := time.Now().Add(applyLimit); ; time.Sleep(settle) {
		a, err := h.Config.Apply(ctx, &greavev1.ApplyRequest{State: doc, Wait: durationpb.New(applyLimit), AllowMassRemoval: true})
		if err != nil {
			return nil, fmt.Errorf("apply on %s: %w", h.Name, err)
		}
		waiting := slices.ContainsFunc(a.NotRealised, func(o *greavev1.ObjectStatus) bool { return refusedAs(o) == "" })
		switch {
		case a.Realised || !waiting && len(a.NotRealised) > 0:
			return a, nil
		case time.Now().After(limit) && !waiting:
			return nil, fmt.Errorf("apply on %s: not realised within %v, and nothing says why", h.Name, applyLimit)
		case time.Now().After(limit):
			return a, nil
		}
	}
}

// refusedAs is reason and kind of an object that the host cannot have as stated, else empty.
func refusedAs(o *greavev1.ObjectStatus) string {
	for _, c := range o.Conditions {
		if c.Status == greavev1.ConditionStatus_CONDITION_STATUS_FALSE && (c.Reason == "UNSUPPORTED" || c.Reason == "UNIMPLEMENTED") {
			return c.Reason + " " + strings.ToLower(strings.TrimPrefix(o.Kind.String(), "OBJECT_KIND_"))
		}
	}
	return ""
}

// notRealised puts an object to the part that it belongs to: as refused, or as broken.
func (r *runner) notRealised(used []*part, o *greavev1.ObjectStatus) error {
	i := slices.IndexFunc(used, func(p *part) bool { return p.owns(o.Name) })
	if i < 0 {
		return fmt.Errorf("not realised: %v", o)
	}
	if reason := refusedAs(o); reason != "" {
		r.refused[used[i]] = append(r.refused[used[i]], reason)
		return nil
	}
	r.broken[used[i]] = append(r.broken[used[i]], o.String())
	return nil
}
