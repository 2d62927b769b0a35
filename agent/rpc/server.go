// Package rpc owns the gRPC services: it turns requests into submissions to the
// loop and the loop's status, plans and errors into their wire form. It must
// not import libovsdb or netlink, and decides nothing about the host.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/greave-sdn/greave/agent/kernel"
	"github.com/greave-sdn/greave/agent/ovs"
	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// MaxMessage is the largest request: a document of about 400,000 FDB entries.
const MaxMessage = 64 << 20

// stopGrace is how long requests in flight may take when the daemon stops.
const stopGrace = 2 * time.Second

// Inspector reads the host for people.
type Inspector interface {
	Inspect(ctx context.Context) (ovs.Inspection, error)
}

// KernelInspector reads the kernel's tables for people.
type KernelInspector interface {
	Inspect(ctx context.Context, want model.Resolved, b *openflow.Bindings) (kernel.Inspection, error)
}

// Config says what the services stand on.
type Config struct {
	Host    string
	Owner   model.Owner
	Version string
	Socket  string // of ovsdb-server, for status
	Loop    *reconcile.Loop
	Backend Inspector
	Kernel  KernelInspector
	Mover   Mover
	Logger  *slog.Logger
	Now     func() time.Time
}

// Server is the gRPC server with all its services.
type Server struct {
	cfg     Config
	started time.Time
	merging sync.Mutex // one acceptance of MERGEs at a time
	merges  mergeQueue
	greavev1.UnimplementedConfigServiceServer
	greavev1.UnimplementedStateServiceServer
	greavev1.UnimplementedPortServiceServer
}

// New returns a server that does not serve yet.
func New(cfg Config) *Server { return &Server{cfg: cfg, started: cfg.Now()} }

// Decode reads a stored document.
func Decode(document []byte) (model.HostState, error) {
	wire, err := convert.Decode(document)
	if err != nil {
		return model.HostState{}, err
	}
	state, fields := convert.FromWire(wire)
	if len(fields) > 0 {
		return model.HostState{}, fields
	}
	return state, nil
}

// Serve answers on l until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage),
		grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream),
	)
	greavev1.RegisterConfigServiceServer(g, s)
	greavev1.RegisterStateServiceServer(g, s)
	greavev1.RegisterPortServiceServer(g, s)
	h := health.NewServer()
	for name := range g.GetServiceInfo() { // what a probe may name, besides the server as a whole
		h.SetServingStatus(name, healthv1.HealthCheckResponse_SERVING)
	}
	healthv1.RegisterHealthServer(g, h)
	reflection.Register(g)
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		h.Shutdown()
		timer := time.AfterFunc(stopGrace, g.Stop)
		defer timer.Stop()
		g.GracefulStop()
	}()
	err := g.Serve(l)
	if ctx.Err() == nil {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	<-done
	return nil
}

// unary keeps a fault in one request from ending the daemon.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer s.recovered(info.FullMethod, &err)
	resp, err = next(ctx, req)
	return resp, s.toStatus(err)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer s.recovered(info.FullMethod, &err)
	return s.toStatus(next(srv, ss))
}

func (s *Server) recovered(method string, err *error) {
	if r := recover(); r != nil {
		s.cfg.Logger.Error("request failed", "op", method, "err", errors.New(fmt.Sprint(r)), "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "internal error; the daemon's log says more")
	}
}
