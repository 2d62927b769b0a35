// Command bench measures greave on Open vSwitch beside what does the same work today: raw OVSDB
// transactions, ovs-vsctl, ovs-ofctl, go-openvswitch and libovsdb. Both sides run in one run, in
// turn, on switches of their own (integration/lab), so that what else the machine does falls on both;
// what counts is the ratio. `make bench` runs all of it, `make bench BENCH=NAME` one scenario.
//
// It drives the daemon from outside by its API; the packages that it imports of the product serve to
// build documents and to time one layer alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// scenario is one file of this package.
type scenario struct {
	name string
	run  func(context.Context, *bench) error
}

var scenarios = []scenario{
	{"tunnels", tunnels},
	{"one-more", oneMore},
	{"merges", merges},
	{"peers", peers},
	{"fdb", fdb},
	{"quiet", quiet},
	{"start", start},
	{"idle", idle},
	{"throughput", throughput},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if done, err := actRole(ctx); done {
		exit(err)
	}
	b := &bench{out: os.Stdout}
	var only, file, page string
	flag.StringVar(&only, "run", "", "run one `scenario` only: "+strings.Join(names(), ", "))
	flag.IntVar(&b.scale, "scale", 1, "divide every size by this `number`")
	flag.IntVar(&b.rounds, "rounds", 5, "`number` of paired rounds; an odd one has a median")
	flag.StringVar(&b.profiles, "cpuprofile", "", "`directory` for CPU profiles of greaved, one of each of its lives")
	flag.StringVar(&file, "json", "build/bench.json", "`file` for the figures")
	flag.StringVar(&page, "page", "", "`file` with a table to write anew between its markers")
	flag.Parse()
	exit(run(ctx, b, only, file, page))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func names() []string {
	var out []string
	for _, s := range scenarios {
		out = append(out, s.name)
	}
	return out
}

// run runs scenarios. One that fails does not keep the others from running, nor their figures from
// being written.
func run(ctx context.Context, b *bench, only, file, page string) error {
	if only != "" && !slices.Contains(names(), only) {
		return fmt.Errorf("no scenario %q: there are %s", only, strings.Join(names(), ", "))
	}
	var failed error
	for _, s := range scenarios {
		if only != "" && s.name != only {
			continue
		}
		if err := s.run(ctx, b); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
			fmt.Fprintf(b.out, "%s FAILED: %v\n", s.name, err)
		}
	}
	if err := writeJSON(file, b.figures); err != nil {
		return errors.Join(failed, err)
	}
	if page != "" && failed == nil {
		return writePage(page, b.figures)
	}
	return failed
}
