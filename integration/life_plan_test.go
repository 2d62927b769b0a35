package integration

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestPlanIsWhatHappens is D2: what a plan says is what an apply does, counted on
// the switch and in the daemon's log, and after it a plan is empty.
func TestPlanIsWhatHappens(t *testing.T) {
	s := newSite(t)
	for i := range 3 {
		_, err := s.AddGuest(t.Context(), fmt.Sprintf("tap%d", i), "", fmt.Sprintf("02:00:00:00:00:2%d", i), 0)
		s.must(err)
	}
	steps := []struct{ name, doc string }{
		{"first", ordinary(s, `ports: [{name: p0, device: tap0, attachments: [{segment: red}]}, {name: p1, device: tap1, attachments: [{segment: blue}]}]`)},
		{"change, addition and removal", strings.NewReplacer(
			"key: {fixed: {in: 7, out: 7}}", "key: {fixed: {in: 8, out: 8}}, ttl: {fixed: 9}",
			"02:00:00:00:00:02", "02:00:00:00:00:03",
		).Replace(ordinary(s, `ports: [{name: p0, device: tap0, attachments: [{segment: blue}]}, {name: p2, device: tap2, attachments: [{segment: red}]}]`))},
		{"peer moved", strings.Replace(ordinary(s, ""), "192.0.2.200", "192.0.2.210", 1)},
		{"nothing", "allow_empty: true"},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			s := s.in(t)
			rows, flows, logged := s.rowNames(), s.flowSet(), len(s.GreavedLog())
			p, err := s.Plan(t.Context(), &greavev1.PlanRequest{State: parse(t, step.doc)})
			s.must(err)
			if len(p.Plan.Operations) == 0 {
				t.Fatal("the plan is empty")
			}
			if d := lineDiff(strings.Join(rows, "\n"), strings.Join(s.rowNames(), "\n")); d != "" {
				t.Fatalf("planning changed the host:\n%s", d)
			}
			s.apply(step.doc)
			s.rowsAsPlanned(p.Plan, rows, s.rowNames())
			s.flowsAsPlanned(p.Plan, flows, s.flowSet())
			s.countsAsPlanned(p.Plan, s.GreavedLog()[logged:])
			again, err := s.Plan(t.Context(), &greavev1.PlanRequest{})
			s.must(err)
			if len(again.Plan.Operations) > 0 {
				t.Errorf("the second plan is not empty:\n%s", planText(again.Plan))
			}
			if r := s.apply(step.doc); r.Revision == 0 || len(s.GreavedLog()) == 0 {
				t.Errorf("applied again: %v", r)
			}
		})
	}
}

// rowNames lists bridges and ports, each with what is configured.
func (s site) rowNames() []string {
	s.t.Helper()
	var out []string
	for l := range strings.Lines(s.vsctl("--format=csv", "--no-headings", "--columns=name,external_ids", "list", "Bridge")) {
		out = append(out, "bridge "+strings.TrimSpace(l))
	}
	for l := range strings.Lines(s.vsctl("--format=csv", "--no-headings", "--columns=name,type,options,external_ids", "list", "Interface")) {
		out = append(out, "port "+strings.TrimSpace(l))
	}
	slices.Sort(out)
	return out
}

func (s site) flowSet() map[string]string {
	out := map[string]string{}
	for l := range strings.Lines(s.flows("br-greave")) {
		l = strings.TrimSpace(l)
		cookie, _, _ := strings.Cut(l, ",")
		out[l] = cookie
	}
	return out
}

