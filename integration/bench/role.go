package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime/pprof"
	"strings"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"

	"github.com/greave-sdn/greave/agent"
)

// The program runs itself for what is to be a process of its own: greaved under a profile, a rival
// whose memory is measured. An environment variable says as what.
const (
	roleVariable    = "GREAVE_BENCH_ROLE"
	profileVariable = "GREAVE_BENCH_PROFILE"
	socketVariable  = "GREAVE_BENCH_SOCKET"
	roleGreaved     = "greaved"
	roleMonitor     = "monitor"
	roleSink        = "sink"
	roleSource      = "source"
)

// actRole does what this process is for, if it is not to measure.
func actRole(ctx context.Context) (done bool, err error) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		return false, nil
	case roleGreaved:
		return true, profiledGreaved(ctx)
	case roleMonitor:
		return true, monitorEverything(ctx, os.Getenv(socketVariable))
	case roleSink:
		return true, sink(os.Getenv(socketVariable))
	case roleSource:
		return true, source(os.Getenv(socketVariable))
	default:
		return true, fmt.Errorf("no role %q", role)
	}
}

// profiledGreaved is greaved, with a CPU profile of its whole life.
func profiledGreaved(ctx context.Context) error {
	f, err := os.Create(os.Getenv(profileVariable))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	var c agent.Config
	flag.StringVar(&c.Name, "name", "", "")
	flag.StringVar(&c.OVSDB, "ovsdb", "", "")
	flag.StringVar(&c.OVSRunDir, "ovs-rundir", "", "")
	flag.StringVar(&c.Listen, "listen", "", "")
	flag.StringVar(&c.StateDir, "state-dir", "", "")
	flag.Parse()
	if c, err = c.Defaults(); err != nil {
		return err
	}
	return agent.Run(ctx, c, "profiled", slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// monitorEverything is a libovsdb client with every column of the four tables, as programs that use
// the library commonly have it. It says when its cache is complete, and then stays.
func monitorEverything(ctx context.Context, socket string) error {
	tables, err := model.NewClientDBModel("Open_vSwitch", map[string]model.Model{
		"Open_vSwitch": &openvSwitchRow{}, "Bridge": &bridgeRow{}, "Port": &portRow{}, "Interface": &interfaceRow{},
	})
	if err != nil {
		return err
	}
	quiet := logr.Discard()
	c, err := client.NewOVSDBClient(tables, client.WithEndpoint(socket), client.WithLogger(&quiet))
	if err != nil {
		return err
	}
	if err := c.Connect(ctx); err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.MonitorAll(ctx); err != nil {
		return err
	}
	fmt.Println(ready)
	<-ctx.Done()
	return nil
}

const ready = "ready"

// self is this program in another role, from its start to the word that it is ready.
type self struct {
	cmd *exec.Cmd
}

func startSelf(ctx context.Context, role, socket string, inside ...string) (*self, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	argv := append(inside, program)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, socketVariable+"="+socket)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &self{cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != ready {
		s.stop()
		return nil, fmt.Errorf("start %s: says %q: %w", role, line, errors.Join(err, errors.New("not ready")))
	}
	return s, nil
}

func (s *self) pid() int { return s.cmd.Process.Pid }

func (s *self) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}
