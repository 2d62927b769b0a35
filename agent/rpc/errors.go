package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow/ofctl"
	"github.com/greave-sdn/greave/ovsdb"
)

// Domain is the domain of every ErrorInfo that greave sends.
const Domain = "greave"

// Reasons of ErrorInfo. They are part of the API: never reword. A document that
// is refused for one single reason carries that reason (model.Reason…).
const (
	ReasonInvalidDocument = "INVALID_DOCUMENT"
	ReasonStaleRevision   = "STALE_REVISION"
	ReasonNoSuchRevision  = "NO_SUCH_REVISION"
	ReasonNoSuchObject    = "NO_SUCH_OBJECT"
	ReasonNotConfirmed    = "NOT_CONFIRMED"
	ReasonStorage         = "STORAGE_FAILED"
	ReasonSwitchStalled   = "SWITCH_STALLED"
)

// failure makes a status error with a reason and further details.
func failure(code codes.Code, reason, message string, more ...protoadapt.MessageV1) error {
	return failureWith(code, &errdetails.ErrorInfo{Reason: reason, Domain: Domain}, message, more...)
}

func failureWith(code codes.Code, info *errdetails.ErrorInfo, message string, more ...protoadapt.MessageV1) error {
	s, err := status.New(code, message).WithDetails(append([]protoadapt.MessageV1{info}, more...)...)
	if err != nil { // only for details that cannot be marshalled
		return status.Error(code, message)
	}
	return s.Err()
}

// toStatus maps an error of the loop to what a client sees.
func (s *Server) toStatus(err error) error {
	var fields model.FieldErrors
	var stale *reconcile.StaleError
	var storage *reconcile.StoreError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fields):
		return fieldFailure(fields)
	case errors.As(err, &stale):
		return staleFailure(stale)
	case errors.Is(err, context.DeadlineExceeded):
		return failure(codes.DeadlineExceeded, "DEADLINE", err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, reconcile.ErrNoRevision):
		return failure(codes.NotFound, ReasonNoSuchRevision, err.Error())
	case errors.As(err, &storage):
		return failure(codes.ResourceExhausted, ReasonStorage, "nothing was changed: "+err.Error()+"; mend the state directory and try again")
	case errors.Is(err, ovsdb.ErrSwitchStalled), errors.Is(err, ofctl.ErrNoSwitch):
		return failure(codes.Unavailable, ReasonSwitchStalled, err.Error())
	case errors.Is(err, ovsdb.ErrNotSynced), errors.Is(err, ovsdb.ErrNotConnected):
		return failureWith(codes.Unavailable, &errdetails.ErrorInfo{
			Reason: model.NoticeOVSAbsent, Domain: Domain, Metadata: map[string]string{"socket": s.cfg.Socket},
		}, "Open vSwitch does not answer: "+err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, err.Error())
}

func staleFailure(e *reconcile.StaleError) error {
	return failureWith(codes.Aborted, &errdetails.ErrorInfo{
		Reason: ReasonStaleRevision, Domain: Domain,
		Metadata: map[string]string{"current_revision": fmt.Sprint(e.Current)},
	}, e.Error())
}

// fieldFailure is a refused document: every fault with its field path.
func fieldFailure(list model.FieldErrors) error {
	bad := &errdetails.BadRequest{}
	reasons := map[string]bool{}
	for _, e := range list {
		reasons[e.Reason] = true
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: e.Path, Description: strings.TrimPrefix(e.Error(), e.Path+": "), Reason: e.Reason,
		})
	}
	code, reason := codes.InvalidArgument, ReasonInvalidDocument
	if len(reasons) == 1 {
		reason = list[0].Reason
		switch reason {
		case model.ReasonUnimplemented:
			code = codes.Unimplemented
		case model.ReasonWrongHost:
			code = codes.FailedPrecondition
		}
	}
	return failure(code, reason, list.Error(), bad)
}
