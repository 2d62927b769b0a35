package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/greave-sdn/greave/agent/crash"
)

// ErrLocked means that another process has the state directory open.
var ErrLocked = errors.New("another greaved runs on this state directory")

const lockName = "lock"

// lockDir takes the lock of a directory. The kernel releases it with the
// process, however that ends; the number in the file is only for people.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) {
		f, err = os.Open(dir) // a directory can be locked as well
	}
	if err != nil {
		return nil, fmt.Errorf("lock state directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock state directory: %w", err)
		}
		pid, _ := io.ReadAll(io.LimitReader(f, 20))
		return nil, fmt.Errorf("lock %s: %w (pid %s)", dir, ErrLocked, strings.TrimSpace(string(pid)))
	}
	if f.Truncate(0) == nil { // not on a directory; on a full disk the number is missing, no more
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// writeFile replaces a file so that a power cut leaves the old or the new one
// (ext4 brings back the old name without the last step).
func writeFile(dir, name string, data []byte) error {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	crash.At(name + "-written")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	crash.At(name + "-renamed")
	if err != nil {
		_ = os.Remove(path + ".tmp") // it takes room on a disk that may be full
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// setAside keeps a damaged file under another name. The file itself stays until
// a good one replaces it, so that a full disk loses nothing.
func (s *Store) setAside(name string) {
	path := s.path(name)
	self, err := os.Lstat(path)
	if err != nil {
		return
	}
	for n := 1; ; n++ {
		aside := fmt.Sprintf("%s.damaged-%d", path, n)
		if have, err := os.Lstat(aside); err == nil {
			if os.SameFile(have, self) {
				return // an earlier start did it
			}
			continue
		}
		if !self.Mode().IsRegular() || os.Link(path, aside) != nil {
			if err := os.Rename(path, aside); err != nil {
				s.warn(fmt.Sprintf("set %s aside: %v", path, err))
				return
			}
		}
		s.warn(fmt.Sprintf("%s is kept as %s", path, aside))
		return
	}
}
