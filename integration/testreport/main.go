// Command testreport runs `go test -json` and tells its story: a line for each package, the whole
// output of what fails, at the end every skipped test with its reason and one line of totals. It
// uses only the standard library.
//
// Its arguments are those of go test; "--" begins a further run: testreport ./model/... -- -p 1
// ./integration/... With "-" alone it reads the JSON from standard input.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := newReport(os.Stdout)
	if slices.Equal(os.Args[1:], []string{"-"}) {
		r.read(os.Stdin)
	} else {
		for _, args := range split(os.Args[1:]) {
			r.run(ctx, args)
		}
	}
	if !r.finish() {
		os.Exit(1)
	}
}

// run runs one go test and reads what it says.
func (r *report) run(ctx context.Context, args []string) {
	fmt.Fprintln(r.out, "go test", args)
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	// On an interrupt the tests, which had the signal too, get time to remove what they made.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.broken(fmt.Sprintf("go test %v: %v", args, err))
		return
	}
	failed := r.failures()
	r.read(out)
	if err := cmd.Wait(); err != nil && r.failures() == failed {
		r.broken(fmt.Sprintf("go test %v: %v", args, err)) // a failure that no test owns up to
	}
}

// split cuts the arguments at "--".
func split(args []string) [][]string {
	runs := [][]string{nil}
	for _, a := range args {
		if a == "--" {
			runs = append(runs, nil)
			continue
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], a)
	}
	return runs
}
