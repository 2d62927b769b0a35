package vm

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Program is one binary to run in the guest, as root, from a directory of its own under /artifacts,
// which is also in its GREAVE_ARTIFACTS: what it leaves there comes back.
type Program struct {
	Name string // letters, digits and dashes, different for each program of a boot
	Path string // on this machine; statically linked
	Args []string
}

// Boot is what one run of the guest does: its programs, one after the other.
type Boot struct {
	Programs  []Program // at most 28
	Files     []File    // what the programs need besides
	Artifacts string    // directory that what the programs left is unpacked into; "" for nowhere
	Log       io.Writer // gets the console and all output as they come; nil for nowhere
	Append    string    // more words for the kernel's command line
}

// File is a file of this machine that the guest has as /guest/NAME; it may be run there.
type File struct{ Name, Path string }

// Outcome is how a program ended.
type Outcome struct {
	Code   int // exit status
	Output []byte
}

const (
	statusPort    = 1 // as init.sh has them
	artifactsPort = 2
	firstProgram  = 3

	memory   = "2048"  // MiB
	tail     = 4 << 10 // bytes of the console that an error quotes
	killWait = 10 * time.Second
)

// Run boots the guest, runs the programs and returns how each ended, by name. An exit status that
// is not 0 is no error of Run; a kernel panic, a guest that ends before it has said how every
// program ended, and the end of ctx are, and come with what is known until then.
func (g *Guest) Run(ctx context.Context, b Boot) (map[string]Outcome, error) {
	initrd, err := g.openInitrd(b)
	if err != nil {
		return nil, fmt.Errorf("run guest: %w", err)
	}
	w := wires{log: &syncWriter{w: b.Log}, ends: []*os.File{initrd}}
	console := w.text("console")
	status := w.text("status")
	unpacked := w.read(func(r io.Reader) error { return unpack(r, b.Artifacts) })
	outputs := mapped(b.Programs, func(p Program) *bytes.Buffer { return w.text(p.Name) })
	err = w.boot(ctx, g.qemuArgs(b, len(w.ends)))
	out, verdict := judge(console.String(), status.String(), b.Programs, errors.Join(err, ctx.Err()))
	for i, p := range b.Programs {
		o := out[p.Name]
		o.Output = outputs[i].Bytes()
		out[p.Name] = o
	}
	if verdict == nil {
		verdict = *unpacked
	}
	if verdict != nil {
		return out, fmt.Errorf("run guest: %w", verdict)
	}
	return out, nil
}

// openInitrd returns a file with the base archive and behind it one with the programs and files. The file has
// no name any more, so that nothing is left of it even when this process is killed.
func (g *Guest) openInitrd(b Boot) (*os.File, error) {
	var script strings.Builder
	files := []file{{name: "guest/run", mode: typeFile | 0o755}}
	for i, p := range b.Programs {
		fmt.Fprintf(&script, "program %d %s /guest/%s", firstProgram+i, p.Name, p.Name)
		for _, a := range p.Args {
			script.WriteString(" '" + strings.ReplaceAll(a, "'", `'\''`) + "'")
		}
		script.WriteString("\n")
		files = append(files, copied(p.Path, "guest/"+p.Name))
	}
	files[0].data = script.String()
	for _, f := range b.Files {
		files = append(files, copied(f.Path, "guest/"+f.Name))
	}
	base, err := os.Open(g.base)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	out, err := os.CreateTemp(g.dir, "initrd")
	if err != nil {
		return nil, err
	}
	err = os.Remove(out.Name())
	if err == nil {
		_, err = io.Copy(out, base)
	}
	if err == nil {
		err = encodeArchive(out, files)
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, nil
}

// qemuArgs is the command line. Without cx16 off, a 6.12 kernel dies within seconds on QEMU 7.2;
// the microvm machine hangs before it says anything; a Debian kernel under KVM in a guest stays mute.
func (g *Guest) qemuArgs(b Boot, inherited int) []string {
	args := []string{"-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-smp", "2", "-m", memory,
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", g.vmlinuz,
		"-append", strings.TrimSpace("console=ttyS0 quiet loglevel=4 panic=-1 oops=panic " + b.Append),
		"-initrd", inheritedFile(0), "-serial", "chardev:wire1", "-device", "virtio-serial-pci"}
	for i := 1; i < inherited; i++ {
		args = append(args, "-chardev", fmt.Sprintf("file,id=wire%d,path=%s", i, inheritedFile(i)))
		if i > 1 {
			args = append(args, "-device", fmt.Sprintf("virtserialport,chardev=wire%d,nr=%d", i, i-1))
		}
	}
	return args
}

// inheritedFile is the name in QEMU of one of wires.ends: 0, 1 and 2 come before the first.
func inheritedFile(i int) string { return fmt.Sprintf("/dev/fd/%d", 3+i) }

// wires are pipes out of QEMU, each with a reader.
type wires struct {
	log     *syncWriter
	ends    []*os.File // for QEMU to inherit: the initrd, then the pipes
	readers sync.WaitGroup
	err     error
}

// text returns what a wire says; it may be read when boot has returned.
func (w *wires) text(name string) *bytes.Buffer {
	var all bytes.Buffer
	w.read(func(r io.Reader) error {
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadString('\n')
			all.WriteString(line)
			if line != "" {
				w.log.line(name, line)
			}
			if err != nil {
				return nil //nolint:nilerr // the end, or a killed QEMU's: judge sees what is missing
			}
		}
	})
	return &all
}

