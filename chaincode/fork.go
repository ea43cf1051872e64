package chaincode

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// ForkReport is the proof that a log was forked: two heads of one size with different roots, each signed by a key of the
// log. It is the row "fork ORIGIN SIZE ROOT ROOT".
type ForkReport struct {
	Heads        [2]string `json:"heads"`        // signed notes; the one with the lesser root first
	Organisation string    `json:"organisation"` // that filed it
	Size         uint64    `json:"size"`
}

func forkPrefix(origin string) string { return "fork " + origin + " " }

// ReportFork keeps the proof that the log origin was forked, and raises the alarm. The notes prove themselves, so that
// anybody may file them, in either order. Whoever signed with a key that the log had at any time is held to it.
//
// Codes: SYNTAX, LOG_UNKNOWN, SIGNATURE, NO_FORK.
func ReportFork(s State, origin string, noteA, noteB []byte) error {
	for _, note := range [][]byte{noteA, noteB} {
		if err := checkNote(note); err != nil {
			return err
		}
	}
	org, err := sender(s)
	if err != nil {
		return err
	}
	if _, err := loadLog(s, origin); err != nil {
		return err
	}
	keys, err := logKeys(s, origin)
	if err != nil {
		return err
	}
	a, err := openByAny(origin, noteA, keys)
	if err != nil {
		return err
	}
	b, err := openByAny(origin, noteB, keys)
	if err != nil {
		return err
	}
	if a.Size != b.Size || a.Root == b.Root {
		return refuse(NoFork, "heads of %q: size %d with root %s and size %d with root %s", origin, a.Size, a.Root, b.Size, b.Root)
	}
	if bytes.Compare(a.Root[:], b.Root[:]) > 0 {
		a, b, noteA, noteB = b, a, noteB, noteA
	}
	row := fmt.Sprintf("%s%016x %s %s", forkPrefix(origin), a.Size, a.Root, b.Root)
	held, err := s.Get(row)
	if err != nil {
		return fmt.Errorf("chaincode: reading %q: %w", row, err)
	}
	if held != nil {
		return nil
	}
	report := ForkReport{Heads: [2]string{string(noteA), string(noteB)}, Organisation: org, Size: a.Size}
	if err := store(s, row, report); err != nil {
		return err
	}
	return announce(s, EventForkReported, struct {
		Organisation string       `json:"organisation"`
		Origin       string       `json:"origin"`
		Roots        [2]tlog.Hash `json:"roots"`
		Size         uint64       `json:"size"`
	}{org, origin, [2]tlog.Hash{a.Root, b.Root}, a.Size})
}

// logKeys returns every key that the log ever had. There is one for each rotation, so that they are few; a peer of Fabric
// shows at most ledger.state.totalQueryLimit of them, 100,000 as delivered.
func logKeys(r Reader, origin string) ([]*sm2.PublicKey, error) {
	var keys []*sm2.PublicKey
	err := scan(r, keyPrefix(origin), "", func(rest string, value []byte) (bool, error) {
		row := keyPrefix(origin) + rest
		var held logKey
		if err := decode(row, value, &held); err != nil {
			return false, err
		}
		key, err := storedKey(row, held.Key)
		keys = append(keys, key)
		return true, err
	})
	return keys, err
}

// openByAny checks a head of the log that any of its keys may have signed.
func openByAny(origin string, note []byte, keys []*sm2.PublicKey) (checkpoint.Checkpoint, error) {
	head, err := openHead(origin, note, keys...)
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Code != Signature {
		return head, err
	}
	// A note names its key with 32 bits. An owner who made two keys with the same name must not get away with a fork,
	// so each key is tried alone.
	for _, key := range keys {
		if head, err := openHead(origin, note, key); err == nil {
			return head, nil
		}
	}
	return checkpoint.Checkpoint{}, err
}

// ForkPage is a part of the forks of a log.
type ForkPage struct {
	Forks []ForkReport `json:"forks"`         // smallest size first
	Next  string       `json:"next,omitzero"` // to go on from; empty on the last page
}

// Forks returns up to limit forks of the log origin, from a size, or from where another page says to go on.
//
// Codes: SYNTAX, LOG_UNKNOWN.
func Forks(r Reader, origin, from string, limit uint64) (ForkPage, error) {
	if err := checkLimit(limit); err != nil {
		return ForkPage{}, err
	}
	start, err := forkStart(from)
	if err != nil {
		return ForkPage{}, err
	}
	if _, err := loadLog(r, origin); err != nil {
		return ForkPage{}, err
	}
	rows, next, err := list(r, forkPrefix(origin), start, limit)
	if err != nil {
		return ForkPage{}, err
	}
	page := ForkPage{Next: next, Forks: make([]ForkReport, len(rows))}
	for i, row := range rows {
		if err := decode(forkPrefix(origin), row, &page.Forks[i]); err != nil {
			return ForkPage{}, err
		}
	}
	return page, nil
}

// forkStart turns a size in decimal, or "SIZE ROOT ROOT", into the rest of a row's key.
func forkStart(from string) (string, error) {
	size, roots, resumed := strings.Cut(from, " ")
	if !resumed {
		n, err := parseNumber([]byte(from))
		return fmt.Sprintf("%016x", n), err
	}
	a, b, _ := strings.Cut(roots, " ")
	if len(size) != 16 || !within(size, "0123456789abcdef") || checkDigest("", a) != nil || checkDigest("", b) != nil {
		return "", refuse(Syntax, "from: %.200q is neither a size nor the next of a page", from)
	}
	return from, nil
}
