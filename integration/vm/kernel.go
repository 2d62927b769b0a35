package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

const (
	qemu = "qemu-system-x86_64"
	// kernelPackage depends on the newest kernel for virtual machines, which has the drivers under
	// test as modules and is a third of the size of the general one.
	kernelPackage = "linux-image-cloud-amd64"
)

// kernel is an unpacked kernel package.
type kernel struct{ version, dir string }

func (k kernel) vmlinuz() string { return filepath.Join(k.dir, "boot", "vmlinuz-"+k.version) }
func (k kernel) modules() string { return filepath.Join(k.dir, "lib", "modules", k.version) }

func supported() error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("%w: it is made for amd64", ErrUnavailable)
	}
	for _, tool := range []string{qemu, "busybox", "depmod", "dpkg-deb", "apt-get", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: %s is not installed", ErrUnavailable, tool)
		}
	}
	return nil
}

// fetchKernel returns the kernel that this machine's package lists name, downloaded if dir has it
// not yet; when that cannot be had, the newest that is in dir.
func fetchKernel(ctx context.Context, dir string) (kernel, error) {
	k, err := currentKernel(ctx, dir)
	if err != nil {
		// No package lists yet, or lists so old that the archive has dropped what they name.
		if _, updateErr := run(ctx, nil, "apt-get", "update", "-q"); updateErr != nil {
			err = errors.Join(err, updateErr)
		} else {
			k, err = currentKernel(ctx, dir)
		}
	}
	if err == nil || ctx.Err() != nil {
		return k, err
	}
	old, _ := filepath.Glob(filepath.Join(dir, "kernel-*"))
	if len(old) == 0 {
		return kernel{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	newest := slices.MaxFunc(old, func(a, b string) int { return modified(a) - modified(b) })
	return kernel{strings.TrimPrefix(filepath.Base(newest), "kernel-"), newest}, nil
}

func modified(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return int(info.ModTime().Unix())
}

var dependsOnImage = regexp.MustCompile(`(?m)^\s*Depends: linux-image-(\S+)$`)

func currentKernel(ctx context.Context, dir string) (kernel, error) {
	out, err := run(ctx, nil, "apt-cache", "depends", kernelPackage)
	if err != nil {
		return kernel{}, err
	}
	m := dependsOnImage.FindStringSubmatch(out)
	if m == nil {
		return kernel{}, fmt.Errorf("find kernel: %s depends on no image: %q", kernelPackage, out)
	}
	k := kernel{m[1], filepath.Join(dir, "kernel-"+m[1])}
	if _, err := os.Stat(k.dir); err == nil {
		return k, nil
	}
	if err := k.unpack(ctx, dir); err != nil {
		return kernel{}, err
	}
	old, err := filepath.Glob(filepath.Join(dir, "kernel-*"))
	for _, o := range old {
		if o != k.dir {
			os.RemoveAll(o)
		}
	}
	return k, err
}

// unpack downloads the package, whose signature apt checks, and takes it apart; nothing is
// installed and no script of the package runs.
func (k kernel) unpack(ctx context.Context, dir string) error {
	tmp, err := os.MkdirTemp(dir, "unpack")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// apt-get puts its download where it stands.
	if _, err := run(ctx, nil, "env", "-C", tmp, "apt-get", "download", "-q", "linux-image-"+k.version); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("download kernel: %d packages came: %w", len(debs), err)
	}
	root := filepath.Join(tmp, "root")
	if _, err := run(ctx, nil, "dpkg-deb", "-x", debs[0], root); err != nil {
		return err
	}
	if _, err := run(ctx, nil, "depmod", "-b", root, k.version); err != nil {
		return err
	}
	return os.Rename(root, k.dir)
}
