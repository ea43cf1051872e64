//go:build unix

package network

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// PortError is a port that another program holds.
type PortError struct {
	Address string
	Process string // of the network that would listen there
}

func (e *PortError) Error() string {
	return fmt.Sprintf("port %s, for %s, is taken by another program", e.Address, e.Process)
}

// checkPorts finds out whether processes that are about to start can listen where they should.
func checkPorts(processes []process) error {
	for _, p := range processes {
		for _, e := range p.org.endpoints() {
			if e.process != p.name {
				continue
			}
			if err := canListen(e.address()); errors.Is(err, syscall.EADDRINUSE) {
				return &PortError{e.address(), e.process}
			} else if err != nil {
				return fmt.Errorf("%s of %s: %w", e.field, p.org.ID, err)
			}
		}
	}
	return nil
}

func canListen(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return listener.Close()
}

// Range in which FreePorts looks. It lies below the ports that systems hand out to outgoing connections.
const (
	firstFreePort = 27000
	lastFreePort  = 32000
)

// FreePorts finds ports for a network of [Default] on the loopback interface, for tests: 40 from the returned one on,
// which no other caller on this machine gets before release is called or this process ends.
func FreePorts() (port int, release func(), err error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("cunzheng-ports-%d", os.Getuid()))
	for port := firstFreePort; port < lastFreePort; port += portsEach * minOrganisations {
		file, err := tryLock(filepath.Join(dir, fmt.Sprint(port)), lockExclusive)
		if err != nil {
			return 0, nil, err
		}
		if file == nil {
			continue
		}
		if allFree(Default(port)) {
			return port, func() { file.Close() }, nil
		}
		file.Close()
	}
	return 0, nil, errors.New("no free range of ports")
}

func allFree(c Consortium) bool {
	for _, o := range c.Organisations {
		for _, e := range o.endpoints() {
			if canListen(e.address()) != nil {
				return false
			}
		}
	}
	return true
}
