package vm

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBrokenGuests proves that a guest that does not end well is an error, and a quick one.
func TestBrokenGuests(t *testing.T) {
	g := prepare(t)
	t.Run("panic", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := g.Run(ctx, Boot{Append: "rdinit=/none", Log: t.Output()})
		if err == nil || !strings.Contains(err.Error(), "kernel panic: VFS: Unable to mount root") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := g.Run(ctx, Boot{Log: t.Output()}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	left, err := filepath.Glob(filepath.Join(cache, "initrd*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestJudge(t *testing.T) {
	programs := []Program{{Name: "a"}, {Name: "b"}}
	for _, c := range []struct {
		name, console, status string
		err                   error
		want                  string // in the error; "" for none
		codes                 map[string]int
	}{
		{name: "good", status: "exit a 0\nexit b 1\nend\n", codes: map[string]int{"a": 0, "b": 1}},
		{name: "silent", console: "[ 2.5] reboot: Power down\n", want: "ended before a did\n[ 2.5] reboot"},
		{name: "half", status: "exit a 0\n", want: "ended before b did", codes: map[string]int{"a": 0}},
		{name: "no end", status: "exit a 0\nexit b 0\n", want: "ended without a word", codes: map[string]int{"a": 0, "b": 0}},
		{name: "cut line", status: "exit a 0\nexit b", want: "ended before b did", codes: map[string]int{"a": 0}},
		{name: "panic", console: "x\n[ 1.0] Kernel panic - not syncing: Fatal exception\r\ny", status: "exit a 0\nexit b 0\nend\n",
			want: "kernel panic: Fatal exception\nx", codes: map[string]int{"a": 0, "b": 0}},
		{name: "killed", status: "exit a 0\n", err: context.DeadlineExceeded, want: "deadline exceeded", codes: map[string]int{"a": 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := judge(c.console, c.status, programs, c.err)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
			if len(out) != len(c.codes) {
				t.Errorf("got %v, want %v", out, c.codes)
			}
			for name, code := range c.codes {
				if o, ok := out[name]; !ok || o.Code != code {
					t.Errorf("%s: got %v, want %d", name, out[name].Code, code)
				}
			}
		})
	}
}

// TestArchive lets another implementation read two archives, one behind the other as in an initrd.
func TestArchive(t *testing.T) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox")
	}
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := []file{
		{name: "empty/dir", mode: typeDir},
		{name: "deep/er/file", mode: typeFile | 0o644, data: "12345"},
		copied(source, "deep/copy"),
		linked("link", "deep/copy"),
	}
	var out bytes.Buffer
	if err := encodeArchive(&out, files); err != nil {
		t.Fatal(err)
	}
	if out.Len()%4 != 0 {
		t.Errorf("%d bytes: no archive can follow", out.Len())
	}
	cmd := exec.CommandContext(t.Context(), busybox, "cpio", "-i")
	cmd.Dir, cmd.Stdin = t.TempDir(), &out
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for name, want := range map[string]string{"deep/er/file": "12345", "deep/copy": "from a file", "link": "from a file"} {
		got, err := os.ReadFile(filepath.Join(cmd.Dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	if info, err := os.Stat(filepath.Join(cmd.Dir, "empty/dir")); err != nil || !info.IsDir() {
		t.Errorf("empty/dir: %v", err)
	}
	if info, err := os.Stat(filepath.Join(cmd.Dir, "deep/copy")); err == nil && info.Mode().Perm() != 0o755 {
		t.Errorf("deep/copy has mode %v", info.Mode())
	}
}

func TestUnpackStaysInside(t *testing.T) {
	var in bytes.Buffer
	w := tar.NewWriter(&in)
	for _, name := range []string{"good/file", "../bad"} {
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: 2, Typeflag: tar.TypeReg}), write(w, "ok")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "artifacts")
	if err := unpack(&in, dir); err == nil {
		t.Error("a way out was taken")
	}
	if text, err := os.ReadFile(filepath.Join(dir, "good/file")); err != nil || string(text) != "ok" {
		t.Errorf("good/file: %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "../bad")); err == nil {
		t.Error("a file was written outside")
	}
}

func write(w *tar.Writer, text string) error {
	_, err := w.Write([]byte(text))
	return err
}

// TestReplay holds the reading of a test binary's output to one of each outcome, the last
// that of a test which never ended.
func TestReplay(t *testing.T) {
	output := strings.Join([]string{
		"\x16=== RUN   TestA", "\x16=== RUN   TestA/one", "    a_test.go:1: said", "\x16--- FAIL: TestA/one (0.10s)", "\x16--- FAIL: TestA (0.20s)",
		"\x16=== RUN   TestB", "    b_test.go:1: no such driver", "\x16--- SKIP: TestB (0.00s)",
		"\x16=== RUN   TestC", "\x16--- PASS: TestC (0.00s)",
		"\x16=== RUN   TestD", "panic: gone", "",
	}, "\n")
	top, err := parse(t.Context(), []byte(output))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range top.children {
		got = append(got, r.name+" "+r.action)
		for _, c := range r.children {
			got = append(got, r.name+"/"+c.name+" "+c.action)
			if !strings.Contains(c.output.String(), "said") {
				t.Errorf("%s lacks its output: %q", c.name, c.output.String())
			}
		}
	}
	if want := "TestA fail, TestA/one fail, TestB skip, TestC pass, TestD "; strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
	if said := lastLines(top.children[1].output.String()); said != "b_test.go:1: no such driver" {
		t.Errorf("reason for the skip: %q", said)
	}
}
