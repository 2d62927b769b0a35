package integration

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/greave-sdn/greave/integration/lab"
)

const unit = "../deploy/systemd/greaved.service"

// TestUnitIsConfined holds the unit to what systemd itself makes of it: an
// exposure of at most 2.0 of 10, and the verdict that it can be loaded.
func TestUnitIsConfined(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze (run make deps)")
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=yes", "--no-pager", "--threshold=20", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	dir := t.TempDir()
	text, err := os.ReadFile(unit)
	check(t, err)
	here := strings.ReplaceAll(string(text), "/usr/bin/greaved", "/bin/true") // the program need not be installed
	copied := filepath.Join(dir, "greaved.service")
	check(t, os.WriteFile(copied, []byte(here), 0o644))
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", copied).CombinedOutput(); err != nil || strings.Contains(string(out), "greaved.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// unitRights runs its arguments with what the unit grants, under strace.
const unitRights = `#!/bin/sh
exec unshare --mount --propagation private sh -euc '
	mount --bind RUN RUN && mount -o remount,ro,bind /
	exec strace -D -f -qq -o RUN/calls setpriv --no-new-privs --bounding-set=-all,+net_admin --inh-caps=-all GREAVED "$@"
' GREAVED "$@"
`

// TestUnderServiceManager: greaved with the rights of the unit makes no system call that the unit
// forbids, tells the service manager when it is ready, what it is at and that it lives, and tells
// that it stops.
func TestUnderServiceManager(t *testing.T) {
	greaved, _, err := lab.Binaries(t.Context())
	if err != nil {
		lab.Require(t)
		t.Fatal(err)
	}
	wrapper := filepath.Join(t.TempDir(), "greaved")
	l := lab.ForTest(t, lab.Options{Hosts: 1, Greaved: wrapper})
	h := l.Hosts[0]
	run := h.RunDir()
	check(t, os.WriteFile(wrapper, []byte(strings.NewReplacer("RUN", run, "GREAVED", greaved).Replace(unitRights)), 0o755))
	said := listen(t, filepath.Join(run, "notify"))
	t.Setenv("NOTIFY_SOCKET", filepath.Join(run, "notify"))
	t.Setenv("WATCHDOG_USEC", fmt.Sprint((200 * time.Millisecond).Microseconds()))
	check(t, h.StartGreaved(t.Context()))
	hears := func(want string) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for {
			select {
			case line := <-said:
				if line == want {
					return
				}
			case <-limit:
				t.Fatalf("the service manager is not told %q", want)
			}
		}
	}
	hears("READY=1")
	hears("STATUS=0 of 0 objects as stated")
	hears("WATCHDOG=1")
	g, err := h.AddGuest(t.Context(), "vm", "10.0.0.1/24", "02:00:00:00:00:01", 1400)
	check(t, err)
	apply(t, h, fmt.Sprintf(`
vteps: [{name: v, address: %s}]
segments: [{name: red, key: 100}]
peers: [{name: other, paths: [{remote: 192.0.2.9}], segments: [red]}]
ports: [{name: vm, device: %s, attachments: [{segment: red}]}]
`, h.VTEP, g.Dev))
	hears("STATUS=5 of 5 objects as stated")
	hears("WATCHDOG=1")
	check(t, h.StopGreaved())
	hears("STOPPING=1")

	allowed := unitCalls(t)
	text, err := os.ReadFile(filepath.Join(run, "calls"))
	check(t, err)
	_, calls, began := strings.Cut(string(text), "execve(\""+greaved) // before: what setpriv does
	if !began {
		t.Fatal("strace saw no greaved")
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\d+ +(\w+)\(`).FindAllStringSubmatch(calls, -1) {
		if name := m[1]; !seen[name] && !allowed[name] {
			t.Errorf("greaved calls %s, which the unit forbids", name)
		}
		seen[m[1]] = true
	}
	if len(seen) < 20 {
		t.Fatalf("strace saw only %v", seen)
	}
}

// listen takes down what is sent to a notification socket, line by line.
func listen(t *testing.T, path string) <-chan string {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	lines := make(chan string, 10000)
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := c.Read(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			for line := range strings.Lines(string(b[:n])) {
				lines <- strings.TrimSuffix(line, "\n")
			}
		}
	}()
	return lines
}

// unitCalls are the system calls that the unit allows: its lines of SystemCallFilter in order,
// with the groups as systemd spells them out, and what systemd always allows.
func unitCalls(t *testing.T) map[string]bool {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze (run make deps)")
	}
	text, err := os.ReadFile(unit)
	check(t, err)
	allowed := map[string]bool{}
	add(t, allowed, "@default", true)
	for _, m := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(string(text), -1) {
		for _, name := range strings.Fields(m[2]) {
			add(t, allowed, name, m[1] == "")
		}
	}
	return allowed
}

// add puts the calls of a group into a set, or takes them out.
func add(t *testing.T, set map[string]bool, name string, in bool) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		set[name] = in
		return
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "syscall-filter", "--no-pager", name).Output()
	check(t, err)
	for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" && line != name && !strings.HasPrefix(line, "#") {
			add(t, set, line, in)
		}
	}
}
