package notary

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cunzheng/evidence"
	"cunzheng/ledger"
	"cunzheng/notary/vault"
)

// uploadPatience is how long a file waits for one of MaxUploads places.
const uploadPatience = 10 * time.Second

// DepositFile preserves the bytes of content. They are in the vault, and the statement about them in the log, both
// durably, when it returns. After an error nothing is left, with two exceptions: CodeReceiptFailed says that the deposit
// stands, and under which number; after CodeLogHalted it may, and repeating it with its idempotency key tells.
func (s *Service) DepositFile(ctx context.Context, by Actor, d FileDeposit, content io.Reader) (*Deposit, error) {
	deposit, err := s.depositFile(ctx, by, d, content)
	err = errorOf(err)
	s.metrics.deposited(evidence.TypeFile, deposit, err)
	return deposit, err
}

func (s *Service) depositFile(ctx context.Context, by Actor, d FileDeposit, content io.Reader) (*Deposit, error) {
	draft, err := s.draft(by, evidence.TypeFile, metadata{
		name: d.Name, mediaType: d.MediaType, caseNumber: d.Case, correlation: d.Correlation, provenance: d.Provenance,
		private: d.Private, related: d.Related, idempotencyKey: d.IdempotencyKey,
	})
	if err != nil {
		return nil, err
	}
	if draft.Private[evidence.FieldName].IsZero() {
		return nil, refuse(CodeNameInvalid, "缺少文件名。", "The file name is missing.").at("name")
	}
	if err := draft.rehearse(s.clock.estimate(), s.trialNumber(), d.MediaType); err != nil {
		return nil, err
	}
	if d.ExpectSize != nil && *d.ExpectSize > s.config.MaxFileSize {
		return nil, tooLarge(s.config.MaxFileSize)
	}
	release, err := s.uploadPlace(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	index, found, err := s.first(draft)
	if err != nil {
		return nil, err
	}
	if found { // a repetition is hashed and compared, and not stored again
		object, err := vault.Digest(ctx, content, s.config.MaxFileSize)
		if err != nil {
			return nil, contentError(err, s.config.MaxFileSize)
		}
		if err := draft.content(d, object); err != nil {
			return nil, err
		}
		return s.repeated(ctx, draft, index, s.accepted)
	}
	return s.storeFile(ctx, draft, d, content)
}

// first finds the entry that has the draft's idempotency key.
func (s *Service) first(d *draft) (index uint64, found bool, err error) {
	if d.Idempotency.IsZero() {
		return 0, false, nil
	}
	return s.log.LookupUnique(d.Idempotency[:])
}

// storeFile puts the bytes into the vault and then the statement into the log.
func (s *Service) storeFile(ctx context.Context, draft *draft, d FileDeposit, content io.Reader) (*Deposit, error) {
	if d.ExpectSize != nil {
		if err := s.vault.Room(*d.ExpectSize); err != nil {
			return nil, contentError(err, s.config.MaxFileSize)
		}
	}
	if err := s.number(draft); err != nil { // asks the clock, before the bytes are taken
		return nil, err
	}
	number := draft.Number
	object, err := s.vault.Put(ctx, number, content, s.config.MaxFileSize)
	if err != nil {
		return nil, contentError(err, s.config.MaxFileSize)
	}
	deposit, fate, err := s.logFile(ctx, draft, d, object)
	switch fate {
	case logged:
		// A marker that stays is seen to by Recover, which finds the number in the log.
		if failed := s.vault.Commit(number); failed != nil {
			s.logger.WarnContext(ctx, "upload not marked as done", "number", number, "error", failed)
		}
		s.metrics.contentBytes.Add(float64(object.Size))
	case notLogged:
		if failed := s.vault.Abort(ctx, number); failed != nil {
			s.logger.WarnContext(ctx, "refused upload not removed yet", "number", number, "error", failed)
		}
	case uncertain:
		// The entry may be on the log's disk and come to light at the next start, whatever a look-up says now. So the
		// object and its intent stay, out of reach of Recover in this process; the next start decides.
		s.logger.WarnContext(ctx, "whether an upload is in the log is settled at the next start", "number", number, "error", err)
	}
	return deposit, err
}

func (s *Service) logFile(ctx context.Context, draft *draft, d FileDeposit, object *vault.Object) (*Deposit, fate, error) {
	if err := draft.content(d, object); err != nil {
		return nil, notLogged, err
	}
	earlier, err := s.earlier(draft)
	if err != nil {
		return nil, notLogged, err
	}
	return s.append(ctx, draft, earlier)
}

// uploadPlace waits for one of the places for files.
func (s *Service) uploadPlace(ctx context.Context) (release func(), err error) {
	patience := time.NewTimer(uploadPatience)
	defer patience.Stop()
	select {
	case s.uploads <- struct{}{}:
		return func() { <-s.uploads }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-patience.C:
		e := refuse(CodeBusy, "同时上传的文件过多，请稍后重试。", "Too many files are being uploaded; try again soon.")
		e.Retry = uploadPatience
		return nil, e
	}
}

// content takes over what the one pass over the bytes found, and compares it with what the depositor expects.
func (d *draft) content(f FileDeposit, o *vault.Object) error {
	mismatch := func(field, expected, found string) error {
		return refuse(CodeDigestMismatch, fmt.Sprintf("收到的数据与申报的 %s 不符：申报 %s，实际 %s；未受理。", field, expected, found),
			fmt.Sprintf("The data received contradicts the declared %s: declared %s, found %s; nothing was deposited.", field, expected, found)).at(field)
	}
	sum3, sum2 := evidence.Digest(o.SM3), evidence.Digest(o.SHA256)
	switch {
	case f.ExpectSize != nil && *f.ExpectSize != o.Size:
		return mismatch("size", fmt.Sprint(*f.ExpectSize), fmt.Sprint(o.Size))
	case !f.ExpectSM3.IsZero() && f.ExpectSM3 != sum3:
		return mismatch("sm3", f.ExpectSM3.String(), sum3.String())
	case !f.ExpectSHA256.IsZero() && f.ExpectSHA256 != sum2:
		return mismatch("sha256", f.ExpectSHA256.String(), sum2.String())
	}
	size := o.Size
	d.Content = &evidence.Content{MediaType: f.MediaType, SM3: sum3, SHA256: sum2, Size: &size}
	if size == 0 {
		d.notes = append(d.notes, Note{Code: NoteEmptyFile, ZH: "文件为空（0 字节）。", EN: "The file is empty (0 bytes)."})
	}
	return nil
}

// DepositDigest preserves a digest; the bytes stay with the depositor.
func (s *Service) DepositDigest(ctx context.Context, by Actor, d DigestDeposit) (*Deposit, error) {
	deposit, err := s.depositDigest(ctx, by, d)
	err = errorOf(err)
	s.metrics.deposited(evidence.TypeDigest, deposit, err)
	return deposit, err
}

func (s *Service) depositDigest(ctx context.Context, by Actor, d DigestDeposit) (*Deposit, error) {
	draft, err := s.digestDraft(by, d)
	if err != nil {
		return nil, err
	}
	if err := s.number(draft); err != nil {
		return s.repeatedOr(ctx, draft, err)
	}
	earlier, err := s.earlier(draft)
	if err != nil {
		return nil, err
	}
	deposit, _, err := s.append(ctx, draft, earlier)
	return deposit, err
}

// digestDraft makes a draft that is complete but for number and time.
func (s *Service) digestDraft(by Actor, d DigestDeposit) (*draft, error) {
	draft, err := s.draft(by, evidence.TypeDigest, metadata{
		name: d.Name, mediaType: d.MediaType, caseNumber: d.Case, correlation: d.Correlation, provenance: d.Provenance,
		private: d.Private, related: d.Related, idempotencyKey: d.IdempotencyKey,
	})
	if err != nil {
		return nil, err
	}
	draft.Content = &evidence.Content{MediaType: d.MediaType, SM3: d.SM3, SHA256: d.SHA256, Size: d.Size}
	if d.Size != nil && *d.Size == 0 {
		draft.notes = append(draft.notes, Note{Code: NoteEmptyFile, ZH: "申报的文件为空（0 字节）。", EN: "The file is declared to be empty (0 bytes)."})
	}
	return draft, nil
}

// number gives a draft its number and the time of receipt, if the clock is right.
func (s *Service) number(d *draft) error {
	now, err := s.clock.receipt()
	if err != nil {
		return err
	}
	number, begins, err := s.numbers.take(now)
	if err != nil {
		return err
	}
	s.clock.atLeast(begins) // nothing is received before the day of its number
	d.Number, d.ReceivedAt = number, max(now, begins)
	return nil
}

// repeatedOr answers a draft that was deposited before, and returns refusal for any other.
func (s *Service) repeatedOr(ctx context.Context, d *draft, refusal error) (*Deposit, error) {
	index, found, err := s.first(d)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, refusal
	}
	return s.repeated(ctx, d, index, s.accepted)
}

