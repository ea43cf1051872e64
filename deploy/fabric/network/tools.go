//go:build unix

package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"time"
)

// toolGrace is how long a tool may take to end after it was interrupted.
const toolGrace = 5 * time.Second

// tool runs one of Fabric's commands to its end and returns what it printed.
func (n *Network) tool(ctx context.Context, environment []string, name string, arguments ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(n.options.Binaries, name), arguments...)
	cmd.Dir = n.files.channel()
	cmd.Env = append(baseEnvironment(), environment...)
	cmd.WaitDelay = toolGrace
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s %s: %w: %s", name, arguments[0], err, lastLine(stderr.Bytes(), stdout.Bytes()))
	}
	return stdout.Bytes(), nil
}

// lastLine is the last line that a tool wrote: the one in which Fabric's tools say what went wrong.
func lastLine(outputs ...[]byte) []byte {
	for _, output := range outputs {
		lines := bytes.Split(bytes.TrimSpace(output), []byte("\n"))
		if last := lines[len(lines)-1]; len(last) > 0 {
			return last
		}
	}
	return []byte("(no output)")
}

// peerTool runs the peer command as a user of an organisation, against that organisation's peer.
func (n *Network) peerTool(ctx context.Context, o Organisation, user string, arguments ...string) ([]byte, error) {
	return n.tool(ctx, []string{
		"FABRIC_CFG_PATH=" + n.files.peer(o),
		"FABRIC_LOGGING_SPEC=error",
		"CORE_PEER_LOCALMSPID=" + o.MSP,
		"CORE_PEER_MSPCONFIGPATH=" + n.files.user(o, user),
		"CORE_PEER_ADDRESS=" + peerAddress(o),
		"CORE_PEER_TLS_ENABLED=true",
		"CORE_PEER_TLS_ROOTCERT_FILE=" + n.files.tlsRoot(o),
	}, "peer", arguments...)
}

// ordererFlags are the arguments by which the peer command finds an orderer.
func (n *Network) ordererFlags(o Organisation) []string {
	return []string{"--orderer", ordererAddress(o), "--tls", "--cafile", n.files.tlsRoot(o)}
}

// ordererOf is the organisation whose orderer another uses: its own, if it has one.
func (n *Network) ordererOf(o Organisation) Organisation {
	if o.Orders() {
		return o
	}
	return n.Consortium.Orderers()[0]
}

func peerAddress(o Organisation) string {
	return net.JoinHostPort(o.Peer.Host, fmt.Sprint(o.Peer.Port))
}

func ordererAddress(o Organisation) string {
	return net.JoinHostPort(o.Orderer.Host, fmt.Sprint(o.Orderer.Port))
}

// retry calls try again until it succeeds or ctx ends: a network that has just come up refuses for reasons that pass.
func retry(ctx context.Context, what string, try func(context.Context) error) error {
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(context.Cause(ctx), last))
		case <-time.After(askEvery):
		}
	}
}