// rowsAsPlanned compares the rows that came, went and changed with the plan.
func (s site) rowsAsPlanned(p *greavev1.Plan, before, after []string) {
	s.t.Helper()
	name := func(row string) string { n, _, _ := strings.Cut(row, ","); return n }
	var got []string
	had, has := map[string]string{}, map[string]string{}
	for _, r := range before {
		had[name(r)] = r
	}
	for _, r := range after {
		n := name(r)
		has[n] = r
		switch was, ok := had[n]; {
		case !ok:
			got = append(got, "CREATE "+n)
		case was != r:
			got = append(got, "UPDATE "+n)
		}
	}
	for n := range had {
		if has[n] == "" {
			got = append(got, "DELETE "+n)
		}
	}
	// A bridge comes and goes with the port of its name and its tunnel ports.
	var want []string
	gone := map[string]bool{}
	for _, o := range p.Operations {
		if verb, ok := strings.CutPrefix(o.Verb.String(), "VERB_"); ok && o.Stage != greavev1.Stage_STAGE_FLOWS {
			want = append(want, verb+" "+o.Target)
			if bridge, ok := strings.CutPrefix(o.Target, "bridge "); ok {
				want = append(want, verb+" port "+bridge)
				gone[bridge] = verb == "DELETE"
			}
		}
	}
	for _, g := range got { // what goes with its bridge needs no operation
		if n, ok := strings.CutPrefix(g, "DELETE port "); ok && !slices.Contains(want, g) && slices.ContainsFunc(before, func(r string) bool {
			return strings.HasPrefix(r, "port "+n+",") && strings.Contains(r, "greave-owner")
		}) && len(gone) > 0 {
			want = append(want, g)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := lineDiff(strings.Join(want, "\n"), strings.Join(got, "\n")); d != "" {
		s.t.Errorf("rows: planned (-) and done (+) differ:\n%s\nplan:\n%s", d, planText(p))
	}
}

// flowsAsPlanned compares how many flows and groups came and went.
func (s site) flowsAsPlanned(p *greavev1.Plan, before, after map[string]string) {
	s.t.Helper()
	bridgeGoes := false
	planned := map[string]int{}
	for _, o := range p.Operations {
		bridgeGoes = bridgeGoes || o.Text != "" && o.Verb == greavev1.Verb_VERB_DELETE && o.Target == "bridge br-greave"
		for _, c := range o.Changes {
			if n, err := strconv.Atoi(c.New); err == nil && o.Stage == greavev1.Stage_STAGE_FLOWS {
				planned[c.Field] += n
			}
		}
	}
	if bridgeGoes { // and all its flows with it
		return
	}
	done := map[string]int{}
	count := func(from, to map[string]string, word string) {
		for l := range from {
			kind := "flows "
			if strings.HasPrefix(l, "group_id") {
				kind = "groups "
			}
			if _, ok := to[l]; !ok {
				done[kind+word]++
			}
		}
	}
	count(after, before, "in")
	count(before, after, "out")
	// A flow or group that changes its actions is planned as one that comes.
	for _, kind := range []string{"flows ", "groups "} {
		if done[kind+"in"] != planned[kind+"in"] || done[kind+"out"] < planned[kind+"out"] {
			s.t.Errorf("%splanned in %d out %d, done in %d out %d\n%s", kind, planned[kind+"in"], planned[kind+"out"], done[kind+"in"], done[kind+"out"], planText(p))
		}
	}
}

var logCount = regexp.MustCompile(`(create|update|recreate|install|withdraw|mark|unmark|delete) (\d+)`)

// countsAsPlanned compares the operations that the log tells of.
func (s site) countsAsPlanned(p *greavev1.Plan, log string) {
	s.t.Helper()
	planned, done := map[string]int{}, map[string]int{}
	for _, o := range p.Operations {
		planned[strings.ToLower(strings.TrimPrefix(o.Verb.String(), "VERB_"))]++
	}
	for l := range strings.Lines(log) {
		if !strings.Contains(l, "host changed") {
			continue
		}
		for _, m := range logCount.FindAllStringSubmatch(l, -1) {
			n, _ := strconv.Atoi(m[2])
			done[m[1]] += n
		}
	}
	if fmt.Sprint(planned) != fmt.Sprint(done) {
		s.t.Errorf("planned %v, logged %v\n%s", planned, done, log)
	}
}

// TestValidateOnly: neither Validate nor validate_only changes anything.
func TestValidateOnly(t *testing.T) {
	s := newSite(t)
	s.apply(ordinary(s, ""))
	before := s.state()
	other := parse(t, strings.Replace(ordinary(s, ""), "gre-7", "gre-70", 1))
	_, err := s.Validate(t.Context(), &greavev1.ValidateRequest{State: other})
	s.must(err)
	r, err := s.Apply(t.Context(), &greavev1.ApplyRequest{State: other, ValidateOnly: true, Wait: durationpb.New(settle)})
	s.must(err)
	if r.Revision != 1 || r.Realised {
		t.Errorf("validate_only = %v, want revision 1, which is in force", r)
	}
	if len(r.Plan.GetOperations()) == 0 {
		t.Errorf("validate_only returns no plan: %v", r)
	}
	list, err := s.ListRevisions(t.Context(), &greavev1.ListRevisionsRequest{})
	s.must(err)
	if len(list.Revisions) != 1 {
		t.Errorf("revisions: %v, want one", list.Revisions)
	}
	if d := lineDiff(before, s.state()); d != "" {
		t.Errorf("the host changed:\n%s", d)
	}
}
