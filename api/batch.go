package api

import (
	"bytes"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"cunzheng/api/wire"
	"cunzheng/notary"
)

const (
	lineType = "application/x-ndjson"
	// batchStep is how many lines are deposited, and their answers held, at a time.
	batchStep = 1000
)

// batchLine is one line of a batch: a deposit, or the reason why it is none.
type batchLine struct {
	deposit notary.DigestDeposit
	err     error
}

// depositBatch takes digests as NDJSON, one a line, and answers each line in its order. Lines stand alone: a line that
// fails leaves the others be. The body is read as a whole before anything is deposited, so a batch that is cut off or
// too large leaves no trace; the answers stream.
func (s *Server) depositBatch(c echo.Context) error {
	if _, err := mediaType(c.Request(), lineType); err != nil {
		return err
	}
	select {
	case s.batches <- struct{}{}:
		defer func() { <-s.batches }()
	default:
		return &failure{code: codeTooMany}
	}
	body, err := readBody(c)
	if err != nil {
		return err
	}
	lines, more := splitLines(body, s.limits.BatchLines)
	if len(lines) == 0 {
		return &failure{code: codeJSON, zh: "批次为空。", en: "The batch is empty."}
	}
	header := c.Response().Header()
	header.Set("Content-Type", lineType)
	c.Response().WriteHeader(http.StatusOK)
	out := s.newPacedWriter(c.Response())
	for first := 0; first < len(lines); first += batchStep {
		step := lines[first:min(first+batchStep, len(lines))]
		if err := s.answerLines(c, out, first+1, step); err != nil {
			return err
		}
	}
	if more {
		return writeLine(out, refusedLine(c, len(lines)+1, &failure{code: codeBatchTooLong}))
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

// answerLines deposits lines, the first of which has number first, and writes their answers.
func (s *Server) answerLines(c echo.Context, out *pacedWriter, first int, lines [][]byte) error {
	parsed := make([]batchLine, len(lines))
	deposits := make([]notary.DigestDeposit, 0, len(lines))
	for i, line := range lines {
		if parsed[i] = parseLine(line); parsed[i].err == nil {
			deposits = append(deposits, parsed[i].deposit)
		}
	}
	results := s.evidence.DepositDigests(c.Request().Context(), requestOf(c).actor, deposits)
	buffer := make([]byte, 0, 64<<10)
	for i, line := range parsed {
		answer := wire.BatchAnswer{Line: first + i}
		if line.err != nil {
			answer = refusedLine(c, first+i, line.err)
		} else {
			answer = resultLine(c, first+i, results[0])
			results = results[1:]
		}
		var err error
		if buffer, err = appendLine(buffer, answer); err != nil {
			return err
		}
		if len(buffer) > 48<<10 {
			if _, err := out.Write(buffer); err != nil {
				return err
			}
			buffer = buffer[:0]
		}
	}
	_, err := out.Write(buffer)
	return err
}

func parseLine(line []byte) batchLine {
	if len(line) > maxMetadata {
		return batchLine{err: metadataTooLarge()}
	}
	var body wire.DigestDeposit
	if err := decodeJSON(line, &body); err != nil {
		return batchLine{err: err}
	}
	return batchLine{deposit: digestDeposit(body)}
}

func resultLine(c echo.Context, number int, r notary.Result) wire.BatchAnswer {
	if r.Err != nil {
		return refusedLine(c, number, r.Err)
	}
	return wire.BatchAnswer{Line: number, Status: http.StatusCreated, Deposit: depositOf(r.Deposit)}
}

func refusedLine(c echo.Context, number int, err error) wire.BatchAnswer {
	p, _ := problem(err)
	localise(&p, c.Request().Header)
	return wire.BatchAnswer{Line: number, Status: p.Status, Problem: &p}
}

func writeLine(out *pacedWriter, answer wire.BatchAnswer) error {
	line, err := appendLine(nil, answer)
	if err != nil {
		return err
	}
	_, err = out.Write(line)
	return err
}

func appendLine(buffer []byte, answer wire.BatchAnswer) ([]byte, error) {
	line := bytes.NewBuffer(buffer)
	if err := json.MarshalWrite(line, &answer); err != nil {
		return nil, err
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}
