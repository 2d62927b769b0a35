package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

var built struct {
	sync.Mutex
	dir string
}

// Binaries builds the daemon and the command line into build/lab of the module that the current
// directory is in, once a process, and returns their paths. Test processes that run side by side
// take turns; a build of unchanged sources is only a look.
func Binaries(ctx context.Context) (greaved, greave string, err error) {
	built.Lock()
	defer built.Unlock()
	if built.dir == "" {
		if built.dir, err = buildBinaries(ctx); err != nil {
			return "", "", fmt.Errorf("build greave: %w", err)
		}
	}
	return filepath.Join(built.dir, "greaved"), filepath.Join(built.dir, "greave"), nil
}

func buildBinaries(ctx context.Context) (string, error) {
	mod, _, err := run(ctx, "", nil, "", "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	root := filepath.Dir(strings.TrimSpace(mod))
	dir := filepath.Join(root, "build", "lab")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // which unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	_, _, err = run(ctx, "", nil, "", "go", "build", "-C", root, "-buildvcs=false", "-o", dir+"/", "./cmd/greaved", "./cmd/greave")
	return dir, err
}

// BuildGreaved builds the daemon with build tags, beside the ordinary one, and returns its path.
func BuildGreaved(ctx context.Context, tags string) (string, error) {
	ordinary, _, err := Binaries(ctx)
	if err != nil {
		return "", err
	}
	path := ordinary + "-" + tags
	root := filepath.Dir(filepath.Dir(filepath.Dir(ordinary)))
	_, _, err = run(ctx, "", nil, "", "go", "build", "-C", root, "-buildvcs=false", "-tags", tags, "-o", path, "./cmd/greaved")
	return path, err
}

// GreavedSocket is the address greaved listens on, "unix:/…/greaved.sock".
func (h *Host) GreavedSocket() string { return "unix:" + h.greavedPath() }

func (h *Host) greavedPath() string { return filepath.Join(h.dir, "greaved.sock") }

// StateDir is greaved's state directory.
func (h *Host) StateDir() string { return filepath.Join(h.dir, "state") }

// GreavedLog returns all that greaved has written to its standard output and error so far.
func (h *Host) GreavedLog() string {
	text, _ := os.ReadFile(filepath.Join(h.dir, "greaved.log"))
	return string(text)
}

// GreavedPid returns the process id of the running greaved, 0 when none runs.
func (h *Host) GreavedPid() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.daemon.alive() {
		return 0
	}
	return h.daemon.cmd.Process.Pid
}

// StartGreaved starts the daemon in the host's namespace, args behind the lab's own flags, and
// returns when its socket answers. The error of a daemon that ends early holds the end of its log.
func (h *Host) StartGreaved(ctx context.Context, args ...string) error {
	binary := h.lab.opts.Greaved
	if binary == "" {
		var err error
		if binary, _, err = Binaries(ctx); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.daemon.alive() {
		return errors.New("start greaved: it runs already")
	}
	argv := append([]string{binary, "--name", h.Name, "--ovsdb", h.OVSSocket(), "--listen", h.GreavedSocket(), "--state-dir", h.StateDir()}, args...)
	p, err := h.lab.spawn("greaved", h.NS, filepath.Join(h.dir, "greaved.log"), append(h.env(), h.GreavedEnv...), argv...)
	if err != nil {
		return err
	}
	h.daemon = p
	return p.ready(ctx, func() error { return dial(ctx, h.greavedPath()) })
}

// KillGreaved ends the daemon with kill -9.
func (h *Host) KillGreaved() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.daemon.kill()
}

// StopGreaved ends the daemon with SIGTERM; it is an error when that takes more than 10 s.
func (h *Host) StopGreaved() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.daemon.stop(syscall.SIGTERM)
}

// Greave runs the command line against the host's daemon. ExitCode(err) is its exit status.
func (h *Host) Greave(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	return h.GreaveInput(ctx, "", args...)
}

// GreaveInput is Greave with a text on its standard input: GreaveInput(ctx, doc, "apply", "-f", "-").
func (h *Host) GreaveInput(ctx context.Context, stdin string, args ...string) (stdout, stderr string, err error) {
	binary := h.lab.opts.Greave
	if binary == "" {
		if _, binary, err = Binaries(ctx); err != nil {
			return "", "", err
		}
	}
	return run(ctx, h.NS, h.env(), stdin, append([]string{binary, "--server", h.GreavedSocket()}, args...)...)
}
