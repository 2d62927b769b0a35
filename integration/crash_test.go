package integration

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// crashPoints is how many points of each transition are swept: spread evenly over all of them.
var crashPoints = flag.Int("crash-points", 4, "points at which greaved is killed in each transition; 0 is all")

// transition is a change of the document during which greaved is killed.
type transition struct{ name, from, to string }

// transitions are the first apply, a change and a deletion on the second of two hosts.
func transitions(sites []site) []transition {
	base := half(sites, 1, "")
	changed := strings.NewReplacer("{name: blue, key: 200}", "{name: green, key: 300}", "red, blue", "red, green",
		"gre-7", "gre-8", "in: 7, out: 7", "in: 8, out: 8").Replace(base)
	less := changed[:strings.Index(changed, "bridges:")]
	return []transition{{"first apply", "allow_empty: true", base}, {"change", base, changed}, {"delete", changed, less}}
}

// death is how greaved is killed in a transition.
type death struct {
	how string
	env []string     // of the greaved that is going to die
	arm func(s site) // called when that runs, before the document is stated; nil for nothing
}

// TestCrashPoints: greaved is killed between any two steps of keeping a document and of changing
// the host. Started again it makes the host what the last acknowledged document says, and traffic
// of what stays loses nothing.
func TestCrashPoints(t *testing.T) {
	sites, guests := crashPair(t)
	s := sites[1]
	for _, tr := range transitions(sites) {
		t.Run(tr.name, func(t *testing.T) {
			s := s.in(t)
			points, want := s.rehearse(tr)
			t.Logf("%d points: %s", len(points), strings.Join(points, " "))
			if len(points) < 8 {
				t.Fatalf("only %d points are passed: is greaved built with them?", len(points))
			}
			var deaths []death
			for _, p := range evenly(points, *crashPoints) {
				deaths = append(deaths, death{how: "point " + p, env: []string{"GREAVE_CRASH_AT=" + p}})
			}
			s.sweep(guests, tr, want, deaths)
		})
	}
}

// crashPair is two hosts with a guest each; greaved of the second has crash points.
func crashPair(t *testing.T) (sites []site, guests []*lab.Guest) {
	t.Helper()
	lab.Require(t)
	greaved, err := lab.BuildGreaved(t.Context(), "crashpoints")
	if err != nil {
		t.Fatal(err)
	}
	sites, guests = pairOf(t, lab.Options{Hosts: 2, Greaved: greaved})
	sites[0].apply(half(sites, 0, ""))
	return sites, guests
}

// TestCrashCalls is the same for a greaved that is killed as it makes a system call: the Nth of a
// thread since the document was stated, whatever that does.
func TestCrashCalls(t *testing.T) {
	sites, guests := crashPair(t)
	s := sites[1]
	tr := transitions(sites)[1]
	_, want := s.rehearse(tr)
	var all []string
	for n := range 12 {
		all = append(all, fmt.Sprintf("write:%d", n+1))
		if n < 3 {
			all = append(all, fmt.Sprintf("fsync:%d", n+1), fmt.Sprintf("execve:%d", n+1), fmt.Sprintf("futex:%d", 9*n+1), fmt.Sprintf("read:%d", 5*n+1))
		}
	}
	var deaths []death
	for _, c := range evenly(all, *crashPoints) {
		call, n, _ := strings.Cut(c, ":")
		deaths = append(deaths, death{how: c, arm: func(s site) { s.inject(call, "signal=KILL:when="+n) }})
	}
	s.sweep(guests, tr, want, deaths)
}

// inject has strace do something to a system call of greaved and of the processes that it starts, as
// strace(1) writes it: "signal=KILL:when=3", "error=EIO".
func (s site) inject(call, what string) *exec.Cmd {
	s.t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		s.t.Skip("needs strace, to kill greaved at a system call or to make one fail (run make deps)")
	}
	pid := s.GreavedPid()
	cmd := exec.CommandContext(s.t.Context(), "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call,
		"-e", "inject="+call+":"+what, "-p", strconv.Itoa(pid))
	s.must(cmd.Start())
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(s.t, promise, "strace is attached", func() bool { return s.GreavedPid() == 0 || traced(pid) })
	return cmd
}