// fate says whether a draft is in the log.
type fate int

const (
	notLogged fate = iota
	logged
	uncertain
)

// append puts a draft into the log and answers it.
func (s *Service) append(ctx context.Context, d *draft, earlier []string) (*Deposit, fate, error) {
	var err error
	if d.ReceivedAt, err = s.clock.receipt(); err != nil { // it may have gone wrong since the upload began
		deposit, err := s.repeatedOr(ctx, d, err)
		return deposit, notLogged, err
	}
	entry, err := s.entry(d)
	if err != nil {
		return nil, notLogged, err
	}
	// Whoever goes away now still gets a definite end: the entry is queued or it is not.
	done, err := s.log.Append(context.WithoutCancel(ctx), entry)
	if err != nil {
		err, definite := logError(err)
		if definite {
			return nil, notLogged, err
		}
		s.clock.atLeast(d.ReceivedAt)
		return nil, uncertain, err
	}
	deposit, err := s.answerOne(ctx, d, entry.Data, done)
	if done.Duplicate {
		return deposit, notLogged, err
	}
	if err == nil {
		deposit.Earlier = earlier
	}
	return deposit, logged, err
}

// answerOne answers a draft that the log has taken, now or before.
func (s *Service) answerOne(ctx context.Context, d *draft, encoded []byte, done ledger.Appended) (*Deposit, error) {
	if done.Duplicate {
		return s.repeated(ctx, d, done.Index, func(uint64) (ledger.Appended, error) { return done, nil })
	}
	s.clock.atLeast(d.ReceivedAt)
	return s.answer(d, encoded, done)
}

