package notary

import (
	"context"
	"errors"
	"fmt"

	"cunzheng/crypto/sm4"
	"cunzheng/evidence"
	"cunzheng/ledger"
)

var (
	// errNotFound is the cause of CodeNotFound, also where the evidence exists but not for the one who asks.
	errNotFound = errors.New("notary: no such evidence")
	// errErased means that the opened commitments of an entry are gone.
	errErased = errors.New("notary: the personal fields were erased")
)

func notFound(number string) error {
	return refuse(CodeNotFound, "没有编号为 "+number+" 的存证，或您无权查看。",
		"There is no evidence with the number "+number+", or you may not see it.").because(errNotFound)
}

// entryAt returns an entry and its statement.
func (s *Service) entryAt(index uint64) ([]byte, *evidence.Statement, error) {
	return entryOf(s.log, index)
}

func entryOf(log Log, index uint64) ([]byte, *evidence.Statement, error) {
	encoded, err := log.Entry(index)
	if err != nil {
		return nil, nil, err
	}
	statement, err := evidence.ParseStatement(encoded)
	if err != nil {
		return nil, nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return encoded, statement, nil
}

func (s *Service) statement(index uint64) (*evidence.Statement, error) {
	_, statement, err := s.entryAt(index)
	return statement, err
}

// found is an entry that a number names.
type found struct {
	index     uint64
	encoded   []byte
	statement *evidence.Statement
}

// find looks a number up, or returns an *Error of CodeNotFound.
func (s *Service) find(number string) (found, error) {
	f, there, err := lookUp(s.log, number)
	if err == nil && !there {
		err = notFound(number)
	}
	return f, err
}

// sameTerm bounds the entries that are looked at for one number: others with the same term are next to impossible.
const sameTerm = 16

// lookUp finds the entry that has a number.
func lookUp(log Log, number string) (_ found, there bool, _ error) {
	value := evidence.TextTerm(evidence.TermNumber, number).Value
	hits, _, err := log.Find(ledger.Query{Kind: evidence.TermNumber, From: value, To: value, Limit: sameTerm})
	if err != nil {
		return found{}, false, err
	}
	for _, h := range hits {
		encoded, statement, err := entryOf(log, h.Index)
		if err != nil {
			return found{}, false, err
		}
		if statement.Number == number { // the term is only a digest of the number
			return found{index: h.Index, encoded: encoded, statement: statement}, true, nil
		}
	}
	return found{}, false, nil
}

// look finds evidence for an actor who wants to act on it.
func (s *Service) look(by Actor, act action, number string) (found, error) {
	if err := by.demand(act); err != nil {
		return found{}, err
	}
	if _, err := evidence.ParseNumber(number); err != nil {
		return found{}, numberError(err)
	}
	f, err := s.find(number)
	if err != nil {
		return found{}, err
	}
	if !by.may(actSee, f.statement.Depositor.Organisation) {
		return found{}, notFound(number) // what it says must not depend on whether there is such evidence
	}
	if !by.may(act, f.statement.Depositor.Organisation) {
		return found{}, refuse(CodeForbidden, "您的角色无权进行此操作。", "None of your roles may do this.")
	}
	return f, nil
}

func numberError(err error) error {
	e := refuse(CodeNumberInvalid, "不是存证编号。", "This is not an evidence number.").at("number").because(err)
	if n, ok := errors.AsType[*evidence.NumberError](err); ok {
		e.ZH, e.EN = n.ZH(), n.Error()
	}
	return e
}

// Get returns one piece of evidence.
func (s *Service) Get(ctx context.Context, by Actor, number string) (*Record, error) {
	record, err := s.get(ctx, by, number)
	return record, errorOf(err)
}

func (s *Service) get(ctx context.Context, by Actor, number string) (*Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := s.look(by, actSee, number)
	if err != nil {
		return nil, err
	}
	done, err := s.accepted(f.index)
	if err != nil {
		return nil, err
	}
	_, receipt, err := s.receipts.make(f.statement, f.encoded, done.Index, done.Checkpoint.Note, done.Proof, s.now())
	if err != nil {
		return nil, err
	}
	r := &Record{Number: number, Statement: f.encoded, Receipt: receipt}
	switch r.AnchorSize, _, err = s.log.Anchor(f.index + 1); {
	case err == nil:
		r.Anchored = true
	case !errors.Is(err, ledger.ErrNotFound):
		return nil, err
	}
	disclosures, err := s.disclosed(by, f)
	if err != nil {
		return nil, err
	}
	if len(disclosures) > 0 {
		r.Disclosed = make(map[string]string, len(disclosures))
		for _, d := range disclosures {
			r.Disclosed[d.Field] = d.Value
		}
	}
	return r, nil
}

// disclosed returns the opened commitments that the actor may read and that were not erased.
func (s *Service) disclosed(by Actor, f found) ([]evidence.Disclosure, error) {
	if !by.may(actDisclose, f.statement.Depositor.Organisation) {
		return nil, nil
	}
	opened, err := s.opened(f.index, f.statement)
	if errors.Is(err, errErased) {
		return nil, nil
	}
	return opened, err
}

// sealContext binds sealed disclosures to their statement: by its nonce, since not every statement has a number.
func sealContext(statement *evidence.Statement) []byte {
	return append([]byte(evidence.SchemaDisclosures+"\x00"), statement.Nonce[:]...)
}

// seal encrypts opened commitments for keeping beside their entry.
func (s *Service) seal(statement *evidence.Statement, disclosures []evidence.Disclosure) ([]byte, error) {
	if len(disclosures) == 0 {
		return nil, nil
	}
	plain, err := evidence.EncodeDisclosures(disclosures)
	if err != nil {
		return nil, fieldError(err)
	}
	defer clear(plain)
	return s.keys.Wrap(plain, sealContext(statement))
}

// opened returns the commitments of an entry, opened, or errErased.
func (s *Service) opened(index uint64, statement *evidence.Statement) ([]evidence.Disclosure, error) {
	if len(statement.Private) == 0 {
		return nil, nil
	}
	sealed, err := s.log.Private(index)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, errErased
	}
	if err != nil {
		return nil, err
	}
	plain, err := s.keys.Unwrap(sealed, sealContext(statement))
	if errors.Is(err, sm4.ErrAuthentication) {
		return nil, fmt.Errorf("entry %d: its personal fields are damaged or sealed under another master key: %w", index, err)
	}
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return evidence.ParseDisclosures(plain)
}
