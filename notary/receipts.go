package notary

import (
	"crypto"
	"fmt"
	"io"

	"cunzheng/crypto/sm2"
	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/ledger/tlog"
)

// receipts signs what the platform says about entries.
type receipts struct {
	keys    *keystore.Store
	auditor *sm2.Auditor
	metrics *metrics
}

// make returns the encoded receipt of a statement.
func (r *receipts) make(s *evidence.Statement, encoded []byte, index uint64, note []byte, proof []tlog.Hash, issued evidence.Instant) (*evidence.Receipt, []byte, error) {
	signer, err := r.signer()
	if err != nil {
		return nil, nil, err
	}
	receipt := evidence.NewReceipt(s, encoded, index, note, proof)
	// Clocks may go back; a receipt is never issued before its statement was received.
	if err := receipt.Sign(signer, max(issued, s.ReceivedAt)); err != nil {
		return nil, nil, err
	}
	text, err := receipt.Encode()
	if err != nil {
		return nil, nil, err
	}
	return receipt, text, nil
}

// signer returns a signer with the current receipt key that releases no signature it has not verified, and shows the
// second implementation a sample.
func (r *receipts) signer() (crypto.Signer, error) {
	signer, err := r.keys.Signer(keystore.RoleReceipt)
	if err != nil {
		return nil, err
	}
	return &checkedSigner{Signer: signer, receipts: r}, nil
}

type checkedSigner struct {
	keystore.Signer
	receipts *receipts
}

// Sign implements crypto.Signer.
func (s *checkedSigner) Sign(rand io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	signature, err := s.Signer.Sign(rand, message, o)
	if err != nil {
		return nil, err
	}
	key := s.PublicKey()
	if err := key.Verify(message, signature); err != nil {
		s.receipts.metrics.selfCheck.Inc()
		return nil, fmt.Errorf("notary: a signature of our own does not verify: %w", err)
	}
	s.receipts.auditor.Observe(key, message, signature)
	return signature, nil
}
