package main

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	fabric "github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"cunzheng/chaincode"
)

// contract is the contract as Fabric's shim calls it: the first argument of a transaction names the function. A refusal
// reaches the client as the text of the *[chaincode.Error]; whatever else fails as text that begins with "INTERNAL: ".
// Neither is endorsed.
type contract struct {
	logger *slog.Logger
}

// Init implements [shim.Chaincode]. The contract starts with an empty state.
func (c *contract) Init(shim.ChaincodeStubInterface) *fabric.Response { return shim.Success(nil) }

// Invoke implements [shim.Chaincode].
func (c *contract) Invoke(stub shim.ChaincodeStubInterface) (response *fabric.Response) {
	logger := c.logger.With("channel", stub.GetChannelID(), "transaction", stub.GetTxID())
	// The shim runs each transaction on a goroutine of its own, where a panic would end all of them.
	defer func() {
		if r := recover(); r != nil {
			logger.Error("the contract panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			response = shim.Error("INTERNAL: the contract panicked")
		}
	}()
	result, err := invoke(stub)
	var refusal *chaincode.Error
	switch {
	case errors.As(err, &refusal):
		logger.Info("refused", "code", refusal.Code, "reason", refusal.Reason)
		return shim.Error(refusal.Error())
	case err != nil:
		logger.Error("transaction failed", "error", err)
		return shim.Error("INTERNAL: " + err.Error())
	}
	logger.Debug("executed", "bytes", len(result))
	return shim.Success(result)
}

// invoke runs one transaction. Its writes go to the peer only if it succeeds, in the order of their keys.
func invoke(stub shim.ChaincodeStubInterface) ([]byte, error) {
	org, err := creator(stub)
	if err != nil {
		return nil, err
	}
	function, args := "", stub.GetArgs()
	if len(args) > 0 {
		function, args = string(args[0]), args[1:]
	}
	tx := chaincode.NewTransaction(reader{stub}, org)
	result, err := chaincode.Invoke(tx, function, args)
	if err != nil {
		return nil, err
	}
	for _, w := range tx.Writes() {
		if err := stub.PutState(w.Key, w.Value); err != nil {
			return nil, fmt.Errorf("writing %q: %w", w.Key, err)
		}
	}
	if event := tx.Announced(); event != nil {
		if err := stub.SetEvent(event.Name, event.Payload); err != nil {
			return nil, fmt.Errorf("announcing %s: %w", event.Name, err)
		}
	}
	return result, nil
}

// creator returns the MSP ID of whoever signed the proposal. The peer has checked the signature and the certificate
// against that MSP before it asked the chaincode.
func creator(stub shim.ChaincodeStubInterface) (string, error) {
	serialized, err := stub.GetCreator()
	if err != nil {
		return "", fmt.Errorf("creator: %w", err)
	}
	var identity msp.SerializedIdentity
	if err := proto.Unmarshal(serialized, &identity); err != nil {
		return "", fmt.Errorf("creator: %w", err)
	}
	if identity.GetMspid() == "" {
		return "", errors.New("creator: the proposal names no MSP")
	}
	return identity.GetMspid(), nil
}

// reader is the state as the peer shows it: without the writes of the running transaction.
type reader struct {
	stub shim.ChaincodeStubInterface
}

// Get implements [chaincode.Reader].
func (r reader) Get(key string) ([]byte, error) {
	value, err := r.stub.GetState(key)
	if err != nil || len(value) == 0 { // Fabric has no empty values
		return nil, err
	}
	return value, nil
}

// Scan implements [chaincode.Reader]. The peer yields at most as many rows as its ledger.state.totalQueryLimit.
func (r reader) Scan(from, to string, fn func(key string, value []byte) (bool, error)) (err error) {
	rows, err := r.stub.GetStateByRange(from, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.HasNext() {
		row, err := rows.Next()
		if err != nil {
			return err
		}
		if more, err := fn(row.GetKey(), row.GetValue()); err != nil || !more {
			return err
		}
	}
	return nil
}
