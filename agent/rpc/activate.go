package rpc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// Mover makes ports active whose guests were moved here, and speaks for them.
type Mover interface {
	Activate(ctx context.Context, port model.ResolvedPort) error
	// Announce returns the number of frames sent.
	Announce(ctx context.Context, port model.ResolvedPort) (int, error)
}

// activateLimit bounds the wait for the pass that makes a port active.
const activateLimit = 30 * time.Second

// Activate implements greavev1.PortServiceServer.
func (s *Server) Activate(ctx context.Context, r *greavev1.ActivateRequest) (*greavev1.ActivateResponse, error) {
	if r.Port == "" {
		return nil, model.FieldErrors{{Path: "port", Reason: model.ReasonRequired, Message: "the name of a port is missing", Remedy: "name one of ports"}}
	}
	port, err := s.movable(ctx, r.Port)
	if err != nil {
		return nil, err
	}
	out := &greavev1.ActivateResponse{WasActive: !port.Staged}
	if port.Staged {
		if err := s.activate(ctx, port); err != nil {
			return nil, err
		}
	}
	n, err := s.cfg.Mover.Announce(ctx, port)
	out.Announcements = uint32(n)
	return out, err
}

// movable finds a port with an activation that is in place.
func (s *Server) movable(ctx context.Context, name string) (model.ResolvedPort, error) {
	ref := model.Ref{Kind: model.KindPort, Name: name}
	all := s.cfg.Loop.Desired().Ports
	i := slices.IndexFunc(all, func(p model.Port) bool { return p.Name == name })
	switch {
	case i < 0:
		return model.ResolvedPort{}, failure(codes.NotFound, "NOT_FOUND", fmt.Sprintf("no source states a %s", ref))
	case all[i].Activation == 0:
		return model.ResolvedPort{}, failure(codes.FailedPrecondition, "NO_ACTIVATION", fmt.Sprintf("%s has no activation: it is active from the start", ref))
	}
	want, err := s.cfg.Loop.Resolved(ctx)
	if err != nil {
		return model.ResolvedPort{}, err
	}
	for _, p := range want.Ports {
		if p.Ref() == ref && p.Activation != 0 {
			return p, nil
		}
	}
	o, _ := s.cfg.Loop.Status().Object(ref)
	return model.ResolvedPort{}, failure(codes.FailedPrecondition, "NOT_IN_PLACE", fmt.Sprintf("%s is not in place yet: %s", ref, o.Ready().Message))
}

// activate marks a port, and waits until its flows are those of any port.
func (s *Server) activate(ctx context.Context, port model.ResolvedPort) error {
	ctx, cancel := context.WithTimeout(ctx, activateLimit)
	defer cancel()
	if err := s.cfg.Mover.Activate(ctx, port); err != nil {
		return err
	}
	s.cfg.Loop.Kick()
	for st := s.cfg.Loop.Status(); ; {
		if activated(st, port.Ref()) {
			return nil
		}
		var err error
		if st, err = s.cfg.Loop.Next(ctx, st.Version); err != nil {
			return fmt.Errorf("wait until %s is active: %w", port.Ref(), err)
		}
	}
}

func activated(st reconcile.HostStatus, ref model.Ref) bool {
	o, _ := st.Object(ref)
	active, _ := o.Activated()
	return active
}
