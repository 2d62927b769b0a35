package conformance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

const schema = "/usr/share/openvswitch/vswitch.ovsschema"

func (h *host) db() string { return filepath.Join(h.dir, "db.sock") }

// startOVS starts a database and a switch on the host.
func (h *host) startOVS(flags ...string) error {
	conf := filepath.Join(h.dir, "conf.db")
	if err := h.run("ovsdb-tool", "create", conf, schema); err != nil {
		return err
	}
	if err := h.start("ovsdb-server", conf, "--remote=punix:"+h.db(), "--no-chdir", "--pidfile", "-vconsole:warn"); err != nil {
		return err
	}
	if err := poll(func() error { return dialable(h.db()) }); err != nil {
		return fmt.Errorf("%w\n%s", err, h.Logs())
	}
	if err := h.run("ovs-vsctl", "--timeout=30", "--no-wait", "init"); err != nil {
		return err
	}
	if err := h.start("ovs-vswitchd", append([]string{"unix:" + h.db(), "--no-chdir", "--pidfile", "-vconsole:warn"}, flags...)...); err != nil {
		return err
	}
	// The kernel datapath and its ports outlive the switch, if not the namespace, otherwise.
	h.f.t.Cleanup(func() { check(h.f.t, h.run("ovs-appctl", "--timeout=30", "exit", "--cleanup")) })
	return nil
}

// startGreaved starts the daemon and returns a client of it.
func (h *host) startGreaved() (greavev1.ConfigServiceClient, error) {
	db := h.db()
	if h.Kind == Kernel {
		db = "/nonexistent/db.sock"
	}
	socket := filepath.Join(h.dir, "greaved.sock")
	err := h.start(h.f.greaved, "--name", h.Name, "--ovsdb", "unix:"+db, "--listen", "unix:"+socket, "--state-dir", filepath.Join(h.dir, "state"))
	if err != nil {
		return nil, err
	}
	if err := poll(func() error { return dialable(socket) }); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, h.Logs())
	}
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	h.f.t.Cleanup(func() { check(h.f.t, conn.Close()) })
	return greavev1.NewConfigServiceClient(conn), nil
}

func (h *host) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "OVS_RUNDIR="+h.dir, "OVS_LOGDIR="+h.dir, "OVS_DBDIR="+h.dir, "OVS_SYSCONFDIR="+h.dir)
	cmd.WaitDelay = time.Second
	return cmd
}

// run runs a command on the host to its end.
func (h *host) run(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var said bytes.Buffer
	err := h.in(func() error {
		cmd := h.command(ctx, name, args...)
		cmd.Stdout, cmd.Stderr = &said, &said
		return cmd.Run()
	})
	if err != nil {
		return fmt.Errorf("run %s %v: %w: %s", name, args, err, said.String())
	}
	return nil
}

// start starts a daemon on the host, to be killed with the fabric and, by the kernel, with this
// process.
func (h *host) start(path string, args ...string) error {
	name := filepath.Base(path)
	log, err := os.Create(filepath.Join(h.dir, name+".out"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := h.command(context.Background(), path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := h.in(cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	h.f.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return nil
}

// ethtoolSet is the ioctl of one ethtool command with a number (struct ethtool_value).
func ethtoolSet(fd int, device string, command, value uint32) error {
	data := struct{ command, value uint32 }{command, value}
	request := struct { // struct ifreq
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&data)}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return fmt.Errorf("set ethtool %#x of %s: %w", command, device, errno)
	}
	return nil
}
