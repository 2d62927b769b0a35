package rpc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// MaxSocketPath is the longest path of a unix socket (sockaddr_un, less the
// closing zero).
const MaxSocketPath = 107

// Listen opens the API's socket: "unix:/path", mode 0660, of group if the host
// has it, else of root's. A socket that nobody answers on is a left-over and is
// replaced; one that answers belongs to another daemon.
func Listen(ctx context.Context, address, group string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	path = strings.TrimPrefix(path, "//")
	if !ok || !filepath.IsAbs(path) {
		return nil, fmt.Errorf("listen on %q: only unix:/absolute/path is supported", address)
	}
	if len(path) > MaxSocketPath {
		return nil, fmt.Errorf("listen on %s: the path is longer than %d bytes", path, MaxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	old := syscall.Umask(0o177) // until the group is set only root may connect
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := giveToGroup(path, group); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), l.Close())
	}
	return l, nil
}

func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("a file that is no socket is in the way; remove it")
	}
	if c, err := (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
		return errors.Join(errors.New("another process answers there already"), c.Close())
	}
	return os.Remove(path)
}

func giveToGroup(path, group string) error {
	if g, err := user.LookupGroup(group); err == nil {
		gid, err := strconv.Atoi(g.Gid)
		if err != nil {
			return fmt.Errorf("group %s: %w", group, err)
		}
		if err := os.Chown(path, -1, gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, 0o660)
}
