package chaincode

import (
	"errors"
	"fmt"

	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// MaxPage is the greatest number of heads on one page of [History].
const MaxPage = 100

// Anchor accepts the signed tree head in note as the next one of the log. The log's current key must have signed it, and
// proof must be the consistency proof from the last anchored head. The last head again changes nothing.
//
// Codes: SYNTAX, LOG_UNKNOWN, NOT_OWNER, SIGNATURE, ROLLBACK, FORK, PROOF.
func Anchor(s State, origin string, note, proof []byte) error {
	if len(note) > MaxNote {
		return refuse(Syntax, "note of %d bytes, at most %d", len(note), MaxNote)
	}
	path, err := parseProof(proof)
	if err != nil {
		return err
	}
	l, err := loadOwnLog(s, origin)
	if err != nil {
		return err
	}
	head, err := openHead(origin, l.Key, note)
	if err != nil {
		return err
	}
	switch {
	case head.Size > MaxSize:
		return refuse(Syntax, "size %d, at most %d", head.Size, uint64(MaxSize))
	case head.Size < l.Size:
		return refuse(Rollback, "log %q goes back from size %d to %d", origin, l.Size, head.Size)
	case head.Size == l.Size && head.Root != l.Root:
		return refuse(Fork, "log %q has root %s at size %d, not %s", origin, l.Root, l.Size, head.Root)
	case head.Size == l.Size:
		return nil
	}
	if err := tlog.VerifyConsistency(path, l.Size, head.Size, l.Root, head.Root); err != nil {
		return refuse(Proof, "log %q from size %d to %d: %v", origin, l.Size, head.Size, err)
	}
	l.Size, l.Root = head.Size, head.Root
	if err := store(s, logRow(origin), l); err != nil {
		return err
	}
	if err := put(s, HeadKey(origin, head.Size), note); err != nil {
		return err
	}
	return announce(s, EventAnchored, struct {
		Origin string    `json:"origin"`
		Root   tlog.Hash `json:"root"`
		Size   uint64    `json:"size"`
	}{origin, head.Root, head.Size})
}

// parseProof splits a consistency proof into its hashes.
func parseProof(proof []byte) ([]tlog.Hash, error) {
	if len(proof) > MaxProof || len(proof)%tlog.HashSize != 0 {
		return nil, refuse(Syntax, "consistency proof of %d bytes", len(proof))
	}
	path := make([]tlog.Hash, len(proof)/tlog.HashSize)
	for i := range path {
		path[i] = tlog.Hash(proof[i*tlog.HashSize:])
	}
	return path, nil
}

// EncodeProof renders a consistency proof as the argument of [Anchor].
func EncodeProof(path []tlog.Hash) []byte {
	proof := make([]byte, 0, len(path)*tlog.HashSize)
	for _, h := range path {
		proof = append(proof, h[:]...)
	}
	return proof
}

// openHead checks the signature of note by the key spki alone: signatures by others prove nothing here.
func openHead(origin string, spki, note []byte) (checkpoint.Checkpoint, error) {
	key, err := parseKey(spki)
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	verifier, err := checkpoint.NewVerifier(origin, key)
	if err != nil {
		return checkpoint.Checkpoint{}, refuse(Syntax, "origin %.80q: %v", origin, err)
	}
	signed, err := checkpoint.Open(note, origin, verifier)
	switch {
	case errors.Is(err, checkpoint.ErrSignature), errors.Is(err, checkpoint.ErrUnknownKey):
		return checkpoint.Checkpoint{}, refuse(Signature, "head of %q: %v", origin, err)
	case err != nil:
		return checkpoint.Checkpoint{}, refuse(Syntax, "head of %q: %v", origin, err)
	}
	return signed.Checkpoint, nil
}

// Latest returns the last anchored note of a log.
//
// Codes: SYNTAX, LOG_UNKNOWN, NO_ANCHOR.
func Latest(s State, origin string) ([]byte, error) {
	l, err := loadLog(s, origin)
	if err != nil {
		return nil, err
	}
	if l.Size == 0 {
		return nil, refuse(NoAnchor, "log %q has no anchored head", origin)
	}
	return loadHead(s, origin, l.Size)
}

// At returns the anchored note of exactly this size.
//
// Codes: SYNTAX, LOG_UNKNOWN, NO_ANCHOR.
func At(s State, origin string, size uint64) ([]byte, error) {
	if _, err := loadLog(s, origin); err != nil {
		return nil, err
	}
	return loadHead(s, origin, size)
}

func loadHead(s State, origin string, size uint64) ([]byte, error) {
	note, err := s.Get(HeadKey(origin, size))
	if err != nil {
		return nil, fmt.Errorf("chaincode: reading head %d of %q: %w", size, origin, err)
	}
	if note == nil {
		return nil, refuse(NoAnchor, "log %q has no anchored head of size %d", origin, size)
	}
	return note, nil
}

// Page is a part of a log's anchored heads.
type Page struct {
	Heads []string `json:"heads"`         // notes, smallest size first
	Next  uint64   `json:"next,omitzero"` // size to go on from; 0 on the last page
}

// History returns up to limit anchored notes, from the first one whose size is at least from.
//
// Codes: SYNTAX, LOG_UNKNOWN.
func History(s State, origin string, from, limit uint64) (Page, error) {
	if limit < 1 || limit > MaxPage {
		return Page{}, refuse(Syntax, "a page has 1 to %d heads, not %d", MaxPage, limit)
	}
	if _, err := loadLog(s, origin); err != nil {
		return Page{}, err
	}
	var page Page
	err := s.Scan(HeadKey(origin, from), headsEnd(origin), func(key string, value []byte) (bool, error) {
		if uint64(len(page.Heads)) == limit {
			head, err := checkpoint.Parse(value)
			if err != nil {
				return false, fmt.Errorf("row %q is damaged: %w", key, err)
			}
			page.Next = head.Size
			return false, nil
		}
		page.Heads = append(page.Heads, string(value))
		return true, nil
	})
	if err != nil {
		return Page{}, fmt.Errorf("chaincode: reading the heads of %q: %w", origin, err)
	}
	return page, nil
}
