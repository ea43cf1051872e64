package fabric_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"cunzheng/deploy/fabric/network"
	"cunzheng/ledger/anchor/anchortest"
	"cunzheng/ledger/anchor/fabric"
	"cunzheng/ledger/blockproof"
)

// shared is the network of this package's tests, started by the first that needs it. They leave it as they found it.
var shared struct {
	sync.Once
	dir     string
	network *network.Network
	release func() // of its ports
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := tearDown(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func startNetwork() (err error) {
	if shared.dir, err = os.MkdirTemp("", "cunzheng-fabric-"); err != nil {
		return err
	}
	port, release, err := network.FreePorts()
	if err != nil {
		return err
	}
	shared.release = release
	shared.network, err = network.Up(context.Background(), shared.dir, network.Default(port), network.Options{Tied: true, Progress: os.Stderr})
	return err
}

func tearDown() error {
	if shared.network != nil {
		if err := shared.network.Down(context.Background()); err != nil {
			return err
		}
	}
	if shared.release != nil {
		shared.release()
	}
	return os.RemoveAll(shared.dir)
}

// testNetwork returns a real network of four organisations.
func testNetwork(t testing.TB) *network.Network {
	t.Helper()
	shared.Do(func() { shared.err = startNetwork() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.network
}

// openAs opens the ledger as one of the organisations.
func openAs(t testing.TB, organisation string, change func(*fabric.Options)) *fabric.Ledger {
	t.Helper()
	o := fabric.Options{Profile: testNetwork(t).Profile(organisation)}
	if change != nil {
		change(&o)
	}
	l, err := fabric.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// pinned returns the configuration that a court would have in its trust file.
func pinned(t testing.TB) (block []byte, config *blockproof.FabricConfig) {
	t.Helper()
	block, err := testNetwork(t).ConfigBlock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if config, err = blockproof.ParseFabricConfig(block); err != nil {
		t.Fatal(err)
	}
	return block, config
}

func TestDriver(t *testing.T) {
	block, config := pinned(t)
	anchortest.Run(t, func(t *testing.T) anchortest.Driver {
		return anchortest.Driver{
			Ledger: openAs(t, "notary", func(o *fabric.Options) { o.Config = block }),
			Verify: func(proof []byte) ([]byte, error) {
				anchored, err := blockproof.VerifyFabric(proof, "cunzheng", config)
				return anchored.Checkpoint, err
			},
		}
	})
}
