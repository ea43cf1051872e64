package api

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/content"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

var update = flag.Bool("update", false, "rewrite openapi.json from openapi.yaml")

// document is openapi.yaml, parsed once for all tests.
var document = sync.OnceValues(func() (libopenapi.Document, error) { return libopenapi.NewDocument(openapiYAML) })

func openAPI(t testing.TB) *v3.Document {
	t.Helper()
	d, err := document()
	if err != nil {
		t.Fatal(err)
	}
	model, err := d.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	return &model.Model
}

var responses = sync.OnceValues(func() (validator.Validator, error) {
	d, err := document()
	if err != nil {
		return nil, err
	}
	asText := content.DecoderFunc(func(input *content.DecodeInput) (any, error) {
		text, err := io.ReadAll(input.Body)
		return string(text), err
	})
	v, errs := validator.NewValidator(d, config.WithoutSecurityValidation(), config.WithBodyDecoder(lineType, asText))
	return v, errors.Join(errs...)
})

// checkResponse holds an answer against openapi.yaml. The body of response must still be readable; it is given back
// unread.
func checkResponse(t testing.TB, request *http.Request, response *http.Response) {
	t.Helper()
	v, err := responses()
	if err != nil {
		t.Fatal(err)
	}
	described := request.Clone(request.Context())
	described.URL.Path = describedPath(request.URL.Path)
	described.URL.RawPath = ""
	if valid, errs := v.ValidateHttpResponse(described, response); !valid {
		for _, e := range errs {
			t.Errorf("%s %s: the answer %d is not the one in openapi.yaml: %s: %s", request.Method, request.URL.Path, response.StatusCode, e.Message, e.Reason)
			for _, s := range e.SchemaValidationErrors {
				t.Errorf("\t%s at %s", s.Reason, s.FieldPath)
			}
		}
	}
}

// checkSchema holds a JSON value against a schema of openapi.yaml.
func checkSchema(t testing.TB, name string, value []byte) {
	t.Helper()
	schema, ok := openAPI(t).Components.Schemas.Get(name)
	if !ok {
		t.Fatalf("openapi.yaml has no schema %s", name)
	}
	if valid, errs := schemas().ValidateSchemaBytesWithVersion(schema.Schema(), value, 3.1); !valid {
		for _, e := range errs {
			t.Errorf("not a %s: %s: %s", name, e.Message, e.Reason)
		}
	}
}

var schemas = sync.OnceValue(func() schema_validation.SchemaValidator { return schema_validation.NewSchemaValidator() })

// describedPath makes one segment of a tile's path, as OpenAPI has no parameter that spans several.
func describedPath(path string) string {
	for _, prefix := range []string{"/log/tile/entries/", "/log/tile/"} {
		if tile, ok := strings.CutPrefix(path, prefix); ok {
			return prefix + strings.ReplaceAll(tile, "/", "-")
		}
	}
	return path
}

// openAPIPath turns a path of the route table into the one of the document.
func openAPIPath(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if name, ok := strings.CutPrefix(s, ":"); ok {
			segments[i] = "{" + name + "}"
		} else if s == "*" {
			segments[i] = "{tile}"
		}
	}
	return strings.Join(segments, "/")
}

// TestRoutesAreDocumented holds the route table and the document together, both ways.
func TestRoutesAreDocumented(t *testing.T) {
	documented := map[string]*v3.Operation{}
	for path, item := range openAPI(t).Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			documented[strings.ToUpper(method)+" "+path] = operation
		}
	}
	for _, r := range routes {
		key := r.method + " " + openAPIPath(r.path)
		operation := documented[key]
		if operation == nil {
			t.Errorf("%s is not in openapi.yaml", key)
			continue
		}
		delete(documented, key)
		if operation.OperationId != r.name {
			t.Errorf("%s: operationId is %q in the document and %q in the table", key, operation.OperationId, r.name)
		}
		if open := operation.Security != nil && len(operation.Security) == 0; open != r.access.public {
			t.Errorf("%s: open to everybody: %v in the document, %v in the table", key, open, r.access.public)
		}
		if hasBody := operation.RequestBody != nil; hasBody != (r.body != bodyNone) {
			t.Errorf("%s: takes a body: %v in the document", key, hasBody)
		}
		var query []string
		for _, p := range operation.Parameters {
			if p.In == "query" {
				query = append(query, p.Name)
			}
		}
		if !slices.Equal(query, r.query) {
			t.Errorf("%s: query parameters are %q in the document and %q in the table", key, query, r.query)
		}
	}
	for key := range documented {
		t.Errorf("%s is in openapi.yaml, but there is no such route", key)
	}
}

func TestOpenAPIIsValid(t *testing.T) {
	v, err := responses()
	if err != nil {
		t.Fatal(err)
	}
	if valid, errs := v.ValidateDocument(); !valid {
		for _, e := range errs {
			t.Errorf("%s: %s", e.Message, e.Reason)
			for _, s := range e.SchemaValidationErrors {
				t.Errorf("\t%s at %s", s.Reason, s.FieldPath)
			}
		}
	}
}

// TestOpenAPIForms holds openapi.json to be openapi.yaml in JSON. After a change: go test ./api -run OpenAPIForms -update
func TestOpenAPIForms(t *testing.T) {
	rendered, err := openAPI(t).RenderJSON("  ")
	if err != nil {
		t.Fatal(err)
	}
	want := jsontext.Value(rendered)
	if err := want.Indent(jsontext.WithIndent(" ")); err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, openapiJSON) {
		t.Fatal("openapi.json is not openapi.yaml in JSON; run: go test ./api -run OpenAPIForms -update")
	}
}
