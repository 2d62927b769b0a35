package integration

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestWatch: first all objects as they are, then SYNCED, then changes.
func TestWatch(t *testing.T) {
	s := newSite(t)
	s.apply(ordinary(s, ""))
	list, err := s.List(t.Context(), &greavev1.ListRequest{})
	s.must(err)
	ctx, cancel := context.WithTimeout(t.Context(), settle)
	defer cancel()
	stream, err := s.Watch(ctx, &greavev1.WatchRequest{})
	s.must(err)
	seen := map[string]greavev1.ResourceState{}
	for {
		e, err := stream.Recv()
		s.must(err)
		if e.Type == greavev1.EventType_EVENT_TYPE_SYNCED {
			if e.Object != nil {
				t.Errorf("SYNCED has an object: %v", e)
			}
			break
		}
		if e.Type != greavev1.EventType_EVENT_TYPE_ADDED {
			t.Errorf("before SYNCED: %v", e)
		}
		seen[e.Object.Status.Kind.String()+e.Object.Status.Name] = e.Object.Status.State
	}
	if len(seen) != len(list.Objects) {
		t.Errorf("Watch began with %d objects, List has %d", len(seen), len(list.Objects))
	}
	for _, o := range list.Objects {
		if seen[o.Status.Kind.String()+o.Status.Name] != o.Status.State {
			t.Errorf("%s: Watch says %v, List %v", o.Status.Name, seen[o.Status.Kind.String()+o.Status.Name], o.Status.State)
		}
	}

	s.apply(strings.Replace(ordinary(s, ""), "name: gre-7", "name: gre-8", 1))
	var events []string
	for {
		e, err := stream.Recv()
		s.must(err)
		o := e.Object.GetStatus()
		if o.GetKind() != tunnelKind {
			continue
		}
		events = append(events, strings.TrimPrefix(e.Type.String(), "EVENT_TYPE_")+" "+o.Name+" "+strings.TrimPrefix(o.State.String(), "RESOURCE_STATE_"))
		if e.At == nil {
			t.Errorf("no time: %v", e)
		}
		// The last states of both: one is built, the other gone.
		if slices.ContainsFunc(events, func(l string) bool { return strings.HasPrefix(l, "REMOVED gre-7") }) &&
			slices.ContainsFunc(events, func(l string) bool { return strings.HasSuffix(l, "gre-8 ACTIVE") }) {
			break
		}
	}
	added := slices.IndexFunc(events, func(l string) bool { return strings.HasPrefix(l, "ADDED gre-8") })
	if added < 0 {
		t.Errorf("gre-8 was not added: %v", events)
	}
	cancel()
	for {
		if _, err := stream.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				t.Error("a cancelled watch ended without an error")
			}
			break
		}
	}
	only, err := s.Watch(t.Context(), &greavev1.WatchRequest{Kinds: []greavev1.ObjectKind{bridgeKind}})
	s.must(err)
	for {
		e, err := only.Recv()
		s.must(err)
		if e.Type == greavev1.EventType_EVENT_TYPE_SYNCED {
			break
		}
		if e.Object.Status.Kind != bridgeKind {
			t.Errorf("a watch of bridges tells of %v", e)
		}
	}
}

// TestHealthAndReflection: what every gRPC tool asks for first is answered.
func TestHealthAndReflection(t *testing.T) {
	s := newSite(t)
	c, err := grpc.NewClient(s.GreavedSocket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	s.must(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, service := range []string{"", "greave.v1.ConfigService", "greave.v1.StateService"} {
		r, err := healthv1.NewHealthClient(c).Check(ctx, &healthv1.HealthCheckRequest{Service: service})
		if err != nil || r.Status != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", service, r, err)
		}
	}
	stream, err := reflectionv1.NewServerReflectionClient(c).ServerReflectionInfo(ctx)
	s.must(err)
	s.must(stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}))
	r, err := stream.Recv()
	s.must(err)
	var names []string
	for _, n := range r.GetListServicesResponse().GetService() {
		names = append(names, n.Name)
	}
	for _, want := range []string{"greave.v1.ConfigService", "greave.v1.StateService", "grpc.health.v1.Health"} {
		if !slices.Contains(names, want) {
			t.Errorf("reflection lists %v, not %s", names, want)
		}
	}
}

// TestForeignIsListed: what greave did not make is shown when it is asked for,
// and only then.
func TestForeignIsListed(t *testing.T) {
	s := newSite(t)
	apply(t, s.Host, "bridges: [{name: br-mine, datapath: netdev}]")
	for _, foreign := range []bool{false, true} {
		r, err := s.List(t.Context(), &greavev1.ListRequest{Foreign: foreign})
		s.must(err)
		found := map[greavev1.ObjectKind]int{}
		mine := 0
		for _, o := range r.Objects {
			if o.Status.State == greavev1.ResourceState_RESOURCE_STATE_FOREIGN {
				found[o.Status.Kind]++
			} else if o.Status.Name == "br-mine" {
				mine++
			}
		}
		if mine != 1 || (found[bridgeKind] > 0) != foreign || (found[portKind] > 0) != foreign {
			t.Errorf("foreign %v: %d of br-mine, foreign ones %v", foreign, mine, found)
		}
	}
}
