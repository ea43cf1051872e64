package evidence

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
)

// maxInteger is the greatest integer that RFC 8785, whose numbers are IEEE doubles, writes exactly.
const maxInteger = 1<<53 - 1

// errNotCanonical says that a text has the right content in another spelling.
var errNotCanonical = errors.New("not in canonical form (RFC 8785)")

// canonical encodes v as RFC 8785. The fields of our types stand in the canonical order already and the JSON package
// writes strings and integers as RFC 8785 does, so only the keys of maps are sorted at run time. A test compares with
// a canonicaliser.
func canonical(v any) ([]byte, error) { return json.Marshal(v, json.Deterministic(true)) }

// parseCanonical reads data into v and refuses unknown and repeated members, invalid UTF-8, data after the end, more
// than limit bytes, and every text that differs from what encode gives for the same content.
func parseCanonical(data []byte, limit int, v any, encode func() ([]byte, error)) error {
	if len(data) > limit {
		return fmt.Errorf("%d bytes, at most %d", len(data), limit)
	}
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	again, err := encode()
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return errNotCanonical
	}
	return nil
}
