package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/greave-sdn/greave/integration/vm"
)

// What the virtual machine has of greave, and where.
const (
	guestDir = "/guest/"
	greaved  = "greaved"
	greave   = "greave"
	program  = "demo"
)

// playInVM builds the demo and greave, boots a kernel that has every driver and
// plays there. What is said there is said here.
func playInVM(ctx context.Context, out io.Writer) (err error) {
	cache, err := filepath.Abs("build/vm")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "building greave, and a virtual machine of Debian's kernel …")
	guest, err := vm.Prepare(ctx, cache)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "greave-demo")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, pkg := range map[string]string{program: "./integration/demo", greaved: "./cmd/greaved", greave: "./cmd/greave"} {
		if err := vm.Build(ctx, pkg, at(name)); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "booting Linux %s …\n", guest.Kernel)
	outcome, err := guest.Run(ctx, vm.Boot{
		Programs: []vm.Program{{Name: program, Path: at(program), Args: []string{"-guest"}}},
		Files:    []vm.File{{Name: greaved, Path: at(greaved)}, {Name: greave, Path: at(greave)}},
		Log:      said{out},
	})
	if err != nil {
		return err
	}
	if code := outcome[program].Code; code != 0 {
		return fmt.Errorf("the demo ended with exit status %d", code)
	}
	return nil
}

// said passes on the lines of the demo, without the word before them that says whose they are.
type said struct{ to io.Writer }

func (s said) Write(line []byte) (int, error) {
	if text, ours := strings.CutPrefix(string(line), program+"| "); ours {
		if _, err := io.WriteString(s.to, text); err != nil {
			return 0, err
		}
	}
	return len(line), nil
}
