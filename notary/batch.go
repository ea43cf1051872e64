package notary

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"cunzheng/evidence"
	"cunzheng/ledger"
)

// A batch is cut into chunks that go through on their own: while one waits for the disk, others encode or sign.
const (
	batchChunk = 256
	// batchPatience is how long a chunk waits for room in the log's queue.
	batchPatience = 20 * time.Second
)

// DepositDigests deposits up to MaxBatch digests and answers each. They stand alone: one that fails leaves the others
// be. Their order in the log may differ from that of the call.
func (s *Service) DepositDigests(ctx context.Context, by Actor, deposits []DigestDeposit) []Result {
	results := make([]Result, len(deposits))
	if len(deposits) > MaxBatch {
		err := refuse(CodeBatchTooLarge, "一批最多 10000 条。", "A batch has at most 10,000 deposits.")
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	lanes := 2 * runtime.GOMAXPROCS(0)
	chunk := min(batchChunk, max(1, (len(deposits)+lanes-1)/lanes))
	places := make(chan struct{}, lanes)
	var group sync.WaitGroup
	for first := 0; first < len(deposits); first += chunk {
		last := min(first+chunk, len(deposits))
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			s.depositChunk(ctx, by, deposits[first:last], results[first:last])
		})
	}
	group.Wait()
	for i := range results {
		results[i].Err = errorOf(results[i].Err)
		s.metrics.deposited(evidence.TypeDigest, results[i].Deposit, results[i].Err)
	}
	return results
}

// depositChunk fills results, one for each deposit.
func (s *Service) depositChunk(ctx context.Context, by Actor, deposits []DigestDeposit, results []Result) {
	drafts := make([]*draft, 0, len(deposits))
	entries := make([]ledger.Entry, 0, len(deposits))
	places := make([]int, 0, len(deposits)) // of the drafts in results
	for i := range deposits {
		draft, entry, err := s.digestEntry(ctx, by, deposits[i])
		switch {
		case err == nil:
			drafts, entries, places = append(drafts, draft), append(entries, entry), append(places, i)
		case draft != nil: // it could be made but for a time or number of receipt; a repetition needs neither
			results[i].Deposit, results[i].Err = s.repeatedOr(ctx, draft, err)
		default:
			results[i].Err = err
		}
	}
	done, err := s.appendAll(ctx, entries)
	if err != nil {
		for _, i := range places {
			results[i].Err = err
		}
		return
	}
	for n, i := range places {
		results[i].Deposit, results[i].Err = s.answerOne(ctx, drafts[n], entries[n].Data, done[n])
	}
}

// digestEntry makes an entry. With the error of a draft that only lacks number and time it returns that, too.
func (s *Service) digestEntry(ctx context.Context, by Actor, d DigestDeposit) (*draft, ledger.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, ledger.Entry{}, context.Cause(ctx)
	}
	draft, err := s.digestDraft(by, d)
	if err != nil {
		return nil, ledger.Entry{}, err
	}
	if err := s.number(draft); err != nil {
		return draft, ledger.Entry{}, err
	}
	entry, err := s.entry(draft)
	if err != nil {
		return nil, ledger.Entry{}, err
	}
	return draft, entry, nil
}

// appendAll waits for room: a batch is not urgent, and refusing it half-way helps nobody.
func (s *Service) appendAll(ctx context.Context, entries []ledger.Entry) ([]ledger.Appended, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	deadline := time.Now().Add(batchPatience)
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		done, err := s.log.AppendAll(context.WithoutCancel(ctx), entries)
		if err == nil {
			return done, nil
		}
		if !errors.Is(err, ledger.ErrBusy) || time.Now().Add(wait).After(deadline) || ctx.Err() != nil {
			err, definite := logError(err)
			if !definite { // they may be in the log; nothing later is received before now
				s.clock.atLeast(s.clock.estimate())
			}
			return nil, err
		}
		time.Sleep(wait)
	}
}
