package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	commandLimit = 2 * time.Minute  // of any one command, if the context allows more
	readyLimit   = 20 * time.Second // of a daemon to become ready
)

// proc is one long-running child process.
type proc struct {
	name string
	cmd  *exec.Cmd
	log  string        // path of its output
	done chan struct{} // closed when the process has ended and was waited for
}

// startSpawner returns a channel whose functions run on one OS thread that lives until the channel
// is closed. The kernel delivers Pdeathsig when the forking thread ends, not the process: a child
// forked from any thread could die with a goroutine that ends while locked to it.
func startSpawner() chan func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
}

// spawn starts a daemon in a namespace. It dies with this process even when that is killed.
func (l *Lab) spawn(name, ns, log string, env []string, argv ...string) (*proc, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	argv = inside(ns, argv)
	p := &proc{name: name, log: log, done: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...) //nolint:noctx // a daemon outlives the call that starts it
	p.cmd.Env = append(environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	// The lock is held over the start, so that Close either sees the child or prevents it.
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("start %s: lab is closed", name)
	}
	started := make(chan error)
	l.spawner <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	l.procs = append(l.procs, p)
	go func() {
		_ = p.cmd.Wait() // the exit status of a killed daemon says nothing
		close(p.done)
	}()
	return p, nil
}

// alive says whether the process still runs; false for nil.
func (p *proc) alive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// kill sends SIGKILL to the process and its children and waits for its end.
func (p *proc) kill() {
	if !p.alive() {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// stop asks the process to end by a signal and waits; after ten seconds it kills.
func (p *proc) stop(sig syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	_ = p.cmd.Process.Signal(sig)
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-p.done:
		return nil
	case <-limit.C:
		p.kill()
		return fmt.Errorf("stop %s: still running 10 s after %v\n%s", p.name, sig, tail(p.log, 20))
	}
}

// ready waits until check succeeds. It fails at once, with the end of the log, when the process ends.
func (p *proc) ready(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	err := poll(ctx, 5*time.Millisecond, func() error {
		if !p.alive() {
			cancel()
			return errors.New("process has ended")
		}
		return check()
	})
	if err != nil {
		return fmt.Errorf("start %s: %w\n%s", p.name, err, tail(p.log, 20))
	}
	return nil
}

// run runs a short command to its end. The error holds the command and its stderr and wraps
// *exec.ExitError; see ExitCode.
func run(ctx context.Context, ns string, env []string, stdin string, argv ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	full := inside(ns, argv)
	cmd := exec.CommandContext(ctx, full[0], full[1:]...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	cmd.Env = append(environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, ctx.Err())
		}
		return out.String(), errOut.String(), fmt.Errorf("run %s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), errOut.String(), nil
}

// ExitCode returns the exit status behind an error of Exec, Vsctl, Ofctl or Greave: 0 for nil, -1
// when the command did not run or was killed.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}

func inside(ns string, argv []string) []string {
	if ns == "" {
		return argv
	}
	return append([]string{"ip", "netns", "exec", ns}, argv...)
}

// environ is this process's environment without what would lead Open vSwitch tools to another switch.
func environ() []string {
	env := []string{"LC_ALL=C"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OVS_") && !strings.HasPrefix(v, "LC_") {
			env = append(env, v)
		}
	}
	return env
}

// tail returns the last lines of a file, "" when it cannot be read.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// dial says whether something listens on a unix socket.
func dial(ctx context.Context, path string) error {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	return c.Close()
}
