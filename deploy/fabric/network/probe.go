//go:build unix

package network

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// How processes are asked whether they are ready. Nothing here sleeps and hopes.

const (
	// askTimeout bounds one question, askEvery is the pause before it is asked again.
	askTimeout = 5 * time.Second
	askEvery   = 100 * time.Millisecond
	// maxAnswer bounds an answer in bytes; the metrics of a peer are the longest, some 100 KB.
	maxAnswer = 4 << 20
)

// until asks again and again until the answer is nil, the process ask is about has died, or ctx ends.
func (l layout) until(ctx context.Context, name string, ask func(context.Context) error) error {
	for {
		pid, err := l.running(name)
		if err != nil {
			return err
		}
		if pid == 0 {
			return l.failure(name, errors.New("ended"))
		}
		question, cancel := context.WithTimeout(ctx, askTimeout)
		err = ask(question)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) { // by the caller, or because another process failed
				return context.Cause(ctx)
			}
			return l.failure(name, fmt.Errorf("%w; last answer: %w", context.Cause(ctx), err))
		case <-time.After(askEvery):
		}
	}
}

// listening says whether a process answers at all: its operations endpoint says that it is well, and what clients use
// accepts them.
func (n *Network) listening(ctx context.Context, p process) error {
	switch p.kind {
	case ordererKind:
		if err := healthy(ctx, p.org.Orderer.OperationsPort); err != nil {
			return err
		}
		_, err := n.participation(ctx, p.org, http.MethodGet, "", nil)
		return err
	case peerKind:
		if err := healthy(ctx, p.org.Peer.OperationsPort); err != nil {
			return err
		}
		return n.handshake(ctx, p.org, p.org.Peer.Host, p.org.Peer.Port)
	default:
		return n.handshake(ctx, p.org, loopback, p.org.Peer.ChaincodePort)
	}
}

// ready says whether a process takes part: an orderer orders the channel, a peer has it.
func (n *Network) ready(ctx context.Context, p process) error {
	if err := n.listening(ctx, p); err != nil {
		return err
	}
	switch p.kind {
	case ordererKind:
		return n.ordering(ctx, p.org)
	case peerKind:
		return n.holdsChannel(ctx, p.org)
	default:
		return nil
	}
}

func healthy(ctx context.Context, port int) error {
	_, err := ask(ctx, http.DefaultClient, http.MethodGet, operationsURL(port, "/healthz"), "", nil)
	return err
}

func operationsURL(port int, path string) string {
	return (&url.URL{Scheme: "http", Host: net.JoinHostPort(loopback, fmt.Sprint(port)), Path: path}).String()
}

// holdsChannel says whether a peer has joined and opened the channel: then it publishes the height of its ledger.
func (n *Network) holdsChannel(ctx context.Context, o Organisation) error {
	metrics, err := ask(ctx, http.DefaultClient, http.MethodGet, operationsURL(o.Peer.OperationsPort, "/metrics"), "", nil)
	if err != nil {
		return err
	}
	if !bytes.Contains(metrics, fmt.Appendf(nil, "ledger_blockchain_height{channel=%q}", n.Consortium.Channel)) {
		return fmt.Errorf("the peer has not opened channel %s", n.Consortium.Channel)
	}
	return nil
}

// errNoChannel is the answer of an orderer that has not joined the channel.
var errNoChannel = errors.New("the orderer has not joined the channel")

// ordering says whether an orderer takes part in ordering the channel. Its errors are errNoChannel before it has joined.
func (n *Network) ordering(ctx context.Context, o Organisation) error {
	answer, err := n.participation(ctx, o, http.MethodGet, n.Consortium.Channel, nil)
	if err != nil {
		return err
	}
	var channel struct {
		ConsensusRelation string `json:"consensusRelation"`
		Status            string `json:"status"`
	}
	if err := json.Unmarshal(answer, &channel); err != nil {
		return fmt.Errorf("channel participation: %w", err)
	}
	if channel.ConsensusRelation != "consenter" || channel.Status != "active" {
		return fmt.Errorf("the orderer is %s, %s", channel.ConsensusRelation, channel.Status)
	}
	return nil
}

// joinOrderer gives an orderer the genesis block.
func (n *Network) joinOrderer(ctx context.Context, o Organisation, genesis []byte) error {
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	part, err := writer.CreateFormFile("config-block", "genesis.block")
	if err != nil {
		return err
	}
	if _, err := part.Write(genesis); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	_, err = n.participation(ctx, o, http.MethodPost, "", &upload{writer.FormDataContentType(), form.Bytes()})
	return err
}

type upload struct {
	contentType string
	body        []byte
}

// participation asks the administrators' endpoint of an orderer (channel participation API).
func (n *Network) participation(ctx context.Context, o Organisation, method, channel string, u *upload) ([]byte, error) {
	config, err := n.mutualTLS(o)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	address := net.JoinHostPort(o.Orderer.Host, fmt.Sprint(o.Orderer.AdminPort))
	target := (&url.URL{Scheme: "https", Host: address, Path: "/participation/v1/channels"}).JoinPath(channel).String()
	var contentType string
	var body []byte
	if u != nil {
		contentType, body = u.contentType, u.body
	}
	answer, err := ask(ctx, &http.Client{Transport: transport}, method, target, contentType, body)
	var status *statusError
	if channel != "" && errors.As(err, &status) && status.code == http.StatusNotFound {
		return nil, errNoChannel
	}
	return answer, err
}

// mutualTLS is the TLS of one organisation's own tools: they trust its authority and show a certificate of it.
func (n *Network) mutualTLS(o Organisation) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(n.files.peer(o, "tls", certificateFile), n.files.peer(o, "tls", keyFile))
	if err != nil {
		return nil, err
	}
	root, err := os.ReadFile(n.files.tlsRoot(o))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(root) {
		return nil, fmt.Errorf("%s holds no certificate", n.files.tlsRoot(o))
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: roots}, nil
}

// handshake says whether a gRPC server accepts connections.
func (n *Network) handshake(ctx context.Context, o Organisation, host string, port int) error {
	config, err := n.mutualTLS(o)
	if err != nil {
		return err
	}
	config.NextProtos = []string{"h2"}
	connection, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		return err
	}
	return connection.Close()
}

// statusError is an HTTP answer other than success.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("HTTP %d: %s", e.code, e.text) }

func ask(ctx context.Context, client *http.Client, method, target, contentType string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 != 2 {
		return nil, &statusError{response.StatusCode, string(bytes.TrimSpace(answer))}
	}
	return answer, nil
}
