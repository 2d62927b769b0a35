package rpc

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/openflow"
	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// Get says how the host is.
func (s *Server) Get(ctx context.Context, _ *greavev1.GetRequest) (*greavev1.GetResponse, error) {
	st := s.cfg.Loop.Status()
	out := &greavev1.HostStatus{
		Host: s.cfg.Host, OwnerId: st.Owner, Version: s.cfg.Version,
		StartedAt: timestamppb.New(s.started), Conditions: wireConditions(st.Conditions), Passes: st.PassNumber,
		Ovs: &greavev1.OvsStatus{State: greavev1.OvsState_OVS_STATE_DISCONNECTED, Socket: s.cfg.Socket},
	}
	if !st.LastPass.IsZero() {
		out.ObservedAt = timestamppb.New(st.LastPass)
	}
	if in, err := s.cfg.Backend.Inspect(ctx); err == nil {
		out.Ovs.State, out.Ovs.Version = greavev1.OvsState_OVS_STATE_CONNECTED, in.Facts.OVS.Version
	} else if in.Facts.OVS != nil {
		out.Ovs.State, out.Ovs.Version = greavev1.OvsState_OVS_STATE_SWITCH_STALLED, in.Facts.OVS.Version
	} else if !in.Facts.OVSHere {
		out.Ovs.State = greavev1.OvsState_OVS_STATE_ABSENT
	}
	counts := map[greavev1.ResourceState]uint32{}
	owned := map[string]uint32{}
	for _, o := range st.Objects {
		counts[greavev1.ResourceState(o.State)]++
		owned[o.Source]++
	}
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		out.Counts = append(out.Counts, &greavev1.StateCount{State: k, Count: counts[k]})
	}
	for _, src := range st.Sources {
		w := &greavev1.SourceStatus{Source: src.Source, Revision: src.Revision, Objects: owned[src.Source]}
		if src.Realised {
			w.RealisedRevision = src.Revision
		}
		if doc, ok := s.document(src.Source); ok {
			w.AcceptedAt = timestamppb.New(doc.Time)
		}
		out.Sources = append(out.Sources, w)
	}
	return &greavev1.GetResponse{Status: out}, nil
}

// List lists objects with what the host has of them.
func (s *Server) List(ctx context.Context, r *greavev1.ListRequest) (*greavev1.ListResponse, error) {
	st := s.cfg.Loop.Status()
	bindings, err := s.cfg.Loop.Bindings(ctx)
	if err != nil {
		return nil, err
	}
	var v *view
	if in, err := s.cfg.Backend.Inspect(ctx); err == nil {
		v = newView(in, s.cfg.Loop.Desired(), s.cfg.Owner, bindings, timestamppb.New(s.cfg.Now()))
	}
	kv, err := s.kernelView(ctx, bindings)
	if err != nil {
		return nil, err
	}
	all := st.Objects
	if r.Foreign && v != nil {
		all = slices.Concat(all, v.foreign())
	}
	if r.Foreign && kv != nil {
		all = slices.Concat(all, kv.foreign())
	}
	var match []reconcile.ObjectStatus
	for _, o := range all {
		if (r.Kind == 0 || convert.KindToWire(o.Ref.Kind) == r.Kind) && (r.Name == "" || o.Ref.Name == r.Name) {
			match = append(match, o)
		}
	}
	from, err := strconv.Atoi(cmp.Or(r.PageToken, "0"))
	if err != nil || from < 0 || from > len(match) {
		return nil, failure(codes.InvalidArgument, model.ReasonInvalid, "page_token is not one that List gave")
	}
	to := min(from+cmp.Or(int(r.PageSize), len(match)), len(match))
	out := &greavev1.ListResponse{}
	for _, o := range match[from:to] {
		obj := &greavev1.Object{Status: wireStatus(o)}
		switch {
		case o.Backend == model.BackendKernel.String():
			if kv != nil {
				kv.fill(obj, o.Ref)
			}
		case v != nil:
			v.fill(obj, o.Ref)
		}
		if r.Segment == "" || inSegment(obj, r.Segment) {
			out.Objects = append(out.Objects, obj)
		}
	}
	if to < len(match) {
		out.NextPageToken = strconv.Itoa(to)
	}
	return out, nil
}

// kernelView reads the kernel's tables; nil when they cannot be read.
func (s *Server) kernelView(ctx context.Context, b *openflow.Bindings) (*kernelView, error) {
	if s.cfg.Kernel == nil {
		return nil, nil
	}
	want, err := s.cfg.Loop.Resolved(ctx)
	if err != nil {
		return nil, err
	}
	in, err := s.cfg.Kernel.Inspect(ctx, want, b)
	if err != nil {
		s.cfg.Logger.Warn("kernel not read", "err", err)
		return nil, nil
	}
	return newKernelView(in, want.For(model.BackendKernel), timestamppb.New(s.cfg.Now())), nil
}

