package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	greavev1 "github.com/greave-sdn/greave/proto/greave/v1"
)

// maxMessage is the largest document and answer, in bytes; the agent's limit.
const maxMessage = 64 << 20

// connection is the way to the agent. Nothing is dialled before the first call.
type connection struct {
	path   string
	config greavev1.ConfigServiceClient
	state  greavev1.StateServiceClient
	ports  greavev1.PortServiceClient
	grpc   *grpc.ClientConn

	mu      sync.Mutex // guards what gRPC's goroutines set
	dialled bool       // there was a connection
	dialErr error      // why there was none; a status has only its text
}

func (a *app) connect() (*connection, error) {
	path := a.server
	if rest, ok := strings.CutPrefix(path, "unix:"); ok {
		path = "/" + strings.TrimLeft(rest, "/")
		if !strings.HasPrefix(rest, "/") {
			path = rest
		}
	} else if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("--server %s: not a local socket; say unix:/path/of/the/socket", a.server)
	}
	c := &connection{path: path}
	conn, err := grpc.NewClient("passthrough:///greaved",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(c.dial),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", a.server, err)
	}
	c.grpc = conn
	c.config, c.state = greavev1.NewConfigServiceClient(conn), greavev1.NewStateServiceClient(conn)
	c.ports = greavev1.NewPortServiceClient(conn)
	a.conn = c
	return c, nil
}

func (c *connection) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.path)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.dialled = true
	} else if !c.dialled {
		c.dialErr = err
	}
	return conn, err
}

// failure is why there never was a connection, nil when there was one.
func (c *connection) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialErr
}

func (c *connection) close() { _ = c.grpc.Close() }

// deadline limits a call that the agent answers at once, or after wait.
func (a *app) deadline(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	a.limit = a.timeout + wait
	return context.WithTimeout(ctx, a.limit)
}