// entry encodes a complete draft, once: these bytes are what is hashed, signed and kept.
func (s *Service) entry(d *draft) (ledger.Entry, error) {
	encoded, err := d.Statement.Encode()
	if err != nil {
		return ledger.Entry{}, fieldError(err)
	}
	private, err := s.seal(&d.Statement, d.disclosures)
	if err != nil {
		return ledger.Entry{}, err
	}
	return ledger.Entry{Data: encoded, Terms: terms(&d.Statement), Unique: unique(&d.Statement), Private: private}, nil
}

// answer makes the answer to a draft that is in the log. Its error says so.
func (s *Service) answer(d *draft, encoded []byte, done ledger.Appended) (*Deposit, error) {
	_, receipt, err := s.receipts.make(&d.Statement, encoded, done.Index, done.Checkpoint.Note, done.Proof, s.now())
	if err != nil {
		return nil, unanswered(d.Number, fmt.Errorf("entry %d: %w", done.Index, err))
	}
	return &Deposit{Number: d.Number, Statement: encoded, Receipt: receipt, Notes: d.notes}, nil
}

// repeated answers a draft whose idempotency key the entry at index has: with that entry if it says the same. proof
// gives the place of the entry in the log.
func (s *Service) repeated(ctx context.Context, d *draft, index uint64, proof func(index uint64) (ledger.Appended, error)) (*Deposit, error) {
	encoded, first, err := s.entryAt(index)
	if err != nil {
		return nil, err
	}
	opened, err := s.opened(index, first)
	if err != nil && !errors.Is(err, errErased) {
		return nil, err
	}
	a, b := *first, d.Statement
	b.Depositor.Account = a.Depositor.Account // the key is the organisation's, whichever of its accounts repeats
	if errors.Is(err, errErased) {
		a.Private, b.Private, opened, d.disclosures = nil, nil, nil, nil
	}
	if !evidence.SameContent(&a, &b, opened, d.disclosures) {
		e := refuse(CodeIdempotencyConflict, fmt.Sprintf("幂等键已用于另一份存证 %s，内容不同。", first.Number),
			fmt.Sprintf("The idempotency key stands for another deposit, %s, with other content.", first.Number)).at("idempotencyKey")
		e.Existing = first.Number
		return nil, e
	}
	if err := s.stillKept(ctx, first); err != nil {
		return nil, err
	}
	done, err := proof(index)
	if err != nil {
		return nil, unanswered(first.Number, fmt.Errorf("entry %d: %w", index, err))
	}
	deposit, err := s.answer(&draft{Statement: *first, notes: d.notes}, encoded, done)
	if err != nil {
		return nil, err
	}
	deposit.Duplicate = true
	return deposit, nil
}