func inSegment(o *greavev1.Object, segment string) bool {
	return o.GetFdb().GetSegment() == segment || slices.Contains(o.GetPort().GetSegments(), segment) ||
		slices.Contains(o.GetPeer().GetSegments(), segment) ||
		o.Status.Kind == greavev1.ObjectKind_OBJECT_KIND_SEGMENT && o.Status.Name == segment
}

// Watch sends every object's status, then SYNCED, then changes. A slow client
// misses steps in between, never the last state.
func (s *Server) Watch(r *greavev1.WatchRequest, stream grpc.ServerStreamingServer[greavev1.WatchResponse]) error {
	if r.Foreign {
		return model.FieldErrors{{Path: "foreign", Value: "true", Reason: model.ReasonUnimplemented, Message: "is not supported yet: changes of what is not greave's are not told", Remedy: "leave it out, and use List"}}
	}
	sent := map[model.Ref]*greavev1.ObjectStatus{}
	st := s.cfg.Loop.Status()
	for first := true; ; first = false {
		if err := s.sendChanges(r, st, sent, stream); err != nil {
			return err
		}
		if first {
			if err := stream.Send(&greavev1.WatchResponse{Type: greavev1.EventType_EVENT_TYPE_SYNCED, At: timestamppb.New(s.cfg.Now())}); err != nil {
				return err
			}
		}
		var err error
		if st, err = s.cfg.Loop.Next(stream.Context(), st.Version); err != nil {
			return err
		}
	}
}

func (s *Server) sendChanges(r *greavev1.WatchRequest, st reconcile.HostStatus, sent map[model.Ref]*greavev1.ObjectStatus, stream grpc.ServerStreamingServer[greavev1.WatchResponse]) error {
	at := timestamppb.New(s.cfg.Now())
	now := map[model.Ref]bool{}
	for _, o := range st.Objects {
		w := wireStatus(o)
		if len(r.Kinds) > 0 && !slices.Contains(r.Kinds, w.Kind) {
			continue
		}
		now[o.Ref] = true
		old, known := sent[o.Ref]
		if known && proto.Equal(old, w) {
			continue
		}
		event := greavev1.EventType_EVENT_TYPE_ADDED
		if known {
			event = greavev1.EventType_EVENT_TYPE_MODIFIED
		}
		sent[o.Ref] = w
		if err := stream.Send(&greavev1.WatchResponse{Type: event, Object: &greavev1.Object{Status: w}, At: at}); err != nil {
			return err
		}
	}
	for _, ref := range sortedRefs(sent) {
		if now[ref] {
			continue
		}
		w := sent[ref]
		delete(sent, ref)
		if err := stream.Send(&greavev1.WatchResponse{Type: greavev1.EventType_EVENT_TYPE_REMOVED, Object: &greavev1.Object{Status: w}, At: at}); err != nil {
			return err
		}
	}
	return nil
}

func wireStatuses(list []reconcile.ObjectStatus) []*greavev1.ObjectStatus {
	out := make([]*greavev1.ObjectStatus, len(list))
	for i, o := range list {
		out[i] = wireStatus(o)
	}
	return out
}

// wireStatus turns a status into its wire form; states have the same numbers on
// both sides.
func wireStatus(o reconcile.ObjectStatus) *greavev1.ObjectStatus {
	out := &greavev1.ObjectStatus{
		Kind: convert.KindToWire(o.Ref.Kind), Name: o.Ref.Name, Source: o.Source,
		Backend: wireBackend(o.Backend), BackendReason: o.BackendReason, Revision: o.Revision,
		State: greavev1.ResourceState(o.State), Conditions: wireConditions(o.Conditions),
	}
	if ready := o.Ready(); !ready.Since.IsZero() {
		out.Since = timestamppb.New(ready.Since)
	}
	for _, b := range o.BlockedOn {
		out.BlockedOn = append(out.BlockedOn, b.Mark())
	}
	return out
}

func wireBackend(name string) greavev1.Backend {
	switch name {
	case model.BackendOVS.String():
		return greavev1.Backend_BACKEND_OVS
	case model.BackendKernel.String():
		return greavev1.Backend_BACKEND_KERNEL
	}
	return greavev1.Backend_BACKEND_UNSPECIFIED
}

func wireConditions(list []reconcile.Condition) []*greavev1.Condition {
	var out []*greavev1.Condition
	for _, c := range list {
		w := &greavev1.Condition{Type: c.Type, Reason: c.Reason, Message: c.Message, Since: timestamppb.New(c.Since), Status: greavev1.ConditionStatus_CONDITION_STATUS_FALSE}
		if c.Status {
			w.Status = greavev1.ConditionStatus_CONDITION_STATUS_TRUE
		}
		out = append(out, w)
	}
	return out
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func sortedRefs[V any](m map[model.Ref]V) []model.Ref {
	return slices.SortedFunc(maps.Keys(m), model.Ref.Compare)
}
