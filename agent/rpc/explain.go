package rpc

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// explainGroup names the object behind a group. Groups have no cookie: their
// numbers are bound to objects.
func (s *Server) explainGroup(ctx context.Context, line string) (*greavev1.ExplainResponse, error) {
	g, err := openflow.ParseGroup(line)
	if err != nil {
		return nil, failure(codes.InvalidArgument, model.ReasonInvalid, fmt.Sprintf("no group as ovs-ofctl dump-groups prints it: %v", err))
	}
	bindings, err := s.cfg.Loop.Bindings(ctx)
	if err != nil {
		return nil, err
	}
	out := &greavev1.ExplainResponse{Group: proto.Uint32(uint32(g.ID))}
	ref, ok := bindings.GroupObject(g.ID)
	if !ok || g.ID < openflow.GroupMin || g.ID > openflow.GroupMax {
		out.Foreign, out.Text = true, "not greave's"
		return out, nil
	}
	out.Kind, out.Name, out.Text = convert.KindToWire(ref.Kind), ref.Name, "copies of its floods"
	if ref.Kind == model.KindPeer {
		out.Text = "the way to it"
	}
	if o, known := s.cfg.Loop.Status().Object(ref); known {
		out.Source = o.Source
	}
	return out, nil
}
