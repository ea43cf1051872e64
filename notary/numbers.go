package notary

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"cunzheng/evidence"
	"cunzheng/ledger"
)

// numbers gives out evidence numbers, each once. The serial starts at 1 every day, China Standard Time; the day never
// goes back.
//
// A file holds a mark: serials below it may have been given out. It is moved ahead by numberLease, durably, before the
// first serial above it is given out. So a number is never given out twice, whether or not the log has it: after a
// crash the serials left below the mark are skipped, after an orderly stop none are.
type numbers struct {
	format evidence.NumberFormat
	path   string

	mu   sync.Mutex
	day  day    // guarded by mu, as all below
	next uint64 // serial to give out next
	mark uint64 // as in the file, for day
}

const (
	numberLease   = 4096
	numbersFile   = "numbers.json"
	schemaNumbers = "cunzheng/numbers/v1"
	// recentEntries at the end of the log tell whether the mark is older than the log, as after a restore.
	recentEntries = 1024
)

type numbersMark struct {
	Schema string `json:"schema"`
	Day    day    `json:"day"`
	Mark   uint64 `json:"mark"` // serials from here on are free
}

// day counts days in China Standard Time from 1970-01-01.
type day int64

const (
	chinaOffset = 8 * time.Hour
	dayLength   = 24 * time.Hour
)

func dayOf(at evidence.Instant) day {
	return day((int64(at) + chinaOffset.Milliseconds()) / dayLength.Milliseconds())
}

// start returns the first instant of the day.
func (d day) start() evidence.Instant {
	return evidence.Instant(int64(d)*dayLength.Milliseconds() - chinaOffset.Milliseconds())
}

// take returns a number that nobody has, and when its day began: the day of at, unless an earlier call was on a later
// one.
func (n *numbers) take(at evidence.Instant) (number string, begins evidence.Instant, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := dayOf(at); d > n.day {
		n.day, n.next, n.mark = d, 1, 1
	}
	if n.next >= n.mark {
		if err := n.write(n.next + numberLease); err != nil {
			return "", 0, err
		}
	}
	serial := n.next
	n.next++
	begins = n.day.start()
	return n.format.Format(begins.Time(), serial), begins, nil
}

// begins returns when the day of the latest number began, or 0 before the first.
func (n *numbers) begins() evidence.Instant {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.day == 0 {
		return 0
	}
	return n.day.start()
}

// write moves the mark. The caller holds mu.
func (n *numbers) write(mark uint64) error {
	data, err := json.Marshal(numbersMark{Schema: schemaNumbers, Day: n.day, Mark: mark})
	if err != nil {
		return err
	}
	if err := replaceFile(n.path, append(data, '\n')); err != nil {
		return err
	}
	n.mark = mark
	return nil
}

// close gives back what was leased and not used.
func (n *numbers) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == n.mark || n.mark == 0 {
		return nil
	}
	return n.write(n.next)
}

// skip makes a number that is in use one that will not be given out again.
func (n *numbers) skip(used evidence.Number) {
	if used.NumberFormat != n.format {
		return
	}
	switch d := dayOf(evidence.InstantOf(used.Date)); {
	case d > n.day:
		n.day, n.next, n.mark = d, used.Serial+1, 0
	case d == n.day && used.Serial >= n.next:
		n.next, n.mark = used.Serial+1, 0
	}
}

// openNumbers finds out which numbers are free.
func (s *Service) openNumbers() (*numbers, error) {
	n := &numbers{format: s.config.Number, path: filepath.Join(s.dir, numbersFile)}
	found, err := n.read()
	if err != nil {
		return nil, err
	}
	day, next := n.day, n.next
	if err := s.recentNumbers(n); err != nil {
		return nil, err
	}
	readAll := s.log.Latest().Size <= recentEntries
	if older := n.day != day || n.next != next; !readAll && (!found || older) {
		// The mark was lost, or the log has numbers that it should have covered: it is older than the log, as after a
		// restore. Then all numbers of the last day have to be looked at.
		s.logger.Warn("the mark of numbers given out is missing or older than the log; reading the log", "file", n.path)
		if err := s.numbersSince(n, max(n.day, dayOf(s.clock.latest())).start()); err != nil {
			return nil, err
		}
	}
	for _, id := range s.vault.Pending() {
		if number, err := evidence.ParseNumber(id); err == nil {
			n.skip(number)
		}
	}
	return n, nil
}

// read takes over the mark of the file, if there is one.
func (n *numbers) read() (found bool, err error) {
	data, err := os.ReadFile(n.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var m numbersMark
	if err := json.Unmarshal(data, &m, json.RejectUnknownMembers(true)); err != nil {
		return false, fmt.Errorf("%s: %w", n.path, err)
	}
	if m.Schema != schemaNumbers || m.Day <= 0 || m.Mark == 0 {
		return false, fmt.Errorf("%s: not a mark of numbers", n.path)
	}
	n.day, n.next, n.mark = m.Day, m.Mark, m.Mark
	return true, nil
}

// recentNumbers skips the numbers of the last entries.
func (s *Service) recentNumbers(n *numbers) error {
	size := s.log.Latest().Size
	for index := size - min(size, recentEntries); index < size; index++ {
		if err := s.skipNumber(n, index); err != nil {
			return err
		}
	}
	return nil
}

// numbersSince skips the numbers of all entries received since then. A number's day is never after its receipt.
func (s *Service) numbersSince(n *numbers, since evidence.Instant) error {
	return s.each(ledger.Query{Kind: evidence.TermTime, From: evidence.TimeTerm(since).Value}, func(index uint64) error {
		return s.skipNumber(n, index)
	})
}

func (s *Service) skipNumber(n *numbers, index uint64) error {
	statement, err := s.statement(index)
	if err != nil || statement.Number == "" {
		return err
	}
	number, err := evidence.ParseNumber(statement.Number)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	n.skip(number)
	return nil
}

// each calls fn for the entries that q finds, in its order.
func (s *Service) each(q ledger.Query, fn func(index uint64) error) error {
	q.Limit = 1000
	for {
		hits, more, err := s.log.Find(q)
		if err != nil {
			return err
		}
		for i := range hits {
			if err := fn(hits[i].Index); err != nil {
				return err
			}
		}
		if !more || len(hits) == 0 {
			return nil
		}
		q.After = &hits[len(hits)-1]
	}
}
