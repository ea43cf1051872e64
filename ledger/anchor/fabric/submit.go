package fabric

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "github.com/hyperledger/fabric-protos-go/peer"
	"github.com/hyperledger/fabric-sdk-go/pkg/common/providers/fab"
)

const (
	// attempts bounds how often a transaction is made anew. The pauses between them add up to some four seconds: long
	// enough for peers to catch up with each other and for a first connection, short beside a worker's own back-off.
	attempts = 8

	// sendTimeout bounds the delivery to those orderers that the caller does not wait for.
	sendTimeout = 15 * time.Second
)

// outcome is what became of a call.
type outcome struct {
	transaction string
	value       []byte
	changed     bool   // false: it would change nothing, and was not sent
	peer        *peer  // that saw it committed
	block       uint64 // that holds it
}

// verdict says whether a failed attempt is worth another one.
type verdict int

const (
	final   verdict = iota
	again           // the same once more
	patient         // once more, with all endorsements that can be had
)

// submit makes a call until it is committed, refused, or out of attempts. A call that comes to the same as one before
// (the contract's functions are made so) may thus be made again by whoever does not know what became of it.
func (l *Ledger) submit(ctx context.Context, function string, args ...[]byte) (outcome, error) {
	all := false
	for n := 1; ; n++ {
		done, next, err := l.attempt(ctx, all, function, args)
		if err == nil || next == final || n == attempts || ctx.Err() != nil {
			return done, err
		}
		if next == patient {
			all = true
			l.configs.changed()
		}
		pause(ctx, n)
	}
}

func (l *Ledger) attempt(ctx context.Context, all bool, function string, args [][]byte) (outcome, verdict, error) {
	majority, err := l.majority(ctx)
	if err != nil {
		return outcome{}, again, err
	}
	call, err := l.client.propose(l.o.Chaincode, function, args)
	if err != nil {
		return outcome{}, final, unavailable(PhaseEndorse, "", err)
	}
	id := string(call.TxnID)
	answers, next, err := l.client.endorse(ctx, call, majority, all)
	if err != nil {
		return outcome{}, next, err
	}
	r, err := readResult(answers[0].response.ProposalResponse, l.o.Chaincode)
	if err != nil {
		return outcome{}, again, unavailable(PhaseEndorse, id, err)
	}
	done := outcome{transaction: id, value: r.value, changed: len(r.state.Writes) > 0}
	if !done.changed {
		return done, final, nil
	}
	fate, next, err := l.order(ctx, call, answers)
	done.peer, done.block = fate.peer, fate.block
	return done, next, err
}

// order sends an endorsed call to the orderers and waits until it is in a block.
func (l *Ledger) order(ctx context.Context, call *proposal, answers []answer) (commit, verdict, error) {
	id := string(call.TxnID)
	if err := l.commits.ready(ctx, l.closing, &l.background); err != nil {
		return commit{}, final, unavailable(PhaseTransport, id, fmt.Errorf("no peer delivers blocks: %w", err))
	}
	responses := make([]*fab.TransactionProposalResponse, len(answers))
	for i, a := range answers {
		responses[i] = a.response
	}
	envelope, err := l.client.envelope(call, responses)
	if err != nil {
		return commit{}, again, unavailable(PhaseEndorse, id, err)
	}
	committed, forget := l.commits.expect(id)
	defer forget()
	if err := l.broadcast(ctx, envelope); err != nil {
		return commit{}, again, unavailable(PhaseSubmit, id, err)
	}
	select {
	case fate := <-committed:
		next, err := judge(id, fate.code)
		return fate, next, err
	case <-ctx.Done():
		l.commits.suspect()
		return commit{}, final, unavailable(PhaseCommit, id, context.Cause(ctx))
	}
}

// judge says what a peer's validation of a committed transaction means.
func judge(id string, code pb.TxValidationCode) (verdict, error) {
	if code == pb.TxValidationCode_VALID {
		return final, nil
	}
	invalid := unavailable(PhaseCommit, id, fmt.Errorf("invalid: %s", code))
	switch code {
	case pb.TxValidationCode_MVCC_READ_CONFLICT, pb.TxValidationCode_PHANTOM_READ_CONFLICT:
		return again, invalid // another transaction was faster
	case pb.TxValidationCode_ENDORSEMENT_POLICY_FAILURE, pb.TxValidationCode_BAD_RESPONSE_PAYLOAD:
		return patient, invalid // somebody's endorsement is worth nothing, or the configuration has changed
	}
	return final, invalid
}

// broadcast sends an envelope to all orderers and returns when the first has taken it. An orderer that does not lead
// keeps a transaction for seconds before it hands it on, and a dishonest one for good: so all get it, and drop what
// they have twice.
func (l *Ledger) broadcast(ctx context.Context, envelope *fab.SignedEnvelope) error {
	orderers := l.client.orderers
	taken := make(chan error, len(orderers))
	for _, o := range orderers {
		l.background.Go(func() {
			// The caller may be done before the last orderer has it.
			ctx, cancel := l.client.request(l.closing, sendTimeout)
			defer cancel()
			_, err := o.SendBroadcast(ctx, envelope)
			taken <- err
		})
	}
	var errs []error
	for range orderers {
		select {
		case err := <-taken:
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return errors.Join(errs...)
}