// read lets f read a wire, and what f leaves is thrown away. The error may be looked at when boot
// has returned.
func (w *wires) read(f func(io.Reader) error) *error {
	var result error
	r, end, err := os.Pipe()
	if err != nil {
		w.err = errors.Join(w.err, err)
		return &result
	}
	w.ends = append(w.ends, end)
	w.readers.Go(func() {
		defer r.Close()
		result = f(r)
		_, _ = io.Copy(io.Discard, r) // a guest that writes must not stall
	})
	return &result
}

// boot runs QEMU to its end and then all readers to theirs.
func (w *wires) boot(ctx context.Context, args []string) error {
	// Pdeathsig comes when the thread that started QEMU ends, so this one must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, qemu, args...)
	cmd.ExtraFiles = w.ends
	cmd.Stderr = &stderr
	cmd.WaitDelay = killWait
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := w.err
	if err == nil {
		err = cmd.Start()
	}
	for _, e := range w.ends {
		err = errors.Join(err, e.Close())
	}
	if err == nil {
		err = cmd.Wait()
	}
	w.readers.Wait()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", qemu, err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// judge says how the programs ended and what was wrong with the run itself.
func judge(console, status string, programs []Program, runErr error) (map[string]Outcome, error) {
	out, ended := map[string]Outcome{}, false
	for line := range strings.Lines(status) {
		words := strings.Fields(line)
		switch {
		case len(words) == 1 && words[0] == "end":
			ended = true
		case len(words) == 3 && words[0] == "exit":
			if code, err := strconv.Atoi(words[2]); err == nil {
				out[words[1]] = Outcome{Code: code}
			}
		}
	}
	quote := "\n" + console[max(0, len(console)-tail):]
	if _, what, found := strings.Cut(console, "Kernel panic - not syncing: "); found {
		what, _, _ = strings.Cut(what, "\n")
		return out, fmt.Errorf("kernel panic: %s%s", strings.TrimSpace(what), quote)
	}
	if runErr != nil {
		return out, fmt.Errorf("%w%s", runErr, quote)
	}
	for _, p := range programs {
		if _, ok := out[p.Name]; !ok {
			return out, fmt.Errorf("guest ended before %s did%s", p.Name, quote)
		}
	}
	if !ended {
		return out, fmt.Errorf("guest ended without a word%s", quote)
	}
	return out, nil
}

// unpack writes the plain files of a tar archive below dir.
func unpack(r io.Reader, dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // the archive comes from code under test: no way out of dir
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for t := tar.NewReader(r); ; {
		head, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack artifacts: %w", err)
		}
		if head.Typeflag != tar.TypeReg {
			continue
		}
		if err := root.MkdirAll(filepath.Dir(head.Name), 0o755); err != nil {
			return fmt.Errorf("unpack artifacts: %w", err)
		}
		f, err := root.Create(head.Name)
		if err != nil {
			return fmt.Errorf("unpack artifacts: %w", err)
		}
		_, err = io.Copy(f, t)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("unpack artifacts: %w", err)
		}
	}
}

// syncWriter takes whole lines from several goroutines. No writer at all is fine.
type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *syncWriter) line(from, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w != nil {
		fmt.Fprintf(s.w, "%s| %s\n", from, strings.Trim(text, "\r\n\x16"))
	}
}
