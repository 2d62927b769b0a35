package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"

	"github.com/greave-sdn/greave/agent"
)

// The program runs itself for what is to be a process of its own: greaved under a profile, a rival
// whose memory is measured. An environment variable says as what.
const (
	roleVariable    = "GREAVE_BENCH_ROLE"
	profileVariable = "GREAVE_BENCH_PROFILE"
	roleGreaved     = "greaved"
)

// actRole does what this process is for, if it is not to measure.
func actRole(ctx context.Context) (done bool, err error) {
	switch os.Getenv(roleVariable) {
	case "":
		return false, nil
	case roleGreaved:
		return true, profiledGreaved(ctx)
	}
	return true, fmt.Errorf("no role %q", os.Getenv(roleVariable))
}

// profiledGreaved is greaved, with a CPU profile of its whole life.
func profiledGreaved(ctx context.Context) error {
	f, err := os.Create(os.Getenv(profileVariable))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // a profile that is cut short is seen when it is read
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
