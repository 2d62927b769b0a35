package vm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// file is one entry of an archive: a copy of a file of this machine, or data.
type file struct {
	name string // in the guest, without the first slash
	mode uint32 // type and permissions, as stat(2) has them
	from string // the file to copy
	data string // the content, or the target of a link
}

// The types of entries, as stat(2) has them.
const (
	typeDir  = 0o040000
	typeFile = 0o100000
	typeLink = 0o120000
	typeMask = 0o170000
)

// copied is a copy of the file from; every copy may be run, which does no harm.
func copied(from, name string) file { return file{name: name, mode: typeFile | 0o755, from: from} }

func linked(name, target string) file { return file{name: name, mode: typeLink | 0o777, data: target} }

// archive writes the form of cpio that the kernel unpacks, "newc": see the kernel's
// driver-api/early-userspace/buffer-format. It is not compressed: that boots fastest, and a second
// archive may follow at any multiple of four.
type archive struct {
	w    *bufio.Writer
	ino  int
	dirs map[string]bool
}

// writeArchive writes an archive of the files, and of the directories above them, to path.
func writeArchive(path string, files []file) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return encodeArchive(out, files)
}

func encodeArchive(w io.Writer, files []file) error {
	a := archive{w: bufio.NewWriterSize(w, 1<<20), dirs: map[string]bool{".": true}}
	for _, f := range files {
		if err := a.add(f); err != nil {
			return fmt.Errorf("archive %s: %w", f.name, err)
		}
	}
	if err := a.entry("TRAILER!!!", 0, 0, strings.NewReader("")); err != nil {
		return err
	}
	return a.w.Flush()
}

func (a *archive) add(f file) error {
	if f.mode&typeMask == typeDir {
		return a.dir(f.name)
	}
	if err := a.dir(path.Dir(f.name)); err != nil {
		return err
	}
	if f.from == "" {
		return a.entry(f.name, f.mode, int64(len(f.data)), strings.NewReader(f.data))
	}
	in, err := os.Open(f.from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	return a.entry(f.name, f.mode, info.Size(), in)
}

// dir adds a directory, and those above it, once.
func (a *archive) dir(name string) error {
	if a.dirs[name] {
		return nil
	}
	a.dirs[name] = true
	if err := a.dir(path.Dir(name)); err != nil {
		return err
	}
	return a.entry(name, typeDir|0o755, 0, strings.NewReader(""))
}

func (a *archive) entry(name string, mode uint32, size int64, data io.Reader) error {
	a.ino++
	// inode, mode, uid, gid, links, mtime, size, device, device, rdev, rdev, length of name, checksum
	n, err := fmt.Fprintf(a.w, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.ino, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
	if err != nil {
		return err
	}
	if err := a.align(int64(n)); err != nil {
		return err
	}
	if _, err := io.CopyN(a.w, data, size); err != nil {
		return err
	}
	return a.align(size)
}

// align fills up to a multiple of four what was just written.
func (a *archive) align(n int64) error {
	_, err := a.w.WriteString("\x00\x00\x00"[:-n&3])
	return err
}
