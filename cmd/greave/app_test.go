package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// output is a buffer that calls back on each write.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	written func(all string)
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	if o.written != nil {
		o.written(o.buf.String())
	}
	return len(p), nil
}

func newApp(t *testing.T, out, errOut *output, socket string) *app {
	t.Setenv("GREAVE_SERVER", "unix:"+socket)
	return &app{stdin: strings.NewReader(""), stdout: out, stderr: errOut, format: "table", now: func() time.Time { return clock }, sys: "/sys"}
}

func canned(t *testing.T, method, text string) (socket string) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "answers"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "answers", method+".json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return serve(t, dir)
}

func TestWatchEndsWell(t *testing.T) {
	ctx, interrupt := context.WithTimeout(t.Context(), 10*time.Second)
	defer interrupt()
	var stdout, stderr output
	stdout.written = func(all string) {
		if strings.Contains(all, "synced\n") {
			interrupt()
		}
	}
	a := newApp(t, &stdout, &stderr, canned(t, "Watch", "{\"type\": \"EVENT_TYPE_SYNCED\"}\nhang\n"))
	if code := a.run(ctx, []string{"watch"}); code != 0 || stderr.buf.Len() > 0 || stdout.buf.Len() == 0 {
		t.Errorf("watch, interrupted = %d, stdout %q, stderr %q; want 0 and no complaint", code, &stdout.buf, &stderr.buf)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var stdout, stderr output
	a := newApp(t, &stdout, &stderr, canned(t, "Plan", "hang"))
	time.AfterFunc(50*time.Millisecond, stop)
	if code := a.run(ctx, []string{"plan"}); code != 1 || stderr.buf.String() != "greave: interrupted\n" {
		t.Errorf("plan, interrupted = %d, %q", code, &stderr.buf)
	}
}

func TestNobodyListens(t *testing.T) {
	dir, err := os.MkdirTemp("", "greave-cli-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	var stdout, stderr output
	code := newApp(t, &stdout, &stderr, socket).run(t.Context(), []string{"status"})
	want := "greave: the agent does not run: nobody listens on " + socket + "; start it: sudo greaved\n"
	if code != 1 || stderr.buf.String() != want {
		t.Errorf("status = %d, %q, want 1, %q", code, &stderr.buf, want)
	}
}

func TestPermissionNamesTheGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: gives a file to a group")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	if err := os.WriteFile(socket, nil, 0o660); err != nil {
		t.Fatal(err)
	}
	const gid = "54321" // of no group, and so told by its number
	if err := os.Chown(socket, 0, 54321); err != nil {
		t.Fatal(err)
	}
	want := "permission denied on " + socket + ": it is for root and group " + gid + "; use sudo, or join the group: sudo usermod -aG " + gid + " $USER, then log in again"
	if got := permissionMessage(socket); got != want {
		t.Errorf("permissionMessage = %q, want %q", got, want)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestLostOutputIsAnError(t *testing.T) {
	var stderr output
	a := newApp(t, nil, &stderr, "/nowhere")
	a.stdout = brokenPipe{}
	if code := a.run(t.Context(), []string{"mtu", "--encap", "gre"}); code != 1 || stderr.buf.String() != "greave: write output: no space left on device\n" {
		t.Errorf("mtu = %d, %q", code, &stderr.buf)
	}
}

func TestUnderlayAddrIsOfThisHost(t *testing.T) {
	addr, err := underlayAddr(t.Context(), "")
	if err != nil {
		t.Skipf("needs an IPv4 address beside loopback: %v", err)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	own := slices.ContainsFunc(addrs, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr() == addr
	})
	if !own || addr.IsLoopback() {
		t.Errorf("underlayAddr = %s, which is none of %v", addr, addrs)
	}
}

// Whatever the agent sends, one printed line stays one line without controls.
func TestSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		for _, r := range safe(s) {
			if r < 0x20 || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069 {
				t.Fatalf("safe(%q) holds %U", s, r)
			}
		}
	})
	if got := safe("µ→ü plain"); got != "µ→ü plain" {
		t.Errorf("safe changes plain text: %q", got)
	}
}
