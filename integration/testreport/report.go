package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// event is one line of go test -json; see `go doc test2json` and, for the build events, `go help
// buildjson`.
type event struct {
	Action, Package, ImportPath, FailedBuild, Test, Output string
	Elapsed                                                float64
}

// test is what is known of one test of one package; name "" is the package itself.
type test struct {
	result string // pass, fail, skip; "" while it runs
	parent bool   // has subtests: its outcome counts only where theirs do not explain it
	output []string
}

type pkg struct {
	tests map[string]*test
	began time.Time
}

type report struct {
	mu                      sync.Mutex
	out                     io.Writer
	running                 map[string]*pkg
	build                   map[string][]string // compiler output by import path, until it has been shown
	passed, failed, skipped int
	skips                   []string
	began                   time.Time
}

// heartbeat is how often a package that is still running shows that it is.
const heartbeat = 15 * time.Second

func newReport(out io.Writer) *report {
	return &report{out: out, running: map[string]*pkg{}, build: map[string][]string{}, began: time.Now()}
}

// read follows one stream of events to its end.
func (r *report) read(in io.Reader) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		r.beat(quit)
	}()
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		var e event
		if line != "" {
			if json.Unmarshal([]byte(line), &e) == nil {
				r.handle(e)
			} else {
				fmt.Fprint(r.out, line) // not of go test's making
			}
		}
		if err != nil {
			break
		}
	}
	close(quit)
	<-done
	for name := range r.running { // the stream ended early
		r.handle(event{Action: "fail", Package: name})
	}
}

func (r *report) handle(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Package == "" {
		if e.Action == "build-output" {
			r.build[e.ImportPath] = append(r.build[e.ImportPath], e.Output)
		}
		return
	}
	p := r.running[e.Package]
	if p == nil {
		p = &pkg{tests: map[string]*test{"": {}}, began: time.Now()}
		r.running[e.Package] = p
	}
	t := p.tests[e.Test]
	if t == nil {
		t = &test{}
		p.tests[e.Test] = t
		if i := strings.LastIndex(e.Test, "/"); i > 0 && p.tests[e.Test[:i]] != nil {
			p.tests[e.Test[:i]].parent = true
		}
	}
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
	case "pass", "fail", "skip":
		t.result = e.Action
		if e.Test == "" {
			r.finished(e, p)
		} else if e.Action == "pass" {
			t.output = nil
		}
	}
}

// finished counts and prints a package.
func (r *report) finished(e event, p *pkg) {
	delete(r.running, e.Package)
	passed, failed, skipped := r.passed, r.failed, r.skipped
	var broken []string
	for _, name := range slices.Sorted(maps.Keys(p.tests)) {
		t := p.tests[name]
		switch {
		case name == "":
		case t.result == "skip":
			r.skipped++
			r.skips = append(r.skips, fmt.Sprintf("%s.%s: %s", short(e.Package), name, reason(t.output)))
		case t.result == "pass" && !t.parent:
			r.passed++
		case t.result != "pass": // fail, or never ended: a panic or the time limit
			broken = append(broken, name)
			if !t.parent || !slices.ContainsFunc(slices.Collect(maps.Keys(p.tests)), func(sub string) bool {
				return strings.HasPrefix(sub, name+"/") && p.tests[sub].result == "fail"
			}) {
				r.failed++
			}
		}
	}
	if e.Action == "fail" && r.failed == failed {
		r.failed++ // the package does not build, or broke outside any test
	}
	if len(p.tests) == 1 && e.Action != "fail" {
		return // no tests
	}
	fmt.Fprintf(r.out, "%-4s %-28s %7.1f s  %s\n", e.Action, short(e.Package), e.Elapsed,
		totals(r.passed-passed, r.failed-failed, r.skipped-skipped))
	if e.Action != "fail" {
		return
	}
	for _, line := range r.build[e.FailedBuild] {
		fmt.Fprint(r.out, "     ", line)
	}
	delete(r.build, e.FailedBuild)
	for _, name := range append(broken, "") {
		for _, line := range p.tests[name].output {
			fmt.Fprint(r.out, "     ", line)
		}
	}
}

// broken counts a failure that is no test's.
func (r *report) broken(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	fmt.Fprintln(r.out, "fail", why)
}

func (r *report) failures() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// beat shows what runs, until quit.
func (r *report) beat(quit <-chan struct{}) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-quit:
			return
		case <-tick.C:
			r.progress()
		}
	}
}

func (r *report) progress() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(r.running)) {
		p, done, now := r.running[name], 0, []string{}
		for _, test := range slices.Sorted(maps.Keys(p.tests)) {
			switch t := p.tests[test]; {
			case test == "":
			case t.result != "":
				done++
			case !t.parent:
				now = append(now, test)
			}
		}
		fmt.Fprintf(r.out, "...  %-28s %7.1f s  %d done, running %s\n", short(name), time.Since(p.began).Seconds(),
			done, strings.Join(now[:min(3, len(now))], " "))
	}
}

// finish prints the skips and the closing line and says whether all is well: something ran and
// nothing failed.
func (r *report) finish() bool {
	if len(r.skips) > 0 {
		fmt.Fprintln(r.out, "\nskipped:")
		for _, s := range r.skips {
			fmt.Fprintln(r.out, "  "+s)
		}
	}
	fmt.Fprintf(r.out, "\n%.0f s\n%s\n", time.Since(r.began).Seconds(), totals(r.passed, r.failed, r.skipped))
	return r.failed == 0 && r.passed > 0
}

func totals(passed, failed, skipped int) string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", passed, failed, skipped)
}

var place = regexp.MustCompile(`^\s*\S+\.go:\d+: (.*)`)

// reason is what a test gave to Skip: the last text that carries a file and line, with what follows it.
func reason(output []string) string {
	why := "no reason given"
	for _, line := range output {
		if m := place.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil && m[1] != "" {
			why = m[1]
		}
	}
	return why
}

// short leaves the path of the module out of the name of a package.
func short(pkg string) string {
	parts := strings.SplitN(pkg, "/", 4)
	if len(parts) < 4 {
		return "."
	}
	return parts[3]
}
