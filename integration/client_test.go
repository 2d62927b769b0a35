package integration

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/greave-sdn/greave/integration/lab"
	"github.com/greave-sdn/greave/proto/convert"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// settle is how long a test lets a host take to become what was asked.
const settle = 20 * time.Second

// client is a real gRPC client of a host's greaved.
type client struct {
	greavev1.ConfigServiceClient
	greavev1.StateServiceClient
}

func dial(t *testing.T, h *lab.Host) client {
	t.Helper()
	return dialTo(t, h.GreavedSocket())
}

// dialTo is a client of the greaved behind a socket.
func dialTo(t *testing.T, socket string) client {
	t.Helper()
	c, err := grpc.NewClient("unix:"+strings.TrimPrefix(socket, "unix:"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return client{greavev1.NewConfigServiceClient(c), greavev1.NewStateServiceClient(c)}
}

// parse reads a document of a test.
func parse(t *testing.T, doc string) *greavev1.HostState {
	t.Helper()
	state, _, err := convert.Parse(t.Name(), []byte(doc))
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return state
}

// applyLimit bounds the wait for a document of any size on a busy machine; a host
// that is done earlier says so.
const applyLimit = 2 * time.Minute

// apply states a document and fails the test unless all of it is realised.
func apply(t *testing.T, h *lab.Host, doc string) *greavev1.ApplyResponse {
	t.Helper()
	r, err := dial(t, h).Apply(t.Context(), &greavev1.ApplyRequest{
		State: parse(t, doc), Mode: greavev1.ApplyMode_APPLY_MODE_REPLACE, Wait: durationpb.New(applyLimit), AllowMassRemoval: true,
	})
	if err != nil {
		t.Fatalf("apply on %s: %v", h.Name, err)
	}
	if !r.Realised {
		t.Fatalf("apply on %s: not realised: %v", h.Name, r.NotRealised)
	}
	return r
}

// start starts greaved on every host, among 200 foreign objects that must come
// out of the test byte for byte.
func start(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, h := range l.Hosts {
		site{Host: h, t: t}.guard()
		if err := h.StartGreaved(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// check ends the test at an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually fails the test unless ok within limit.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
