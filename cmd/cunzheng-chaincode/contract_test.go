package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
)

// TestContract runs the contract's own test through the shim and a connection.
func TestContract(t *testing.T) {
	address := start(t)
	chaincodetest.Run(t, func(t *testing.T) chaincodetest.Chain { return newPeer(t, address, nil) })
}

// TestStateFails holds that a failure of the peer's state is told apart from a refusal, and leaves the service alive.
func TestStateFails(t *testing.T) {
	p := newPeer(t, start(t), nil)
	p.broken = true
	for _, function := range []string{chaincode.FuncLatest, chaincode.FuncNode} {
		_, err := p.Invoke(p.Owner(), function, []byte("log.example"))
		var refusal *chaincode.Error
		if err == nil || errors.As(err, &refusal) || !strings.HasPrefix(err.Error(), "INTERNAL: ") || !strings.Contains(err.Error(), errState.Error()) {
			t.Errorf("%s: %v", function, err)
		}
	}
	p.broken = false
	_, err := p.Invoke(p.Owner(), chaincode.FuncLatest, []byte("log.example"))
	var refusal *chaincode.Error
	if !errors.As(err, &refusal) || refusal.Code != chaincode.LogUnknown {
		t.Errorf("afterwards: %v", err)
	}
}

// TestCreator holds that a proposal that names no organisation is not run as if one without a name had sent it.
func TestCreator(t *testing.T) {
	p := newPeer(t, start(t), nil)
	log := chaincodetest.NewLog(t, "log.example")
	if _, err := p.Invoke("", chaincode.FuncRegisterLog, []byte(log.Origin), log.SPKI()); err == nil || !strings.Contains(err.Error(), "names no MSP") {
		t.Errorf("no MSP: %v", err)
	}
	if response, _, _, err := p.transact(p.Owner(), nil); err != nil || response.GetMessage() != `SYNTAX: no function ""` {
		t.Errorf("no arguments at all: %v, %v", response, err)
	}
}

// panicking is a stub that breaks as soon as it is used.
type panicking struct{ shim.ChaincodeStubInterface }

func (panicking) GetChannelID() string        { return "cunzheng" }
func (panicking) GetTxID() string             { return "1" }
func (panicking) GetCreator() ([]byte, error) { panic("impossible") }

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	c := &contract{slog.New(slog.NewTextHandler(&log, nil))}
	response := c.Invoke(panicking{})
	if response.GetStatus() != shim.ERROR || response.GetMessage() != "INTERNAL: the contract panicked" {
		t.Errorf("response is %v", response)
	}
	if !strings.Contains(log.String(), "panic=impossible") || !strings.Contains(log.String(), "contract_test.go") {
		t.Errorf("the log does not say what happened and where: %s", &log)
	}
}

func TestInit(t *testing.T) {
	c := &contract{slog.New(slog.NewTextHandler(io.Discard, nil))}
	if response := c.Init(panicking{}); response.GetStatus() != shim.OK {
		t.Errorf("response is %v", response)
	}
}
