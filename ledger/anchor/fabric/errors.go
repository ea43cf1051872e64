package fabric

import (
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-sdk-go/pkg/common/errors/status"

	"cunzheng/chaincode"
	"cunzheng/ledger/anchor"
)

// Phase is a step on a transaction's way to the ledger.
type Phase string

const (
	// PhaseTransport: no peer answered. Nothing was sent to the ordering service.
	PhaseTransport Phase = "transport"

	// PhaseEndorse: too few organisations came to the same result, or the contract refused. Nothing was sent to the
	// ordering service.
	PhaseEndorse Phase = "endorse"

	// PhaseSubmit: no orderer is known to have taken the transaction. One may have.
	PhaseSubmit Phase = "submit"

	// PhaseCommit: the orderers took the transaction, but it was not seen in a block in time, was found invalid there,
	// or its block does not prove what it should.
	PhaseCommit Phase = "commit"
)

// PhaseError says how far a call came. It wraps [anchor.ErrUnavailable], or what [anchor.Refusal] makes of a refusal.
type PhaseError struct {
	Phase       Phase
	Transaction string // its identifier; empty before there is one
	Err         error
}

func (e *PhaseError) Error() string {
	if e.Transaction == "" {
		return fmt.Sprintf("fabric: %s: %v", e.Phase, e.Err)
	}
	return fmt.Sprintf("fabric: %s of transaction %s: %v", e.Phase, e.Transaction, e.Err)
}

func (e *PhaseError) Unwrap() error { return e.Err }

var errClosed = errors.New("fabric: closed")

// unavailable is the error of a phase that may succeed later.
func unavailable(phase Phase, transaction string, cause error) error {
	return &PhaseError{phase, transaction, fmt.Errorf("%w: %w", anchor.ErrUnavailable, cause)}
}

func refused(transaction string, refusal *chaincode.Error) error {
	return &PhaseError{PhaseEndorse, transaction, anchor.Refusal(refusal)}
}

// asRefusal returns the refusal by the contract in a peer's answer, or nil. A peer reports its own troubles in the same
// way, but not in the form of a refusal.
func asRefusal(err error) *chaincode.Error {
	s, ok := status.FromError(err)
	if !ok || s.Group != status.ChaincodeStatus {
		return nil
	}
	refusal, _ := chaincode.ParseError(s.Message)
	return refusal
}
