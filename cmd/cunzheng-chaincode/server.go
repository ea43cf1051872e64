package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	fabric "github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
)

// maxMessage is what Fabric's peers send and take. With less, one oversized argument of a client would end the stream on
// which all transactions run, before the contract can refuse it.
const maxMessage = 100 << 20

// serve listens and answers peers until ctx ends. What is under way then fails at the peer, whose client sends it again.
func serve(ctx context.Context, c config, stderr io.Writer) error {
	logger := c.logger(stderr)
	options, err := serverOptions(c)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.address)
	if err != nil {
		return err
	}
	server := grpc.NewServer(options...)
	// The shim's own Start has no end, so its stream handler is served here.
	fabric.RegisterChaincodeServer(server, &chaincodeServer{
		ChaincodeServer: shim.ChaincodeServer{CCID: c.id, CC: &contract{logger}},
		logger:          logger,
	})
	logger.Info("listening", "address", listener.Addr().String(), "id", c.id, "version", version,
		"tls", c.tlsKey != "", "clientCertificate", c.clientCA != "")
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(listener); err != nil {
		return fmt.Errorf("serving %s: %w", c.address, err)
	}
	logger.Info("stopped")
	return nil
}

func serverOptions(c config) ([]grpc.ServerOption, error) {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		// A peer pings once a minute; a dead one is noticed about as fast.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(5 * time.Second),
	}
	t, err := c.tls()
	if err != nil {
		return nil, err
	}
	if t != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(t)))
	}
	return options, nil
}

// chaincodeServer says in the log which peer comes and goes.
type chaincodeServer struct {
	shim.ChaincodeServer
	logger *slog.Logger
}

// Connect serves one peer for as long as it stays.
func (s *chaincodeServer) Connect(stream fabric.Chaincode_ConnectServer) error {
	address := "unknown"
	if p, ok := peer.FromContext(stream.Context()); ok {
		address = p.Addr.String()
	}
	s.logger.Info("peer connected", "peer", address)
	err := s.ChaincodeServer.Connect(stream)
	s.logger.Info("peer disconnected", "peer", address, "reason", err)
	return err
}
