// Package agent owns the wiring of greaved: what is made of what, the order of
// start and stop, and the watched directory. It is the only package that knows
// all others.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/greave-sdn/greave/agent/facts"
	"github.com/greave-sdn/greave/agent/kernel"
	"github.com/greave-sdn/greave/agent/ovs"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/agent/rpc"
	"github.com/greave-sdn/greave/agent/store"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/ovsdb"
)

// Config is what greaved is told. Empty fields are filled by Defaults.
type Config struct {
	Name      string `yaml:"name"`       // of this host; the owner's mark derives from it
	OVSDB     string `yaml:"ovsdb"`      // socket of ovsdb-server: unix:/path
	OVSRunDir string `yaml:"ovs-rundir"` // where ovs-vswitchd keeps its management sockets
	Listen    string `yaml:"listen"`     // socket of the API: unix:/path
	StateDir  string `yaml:"state-dir"`  // accepted states
	Files     string `yaml:"file"`       // directory of *.yaml that is a source, watched; empty: none
	// AllowMassRemoval: a pass needs nobody's yes to take away much of what greave has on the host.
	AllowMassRemoval bool   `yaml:"allow-mass-removal"`
	Group            string `yaml:"group"` // that may use the API's socket; when not stated: greave if the host has it, else root's
}

// Places where Open vSwitch keeps its database socket, by distribution.
var ovsdbPlaces = []string{"/run/openvswitch/db.sock", "/var/run/openvswitch/db.sock", "/usr/local/var/run/openvswitch/db.sock"}

// Defaults fills what is empty, so that greaved needs no flag on an ordinary host.
func (c Config) Defaults() (Config, error) {
	if c.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("find the name of this host: %w; say --name", err)
		}
		c.Name = name
	}
	if !model.ValidName(c.Name) {
		return c, fmt.Errorf("name %q: use 1-253 letters, digits, '.', '_' or '-'", c.Name)
	}
	if c.Group != "" {
		if _, err := user.LookupGroup(c.Group); err != nil {
			return c, fmt.Errorf("group %q: this host has no such group: make it with groupadd, or leave it out", c.Group)
		}
	}
	if c.OVSDB == "" {
		c.OVSDB = "unix:" + ovsdbPlaces[0]
		for _, p := range ovsdbPlaces {
			if _, err := os.Stat(p); err == nil {
				c.OVSDB = "unix:" + p
				break
			}
		}
	}
	if c.OVSRunDir == "" {
		c.OVSRunDir = filepath.Dir(strings.TrimPrefix(c.OVSDB, "unix:"))
	}
	if c.Listen == "" {
		c.Listen = "unix:/run/greave/greaved.sock"
	}
	if c.StateDir == "" {
		c.StateDir = "/var/lib/greave"
	}
	if c.Group == "" {
		c.Group = "greave"
	}
	return c, nil
}

// Run is greaved: it returns when ctx ends or something it cannot do without
// fails. What it built stays.
func Run(ctx context.Context, c Config, version string, log *slog.Logger) (err error) {
	st, err := store.Open(c.StateDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, w := range st.Warnings() {
		log.Warn("state set aside", "component", "store", "err", w)
	}
	owner := model.NewOwner(c.Name)
	host := facts.New()
	session := ovsdb.New(ovsdb.Config{Endpoint: c.OVSDB, Logger: log.With("component", "ovsdb")})
	lock := ovsdb.NewLock(ovsdb.Config{Endpoint: c.OVSDB, Logger: log.With("component", "ovsdb")}, c.Name)
	backend := ovs.New(ovs.Config{
		Owner: owner, Session: session, Lock: lock, Host: host, Now: time.Now, Here: func() bool { return hasOVS(c.OVSDB) },
		Switch: ofctl.New(ofctl.Config{RunDir: c.OVSRunDir, Logger: log.With("component", "ofctl")}),
		Logger: log.With("component", "ovs"),
	})
	tables := kernel.NewHost()
	defer tables.Close()
	devices := kernel.New(kernel.Config{Owner: owner, Tables: tables, Facts: host, Now: time.Now, Logger: log.With("component", "kernel")})
	both := reconcile.Join(devices, backend)
	loop := reconcile.New(reconcile.Config{
		Host: c.Name, Owner: owner, Backend: both, Store: st, Decode: rpc.Decode, Standby: lock.Standby, AllowMassRemoval: c.AllowMassRemoval,
		Logger: log, Now: time.Now,
	})
	if err := loop.Load(); err != nil {
		return err
	}
	listener, err := rpc.Listen(ctx, c.Listen, c.Group)
	if err != nil {
		return err
	}
	server := rpc.New(rpc.Config{
		Host: c.Name, Owner: owner, Version: version, Socket: c.OVSDB, Loop: loop, Backend: backend, Kernel: devices, Mover: backend, Now: time.Now,
		Logger: log.With("component", "rpc"),
	})
	log.Info("started", "component", "agent", "host", c.Name, "listen", c.Listen, "ovsdb", c.OVSDB)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return session.Run(ctx) })
	g.Go(func() error { return lock.Run(ctx) })
	g.Go(func() error { return host.Run(ctx) })
	g.Go(func() error { return backend.Run(ctx) })
	g.Go(func() error { return devices.Run(ctx) })
	g.Go(func() error { return both.Run(ctx) })
	g.Go(func() error {
		if hasOVS(c.OVSDB) {
			firstSight(ctx, session, lock)
		}
		return loop.Run(ctx)
	})
	g.Go(func() error { return server.Serve(ctx, listener) })
	g.Go(func() error { return watchdog(ctx, loop) })
	g.Go(func() error { return supervise(ctx, loop, log.With("component", "supervise")) })
	if c.Files != "" {
		f := newFiles(c.Files, loop, log.With("component", "files"))
		g.Go(func() error { return f.run(ctx) })
	}
	return g.Wait()
}

// hasOVS tells whether the host has Open vSwitch, running or not: the directory
// of its socket or, at the usual places, its database is there. Only where it
// has not does backend auto mean the kernel.
func hasOVS(socket string) bool {
	path := strings.TrimPrefix(socket, "unix:")
	look := []string{filepath.Dir(path)}
	if slices.Contains(ovsdbPlaces, path) {
		look = append(look, "/etc/openvswitch/conf.db", "/var/lib/openvswitch/conf.db")
	}
	return slices.ContainsFunc(look, func(p string) bool {
		_, err := os.Stat(p)
		return err == nil
	})
}

// firstSight waits a moment for the database and its lock, so that an ordinary start does
// not begin with a pass that sees nothing and says so.
func firstSight(ctx context.Context, session *ovsdb.Session, lock *ovsdb.Lock) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for !session.Synced() || lock.State() == ovsdb.LockUnknown {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}
