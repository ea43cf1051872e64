package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"cunzheng/chaincode"
	"cunzheng/crypto/sm3"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
)

// outcome is what a transaction did.
type outcome struct {
	result []byte
	event  *chaincode.Announcement
	proof  []byte          // the new block; nil if the transaction changed nothing
	block  blockproof.Hash // of the new block
}

// Submit runs a function of the contract as a transaction by the ledger's organisation and returns its identifier, the
// hash of its block; an empty one if the contract accepts the call but it changes nothing.
func (l *Ledger) Submit(ctx context.Context, function string, args ...[]byte) (transaction string, err error) {
	done, err := l.submit(ctx, l.o.Org, function, args...)
	if err != nil || done.proof == nil {
		return "", err
	}
	return done.block.String(), nil
}

// Evaluate runs a function of the contract and returns its result. It changes nothing.
func (l *Ledger) Evaluate(ctx context.Context, function string, args ...[]byte) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.available(ctx); err != nil {
		return nil, err
	}
	return invoke(chaincode.NewTransaction(state{l.db}, l.o.Org), function, args)
}

// invoke gives the contract's errors the form that callers of a ledger act on.
func invoke(tx *chaincode.Transaction, function string, args [][]byte) ([]byte, error) {
	result, err := chaincode.Invoke(tx, function, args)
	var refusal *chaincode.Error
	switch {
	case errors.As(err, &refusal):
		return nil, anchor.Refusal(refusal)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", anchor.ErrUnavailable, err)
	}
	return result, nil
}

// submit runs one transaction by the organisation org.
func (l *Ledger) submit(ctx context.Context, org, function string, args ...[]byte) (outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.available(ctx); err != nil {
		return outcome{}, err
	}
	tx := chaincode.NewTransaction(state{l.db}, org)
	result, err := invoke(tx, function, args)
	if err != nil {
		return outcome{}, err
	}
	done := outcome{result: result, event: tx.Announced()}
	writes := tx.Writes()
	if len(writes) == 0 {
		return done, nil
	}
	block := &blockproof.EmbeddedBlock{
		Number:       l.number + 1,
		Previous:     l.tip,
		Ledger:       l.o.Name,
		Organisation: org,
		Time:         l.o.Clock(),
		Function:     function,
		Args:         args,
	}
	for _, w := range writes {
		block.Writes = append(block.Writes, blockproof.Write{Key: w.Key, SM3: sm3.Sum(w.Value)})
	}
	if done.event != nil {
		block.Events = []blockproof.Event{blockproof.Event(*done.event)}
	}
	if done.proof, err = l.append(block, writes); err != nil {
		return outcome{}, fmt.Errorf("%w: %w", anchor.ErrUnavailable, err)
	}
	done.block = l.tip
	return done, nil
}

// append signs block, writes it together with the rows it sets, and makes it the last one. The caller holds mu, or is
// the only one to know the ledger.
func (l *Ledger) append(block *blockproof.EmbeddedBlock, writes []chaincode.Write) ([]byte, error) {
	proof, err := blockproof.SealEmbedded(block, l.o.Signer)
	if err != nil {
		return nil, err
	}
	hash, err := block.Hash()
	if err != nil {
		return nil, err
	}
	if err := l.commit(block.Number, proof, writes); err != nil {
		// Whether the block is durable is unknown, and the database in memory shows it all the same. Nothing is
		// answered from it any more; after a restart the block is there or it is not, and the sender asks.
		l.failed = err
		l.o.Logger.Error("the embedded ledger has stopped", "block", block.Number, "error", err)
		return nil, err
	}
	l.number, l.tip = block.Number, hash
	close(l.grown)
	l.grown = make(chan struct{})
	return proof, nil
}

// commit is the one commit point: a crash before the sync has finished may lose the block and all its rows, together; a
// crash after it loses nothing.
func (l *Ledger) commit(number uint64, proof []byte, writes []chaincode.Write) (err error) {
	// Pebble panics if its write-ahead log has failed before.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("embedded: writing block %d: %v", number, r)
		}
	}()
	batch := l.db.NewBatch()
	if err := batch.Set(blockKey(number), proof, nil); err != nil {
		return fmt.Errorf("embedded: block %d: %w", number, err)
	}
	for _, w := range writes {
		if err := batch.Set(rowKey(w.Key), append(binary.BigEndian.AppendUint64(nil, number), w.Value...), nil); err != nil {
			return fmt.Errorf("embedded: block %d: %w", number, err)
		}
	}
	// Apply would end the process if the sync fails.
	if err := l.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
		return fmt.Errorf("embedded: writing block %d: %w", number, err)
	}
	if err := batch.SyncWait(); err != nil {
		return fmt.Errorf("embedded: syncing block %d: %w", number, err)
	}
	return batch.Close()
}
