package fabric

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hyperledger/fabric-sdk-go/pkg/common/providers/fab"
	"github.com/hyperledger/fabric-sdk-go/pkg/fabsdk/factory/defcore"
	"github.com/hyperledger/fabric-sdk-go/pkg/fabsdk/provider/fabpvdr"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
)

// connections keeps one gRPC connection to each peer and orderer for the SDK. The SDK's own cache waits out the whole
// dial time for a connection whose server was restarted, and breaks connections off after half a minute of quiet.
type connections struct {
	mu      sync.Mutex
	closed  bool                        // under mu
	targets map[string]*grpc.ClientConn // under mu
}

var _ fab.CommManager = (*connections)(nil)

// defaults hold unless the connection profile says otherwise. Fabric's servers refuse keep-alive pings more often than
// once a minute.
func defaults() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 2 * time.Minute, Timeout: 20 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 10 * time.Second,
		}),
	}
}

// DialContext returns a connection that is ready. While the server is known to be down it fails at once, so that another
// one is asked; gRPC goes on trying to connect.
func (c *connections) DialContext(ctx context.Context, target string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := c.get(target, opts)
	if err != nil {
		return nil, err
	}
	for {
		switch state := conn.GetState(); state {
		case connectivity.Ready:
			return conn, nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			return nil, fmt.Errorf("fabric: no connection to %s (%s)", target, state)
		default:
			conn.Connect()
			if !conn.WaitForStateChange(ctx, state) {
				return nil, fmt.Errorf("fabric: connecting to %s: %w", target, context.Cause(ctx))
			}
		}
	}
}

func (c *connections) get(target string, opts []grpc.DialOption) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if conn := c.targets[target]; conn != nil {
		return conn, nil
	}
	conn, err := grpc.NewClient(target, append(defaults(), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("fabric: connecting to %s: %w", target, err)
	}
	if c.targets == nil {
		c.targets = make(map[string]*grpc.ClientConn)
	}
	c.targets[target] = conn
	return conn, nil
}

// ReleaseConn keeps the connection for the next use.
func (c *connections) ReleaseConn(*grpc.ClientConn) {}

func (c *connections) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var errs []error
	for target, conn := range c.targets {
		errs = append(errs, conn.Close())
		delete(c.targets, target)
	}
	return errors.Join(errs...)
}

// factory gives the SDK our connections.
type factory struct {
	*defcore.ProviderFactory
	connections *connections
}

func (f factory) CreateInfraProvider(config fab.EndpointConfig) (fab.InfraProvider, error) {
	return infrastructure{fabpvdr.New(config), f.connections}, nil
}

type infrastructure struct {
	*fabpvdr.InfraProvider
	connections *connections
}

func (i infrastructure) CommManager() fab.CommManager { return i.connections }
