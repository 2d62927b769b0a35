package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// fake is an agent on the wire: it answers a call of Method with what the file
// answers/Method.json holds, a response or a google.rpc.Status, and appends the
// request to the file requests. The word hang never answers; vanish ends the agent.
type fake struct {
	greavev1.UnimplementedConfigServiceServer
	greavev1.UnimplementedStateServiceServer
	dir  string
	stop func()
	mu   sync.Mutex // guards the file requests
}

// serve starts a fake that reads below dir and returns its socket, which any
// user can reach. It stops when the test ends.
func serve(t testing.TB, dir string) string {
	// Not under dir: a path of a socket has at most 107 bytes.
	public, err := os.MkdirTemp("", fmt.Sprintf("greave-cli-%d-", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(public) })
	if err := os.Chmod(public, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(public, "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	f := &fake{dir: dir, stop: s.Stop}
	greavev1.RegisterConfigServiceServer(s, f)
	greavev1.RegisterStateServiceServer(s, f)
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

func answer[R proto.Message](ctx context.Context, f *fake, method string, req proto.Message, resp R) (R, error) {
	f.record(method, req)
	text, err := os.ReadFile(filepath.Join(f.dir, "answers", method+".json"))
	if err != nil {
		return resp, status.Error(codes.Unimplemented, "unknown method "+method)
	}
	switch strings.TrimSpace(string(text)) {
	case "vanish":
		go f.stop()
		fallthrough
	case "hang":
		<-ctx.Done()
		return resp, ctx.Err()
	}
	return resp, f.decode(text, resp)
}

func (f *fake) record(method string, req proto.Message) {
	text, err := jsonText(req)
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	file, err := os.OpenFile(filepath.Join(f.dir, "requests"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	fmt.Fprintf(file, "%s %s\n", method, text)
}

// decode fills resp, or returns the error that the text is.
func (f *fake) decode(text []byte, resp proto.Message) error {
	var probe struct{ Code int }
	if json.Unmarshal(text, &probe) == nil && probe.Code != 0 {
		var st statuspb.Status
		if err := protojson.Unmarshal(text, &st); err != nil {
			return status.Error(codes.Internal, "bad canned status: "+err.Error())
		}
		return status.ErrorProto(&st)
	}
	if err := protojson.Unmarshal(text, resp); err != nil {
		return status.Error(codes.Internal, "bad canned answer: "+err.Error())
	}
	return nil
}

func (f *fake) Validate(ctx context.Context, r *greavev1.ValidateRequest) (*greavev1.ValidateResponse, error) {
	return answer(ctx, f, "Validate", r, &greavev1.ValidateResponse{})
}

func (f *fake) Plan(ctx context.Context, r *greavev1.PlanRequest) (*greavev1.PlanResponse, error) {
	return answer(ctx, f, "Plan", r, &greavev1.PlanResponse{})
}

func (f *fake) Apply(ctx context.Context, r *greavev1.ApplyRequest) (*greavev1.ApplyResponse, error) {
	return answer(ctx, f, "Apply", r, &greavev1.ApplyResponse{})
}

func (f *fake) GetState(ctx context.Context, r *greavev1.GetStateRequest) (*greavev1.GetStateResponse, error) {
	return answer(ctx, f, "GetState", r, &greavev1.GetStateResponse{})
}

func (f *fake) ListRevisions(ctx context.Context, r *greavev1.ListRevisionsRequest) (*greavev1.ListRevisionsResponse, error) {
	return answer(ctx, f, "ListRevisions", r, &greavev1.ListRevisionsResponse{})
}

func (f *fake) Rollback(ctx context.Context, r *greavev1.RollbackRequest) (*greavev1.RollbackResponse, error) {
	return answer(ctx, f, "Rollback", r, &greavev1.RollbackResponse{})
}

// Purge answers a dry run from its own file.
func (f *fake) Purge(ctx context.Context, r *greavev1.PurgeRequest) (*greavev1.PurgeResponse, error) {
	if r.GetDryRun() {
		return answer(ctx, f, "PurgeDryRun", r, &greavev1.PurgeResponse{})
	}
	return answer(ctx, f, "Purge", r, &greavev1.PurgeResponse{})
}

func (f *fake) Explain(ctx context.Context, r *greavev1.ExplainRequest) (*greavev1.ExplainResponse, error) {
	return answer(ctx, f, "Explain", r, &greavev1.ExplainResponse{})
}

func (f *fake) GetCapabilities(ctx context.Context, r *greavev1.GetCapabilitiesRequest) (*greavev1.GetCapabilitiesResponse, error) {
	return answer(ctx, f, "GetCapabilities", r, &greavev1.GetCapabilitiesResponse{})
}

func (f *fake) Get(ctx context.Context, r *greavev1.GetRequest) (*greavev1.GetResponse, error) {
	return answer(ctx, f, "Get", r, &greavev1.GetResponse{})
}

// List answers a further page from List-TOKEN.json.
func (f *fake) List(ctx context.Context, r *greavev1.ListRequest) (*greavev1.ListResponse, error) {
	if token := r.GetPageToken(); token != "" {
		return answer(ctx, f, "List-"+token, r, &greavev1.ListResponse{})
	}
	return answer(ctx, f, "List", r, &greavev1.ListResponse{})
}

// Watch sends one event a line; the word hang keeps the stream open.
func (f *fake) Watch(r *greavev1.WatchRequest, stream grpc.ServerStreamingServer[greavev1.WatchResponse]) error {
	f.record("Watch", r)
	text, err := os.ReadFile(filepath.Join(f.dir, "answers", "Watch.json"))
	if err != nil {
		return status.Error(codes.Unimplemented, "unknown method Watch")
	}
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) == "hang" {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		event := &greavev1.WatchResponse{}
		if err := f.decode([]byte(line), event); err != nil {
			return err
		}
		if err := stream.Send(event); err != nil {
			return err
		}
	}
	return nil
}
