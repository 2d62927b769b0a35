// Package vm boots a Linux kernel that has what this machine's may lack (GRE, Geneve, the Open
// vSwitch datapath, ESP) and runs Go test binaries in it: Debian's cloud kernel and an initramfs of
// this machine's own tools, under QEMU without hardware virtualisation. What it builds it keeps
// under one directory, keyed by what went in. It is for tests and imports nothing of the product.
//
// The steps are Prepare, Compile, Build and Guest.Run; what runs in the guest is in vm/guest and in
// conformance.
package vm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrUnavailable is wrapped by the error of Prepare where no guest can be made on this machine:
// another architecture, no QEMU, no kernel package.
var ErrUnavailable = errors.New("no guest on this machine")

const commandLimit = 5 * time.Minute // of any one command, if the context allows more

// Guest is a kernel and a base archive, ready to boot.
type Guest struct {
	Kernel string // its version, as uname -r says it

	dir, vmlinuz, base string
}

// Prepare fetches and unpacks the kernel and builds the base archive, or finds them in dir, where
// it may run in several processes at once. It needs what install-deps.sh installs, and the network
// for a kernel that is not in dir yet.
func Prepare(ctx context.Context, dir string) (*Guest, error) {
	if err := supported(); err != nil {
		return nil, fmt.Errorf("prepare guest: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("prepare guest: %w", err)
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("prepare guest: %w", err)
	}
	defer unlock()
	k, err := fetchKernel(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("prepare guest: %w", err)
	}
	files, err := baseFiles(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("prepare guest: %w", err)
	}
	base, err := cachedArchive(dir, files)
	if err != nil {
		return nil, fmt.Errorf("prepare guest: %w", err)
	}
	return &Guest{Kernel: k.version, dir: dir, vmlinuz: k.vmlinuz(), base: base}, nil
}

// cachedArchive returns the path of an archive of the files, which it writes if there is none. The
// name holds a hash of all that went in; older archives are removed.
func cachedArchive(dir string, files []file) (string, error) {
	hash := sha256.New()
	for _, f := range files {
		fmt.Fprintf(hash, "%s %o %q %q", f.name, f.mode, f.data, f.from)
		if f.from == "" {
			continue
		}
		info, err := os.Stat(f.from)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, " %d %d", info.Size(), info.ModTime().UnixNano())
	}
	path := filepath.Join(dir, fmt.Sprintf("base-%x.cpio", hash.Sum(nil)[:6]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	old, err := filepath.Glob(filepath.Join(dir, "base-*.cpio"))
	if err != nil {
		return "", err
	}
	if err := writeArchive(path+".part", files); err != nil {
		return "", err
	}
	for _, o := range old {
		os.Remove(o)
	}
	return path, os.Rename(path+".part", path)
}

// Compile builds the tests of a package into a static binary at path.
func Compile(ctx context.Context, pkg, path string) error {
	if _, err := run(ctx, []string{"CGO_ENABLED=0"}, "go", "test", "-c", "-o", path, pkg); err != nil {
		return fmt.Errorf("compile guest tests: %w", err)
	}
	return nil
}

// Build builds a command into a static binary at path.
func Build(ctx context.Context, pkg, path string) error {
	if _, err := run(ctx, []string{"CGO_ENABLED=0"}, "go", "build", "-buildvcs=false", "-o", path, pkg); err != nil {
		return fmt.Errorf("build %s for the guest: %w", pkg, err)
	}
	return nil
}

// lock takes an exclusive lock on a file, which ends with the process at the latest.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

// run runs a command to its end and returns its standard output.
func run(ctx context.Context, env []string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
