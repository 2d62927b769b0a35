// Package ovsdbtest runs a real ovsdb-server, and when asked a real ovs-vswitchd, for one test: in a directory of their own,
// apart from the machine's own Open vSwitch, and gone when the test ends.
//
// It must not import anything of greave's, so that every package's tests can use it.
package ovsdbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 15 * time.Second
	toolTimeout  = 20 * time.Second
	schema       = "/usr/share/openvswitch/vswitch.ovsschema"
)

// Server is a running Open vSwitch database, with a switch or without.
type Server struct {
	Socket string // ovsdb-server's, without "unix:"
	RunDir string // where <bridge>.mgmt and the control sockets are
	Netns  string // name of ovs-vswitchd's network namespace, or "" when it runs in the test's own

	t      testing.TB
	kind   kind
	server *process
	daemon *process
}

type kind int

const (
	databaseOnly kind = iota
	dummySwitch
	netdevSwitch
)

// Option selects what Start starts.
type Option func(*Server)

// WithSwitch adds an ovs-vswitchd in which every datapath and every device is a dummy: nothing of the machine is touched. That
// includes tunnels: each gets an ofport, whatever its options, and no packet leaves it. Bridges need datapath_type netdev or
// dummy.
func WithSwitch() Option { return func(s *Server) { s.kind = dummySwitch } }

// WithNetdevSwitch adds an ovs-vswitchd with the real userspace datapath, in a network namespace of its own (Server.Netns). It
// needs root and /dev/net/tun.
func WithNetdevSwitch() Option { return func(s *Server) { s.kind = netdevSwitch } }

// InNetns makes WithNetdevSwitch run in a namespace that the test made and removes.
func InNetns(name string) Option {
	return func(s *Server) { s.kind, s.Netns = netdevSwitch, name }
}

var namespaces atomic.Int64

// Start starts what the options ask for and waits until it answers. It skips the test, with the reason, where that cannot be.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := &Server{t: t}
	for _, o := range options {
		o(s)
	}
	s.require()
	// Not t.TempDir: the test's name in it would use up the 107 bytes of a socket path.
	dir, err := os.MkdirTemp(os.TempDir(), "ovs")
	s.check(err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s.RunDir, s.Socket = dir, filepath.Join(dir, "db.sock")
	if s.kind == netdevSwitch && s.Netns == "" {
		s.Netns = fmt.Sprintf("ovst-%d-%d", os.Getpid(), namespaces.Add(1))
		s.Tool("ip", "netns", "add", s.Netns)
		t.Cleanup(func() { s.Tool("ip", "netns", "del", s.Netns) })
		s.Tool("ip", "-n", s.Netns, "link", "set", "lo", "up")
	}
	t.Cleanup(func() {
		s.KillSwitch()
		s.KillServer()
	})
	s.Tool("ovsdb-tool", "create", s.database(), schema)
	s.StartServer()
	s.VSCtl("--no-wait", "init")
	s.StartSwitch()
	return s
}

func (s *Server) require() {
	s.t.Helper()
	if testing.Short() {
		s.t.Skip("needs Open vSwitch: left out by -short")
	}
	tools := []string{"ovsdb-server", "ovsdb-tool", "ovs-vsctl"}
	if s.kind != databaseOnly {
		tools = append(tools, "ovs-vswitchd")
	}
	if s.kind == netdevSwitch {
		tools = append(tools, "ip")
		if os.Geteuid() != 0 {
			s.t.Skip("needs root: ovs-vswitchd with tap devices in a network namespace")
		}
		if _, err := os.Stat("/dev/net/tun"); err != nil {
			s.t.Skipf("needs tap devices: %v", err)
		}
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			s.t.Skipf("needs Open vSwitch and iproute2: %v", err)
		}
	}
	if _, err := os.Stat(schema); err != nil {
		s.t.Skipf("needs Open vSwitch: %v", err)
	}
}

func (s *Server) database() string { return filepath.Join(s.RunDir, "conf.db") }

