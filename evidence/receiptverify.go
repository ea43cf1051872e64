package evidence

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// Verify checks the whole receipt against the encoded statement: its own signature, the checkpoint's signature, and
// the inclusion proof. The platform calls it on every receipt before it answers.
func (r *Receipt) Verify(encoded []byte, key *sm2.PublicKey, log ...note.Verifier) error {
	s, err := ParseStatement(encoded)
	if err != nil {
		return err
	}
	if err := r.matches(s, encoded); err != nil {
		return err
	}
	if err := r.VerifySignature(key); err != nil {
		return err
	}
	head, err := checkpoint.Open([]byte(r.Checkpoint), r.Log, log...)
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return r.included(head.Checkpoint)
}

// included checks the inclusion proof against a tree head.
func (r *Receipt) included(head checkpoint.Checkpoint) error {
	if err := tlog.VerifyInclusion(hashes(r.Proof), r.Index, head.Size, tlog.Hash(r.Leaf), head.Root); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}
