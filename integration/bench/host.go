package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/greave-sdn/greave/integration/lab"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// host is a machine of a lab of its own, and clients of what runs on it.
type host struct {
	*lab.Host
	lab  *lab.Lab
	conn *grpc.ClientConn
	greavev1.ConfigServiceClient
	greavev1.StateServiceClient
}

// newHosts starts a fresh lab: what one measurement leaves in a switch is not there for the next.
func (b *bench) newHosts(ctx context.Context, count int) ([]*host, error) {
	opts := lab.Options{Hosts: count}
	if b.profiles != "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		opts.Greaved = self
	}
	l, err := lab.Start(ctx, opts)
	if err != nil {
		return nil, err
	}
	var out []*host
	for _, h := range l.Hosts {
		out = append(out, &host{Host: h, lab: l})
	}
	return out, nil
}

// onHost runs f on a fresh host, with greaved or without.
func (b *bench) onHost(ctx context.Context, greaved bool, f func(*host) error) error {
	return b.onHosts(ctx, 1, greaved, func(h []*host) error { return f(h[0]) })
}

func (b *bench) onHosts(ctx context.Context, count int, greaved bool, f func([]*host) error) error {
	hosts, err := b.newHosts(ctx, count)
	if err != nil {
		return err
	}
	defer hosts[0].lab.Close() //nolint:errcheck // what is left is swept by the next lab
	for _, h := range hosts {
		if greaved {
			if err := h.startGreaved(ctx, b); err != nil {
				return err
			}
		}
		defer h.stopGreaved()
	}
	if err := f(hosts); err != nil {
		return fmt.Errorf("%w\n%.4000s", err, hosts[0].lab.Logs(3))
	}
	return nil
}

func (h *host) startGreaved(ctx context.Context, b *bench, args ...string) error {
	if b.profiles != "" {
		file := filepath.Join(b.profiles, fmt.Sprintf("greaved-%s.pprof", time.Now().Format("150405.000")))
		if err := os.MkdirAll(b.profiles, 0o755); err != nil {
			return err
		}
		for k, v := range map[string]string{roleVariable: roleGreaved, profileVariable: file} {
			if err := os.Setenv(k, v); err != nil {
				return err
			}
			defer os.Unsetenv(k) //nolint:errcheck // of a name that is right
		}
	}
	if err := h.StartGreaved(ctx, args...); err != nil {
		return err
	}
	if h.conn != nil {
		return nil
	}
	var err error
	h.conn, err = grpc.NewClient(h.GreavedSocket(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))
	if err != nil {
		return err
	}
	h.ConfigServiceClient, h.StateServiceClient = greavev1.NewConfigServiceClient(h.conn), greavev1.NewStateServiceClient(h.conn)
	return nil
}

func (h *host) stopGreaved() {
	if h.conn != nil {
		_ = h.conn.Close()
	}
	_ = h.StopGreaved() // the lab kills it otherwise
}

// apply states a document and returns when all of it is realised.
func (h *host) apply(ctx context.Context, state *greavev1.HostState, mode greavev1.ApplyMode) error {
	r, err := h.Apply(ctx, &greavev1.ApplyRequest{State: state, Mode: mode, Wait: durationpb.New(patience), AllowMassRemoval: true})
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if !r.Realised {
		return fmt.Errorf("apply: not realised: %.1000s", fmt.Sprint(r.NotRealised))
	}
	return nil
}

func (h *host) replace(ctx context.Context, state *greavev1.HostState) error {
	return h.apply(ctx, state, greavev1.ApplyMode_APPLY_MODE_REPLACE)
}

func (h *host) merge(ctx context.Context, state *greavev1.HostState) error {
	return h.apply(ctx, state, greavev1.ApplyMode_APPLY_MODE_MERGE)
}

// tool is a command of Open vSwitch on this host's switch. It runs in no namespace: the sockets are
// files, and another process would be timed with it.
func (h *host) tool(ctx context.Context, stdin string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "OVS_RUNDIR="+h.RunDir(), "OVS_DBDIR="+h.RunDir(), "OVS_LOGDIR="+h.RunDir())
	cmd.Stdin = strings.NewReader(stdin)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %.200s: %w: %s", strings.Join(argv, " "), errors.Join(err, ctx.Err()), said.String())
	}
	return string(out), nil
}

// raw connects the least client to this host's database.
func (h *host) raw(ctx context.Context) (*rawDB, error) { return dialRaw(ctx, h.OVSSocket()) }
