package lab

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// Twin is a further greaved on a host, beside its first: with a socket and a state directory of its
// own, on the same Open vSwitch.
type Twin struct {
	host *Host
	id   string
	proc *proc
}

// StartTwin starts one and returns when its socket answers. id, a word, tells a host's twins apart;
// name is its --name.
func (h *Host) StartTwin(ctx context.Context, id, name string, args ...string) (*Twin, error) {
	binary := h.lab.opts.Greaved
	if binary == "" {
		var err error
		if binary, _, err = Binaries(ctx); err != nil {
			return nil, err
		}
	}
	w := &Twin{host: h, id: id}
	argv := append([]string{binary, "--name", name, "--ovsdb", h.OVSSocket(), "--listen", w.Socket(), "--state-dir", filepath.Join(h.dir, "state-"+id)}, args...)
	var err error
	if w.proc, err = h.lab.spawn("greaved "+id, h.NS, w.log(), h.env(), argv...); err != nil {
		return nil, err
	}
	return w, w.proc.ready(ctx, func() error { return dial(ctx, strings.TrimPrefix(w.Socket(), "unix:")) })
}

// Socket is the address that it listens on.
func (w *Twin) Socket() string { return "unix:" + filepath.Join(w.host.dir, w.id+".sock") }

func (w *Twin) log() string { return filepath.Join(w.host.dir, "greaved-"+w.id+".log") }

// Log is all that it has written so far.
func (w *Twin) Log() string {
	text, _ := os.ReadFile(w.log())
	return string(text)
}

// Kill ends it with kill -9.
func (w *Twin) Kill() { w.proc.kill() }