// rehearse makes the transition once without a crash. It returns the points that were passed after
// the document was stated, and what the host is before and after.
func (s site) rehearse(tr transition) (points []string, want map[string]string) {
	s.t.Helper()
	s.reset(tr.from)
	want = map[string]string{tr.from: s.canonical()}
	log, err := s.WriteFile("crash.log", "")
	s.must(err)
	s.restart("GREAVE_CRASH_LOG=" + log)
	s.waitConnected()
	before, err := os.ReadFile(log)
	s.must(err)
	s.apply(tr.to)
	s.waitPlan()
	want[tr.to] = s.canonical()
	after, err := os.ReadFile(log)
	s.must(err)
	return strings.Fields(string(after[len(before):])), want
}

// reset makes the host what a document says, by a greaved that is not told to crash.
func (s site) reset(doc string) {
	s.t.Helper()
	s.restart()
	s.waitConnected()
	s.apply(doc)
	s.waitPlan()
}

// restart kills greaved and starts it with more environment.
func (s site) restart(env ...string) {
	s.t.Helper()
	s.KillGreaved()
	s.GreavedEnv = env
	s.run()
}

// crash makes the transition with a greaved that is going to be killed, starts it again and looks at
// the host.
func (s site) crash(tr transition, want map[string]string, d death) {
	s.t.Helper()
	s.reset(tr.from)
	s.KillGreaved()
	s.GreavedEnv = d.env
	acknowledged := false
	if err := s.StartGreaved(s.t.Context()); err == nil { // it may die at once
		if d.arm != nil {
			s.waitConnected()
			d.arm(s)
		}
		acknowledged = s.stateAndDie(tr.to)
	}
	if s.GreavedPid() != 0 {
		s.t.Logf("%s: greaved lives", d.how)
	}
	s.restart()
	s.waitConnected()
	s.waitPlan()
	now := s.canonical()
	if now == want[tr.to] || !acknowledged && now == want[tr.from] {
		return
	}
	s.t.Errorf("%s (acknowledged: %t): the host is not what it should be:\n%s", d.how, acknowledged, lineDiff(want[tr.to], now))
}

// stateAndDie states a document, and returns when greaved is dead or has nothing left to do; and
// whether it acknowledged the document.
func (s site) stateAndDie(doc string) (acknowledged bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), settle)
	defer cancel()
	_, err := s.Apply(ctx, &greavev1.ApplyRequest{State: parse(s.t, doc), Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE})
	acknowledged = err == nil
	for end := time.Now().Add(promise); s.GreavedPid() != 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if !acknowledged {
			continue
		}
		if p, err := s.Plan(ctx, &greavev1.PlanRequest{}); err == nil && len(p.Plan.Operations) == 0 {
			break
		}
	}
	return acknowledged
}

// canonical is the host without what may differ from one making to the next.
func (s site) canonical() string {
	s.t.Helper()
	var all []string
	for _, q := range [][2]string{
		{"Bridge", "name,datapath_type,fail_mode,protocols,other_config,external_ids"},
		{"Port", "name,tag,external_ids"},
		{"Interface", "name,type,options,error,external_ids"},
	} {
		for l := range strings.Lines(s.vsctl("--format=csv", "--no-headings", "--columns="+q[1], "list", q[0])) {
			all = append(all, q[0]+" "+strings.TrimSpace(l))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n") + "\n" + s.flows("br-greave") + "\n" + s.flows("br-lan")
}

// sweep runs all crashes. Where the first guest's segment lives through the transition a flood
// runs beside them, in three parts, each beside as long a part without crashes.
func (s site) sweep(guests []*lab.Guest, tr transition, want map[string]string, deaths []death) {
	s.t.Helper()
	if tr.from == "allow_empty: true" {
		for _, d := range deaths {
			s.crash(tr, want, d)
		}
		return
	}
	s.reset(tr.from)
	next, parts := 0, 3
	noLoss(s.t, tr.name+", killed", guests, func() {
		for end := len(deaths) - len(deaths)*(parts-1)/3; next < end; next++ {
			s.crash(tr, want, deaths[next])
		}
		parts--
	})
}

// evenly takes some of a list, evenly; 0 is all.
func evenly(list []string, most int) []string {
	if most <= 0 || most >= len(list) {
		return list
	}
	var out []string
	for i := range most {
		out = append(out, list[i*len(list)/most])
	}
	return out
}
