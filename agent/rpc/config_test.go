package rpc

import (
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/greave-sdn/greave/agent/reconcile"
	"github.com/greave-sdn/greave/agent/store"
	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// TestRollbackOfNothing: without an earlier revision there is none to name.
func TestRollbackOfNothing(t *testing.T) {
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	loop := reconcile.New(reconcile.Config{Store: st, Decode: Decode, Logger: slog.New(slog.DiscardHandler)})
	if err := loop.Load(); err != nil {
		t.Fatal(err)
	}
	s := &Server{cfg: Config{Loop: loop}}
	_, err = s.Rollback(t.Context(), &greavev1.RollbackRequest{})
	if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "no revision before") {
		t.Errorf("Rollback = %v", err)
	}
}
