package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the golden output into the scripts")

var clock = time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)

// TestMain makes the test binary greave itself when a script runs it, with a
// clock that stands still.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"greave": func() {
		if uid, err := strconv.Atoi(os.Getenv("AS_UID")); err == nil {
			for _, err := range []error{syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)} {
				if err != nil {
					panic(err)
				}
			}
		}
		a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, format: "table",
			now: func() time.Time { return clock }, sys: filepath.Join(os.Getenv("WORK"), "sys")}
		os.Exit(a.run(context.Background(), os.Args[1:]))
	}})
}

// TestScripts runs every script against an agent that gives the answers in the
// script. Scripts compare what people read; 'rc N' checks the exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			socket := serve(env.T().(testing.TB), env.WorkDir)
			env.Setenv("SOCKET", socket)
			env.Setenv("GREAVE_SERVER", "unix:"+socket)
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each race-built greave ends a second late
			return nil
		},
		Condition: func(name string) (bool, error) { return name == "root" && os.Geteuid() == 0, nil },
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"rc":   rc,
			"hide": hide,
		},
	})
}

// rc runs a command that must end with an exit code.
func rc(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: rc code command [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// hide replaces what differs from run to run in the last command's output, and
// writes it to a file: hide stdout|stderr FILE VARIABLE.
func hide(ts *testscript.TestScript, _ bool, args []string) {
	text := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv(args[2]), args[2])
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o644))
}