// stillKept returns an error if the platform promised to keep an original that is not there: whoever repeats a deposit
// must not take it for safe and delete the last copy.
func (s *Service) stillKept(ctx context.Context, first *evidence.Statement) error {
	if first.OriginalKept != evidence.KeptByPlatform {
		return nil
	}
	there, err := s.vault.Exists(ctx, first.Number)
	if err != nil {
		return contentError(err, s.config.MaxFileSize)
	}
	if there {
		return nil
	}
	err = fmt.Errorf("%s: %w", first.Number, vault.ErrNotFound)
	s.alarm(fmt.Errorf("notary: an original is missing: %w", err))
	err = s.streamError(err)
	if e, ok := errors.AsType[*Error](err); ok {
		e.Existing = first.Number
	}
	return err
}

// accepted returns the place of an entry in the log as it was accepted.
func (s *Service) accepted(index uint64) (ledger.Appended, error) {
	head, err := s.log.CheckpointFor(index)
	if err != nil {
		return ledger.Appended{}, err
	}
	proof, err := s.log.InclusionProof(index, head.Size)
	return ledger.Appended{Index: index, Checkpoint: head, Proof: proof}, err
}

func (s *Service) now() evidence.Instant { return evidence.InstantOf(s.clock.wall()) }

// How many numbers of earlier deposits an answer names, and how many entries are looked at for them.
const (
	maxEarlier     = 5
	earlierLookups = 16
)

// earlier finds the newest deposits of the same SM3 by the same organisation.
func (s *Service) earlier(d *draft) ([]string, error) {
	sum := d.Content.SM3
	hits, _, err := s.log.Find(ledger.Query{Kind: evidence.TermSM3, From: sum[:], To: sum[:], Limit: earlierLookups, Reverse: true})
	if err != nil {
		return nil, err
	}
	var numbers []string
	for _, h := range hits {
		_, first, err := s.entryAt(h.Index)
		if err != nil {
			return nil, err
		}
		if first.Depositor.Organisation == d.Depositor.Organisation && len(numbers) < maxEarlier {
			numbers = append(numbers, first.Number)
		}
	}
	return numbers, nil
}
