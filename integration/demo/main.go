// Command demo is the main job of greave on one machine: three hosts in network
// namespaces, each with an Open vSwitch and a greaved of its own. It runs the
// scenes of this directory in order of their numbers, and ends with
// "N passed, N failed". A new scene is a new file.
//
// With -vm it does so in a virtual machine, whose kernel has every driver: the
// switches run on the kernel's datapath, and the host without Open vSwitch joins
// them over each encapsulation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

// scene is one step of the demo. Its number orders it; it is that of its file.
type scene struct {
	number int
	title  string
	play   func(ctx context.Context, d *demo) error
}

// limit is the most that the whole demo may take: many times what it does.
const limit = 10 * time.Minute

// scenes is filled by each scene's file.
var scenes []scene

func play(number int, title string, f func(ctx context.Context, d *demo) error) struct{} {
	scenes = append(scenes, scene{number, title, f})
	return struct{}{}
}

// demo is what the scenes share.
type demo struct {
	opts           lab.Options
	lab            *lab.Lab
	guests         map[string][]*lab.Guest // by segment, in order of host
	out            io.Writer
	passed, failed int
}

func main() {
	inVM := flag.Bool("vm", false, "play in a virtual machine, whose kernel has every driver")
	isVM := flag.Bool("guest", false, "this is that virtual machine")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, limit)
	if *inVM {
		err := playInVM(ctx, os.Stdout)
		cancel()
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	d := &demo{out: os.Stdout, guests: map[string][]*lab.Guest{}, opts: lab.Options{Hosts: 3}}
	if *isVM {
		d.opts = lab.Options{Hosts: 3, Kernel: true, Greaved: guestDir + greaved, Greave: guestDir + greave}
	}
	err := d.run(ctx)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintf(d.out, "\nthe demo ended early: %v\n", err)
		d.failed++
	}
	fmt.Fprintf(d.out, "\n%d passed, %d failed\n", d.passed, d.failed)
	if d.failed > 0 {
		os.Exit(1)
	}
}

func (d *demo) run(ctx context.Context) (err error) {
	if why := d.opts.Missing(); why != "" {
		return errors.New(why)
	}
	defer func() { err = errors.Join(err, d.leave()) }()
	slices.SortFunc(scenes, func(a, b scene) int { return a.number - b.number })
	for _, s := range scenes {
		fmt.Fprintf(d.out, "\n== %s\n", s.title)
		if err := s.play(ctx, d); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	return nil
}

// leave removes all that the demo made.
func (d *demo) leave() error {
	if d.lab == nil {
		return nil
	}
	if d.failed > 0 {
		fmt.Fprintln(d.out, d.lab.Logs(20))
	}
	return d.lab.Close()
}

// check prints and counts one thing that must hold.
func (d *demo) check(ok bool, format string, args ...any) {
	word := "ok  "
	if ok {
		d.passed++
	} else {
		d.failed++
		word = "FAIL"
	}
	fmt.Fprintf(d.out, "%s %s\n", word, fmt.Sprintf(format, args...))
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// show prints text, indented.
func (d *demo) show(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Fprintf(d.out, "    %s\n", strings.TrimRight(line, "\n"))
	}
}

// greave runs the command on a host and shows both.
func (d *demo) greave(ctx context.Context, h *lab.Host, args ...string) (string, error) {
	d.say("%s$ greave %s", h.Name, strings.Join(args, " "))
	out, stderr, err := h.Greave(ctx, args...)
	d.show(out + stderr)
	return out, err
}

// within tries until ok or the time is over.
func within(ctx context.Context, limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); ; {
		if ok() {
			return true
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
}
