package evidence

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
)

// SchemaError says that a file has a format that this version does not know. A later version may.
type SchemaError struct {
	Want, Got string
	Type      Type // the unknown type, if a statement's schema is known
}

// Error names the two formats.
func (e *SchemaError) Error() string {
	if e.Type != "" {
		return fmt.Sprintf("statement type %.80q is not known to this version", e.Type)
	}
	return fmt.Sprintf("schema %.80q is not known to this version (want %q)", e.Got, e.Want)
}

// schemaError says that a file has the schema got instead of want. A file without a schema is of no version.
func schemaError(got, want string) error {
	if got == "" {
		return errors.New("schema is missing")
	}
	return &SchemaError{Want: want, Got: got}
}

// newerSchema returns an error if data is JSON whose schema, or whose statement type, is not of this version.
func newerSchema(data []byte, want string) *SchemaError {
	var head struct {
		Schema string `json:"schema"`
		Type   Type   `json:"type"`
	}
	if json.Unmarshal(data, &head) != nil || head.Schema == "" {
		return nil
	}
	if head.Schema != want {
		return &SchemaError{Want: want, Got: head.Schema}
	}
	if want == SchemaStatement && head.Type != "" && !slices.Contains(statementTypes, head.Type) {
		return &SchemaError{Want: want, Got: want, Type: head.Type}
	}
	return nil
}
