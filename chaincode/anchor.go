package chaincode

import (
	"errors"
	"fmt"
	"strconv"

	signednote "golang.org/x/mod/sumdb/note"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// Anchor accepts the signed tree head in note as the next one of the log. The log's current key must have signed it, and
// proof must be the consistency proof from the last anchored head. The last head again changes nothing.
//
// Codes: SYNTAX, LOG_UNKNOWN, NOT_OWNER, SIGNATURE, ROLLBACK, FORK, PROOF.
func Anchor(s State, origin string, note, proof []byte) error {
	if err := checkNote(note); err != nil {
		return err
	}
	path, err := parseProof(proof)
	if err != nil {
		return err
	}
	l, err := loadOwnLog(s, origin)
	if err != nil {
		return err
	}
	key, err := storedKey(logRow(origin), l.Key)
	if err != nil {
		return err
	}
	head, err := openHead(origin, note, key)
	if err != nil {
		return err
	}
	switch {
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

func checkNote(note []byte) error {
	if len(note) > MaxNote {
		return refuse(Syntax, "note of %d bytes, at most %d", len(note), MaxNote)
	}
	return nil
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

// openHead checks the signatures of note by the given keys alone: those of others prove nothing here.
func openHead(origin string, note []byte, keys ...*sm2.PublicKey) (checkpoint.Checkpoint, error) {
	verifiers := make([]signednote.Verifier, len(keys))
	for i, key := range keys {
		verifier, err := checkpoint.NewVerifier(origin, key)
		if err != nil {
			return checkpoint.Checkpoint{}, refuse(Syntax, "origin %.80q: %v", origin, err)
		}
		verifiers[i] = verifier
	}
	signed, err := checkpoint.Open(note, origin, verifiers...)
	switch {
	case errors.Is(err, checkpoint.ErrSignature), errors.Is(err, checkpoint.ErrUnknownKey):
		return checkpoint.Checkpoint{}, refuse(Signature, "head of %q: %v", origin, err)
	case err != nil:
		return checkpoint.Checkpoint{}, refuse(Syntax, "head of %q: %v", origin, err)
	case signed.Size > MaxSize:
		return checkpoint.Checkpoint{}, refuse(Syntax, "size %d, at most %d", signed.Size, uint64(MaxSize))
	}
	return signed.Checkpoint, nil
}

// Latest returns the last anchored note of a log.
//
// Codes: SYNTAX, LOG_UNKNOWN, NO_ANCHOR.
func Latest(r Reader, origin string) ([]byte, error) {
	l, err := loadLog(r, origin)
	if err != nil {
		return nil, err
	}
	if l.Size == 0 {
		return nil, refuse(NoAnchor, "log %q has no anchored head", origin)
	}
	return loadHead(r, origin, l.Size)
}

// At returns the anchored note of exactly this size.
//
// Codes: SYNTAX, LOG_UNKNOWN, NO_ANCHOR.
func At(r Reader, origin string, size uint64) ([]byte, error) {
	if _, err := loadLog(r, origin); err != nil {
		return nil, err
	}
	return loadHead(r, origin, size)
}

func loadHead(r Reader, origin string, size uint64) ([]byte, error) {
	note, err := r.Get(HeadKey(origin, size))
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
func History(r Reader, origin string, from, limit uint64) (Page, error) {
	if err := checkLimit(limit); err != nil {
		return Page{}, err
	}
	if _, err := loadLog(r, origin); err != nil {
		return Page{}, err
	}
	prefix := headPrefix(origin)
	rows, next, err := list(r, prefix, fmt.Sprintf("%016x", from), limit)
	if err != nil {
		return Page{}, err
	}
	var page Page
	for _, note := range rows {
		page.Heads = append(page.Heads, string(note))
	}
	if next != "" {
		if page.Next, err = strconv.ParseUint(next, 16, 64); err != nil {
			return Page{}, fmt.Errorf("chaincode: row %q is damaged: %w", prefix+next, err)
		}
	}
	return page, nil
}
