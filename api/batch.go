package api

import (
	"bufio"
	"bytes"
	"io"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"cunzheng/api/wire"
	"cunzheng/notary"
)

const (
	lineType = "application/x-ndjson"
	// batchStep is how many lines are deposited, and their answers held, at a time.
	batchStep = 1000
)

// depositBatch takes digests as NDJSON, one a line, and answers each line in its order. Lines stand alone: a line that
// fails leaves the others be. The body is read as a whole before anything is deposited, so a batch that is cut off or
// too large leaves no trace; the answers stream.
func (s *Server) depositBatch(c echo.Context) error {
	if _, err := mediaType(c.Request(), lineType); err != nil {
		return err
	}
	release, err := s.batches.take(c.Request().Context(), requestOf(c).actor.Organisation, 0)
	if err != nil {
		return err
	}
	defer release()
	body, err := readBody(c)
	if err != nil {
		return err
	}
	lines, more := splitLines(body, s.limits.BatchLines)
	if len(lines) == 0 {
		return &failure{code: codeJSON, zh: "批次为空。", en: "The batch is empty."}
	}
	c.Response().Header().Set("Content-Type", lineType)
	c.Response().WriteHeader(http.StatusOK)
	return s.answerBatch(c, lines, more)
}

// answerBatch deposits lines step by step. While one step is deposited the answers of the step before are written.
func (s *Server) answerBatch(c echo.Context, lines [][]byte, more bool) error {
	answers := make(chan []wire.BatchAnswer, 1)
	group, ctx := errgroup.WithContext(c.Request().Context())
	group.Go(func() error { return writeAnswers(s.newPacedWriter(c.Response()), answers) })
	send := func(a []wire.BatchAnswer) {
		select {
		case answers <- a:
		case <-ctx.Done(): // the caller went away
		}
	}
	for first := 0; first < len(lines) && ctx.Err() == nil; first += batchStep {
		send(s.depositLines(c, first+1, lines[first:min(first+batchStep, len(lines))]))
	}
	if more {
		send([]wire.BatchAnswer{refusedLine(c, len(lines)+1, &failure{code: codeBatchTooLong})})
	}
	close(answers)
	if err := group.Wait(); err != nil {
		return &cutOff{err}
	}
	return nil
}

// splitLines cuts body into at most limit lines and reports whether there are more. The last line need not end in a
// newline.
func splitLines(body []byte, limit int) (lines [][]byte, more bool) {
	for len(body) > 0 {
		if len(lines) == limit {
			return lines, true
		}
		line, rest, _ := bytes.Cut(body, []byte{'\n'})
		lines = append(lines, bytes.TrimSuffix(line, []byte{'\r'}))
		body = rest
	}
	return lines, false
}

// depositLines deposits lines, the first of which has number first, and returns their answers.
func (s *Server) depositLines(c echo.Context, first int, lines [][]byte) []wire.BatchAnswer {
	answers := make([]wire.BatchAnswer, len(lines))
	deposits := make([]notary.DigestDeposit, 0, len(lines))
	places := make([]int, 0, len(lines)) // of the deposits in answers
	for i, line := range lines {
		deposit, err := parseLine(line)
		if err != nil {
			answers[i] = refusedLine(c, first+i, err)
			continue
		}
		deposits, places = append(deposits, deposit), append(places, i)
	}
	for i, result := range s.evidence.DepositDigests(c.Request().Context(), requestOf(c).actor, deposits) {
		at := places[i]
		if result.Err != nil {
			answers[at] = refusedLine(c, first+at, result.Err)
		} else {
			answers[at] = wire.BatchAnswer{Line: first + at, Status: http.StatusCreated, Deposit: depositOf(result.Deposit)}
		}
	}
	return answers
}

// answerBuffer is how much is written at a time.
const answerBuffer = 64 << 10

// writeAnswers writes what comes, a line each.
func writeAnswers(out io.Writer, answers <-chan []wire.BatchAnswer) error {
	buffered := bufio.NewWriterSize(out, answerBuffer)
	for step := range answers {
		for i := range step {
			if err := json.MarshalWrite(buffered, &step[i]); err != nil {
				return err
			}
			if err := buffered.WriteByte('\n'); err != nil {
				return err
			}
		}
	}
	return buffered.Flush()
}

func parseLine(line []byte) (notary.DigestDeposit, error) {
	if len(line) > maxMetadata {
		return notary.DigestDeposit{}, metadataTooLarge()
	}
	var body wire.DigestDeposit
	if err := decodeJSON(line, &body); err != nil {
		return notary.DigestDeposit{}, err
	}
	return digestDeposit(body), nil
}

func refusedLine(c echo.Context, number int, err error) wire.BatchAnswer {
	p, _ := problem(err)
	localise(&p, c.Request().Header)
	return wire.BatchAnswer{Line: number, Status: p.Status, Problem: &p}
}
