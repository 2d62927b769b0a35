package rpc

import (
	"context"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/greave-sdn/greave/model"
	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// mergeCall is a MERGE that waits for its turn. All but its request belongs to
// who holds Server.merging.
type mergeCall struct {
	request  *greavev1.ApplyRequest
	accepted bool
	revision uint64
	alone    bool // it was refused in company
}

// mergeQueue is the MERGEs that wait.
type mergeQueue struct {
	mu      sync.Mutex
	waiting []*mergeCall
}

// submitMerge accepts a MERGE. They take turns, as each reads what is in force
// and writes it back; those that came while one was being accepted are accepted
// together then, as one revision. With thousands of objects in force one
// acceptance costs more than what it adds, and each is a pass and a transaction.
func (s *Server) submitMerge(ctx context.Context, r *greavev1.ApplyRequest) (uint64, error) {
	call := &mergeCall{request: r}
	s.merges.add(call)
	s.merging.Lock()
	defer s.merging.Unlock()
	if call.accepted {
		return call.revision, nil
	}
	together := s.merges.take(call)
	if len(together) > 1 {
		// Of many callers, one that leaves does not take the others' word back.
		revision, err := s.accept(context.WithoutCancel(ctx), joint(together))
		for _, c := range together {
			c.accepted, c.revision, c.alone = err == nil, revision, err != nil
		}
		if err == nil {
			return revision, nil
		}
	}
	return s.accept(ctx, r)
}

func (q *mergeQueue) add(c *mergeCall) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, c)
}

// take takes first out of the queue, and all that can be accepted with it: of
// the same source and comment, without conditions, about other objects. One that
// was refused in company is accepted or refused alone, so that the fault finds
// its caller.
func (q *mergeQueue) take(first *mergeCall) []*mergeCall {
	q.mu.Lock()
	defer q.mu.Unlock()
	together := []*mergeCall{first}
	var rest []*mergeCall
	about := map[model.Ref]bool{}
	claims(about, first.request)
	for _, c := range q.waiting {
		switch {
		case c == first:
		case alone(first) || alone(c) || !sameKind(first.request, c.request) || !claims(about, c.request):
			rest = append(rest, c)
		default:
			together = append(together, c)
		}
	}
	q.waiting = rest
	return together
}

func alone(c *mergeCall) bool {
	return c.alone || c.request.BaseRevision != nil || c.request.ValidateOnly
}

func sameKind(a, b *greavev1.ApplyRequest) bool {
	return sourceOf(a.Source) == sourceOf(b.Source) && a.Comment == b.Comment && a.State.GetHost() == b.State.GetHost() &&
		a.AllowMassRemoval == b.AllowMassRemoval
}

// claims enters what a request is about, unless something of it is entered.
func claims(about map[model.Ref]bool, r *greavev1.ApplyRequest) bool {
	refs := convert.About(r.State, r.Remove)
	for _, ref := range refs {
		if about[ref] {
			return false
		}
	}
	for _, ref := range refs {
		about[ref] = true
	}
	return len(refs) > 0 // what is about nothing is refused, which the others must not hide
}

// joint is several MERGEs as one.
func joint(calls []*mergeCall) *greavev1.ApplyRequest {
	first := calls[0].request
	out := &greavev1.ApplyRequest{Source: first.Source, Mode: first.Mode, Comment: first.Comment, AllowMassRemoval: first.AllowMassRemoval, State: &greavev1.HostState{}}
	for _, c := range calls {
		appendLists(out.State, c.request.State)
		out.Remove = append(out.Remove, c.request.Remove...)
	}
	out.State.Host = first.State.GetHost()
	return out
}

// appendLists is proto.Merge without its copies of all objects.
func appendLists(to, from *greavev1.HostState) {
	from.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !f.IsList() {
			to.ProtoReflect().Set(f, v)
			return true
		}
		list := to.ProtoReflect().Mutable(f).List()
		for i := range v.List().Len() {
			list.Append(v.List().Get(i))
		}
		return true
	})
	if unknown := from.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		to.ProtoReflect().SetUnknown(append(to.ProtoReflect().GetUnknown(), unknown...))
	}
}
