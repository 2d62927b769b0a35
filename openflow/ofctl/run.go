package ofctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

const (
	program    = "ovs-ofctl"
	perLine    = 100 * time.Microsecond
	stderrMax  = 64 << 10
	stdoutMax  = 4 << 30
	outLineMax = 16 << 20
	// reapDelay is how long a killed process may keep its pipes open.
	reapDelay = time.Second
)

// baseArgs ask for port numbers, and for the newest OpenFlow that the bridge
// allows: the two sides settle that when they connect. The text of 1.3 and 1.4
// is the same but for bucket ids.
// What it says of its own slowness on a busy machine is no word on the write.
var baseArgs = []string{"--no-names", "-vtimeval:off", "-vcoverage:off", "-O", "OpenFlow13,OpenFlow14,OpenFlow15"}

// environment is fixed: messages are read by their English text.
var environment = []string{"LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

// command is one run of ovs-ofctl.
type command struct {
	bridge, op string
	args       []string // without the base arguments
	stdin      io.Reader
	stdout     io.Writer
	lines      int  // written: they scale the deadline
	write      bool // anything on stderr is a failure
}

// run runs one command to its end, whatever that is: the process is killed when
// ctx ends or the time is over, and always waited for.
func (c *Client) run(ctx context.Context, cmd command) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	patience := c.cfg.Timeout + time.Duration(cmd.lines)*perLine
	silence := time.AfterFunc(patience, func() { stop(context.DeadlineExceeded) })
	defer silence.Stop()
	p := exec.CommandContext(ctx, program, append(baseArgs[:len(baseArgs):len(baseArgs)], cmd.args...)...)
	p.Env, p.Stdin = environment, cmd.stdin
	if cmd.stdout != nil {
		p.Stdout = writerFunc(func(b []byte) (int, error) { // nobody knows beforehand how much there is to read
			silence.Reset(patience)
			return cmd.stdout.Write(b)
		})
	}
	p.WaitDelay = reapDelay
	stderr := &capped{max: stderrMax}
	p.Stderr = stderr
	err := p.Run()
	said := strings.TrimSpace(stderr.String())
	e := &Error{Bridge: cmd.bridge, Op: cmd.op, Line: -1, Stderr: said}
	switch {
	case ctx.Err() != nil:
		e.Err = fmt.Errorf("stopped: %w", context.Cause(ctx))
	case err != nil:
		e.Err = classify(said, err)
	case cmd.write && said != "":
		e.Err, e.Warned = errors.New("done, with a warning"), true
	default:
		if said != "" {
			c.cfg.Logger.Warn("ovs-ofctl warned", "bridge", cmd.bridge, "op", cmd.op, "stderr", said)
		}
		return nil
	}
	return e
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// classify finds the cause that a caller branches on in what ovs-ofctl said.
func classify(said string, err error) error {
	if strings.Contains(said, "version negotiation failed") {
		return ErrVersion
	}
	for _, lost := range []string{
		"(No such file or directory)", "(Connection refused)", "(Connection reset by peer)", "(Broken pipe)", "(End of file)",
	} {
		if strings.Contains(said, lost) {
			return ErrNoSwitch
		}
	}
	return err
}

// capped keeps the first max bytes and swallows the rest, so that the process
// is never blocked.
type capped struct {
	bytes.Buffer
	max int
}

func (b *capped) Write(p []byte) (int, error) {
	if room := b.max - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// lineWriter hands on one line after the other, so that a dump is never held
// whole.
type lineWriter struct {
	each  func(line string)
	part  []byte
	total int
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	w.total += n
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		if len(w.part) == 0 {
			w.each(string(p[:i]))
		} else {
			w.each(string(append(w.part, p[:i]...)))
			w.part = w.part[:0]
		}
		p = p[i+1:]
	}
	w.part = append(w.part, p...)
	if w.total > stdoutMax || len(w.part) > outLineMax {
		return 0, fmt.Errorf("output of %s is too long", program)
	}
	return n, nil
}