// StartServer starts ovsdb-server on the same database and socket, if it does not run.
func (s *Server) StartServer() {
	s.t.Helper()
	if s.server != nil {
		return
	}
	s.server = s.start("ovsdb-server", "ovsdb-server", s.database(), "--remote=punix:"+s.Socket,
		"--unixctl="+filepath.Join(s.RunDir, "ovsdb.ctl"), "-vconsole:emer", "-vsyslog:off")
	s.await("ovsdb-server", s.server, func() bool {
		c, err := (&net.Dialer{}).DialContext(context.Background(), "unix", s.Socket)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// StartSwitch starts ovs-vswitchd, if it was asked for and does not run, and waits until it has taken up the configuration.
func (s *Server) StartSwitch() {
	s.t.Helper()
	if s.kind == databaseOnly || s.daemon != nil {
		return
	}
	args := []string{"ovs-vswitchd", "unix:" + s.Socket, "--unixctl=" + s.Control(), "--disable-system",
		"-vconsole:emer", "-vsyslog:off", "-vfile:info", "--log-file=" + filepath.Join(s.RunDir, "vswitchd.log")}
	if s.kind == dummySwitch {
		args = append(args, "--enable-dummy=override")
	}
	if s.Netns != "" {
		args = append([]string{"ip", "netns", "exec", s.Netns}, args...) // which execs: the child is ovs-vswitchd itself
	}
	s.daemon = s.start("ovs-vswitchd", args...)
	var next int
	_, err := fmt.Sscan(s.VSCtl("get", "Open_vSwitch", ".", "next_cfg"), &next)
	s.check(err)
	s.VSCtl("--no-wait", "set", "Open_vSwitch", ".", fmt.Sprintf("next_cfg=%d", next+1))
	s.await("ovs-vswitchd", s.daemon, func() bool {
		return s.VSCtl("get", "Open_vSwitch", ".", "cur_cfg") == fmt.Sprint(next+1)
	})
}

// Control returns the path of ovs-vswitchd's control socket, for ovs-appctl -t.
func (s *Server) Control() string { return filepath.Join(s.RunDir, "vswitchd.ctl") }

// KillServer kills ovsdb-server with SIGKILL, if it runs, and waits for its end.
func (s *Server) KillServer() {
	s.server.kill()
	s.server = nil
	if err := os.Remove(s.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Error(err)
	}
}

// KillSwitch kills ovs-vswitchd with SIGKILL, if it runs, and waits for its end.
func (s *Server) KillSwitch() {
	s.daemon.kill()
	s.daemon = nil
}

// SignalServer sends a signal to ovsdb-server, such as SIGSTOP and SIGCONT.
func (s *Server) SignalServer(sig syscall.Signal) {
	s.t.Helper()
	s.check(s.server.cmd.Process.Signal(sig))
}

// VSCtl runs ovs-vsctl on this database and returns what it prints, without the last newline.
func (s *Server) VSCtl(args ...string) string {
	s.t.Helper()
	return s.Tool("ovs-vsctl", append([]string{"--db=unix:" + s.Socket, "--timeout=15"}, args...)...)
}

// Dump returns the whole database but for the columns that ovs-vswitchd changes by itself, in a form to compare.
func (s *Server) Dump() string {
	s.t.Helper()
	var b strings.Builder
	for _, table := range [][2]string{
		{"Open_vSwitch", "_uuid,bridges,external_ids,other_config"},
		{"Bridge", "_uuid,name,datapath_type,fail_mode,protocols,ports,controller,external_ids,other_config"},
		{"Port", "_uuid,name,interfaces,tag,trunks,vlan_mode,external_ids,other_config"},
		{"Interface", "_uuid,name,type,options,ofport,ofport_request,mac,mtu_request,external_ids,other_config"},
	} {
		rows := strings.Split(s.VSCtl("--format=csv", "--no-headings", "--columns="+table[1], "list", table[0]), "\n")
		slices.Sort(rows)
		fmt.Fprintf(&b, "%s %s\n%s\n", table[0], table[1], strings.Join(rows, "\n"))
	}
	return b.String()
}

// Tool runs a program with this switch's run directory in its environment and returns what it prints, without the last
// newline. The test fails when the program does.
func (s *Server) Tool(name string, args ...string) string {
	s.t.Helper()
	// Background: it also runs in Cleanup, when the test's own context is cancelled.
	ctx, cancel := context.WithTimeout(context.Background(), toolTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = s.env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSuffix(stdout.String(), "\n")
}

func (s *Server) env() []string {
	return append(os.Environ(), "OVS_RUNDIR="+s.RunDir, "OVS_LOGDIR="+s.RunDir, "OVS_DBDIR="+s.RunDir,
		"OVS_SYSCONFDIR="+s.RunDir, "LC_ALL=C")
}

func (s *Server) await(what string, p *process, ready func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(startTimeout); !ready(); {
		select {
		case <-p.done:
			s.t.Fatalf("start %s: %v: %s", what, p.cmd.ProcessState, &p.stderr)
		case <-time.After(time.Until(deadline)):
			s.t.Fatalf("start %s: not ready after %v", what, startTimeout)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *Server) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer // to be read after done
	done   chan struct{}
}

// start runs a daemon that dies with the test process, however that ends. The kernel binds this to the starting thread, so
// one thread is kept for as long as the daemon lives.
func (s *Server) start(what string, args ...string) *process {
	s.t.Helper()
	// Background: the daemon must outlive the test's own context, which ends before what the test registered with Cleanup runs.
	p := &process{cmd: exec.CommandContext(context.Background(), args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir = s.env(), s.RunDir
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // killed, or its stderr says why
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatalf("start %s: %v", what, err)
	}
	return p
}

func (p *process) kill() {
	if p != nil {
		_ = p.cmd.Process.Kill() // fails only if it ended by itself
		<-p.done
	}
}
