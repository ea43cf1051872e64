package verifier

import (
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
)

// Codes of a problem. They are stable: programs branch on them.
const (
	codeUsage   = "USAGE"              // the command line cannot be run as typed
	codeBundle  = "BUNDLE_UNREADABLE"  // there is no such bundle, or it cannot be read
	codeTrust   = "TRUST_UNREADABLE"   // no such file, or not a trust file
	codeContent = "CONTENT_UNREADABLE" // no such original
	codeReading = "READING"            // a file could not be read to its end
)

// schemaProblem names the format of what --json prints instead of a report.
const schemaProblem = "cunzheng/verify-error/v1"

// problem is why there is no report. It says nothing about the bundle.
//
// The order of the fields is the order of RFC 8785.
type problem struct {
	Code string `json:"code"`
	EN   string `json:"en"`
	ZH   string `json:"zh"`
}

func (p *problem) Error() string { return p.EN }

func usageProblem(zh, en string) *problem { return &problem{codeUsage, en, zh} }

func unreadable(code, zh, en string, err error) *problem {
	return &problem{Code: code, ZH: fmt.Sprintf("无法读取%s：%v", zh, err), EN: fmt.Sprintf("cannot read %s: %v", en, err)}
}

// print writes the problem for programs.
func (p *problem) print(w io.Writer) error {
	text, err := json.Marshal(struct {
		Error  *problem `json:"error"`
		Schema string   `json:"schema"`
	}{p, schemaProblem})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

// wantsJSON reports whether a command line that could not be parsed asks for JSON.
func wantsJSON(args []string) bool {
	for _, a := range args {
		switch strings.TrimPrefix(a, "-") {
		case "-":
			return false
		case "json", "-json", "json=true", "-json=true":
			return a[0] == '-'
		}
	}
	return false
}
